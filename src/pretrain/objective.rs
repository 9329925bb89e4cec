//! The masked language model: encoder, a small head, and the embedding table once more as the output layer.

use super::masking::{Masked, Words};
use crate::error::Result;
use crate::kernels::threads::in_parallel;
use crate::model::embedding::embedding;
use crate::model::mode::Dropout;
use crate::model::weights::{Start, encoder_table};
use crate::model::{Config, Encoder, Mode, Weights, Workspace, ops};
use crate::tokens::{Encoded, Packed};
use crate::train::batches::mix;
use crate::train::optimizer::Gradients;
use crate::train::step::{Part, backward, merge};
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

/// Packed tokens with hidden words → loss.
pub struct MaskedLanguageModel {
    encoder: Encoder,
    dense: Tensor, // (D, D)
    norm: Tensor,  // (D)
    table: Tensor, // (V, D), tied to the token embeddings
    norm_eps: f64,
}

/// The weights of the model, under the names of transformers' `ModernBertForMaskedLM`, less its output bias.
pub fn weight_table(config: &Config) -> Vec<(String, Vec<usize>, Start)> {
    let d = config.hidden_size;
    let mut table = encoder_table(config);
    table.push(("head.dense.weight".into(), vec![d, d], Start::Normal(0.02f64.max(0.4 / (d as f64).sqrt()))));
    table.push(("head.norm.weight".into(), vec![d], Start::Ones));
    table
}

impl MaskedLanguageModel {
    /// Builds the network from weights.
    ///
    /// # Errors
    /// A weight is missing or has another shape.
    pub fn new(config: &Config, weights: &Weights) -> Result<MaskedLanguageModel> {
        let path = Path::new("the network in training");
        let d = config.hidden_size;
        Ok(MaskedLanguageModel {
            encoder: Encoder::new(config, weights, path)?,
            dense: weights.get("head.dense.weight", &[d, d], path)?,
            norm: weights.get("head.norm.weight", &[d], path)?,
            table: weights.get("embeddings.tok_embeddings.weight", &[config.vocab_size, d], path)?,
            norm_eps: config.norm_eps,
        })
    }

    /// Mean cross-entropy (in nats) over the hidden tokens of the batch, as a scalar.
    ///
    /// # Errors
    /// The network's tensors fail.
    pub fn loss(&self, batch: &[Masked], mode: &mut Mode<'_>) -> Result<Tensor> {
        let packed = Packed::new(&batch.iter().map(|m| &m.encoded).collect::<Vec<_>>());
        let hidden = self.encoder.forward(&packed, mode)?; // (T, D)
        let starts = packed.starts.iter().zip(batch);
        let rows = starts.flat_map(|(start, m)| m.positions.iter().map(move |p| (start + p) as u32)).collect();
        let targets = batch.iter().flat_map(|m| m.targets.iter().copied()).collect();
        let asked = embedding(&hidden, Arc::new(rows), None)?; // (M, D): the rows of the hidden tokens
        let transformed = ops::layer_norm(
            &ops::gelu(&ops::linear(&asked, &self.dense, mode.precision())?)?,
            &self.norm,
            self.norm_eps,
        )?;
        Ok(ops::linear_cross_entropy(&transformed, &self.table, targets, mode.workspace())?)
    }
}

/// Loss of a batch and its gradient by weight name; cut into shards by tokens, added in order, so that the result does not
/// depend on the number of workers.
///
/// # Errors
/// The network's tensors fail.
pub fn gradients(
    network: &MaskedLanguageModel,
    weights: &Weights,
    words: &Words,
    batch: &[Encoded],
    (mask_rate, dropout, workspaces): (f64, f32, &[Option<Arc<Workspace>>]),
    seed: u64,
    workers: usize,
) -> Result<(f64, Gradients)> {
    let (mut state, n_shards) = (mix(&[seed, 1]), workspaces.len());
    let masked: Vec<Masked> = batch.iter().map(|e| words.hide(e, mask_rate, &mut state)).collect();
    let total: usize = masked.iter().map(|m| m.encoded.ids.len()).sum();
    let mut parts: Vec<(u64, Vec<Masked>)> = (0..n_shards as u64).map(|i| (i, Vec::new())).collect();
    let mut so_far = 0;
    for m in masked {
        let part = (so_far * n_shards / total).min(n_shards - 1);
        so_far += m.encoded.ids.len();
        parts[part].1.push(m);
    }
    parts.retain(|(_, part)| !part.is_empty());
    let results = in_parallel(&parts, workers, |(shard, part)| -> Result<(f64, Gradients)> {
        let mut dropout = Dropout::new(mix(&[seed, 2, *shard]), dropout);
        let workspace = &workspaces[*shard as usize];
        let loss = network.loss(part, &mut Mode::Train(&mut dropout, workspace.clone()))?;
        backward(&loss, weights, workspace.as_ref())
    });
    let n_targets = |part: &[Masked]| part.iter().map(|m| m.targets.len()).sum::<usize>();
    let all: usize = parts.iter().map(|(_, part)| n_targets(part)).sum();
    let (mut loss, mut of_parts) = (0.0, Vec::new());
    for ((shard, part), result) in parts.iter().zip(results) {
        let (part_loss, part_gradients) = result?;
        let share = n_targets(part) as f32 / all as f32;
        loss += part_loss * f64::from(share);
        let workspace = workspaces[*shard as usize].clone();
        of_parts.push(Part { share, gradients: part_gradients, workspace });
    }
    Ok((loss, merge(of_parts, workers)))
}

/// Perplexity on sequences whose words are hidden by a fixed seed: e to the mean loss.
///
/// # Errors
/// The network's tensors fail.
pub fn perplexity(
    network: &MaskedLanguageModel,
    words: &Words,
    sequences: &[Encoded],
    mask_rate: f64,
    workers: usize,
) -> Result<Option<f64>> {
    let mut state = 7;
    let masked: Vec<Masked> = sequences.iter().map(|e| words.hide(e, mask_rate, &mut state)).collect();
    let packs: Vec<&[Masked]> = masked.chunks(16).collect();
    let losses = in_parallel(&packs, workers, |pack| -> Result<f64> {
        Ok(f64::from(network.loss(pack, &mut Mode::Eval)?.to_scalar::<f32>()?))
    });
    let (mut sum, mut n) = (0.0, 0);
    for (pack, loss) in packs.iter().zip(losses) {
        let targets: usize = pack.iter().map(|m| m.targets.len()).sum();
        sum += loss? * targets as f64;
        n += targets;
    }
    Ok((n > 0).then(|| (sum / n as f64).exp()))
}
