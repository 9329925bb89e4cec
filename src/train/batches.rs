//! Examples → batches: the order of an epoch, the parts of a batch, the tokens that are hidden while training.

use super::soft::SoftExample;
use crate::dataset::Example;
use crate::error::Result;
use crate::kernels::cross_entropy::Target;
use crate::model::mode::{splitmix64, uniform};
use crate::schema::Schema;
use crate::tokens::{Encoded, InputConfig, Tokenizer};
use std::borrow::Borrow;

/// A labelled sentence as the network sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its tokens.
    pub encoded: Encoded,
    /// One target a head, none where it was not labelled.
    pub targets: Vec<Target>,
}

/// Encodes examples, in their order.
///
/// # Errors
/// The tokenizer fails.
pub fn items<E: Borrow<Example>>(examples: &[E], tokenizer: &Tokenizer, input: &InputConfig) -> Result<Vec<Item>> {
    let item = |e: &E| {
        let e = e.borrow();
        Ok(Item {
            encoded: tokenizer.encode(e.input(), input)?,
            targets: e.labels.iter().map(|label| (*label).into()).collect(),
        })
    };
    examples.iter().map(item).collect()
}

/// Encodes sentences with the shares that other models gave their classes, in their order.
///
/// # Errors
/// The tokenizer fails.
pub fn soft_items(examples: &[SoftExample], tokenizer: &Tokenizer, input: &InputConfig) -> Result<Vec<Item>> {
    let item = |e: &SoftExample| {
        let targets = e.shares.iter().map(|shares| Target::Shares(shares.clone())).collect();
        Ok(Item { encoded: tokenizer.encode(e.input(), input)?, targets })
    };
    examples.iter().map(item).collect()
}

/// The order of an epoch: a shuffle (Fisher-Yates) that depends on seed and epoch alone, so that a run can be resumed anywhere.
pub fn epoch_order(n_items: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut state = mix(&[seed, 1, epoch as u64]);
    let mut order: Vec<usize> = (0..n_items).collect();
    for i in (1..n_items).rev() {
        order.swap(i, (splitmix64(&mut state) % (i as u64 + 1)) as usize);
    }
    order
}

/// Cuts a batch into at most `n_shards` parts of about equally many tokens, in order; none is empty.
pub fn shards<'i>(batch: &[&'i Item], n_shards: usize) -> Vec<Vec<&'i Item>> {
    let total: usize = batch.iter().map(|item| item.encoded.ids.len()).sum();
    let mut parts: Vec<Vec<&Item>> = Vec::new();
    let mut tokens_so_far = 0;
    for item in batch {
        // The part in which the middle of this sentence lies.
        let middle = tokens_so_far + item.encoded.ids.len() / 2;
        let part = (middle * n_shards / total.max(1)).min(n_shards - 1);
        while parts.len() <= part {
            parts.push(Vec::new());
        }
        parts[part].push(item);
        tokens_so_far += item.encoded.ids.len();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// How much of a sentence is hidden from the network while it learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hiding {
    /// Share of the tokens that are hidden, one by one.
    pub token_rate: f64,
    /// Share of the lexicon's terms, of whatever type, of which all tokens are hidden: what is left are their types, as of a name
    /// never met.
    pub term_rate: f64,
}

/// A copy of the sentence in which tokens and terms but the special ones are replaced by `mask`. Types are kept.
///
/// `specials` are the ids that stay: they say where sentence and context begin. A term is a run of
/// tokens with the same types: a name in which a term of another type stands is drawn in parts, two terms of one type side by side
/// are drawn as one.
pub fn hide_tokens(encoded: &Encoded, hiding: Hiding, mask: u32, specials: &[u32], state: &mut u64) -> Encoded {
    let mut uniform = || uniform(state);
    let mut hidden = encoded.clone();
    let mut in_hidden_term = false;
    for (i, id) in hidden.ids.iter_mut().enumerate() {
        let mut hide = uniform() < hiding.token_rate;
        let types = encoded.lexicon.get(i).copied().unwrap_or_default();
        if types == 0 {
            in_hidden_term = false;
        } else if hiding.term_rate > 0.0 {
            if i == 0 || encoded.lexicon[i - 1] != types {
                in_hidden_term = uniform() < hiding.term_rate;
            }
            hide |= in_hidden_term;
        }
        if hide && !specials.contains(id) {
            *id = mask;
        }
    }
    hidden
}

