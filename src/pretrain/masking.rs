//! Hiding whole words, and what the network has to say in their place.

use crate::model::mode::uniform;
use crate::tokens::{Encoded, Tokenizer};

/// Which ids begin a word (`▁`) and which are special.
pub struct Words {
    begins: Vec<bool>,
    special: Vec<bool>,
    mask: u32,
}

/// A sequence with hidden words.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    /// The sequence as the network sees it.
    pub encoded: Encoded,
    /// Positions in the sequence whose token is asked for, rising.
    pub positions: Vec<usize>,
    /// The tokens that stood there.
    pub targets: Vec<u32>,
}

impl Words {
    /// The table of a tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Words {
        let n = tokenizer.vocab_size() as u32;
        let begins = (0..n).map(|id| tokenizer.token(id).is_some_and(|token| token.starts_with('▁'))).collect();
        let names = crate::tokens::Special::NAMES;
        let special =
            (0..n).map(|id| tokenizer.token(id).is_some_and(|token| names.contains(&token.as_str()))).collect();
        Words { begins, special, mask: tokenizer.special().mask }
    }

    /// Hides each word with probability `rate`: all its tokens are asked for, and each word is replaced by masks (80 %), by
    /// random tokens (10 %) or left (10 %), as in BERT. A sequence in which no word was drawn gets its first one hidden.
    pub fn hide(&self, encoded: &Encoded, rate: f64, state: &mut u64) -> Masked {
        let n = self.begins.len() as u64;
        let mut masked = Masked { encoded: encoded.clone(), positions: Vec::new(), targets: Vec::new() };
        let ids = &encoded.ids;
        let mut words: Vec<std::ops::Range<usize>> = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            if self.special[*id as usize] {
                continue;
            }
            match words.last_mut() {
                Some(word) if word.end == i && !self.begins[*id as usize] => word.end = i + 1,
                _ => words.push(i..i + 1),
            }
        }
        let mut uniform = || uniform(state);
        let mut drawn: Vec<bool> = words.iter().map(|_| uniform() < rate).collect();
        if !drawn.contains(&true) {
            drawn.iter_mut().take(1).for_each(|d| *d = true);
        }
        for (word, _) in words.into_iter().zip(drawn).filter(|(_, drawn)| *drawn) {
            let how = uniform();
            for i in word {
                masked.positions.push(i);
                masked.targets.push(ids[i]);
                if how < 0.8 {
                    masked.encoded.ids[i] = self.mask;
                } else if how < 0.9 {
                    masked.encoded.ids[i] = (uniform() * n as f64) as u32;
                }
            }
        }
        masked
    }
}
