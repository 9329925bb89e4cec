//! The encoder: embeddings, then layers of attention and gated units around a residual stream, with norms before or behind.
//!
//! Checked against transformers' `ModernBertModel`, `BertModel`, `XLMRobertaModel`, `DistilBertModel` and `DebertaV2Model`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/modernbert/modeling_modernbert.py>

use super::architecture::Positions;
use super::config::Config;
use super::embedding::embedding;
use super::embedding_bag::embedding_bag;
use super::layer::{Layer, Norm, Relative};
use super::mode::Mode;
use super::recompute::recomputed;
use super::weights::{DISTANCES, LEXICON_EMBEDDINGS, POSITIONS, Weights};
use super::workspace::Workspace;
use crate::error::{Error, Place, Result};
use crate::kernels::disentangled::Distances;
use crate::tokens::Packed;
use candle_core::{Tensor, Var};
use std::path::Path;
use std::sync::Arc;

/// Packed tokens → one vector a token.
#[derive(Debug, Clone)]
pub struct Encoder {
    token_embeddings: Tensor,            // (V, D)
    position_embeddings: Option<Tensor>, // (positions, D)
    type_embeddings: Option<Tensor>,     // (type_vocab_size, D)
    lexicon_embeddings: Option<Tensor>,  // (number of types, D)
    embedding_norm: Norm,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    is_fused: bool,
    first_position: usize,
    max_positions: usize,
}

impl Encoder {
    /// Builds the encoder from weights; variables stay variables, so the same constructor serves training and inference.
    /// `path` names the weights' file in messages.
    ///
    /// # Errors
    /// A weight is missing or has another shape than the configuration says.
    pub fn new(config: &Config, weights: &Weights, path: &Path) -> Result<Encoder> {
        let (d, shape) = (config.hidden_size, &config.architecture);
        let norm = |name: &str| Norm::new(config, weights, name, path);
        let table = |name: &str, n: usize| match n {
            0 => Ok::<_, Error>(None),
            n => Ok(Some(weights.get(name, &[n, d], path)?)),
        };
        let positions = shape.position_rows(config.max_position_embeddings);
        let (mut relative, mut position_embeddings, mut first_position) = (None, None, 0);
        match shape.positions {
            Positions::Rotary => {}
            Positions::Learned { offset } => {
                (position_embeddings, first_position) = (table(POSITIONS, positions)?, offset);
            }
            Positions::Relative { buckets, max_distance, norm: has_norm } => {
                let distances = Distances::new(config.max_position_embeddings, buckets, max_distance);
                relative = Some(Relative {
                    embeddings: weights.get(&format!("{DISTANCES}.weight"), &[positions, d], path)?,
                    norm: if has_norm { Some(norm("embeddings.distance_norm")?) } else { None },
                    distances: Arc::new(distances),
                });
            }
        }
        let global_rotary = Arc::new(config.rotary(config.global_rope_theta));
        let local_rotary = Arc::new(config.rotary(config.local_rope_theta));
        let layer = |i: usize| {
            let rotary = if config.is_global(i) { &global_rotary } else { &local_rotary };
            Layer::new(config, i, weights, rotary.clone(), relative.clone(), path)
        };
        Ok(Encoder {
            token_embeddings: weights.get("embeddings.tok_embeddings.weight", &[config.vocab_size, d], path)?,
            position_embeddings,
            type_embeddings: table("embeddings.token_type_embeddings.weight", config.type_vocab_size)?,
            lexicon_embeddings: table(LEXICON_EMBEDDINGS, config.lexicon_types.len())?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_norm: if shape.post_norm { None } else { Some(norm("final_norm")?) },
            is_fused: shape.is_fused(),
            first_position,
            max_positions: config.max_position_embeddings,
        })
    }

    /// Hidden states (T, D) of all tokens of the batch, after the final norm.
    ///
    /// # Errors
    /// A sentence is longer than `max_position_embeddings`, or a token id is not in the vocabulary.
    pub fn forward(&self, batch: &Packed, mode: &mut Mode<'_>) -> Result<Tensor> {
        self.run(batch, mode, &mut |_| {})
    }

    /// The vectors (T, D) after the embeddings and after each layer, and at last after the final norm where there is one.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn hidden_states(&self, batch: &Packed) -> Result<Vec<Tensor>> {
        let mut all = Vec::new();
        let last = self.run(batch, &mut Mode::Eval, &mut |x| all.push(x.clone()))?;
        all.extend(self.final_norm.is_some().then_some(last));
        Ok(all)
    }

    fn run(&self, batch: &Packed, mode: &mut Mode<'_>, on_layer: &mut dyn FnMut(&Tensor)) -> Result<Tensor> {
        check_length(batch, self.max_positions)?;
        let (starts, workspace) = (Arc::new(batch.starts.clone()), mode.workspace());
        let mut x = self.embed(batch, workspace.as_ref())?;
        x = mode.dropout(self.embedding_norm.apply(&x)?)?;
        on_layer(&x);
        for layer in &self.layers {
            let by = workspace.as_ref().filter(|workspace| self.is_fused || workspace.recomputes());
            x = match by {
                None => layer.forward(&x, &starts, mode)?,
                Some(workspace) => {
                    // Such a layer sends gradients to its weights when one comes to its input. Where all below is frozen none
                    // would, so that the input is made to ask for one.
                    if !x.track_op() && layer.is_trained() {
                        x = Var::from_tensor(&x)?.into_inner();
                    }
                    match workspace.recomputes() {
                        true => recomputed(layer, &x, &starts, mode.child(), workspace)?,
                        false => layer.fused(&x, &starts, mode, workspace)?,
                    }
                }
            };
            on_layer(&x);
        }
        self.final_norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.apply(&x))
    }

    /// The sums of the embeddings, (T, D).
    fn embed(&self, batch: &Packed, workspace: Option<&Arc<Workspace>>) -> Result<Tensor> {
        let rows = |table: &Tensor, ids: Vec<u32>| embedding(table, Arc::new(ids), workspace.cloned());
        let mut x = rows(&self.token_embeddings, batch.ids.clone())?;
        if let Some(table) = &self.position_embeddings {
            let positions = batch.starts.windows(2).flat_map(|w| 0..w[1] - w[0]);
            x = (x + rows(table, positions.map(|i| (i + self.first_position) as u32).collect())?)?;
        }
        if let Some(table) = &self.type_embeddings {
            // A network that knows fewer kinds of token takes the further ones for its last.
            let last = table.dim(0)? as u32 - 1;
            x = (x + rows(table, batch.types.iter().map(|t| (*t).min(last)).collect())?)?;
        }
        if let Some(embeddings) = self.lexicon_embeddings.as_ref().filter(|_| !batch.lexicon.is_empty()) {
            x = (x + embedding_bag(embeddings, Arc::new(batch.lexicon.clone()))?)?;
        }
        Ok(x)
    }
}

/// Checks that no sentence is longer than the network reads.
///
/// # Errors
/// One is.
pub(super) fn check_length(batch: &Packed, max_positions: usize) -> Result<()> {
    let longest = batch.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    if longest > max_positions {
        let (found, expected) = (format!("{longest} tokens"), format!("at most {max_positions}"));
        return Err(Error::bad(Place::file("a sentence"), found, expected).hint("lower max_tokens"));
    }
    Ok(())
}
