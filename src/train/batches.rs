//! Examples → batches: the order of an epoch, the parts of a batch, the tokens that are hidden while training.

use crate::dataset::Example;
use crate::error::Result;
use crate::model::mode::splitmix64;
use crate::schema::Schema;
use crate::tokens::{Encoded, InputConfig, Tokenizer};
use std::borrow::Borrow;

/// A labelled sentence as the network sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its tokens.
    pub encoded: Encoded,
    /// One target a head, none where it was not labelled.
    pub targets: Vec<Option<usize>>,
}

/// Encodes examples, in their order.
///
/// # Errors
/// The tokenizer fails.
pub fn items<E: Borrow<Example>>(examples: &[E], tokenizer: &Tokenizer, input: &InputConfig) -> Result<Vec<Item>> {
    let item = |e: &E| {
        let e = e.borrow();
        Ok(Item { encoded: tokenizer.encode(e.input(), input)?, targets: e.labels.clone() })
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

/// A copy of the sentence in which each token but the special ones is replaced by `mask` with probability `rate`.
///
/// `specials` are the ids that stay: they say where sentence and context begin.
pub fn hide_tokens(encoded: &Encoded, rate: f64, mask: u32, specials: &[u32], state: &mut u64) -> Encoded {
    let mut hidden = encoded.clone();
    for id in &mut hidden.ids {
        let uniform = (splitmix64(state) >> 11) as f64 / (1u64 << 53) as f64;
        if uniform < rate && !specials.contains(id) {
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
        let hidden = hide_tokens(&encoded, 0.3, 4, &[2], &mut state);
        let share = hidden.ids.iter().filter(|id| **id == 4).count() as f64 / 10_000.0;
        assert!((share - 0.3).abs() < 0.02, "{share}");
        assert_eq!(hidden.ids[0], 2);
        assert_eq!(hide_tokens(&encoded, 0.0, 4, &[2], &mut state), encoded);
    }
}
