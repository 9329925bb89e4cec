//! The encoder: embeddings, then layers of attention and gated units around a residual stream, then a norm.
//!
//! Checked against transformers' `ModernBertModel`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/modernbert/modeling_modernbert.py>

use super::blocks::{Branch, attention_block, mlp_block};
use super::config::Config;
use super::embedding_bag::embedding_bag;
use super::mode::{Mode, Precision};
use super::ops;
use super::weights::{LEXICON_EMBEDDINGS, Weights};
use super::workspace::Workspace;
use crate::error::{Error, Place, Result};
use crate::kernels::attention::Heads;
use crate::kernels::rotary::Rotary;
use crate::tokens::Packed;
use candle_core::{Tensor, Var};
use std::path::Path;
use std::sync::Arc;

/// Packed tokens → one vector a token.
#[derive(Debug, Clone)]
pub struct Encoder {
    token_embeddings: Tensor,           // (V, D)
    type_embeddings: Option<Tensor>,    // (type_vocab_size, D)
    lexicon_embeddings: Option<Tensor>, // (number of types, D)
    embedding_norm: Tensor,             // (D)
    layers: Vec<Layer>,
    final_norm: Tensor, // (D)
    norm_eps: f64,
    global_rotary: Arc<Rotary>,
    local_rotary: Arc<Rotary>,
}

#[derive(Debug, Clone)]
struct Layer {
    attention_norm: Option<Tensor>, // (D)
    wqkv: Tensor,                   // (3D, D)
    attention_out: Tensor,          // (D, D)
    mlp_norm: Tensor,               // (D)
    wi: Tensor,                     // (2F, D)
    mlp_out: Tensor,                // (D, F)
    heads: Heads,
}

impl Layer {
    /// Whether any of its weights is a variable.
    fn is_trained(&self) -> bool {
        [&self.wqkv, &self.attention_out, &self.mlp_norm, &self.wi, &self.mlp_out].iter().any(|w| w.is_variable())
    }
}

impl Encoder {
    /// Builds the encoder from weights; variables stay variables, so the same constructor serves training and inference.
    /// `path` names the weights' file in messages.
    ///
    /// # Errors
    /// A weight is missing or has another shape than the configuration says.
    pub fn new(config: &Config, weights: &Weights, path: &Path) -> Result<Encoder> {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let get = |name: &str, shape: &[usize]| weights.get(name, shape, path);
        let layer = |i: usize| -> Result<Layer> {
            let global = config.is_global(i);
            let window = (!global).then_some(config.local_attention / 2);
            Ok(Layer {
                attention_norm: if i == 0 { None } else { Some(get(&format!("layers.{i}.attn_norm.weight"), &[d])?) },
                wqkv: get(&format!("layers.{i}.attn.Wqkv.weight"), &[3 * d, d])?,
                attention_out: get(&format!("layers.{i}.attn.Wo.weight"), &[d, d])?,
                mlp_norm: get(&format!("layers.{i}.mlp_norm.weight"), &[d])?,
                wi: get(&format!("layers.{i}.mlp.Wi.weight"), &[2 * f, d])?,
                mlp_out: get(&format!("layers.{i}.mlp.Wo.weight"), &[d, f])?,
                heads: Heads { n_heads: config.num_attention_heads, head_dim: config.head_dim(), window },
            })
        };
        let type_embeddings = match config.type_vocab_size {
            0 => None,
            n => Some(get("embeddings.token_type_embeddings.weight", &[n, d])?),
        };
        let lexicon_embeddings = match config.lexicon_types.len() {
            0 => None,
            n => Some(get(LEXICON_EMBEDDINGS, &[n, d])?),
        };
        let rotary = |theta| Arc::new(Rotary::new(config.max_position_embeddings, config.head_dim(), theta));
        Ok(Encoder {
            token_embeddings: get("embeddings.tok_embeddings.weight", &[config.vocab_size, d])?,
            type_embeddings,
            lexicon_embeddings,
            embedding_norm: get("embeddings.norm.weight", &[d])?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_norm: get("final_norm.weight", &[d])?,
            norm_eps: config.norm_eps,
            global_rotary: rotary(config.global_rope_theta),
            local_rotary: rotary(config.local_rope_theta),
        })
    }

