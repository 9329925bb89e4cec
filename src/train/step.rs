//! Loss and gradients of one batch, one worker a shard.

use super::batches::{Hiding, Item, hide_tokens, mix, shards};
use super::optimizer::Gradients;
use crate::error::Result;
use crate::kernels::cross_entropy::CrossEntropy;
use crate::kernels::simd::dispatch;
use crate::kernels::threads::in_parallel;
use crate::model::mode::Dropout;
use crate::model::{Classifier, Mode, Weights, Workspace, ops};
use crate::tokens::{Encoded, Packed};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a batch is judged by, the same for all batches.
pub struct Objective {
    /// The loss of each head.
    pub losses: Vec<CrossEntropy>,
    /// Dropout rate inside the network.
    pub dropout: f32,
    /// What is hidden of the sentences.
    pub hiding: Hiding,
    /// The token that stands for a hidden one.
    pub mask: u32,
    /// Tokens that are never hidden.
    pub specials: Vec<u32>,
    /// One for each part of a batch.
    pub workspaces: Vec<Option<Arc<Workspace>>>,
}

impl Objective {
    /// Mean loss over several batches and its gradient, one batch after the other in the memory of one.
    ///
    /// # Errors
    /// As [`gradients`](Self::gradients).
    pub fn accumulated(
        &self,
        classifier: &Classifier,
        weights: &Weights,
        batches: &[&[&Item]],
        seed: u64,
        workers: usize,
    ) -> Result<(f64, Gradients)> {
        if let [batch] = batches {
            return self.gradients(classifier, weights, batch, seed, workers);
        }
        let n_items: usize = batches.iter().map(|batch| batch.len()).sum();
        let (mut loss, mut sums) = (0.0, Gradients::new());
        for (i, batch) in batches.iter().enumerate() {
            let share = batch.len() as f32 / n_items as f32;
            let (of_batch, gradients) =
                self.gradients(classifier, weights, batch, mix(&[seed, 3, i as u64]), workers)?;
            loss += of_batch * f64::from(share);
            let mut spent = Gradients::new();
            for (name, mut gradient) in gradients {
                match sums.get_mut(&name) {
                    Some(sum) => {
                        sum.iter_mut().zip(&gradient).for_each(|(s, g)| *s += share * g);
                        spent.insert(name, gradient);
                    }
                    None => {
                        gradient.iter_mut().for_each(|g| *g *= share);
                        sums.insert(name, gradient);
                    }
                }
            }
            recycle(spent, &self.workspaces);
        }
        Ok((loss, sums))
    }

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
        let parts: Vec<(usize, Vec<&Item>)> = shards(batch, self.workspaces.len()).into_iter().enumerate().collect();
        let done = in_parallel(&parts, workers, |(shard, items)| {
            self.shard(classifier, weights, items, mix(&[seed, *shard as u64]), self.workspaces[*shard].as_ref())
        });
        let (mut loss, mut gradients) = (0.0, Vec::new());
        for ((shard, items), result) in parts.iter().zip(done) {
            let (shard_loss, of_shard) = result?;
            let share = items.len() as f32 / batch.len() as f32;
            loss += shard_loss * f64::from(share);
            gradients.push(Part { share, gradients: of_shard, workspace: self.workspaces[*shard].clone() });
        }
        Ok((loss, merge(gradients, workers)))
    }

    fn shard(
        &self,
        classifier: &Classifier,
        weights: &Weights,
        items: &[&Item],
        seed: u64,
        workspace: Option<&Arc<Workspace>>,
    ) -> Result<(f64, Gradients)> {
        let mut state = mix(&[seed, 1]);
        let hide = |item: &&Item| hide_tokens(&item.encoded, self.hiding, self.mask, &self.specials, &mut state);
        let encoded: Vec<Encoded> = items.iter().map(hide).collect();
        let packed = Packed::new(&encoded.iter().collect::<Vec<_>>());
        let mut dropout = Dropout::new(mix(&[seed, 2]), self.dropout);
        let logits = classifier.forward(&packed, &mut Mode::Train(&mut dropout, workspace.cloned()))?;
        let mut loss: Option<Tensor> = None;
        for (h, (logits, settings)) in logits.iter().zip(&self.losses).enumerate() {
            let targets = items.iter().map(|item| item.targets[h].clone()).collect();
            let head = ops::cross_entropy(logits, targets, settings.clone())?;
            loss = Some(match loss {
                Some(sum) => (sum + head)?,
                None => head,
            });
        }
        let Some(loss) = loss else { return Ok((0.0, Gradients::new())) };
        backward(&loss, weights, workspace)
    }
}

/// The value of a scalar loss and its gradient by the name of each weight that takes part; what lies in the workspace is taken
/// from there.
///
/// # Errors
/// The backward pass fails.
pub fn backward(loss: &Tensor, weights: &Weights, workspace: Option<&Arc<Workspace>>) -> Result<(f64, Gradients)> {
    let store = loss.backward()?;
    let mut gradients = Gradients::new();
    // An operation may give a gradient to a weight that is kept as it is.
    for (name, weight) in weights.0.iter().filter(|(_, weight)| weight.is_variable()) {
        if let Some(gradient) = workspace.and_then(|workspace| workspace.take(weight)) {
            gradients.insert(name.clone(), gradient);
        } else if let Some(gradient) = store.get(weight) {
            gradients.insert(name.clone(), gradient.flatten_all()?.to_vec1()?);
        }
    }
    Ok((f64::from(loss.to_scalar::<f32>()?), gradients))
}

/// Gradients of a part of the batch.
pub struct Part {
    /// Share of the part in the batch.
    pub share: f32,
    /// Gradients of the mean loss over the part.
    pub gradients: Gradients,
    /// Where their memory goes.
    pub workspace: Option<Arc<Workspace>>,
}

/// Share and gradient of one weight in one part, and where its memory goes.
type Share = (f32, Vec<f32>, Option<Arc<Workspace>>);

/// The sum of the parts' gradients times their shares, added in the order of the parts.
pub fn merge(parts: Vec<Part>, workers: usize) -> Gradients {
    let mut by_name: BTreeMap<String, Vec<Share>> = BTreeMap::new();
    for part in parts {
        for (name, gradient) in part.gradients {
            by_name.entry(name).or_default().push((part.share, gradient, part.workspace.clone()));
        }
    }
    let items: Vec<_> = by_name.into_iter().map(|(name, parts)| (name, Mutex::new(parts))).collect();
    let sums = in_parallel(&items, workers, |(name, parts)| {
        let parts = std::mem::take(&mut *parts.lock().unwrap_or_else(PoisonError::into_inner));
        let mut total: Option<Vec<f32>> = None;
        for (share, mut gradient, workspace) in parts {
            let Some(total) = &mut total else {
                dispatch(
                    #[inline(always)]
                    || gradient.iter_mut().for_each(|g| *g *= share),
                );
                total = Some(gradient);
                continue;
            };
            dispatch(
                #[inline(always)]
                || total.iter_mut().zip(&gradient).for_each(|(t, g)| *t += share * g),
            );
            if let Some(workspace) = workspace {
                workspace.recycle(gradient);
            }
        }
        (name.clone(), total.unwrap_or_default())
    });
    sums.into_iter().collect()
}

/// Gives the memory of merged gradients back to the first worker, whose it was.
pub fn recycle(gradients: Gradients, workspaces: &[Option<Arc<Workspace>>]) {
    if let Some(Some(workspace)) = workspaces.first() {
        gradients.into_values().for_each(|gradient| workspace.recycle(gradient));
    }
}
