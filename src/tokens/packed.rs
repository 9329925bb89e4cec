//! Inputs laid end to end for one forward pass, never padded.

use super::Encoded;

/// A batch: the tokens of S inputs, end to end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packed {
    /// Token ids, (T).
    pub ids: Vec<u32>,
    /// Token types, (T): 0 sentence, 1 title, 2 previous sentence.
    pub types: Vec<u32>,
    /// Types of the lexicon's terms in which each token lies, as bits, (T); empty without a lexicon.
    pub lexicon: Vec<u64>,
    /// Where each input begins in `ids`, and at last T: (S + 1).
    pub starts: Vec<usize>,
    /// Tokens of type 0 at the head of each input, (S).
    pub sentence_tokens: Vec<usize>,
}

impl Packed {
    /// Lays the inputs end to end in their order.
    pub fn new(inputs: &[&Encoded]) -> Self {
        let n_tokens = inputs.iter().map(|input| input.ids.len()).sum();
        let mut packed = Packed {
            ids: Vec::with_capacity(n_tokens),
            types: Vec::with_capacity(n_tokens),
            lexicon: Vec::new(),
            starts: Vec::with_capacity(inputs.len() + 1),
            sentence_tokens: Vec::with_capacity(inputs.len()),
        };
        packed.starts.push(0);
        for input in inputs {
            packed.ids.extend_from_slice(&input.ids);
            packed.types.extend_from_slice(&input.types);
            packed.lexicon.extend_from_slice(&input.lexicon);
            packed.starts.push(packed.ids.len());
            packed.sentence_tokens.push(input.sentence_tokens);
        }
        packed
    }

    /// T, tokens in all.
    pub fn n_tokens(&self) -> usize {
        self.ids.len()
    }

    /// S, inputs.
    pub fn n_sentences(&self) -> usize {
        self.sentence_tokens.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_the_running_sum_of_lengths() {
        let input = |ids: &[u32], sentence_tokens| Encoded {
            ids: ids.to_vec(),
            types: vec![0; ids.len()],
            lexicon: Vec::new(),
            sentence_tokens,
            truncated: false,
        };
        let (a, b) = (input(&[2, 9, 3], 3), input(&[2, 8, 7, 3, 5, 6, 3], 4));
        let packed = Packed::new(&[&a, &b]);
        assert_eq!(packed.starts, [0, 3, 3 + 7]);
        assert_eq!(packed.sentence_tokens, [3, 4]);
        assert_eq!((packed.n_tokens(), packed.n_sentences()), (10, 2));
        assert_eq!(packed.ids[3..], b.ids);
        assert_eq!(Packed::new(&[]).starts, [0]);
    }
}