    /// Hidden states (T, D) of all tokens of the batch, after the final norm.
    ///
    /// # Errors
    /// A sentence is longer than `max_position_embeddings`, or a token id is not in the vocabulary.
    pub fn forward(&self, batch: &Packed, mode: &mut Mode<'_>) -> Result<Tensor> {
        let longest = batch.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        if longest > self.global_rotary.n_positions() {
            let (found, expected) =
                (format!("{longest} tokens"), format!("at most {}", self.global_rotary.n_positions()));
            return Err(Error::bad(Place::file("a sentence"), found, expected).hint("lower max_tokens"));
        }
        let (starts, workspace) = (Arc::new(batch.starts.clone()), mode.workspace());
        let mut x = ops::embedding(&self.token_embeddings, Arc::new(batch.ids.clone()), workspace.clone())?; // (T, D)
        if let Some(types) = &self.type_embeddings {
            x = (x + ops::embedding(types, Arc::new(batch.types.clone()), workspace.clone())?)?;
        }
        if let Some(embeddings) = &self.lexicon_embeddings
            && !batch.lexicon.is_empty()
        {
            x = (x + embedding_bag(embeddings, Arc::new(batch.lexicon.clone()))?)?;
        }
        x = mode.dropout(ops::layer_norm(&x, &self.embedding_norm, self.norm_eps)?)?;
        for layer in &self.layers {
            let rotary = if layer.heads.window.is_none() { &self.global_rotary } else { &self.local_rotary };
            if let Some(workspace) = &workspace {
                // A fused layer sends gradients to its weights when one comes to its input. Where all below is frozen none
                // would, so that the input is made to ask for one.
                if !x.track_op() && layer.is_trained() {
                    x = Var::from_tensor(&x)?.into_inner();
                }
                x = self.fused(layer, &x, (&starts, rotary), mode, workspace)?;
                continue;
            }
            let normed = match &layer.attention_norm {
                Some(weight) => ops::layer_norm(&x, weight, self.norm_eps)?,
                None => x.clone(),
            };
            let qkv = ops::linear(&normed, &layer.wqkv, Precision::F32)?; // (T, 3D)
            let attended = ops::packed_attention(&qkv, starts.clone(), layer.heads, rotary.clone())?; // (T, D)
            x = (x + mode.dropout(ops::linear(&attended, &layer.attention_out, Precision::F32)?)?)?;
            let normed = ops::layer_norm(&x, &layer.mlp_norm, self.norm_eps)?;
            let gated = ops::geglu(&ops::linear(&normed, &layer.wi, Precision::F32)?)?; // (T, F)
            x = (x + mode.dropout(ops::linear(&gated, &layer.mlp_out, Precision::F32)?)?)?;
        }
        Ok(ops::layer_norm(&x, &self.final_norm, self.norm_eps)?)
    }

    /// A layer in training, fused.
    fn fused(
        &self,
        layer: &Layer,
        x: &Tensor,
        (starts, rotary): (&Arc<Vec<usize>>, &Arc<Rotary>),
        mode: &mut Mode<'_>,
        workspace: &Arc<Workspace>,
    ) -> Result<Tensor> {
        let mut branch = |norm: Option<&Tensor>, inner: &Tensor, back: &Tensor| Branch {
            norm: norm.cloned(),
            eps: self.norm_eps as f32,
            inner: inner.clone(),
            back: back.clone(),
            dropout: mode.dropout_factors(x.elem_count()),
            workspace: workspace.clone(),
        };
        let attention = branch(layer.attention_norm.as_ref(), &layer.wqkv, &layer.attention_out);
        let mlp = branch(Some(&layer.mlp_norm), &layer.wi, &layer.mlp_out);
        Ok(mlp_block(&attention_block(x, attention, starts.clone(), layer.heads, rotary.clone())?, mlp)?)
    }
}
