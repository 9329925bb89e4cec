//! Loss and gradients of one batch, one worker a shard.

use super::batches::{Item, hide_tokens, mix, shards};
use super::optimizer::Gradients;
use crate::error::Result;
use crate::kernels::cross_entropy::CrossEntropy;
use crate::kernels::threads::in_parallel;
use crate::model::mode::{Dropout, Precision};
use crate::model::{Classifier, Mode, Weights, ops};
use crate::tokens::{Encoded, Packed};
use candle_core::Tensor;

/// What a batch is judged by, the same for all batches.
pub struct Objective {
    /// The loss of each head.
    pub losses: Vec<CrossEntropy>,
    /// Dropout rate inside the network.
    pub dropout: f32,
    /// Share of the tokens that are hidden.
    pub token_dropout: f64,
    /// The token that stands for a hidden one.
    pub mask: u32,
    /// Tokens that are never hidden.
    pub specials: Vec<u32>,
    /// Precision of the encoder's products.
    pub precision: Precision,
    /// Parts of a batch.
    pub shards: usize,
}

impl Objective {
    /// Mean loss over the batch, summed over the heads, and its gradient by weight name.
    ///
    /// The batch is cut into shards, whatever the number of workers, and their gradients are added in order: the result
    /// depends on recipe, data and `seed` only.
    ///
    /// # Errors
    /// The network's tensors fail.
    pub fn gradients(
        &self,
        classifier: &Classifier,
        weights: &Weights,
        batch: &[&Item],
        seed: u64,
        workers: usize,
    ) -> Result<(f64, Gradients)> {
        let parts: Vec<(usize, Vec<&Item>)> = shards(batch, self.shards).into_iter().enumerate().collect();
        let done = in_parallel(&parts, workers, |(shard, items)| {
            self.shard(classifier, weights, items, mix(&[seed, *shard as u64]))
        });
        let (mut loss, mut sum) = (0.0, Gradients::new());
        for ((_, items), result) in parts.iter().zip(done) {
            let (shard_loss, gradients) = result?;
            let share = items.len() as f32 / batch.len() as f32;
            loss += shard_loss * f64::from(share);
            add(&mut sum, gradients, share);
        }
        Ok((loss, sum))
    }

    fn shard(
        &self,
        classifier: &Classifier,
        weights: &Weights,
        items: &[&Item],
        seed: u64,
    ) -> Result<(f64, Gradients)> {
        let mut hiding = mix(&[seed, 1]);
        let hide =
            |item: &&Item| hide_tokens(&item.encoded, self.token_dropout, self.mask, &self.specials, &mut hiding);
        let encoded: Vec<Encoded> = items.iter().map(hide).collect();
        let packed = Packed::new(&encoded.iter().collect::<Vec<_>>());
        let mut dropout = Dropout::new(mix(&[seed, 2]), self.dropout);
        let logits = classifier.forward(&packed, &mut Mode::Train(&mut dropout, self.precision))?;
        let mut loss: Option<Tensor> = None;
        for (h, (logits, settings)) in logits.iter().zip(&self.losses).enumerate() {
            let targets = items.iter().map(|item| item.targets[h]).collect();
            let head = ops::cross_entropy(logits, targets, settings.clone())?;
            loss = Some(match loss {
                Some(sum) => (sum + head)?,
                None => head,
            });
        }
        let Some(loss) = loss else { return Ok((0.0, Gradients::new())) };
        backward(&loss, weights)
    }
}

/// The value of a scalar loss and its gradient by the name of each weight that takes part.
///
/// # Errors
/// The backward pass fails.
pub fn backward(loss: &Tensor, weights: &Weights) -> Result<(f64, Gradients)> {
    let store = loss.backward()?;
    let mut gradients = Gradients::new();
    for (name, weight) in &weights.0 {
        if let Some(gradient) = store.get(weight) {
            gradients.insert(name.clone(), gradient.flatten_all()?.to_vec1()?);
        }
    }
    Ok((f64::from(loss.to_scalar::<f32>()?), gradients))
}

/// Adds `share` times the gradients of a shard to the sum.
pub fn add(sum: &mut Gradients, gradients: Gradients, share: f32) {
    for (name, gradient) in gradients {
        match sum.get_mut(&name) {
            Some(total) => total.iter_mut().zip(gradient).for_each(|(t, g)| *t += share * g),
            None => drop(sum.insert(name, gradient.into_iter().map(|g| share * g).collect())),
        }
    }
}