/// Weights of the classes of every head from their frequency in `examples`: 1 on average over the sentences.
pub fn class_weights<E: Borrow<Example>>(schema: &Schema, examples: &[E], exponent: f64) -> Vec<Vec<f32>> {
    let of_head = |(h, head): (usize, &crate::schema::Head)| {
        let mut counts = vec![0usize; head.classes.len()];
        examples.iter().filter_map(|e| e.borrow().labels[h]).for_each(|label| counts[label] += 1);
        let total: usize = counts.iter().sum();
        // A class that never occurs weighs as one that occurs once: it enters the loss through label smoothing only.
        let raw: Vec<f64> = counts.iter().map(|n| (*n.max(&1) as f64).powf(-exponent)).collect();
        let mean = raw.iter().zip(&counts).map(|(w, n)| w * *n as f64).sum::<f64>() / total.max(1) as f64;
        raw.iter().map(|w| if mean > 0.0 { (w / mean) as f32 } else { 1.0 }).collect()
    };
    schema.heads.iter().enumerate().map(of_head).collect()
}

/// One number from several, for seeds of independent streams.
pub fn mix(parts: &[u64]) -> u64 {
    let mut state = 0x243F_6A88_85A3_08D3;
    for part in parts {
        state ^= *part;
        state = splitmix64(&mut state);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(n: usize) -> Item {
        let encoded = Encoded { ids: vec![9; n], types: vec![0; n], sentence_tokens: n, ..Encoded::default() };
        Item { encoded, targets: vec![] }
    }

    proptest! {
        #[test]
        fn an_epoch_holds_every_item_once(n in 0usize..200, seed: u64, epoch in 0usize..50) {
            let mut order = epoch_order(n, seed, epoch);
            prop_assert_eq!(&order, &epoch_order(n, seed, epoch));
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn shards_hold_the_batch_in_order(lengths in prop::collection::vec(1usize..50, 1..30), n_shards in 1usize..5) {
            let items: Vec<Item> = lengths.iter().map(|n| item(*n)).collect();
            let batch: Vec<&Item> = items.iter().collect();
            let parts = shards(&batch, n_shards);
            prop_assert!(parts.len() <= n_shards && parts.iter().all(|p| !p.is_empty()));
            let together: Vec<usize> = parts.iter().flatten().map(|i| i.encoded.ids.len()).collect();
            prop_assert_eq!(together, lengths);
        }
    }

    #[test]
    fn hidden_tokens_are_about_the_asked_share_and_never_special() {
        let mut encoded = item(10_000).encoded;
        encoded.ids[0] = 2;
        let mut state = 5;
        let tokens = |token_rate| Hiding { token_rate, term_rate: 0.0 };
        let hidden = hide_tokens(&encoded, tokens(0.3), 4, &[2], &mut state);
        let share = hidden.ids.iter().filter(|id| **id == 4).count() as f64 / 10_000.0;
        assert!((share - 0.3).abs() < 0.02, "{share}");
        assert_eq!(hidden.ids[0], 2);
        assert_eq!(hide_tokens(&encoded, tokens(0.0), 4, &[2], &mut state), encoded);
    }

    #[test]
    fn terms_are_hidden_whole_and_keep_their_types() {
        let mut encoded = item(9_000).encoded;
        // no term, a term of two tokens, another one of one token, over and over
        encoded.lexicon = (0..9_000).map(|i| [0, 0, 5, 5, 6, 0][i % 6]).collect();
        let hidden = hide_tokens(&encoded, Hiding { token_rate: 0.0, term_rate: 0.4 }, 4, &[2], &mut 5);
        assert_eq!(hidden.lexicon, encoded.lexicon);
        let is_hidden = |i: usize| hidden.ids[i] == 4;
        let mut n_hidden = [0, 0];
        for start in (0..9_000).step_by(6) {
            assert!(!is_hidden(start) && !is_hidden(start + 1) && !is_hidden(start + 5));
            assert_eq!(is_hidden(start + 2), is_hidden(start + 3), "half a term");
            n_hidden[0] += usize::from(is_hidden(start + 2));
            n_hidden[1] += usize::from(is_hidden(start + 4));
        }
        for n in n_hidden {
            assert!((n as f64 / 1_500.0 - 0.4).abs() < 0.05, "{n} of 1500");
        }
    }
}
