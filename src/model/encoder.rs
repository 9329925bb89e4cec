//! The encoder: embeddings, then layers of attention and gated units around a residual stream, with norms before or behind.
//!
//! Checked against transformers' `ModernBertModel`, `BertModel`, `XLMRobertaModel`, `DistilBertModel` and `DebertaV2Model`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/modernbert/modeling_modernbert.py>

use super::architecture::{Activation, Positions};
use super::blocks::{Branch, attention_block, mlp_block};
use super::config::Config;
use super::embedding_bag::embedding_bag;
use super::mode::{Mode, Precision};
use super::ops;
use super::relative::disentangled_attention;
use super::weights::{DISTANCES, LEXICON_EMBEDDINGS, POSITIONS, Weights};
use super::workspace::Workspace;
use crate::error::{Error, Place, Result};
use crate::kernels::attention::Heads;
use crate::kernels::disentangled::Distances;
use crate::kernels::rotary::Rotary;
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
    relative: Option<Relative>,
    activation: Activation,
    is_gated: bool,
    is_post_norm: bool,
    is_fused: bool,
    first_position: usize,
    max_positions: usize,
    global_rotary: Arc<Rotary>,
    local_rotary: Arc<Rotary>,
}

#[derive(Debug, Clone)]
struct Layer {
    attention_norm: Option<Norm>,
    wqkv: Linear,          // (3D, D)
    attention_out: Linear, // (D, D)
    mlp_norm: Norm,
    wi: Linear,      // (2F, D) if gated, else (F, D)
    mlp_out: Linear, // (D, F)
    heads: Heads,
}

/// The table of distances.
#[derive(Debug, Clone)]
struct Relative {
    embeddings: Tensor, // (rows, D)
    norm: Option<Norm>,
    distances: Arc<Distances>,
}

/// A norm over D channels.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

/// A product, with or without a bias.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    /// The norm `name` of the weights.
    pub(super) fn new(config: &Config, weights: &Weights, name: &str, path: &Path) -> Result<Norm> {
        let get = |end: &str| weights.get(&format!("{name}.{end}"), &[config.hidden_size], path);
        let bias = if config.architecture.norm_bias { Some(get("bias")?) } else { None };
        Ok(Norm { weight: get("weight")?, bias, eps: config.norm_eps })
    }

    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        with_bias(ops::layer_norm(x, &self.weight, self.eps)?, self.bias.as_ref())
    }
}

impl Linear {
    /// The product `name` of the weights, (n, k).
    pub(super) fn new(
        weights: &Weights,
        name: &str,
        (n, k): (usize, usize),
        has_bias: bool,
        path: &Path,
    ) -> Result<Linear> {
        let bias = if has_bias { Some(weights.get(&format!("{name}.bias"), &[n], path)?) } else { None };
        Ok(Linear { weight: weights.get(&format!("{name}.weight"), &[n, k], path)?, bias })
    }

    pub(super) fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        with_bias(ops::linear(x, &self.weight, precision)?, self.bias.as_ref())
    }
}

fn with_bias(x: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) => x.broadcast_add(bias)?,
        None => x,
    })
}

impl Layer {
    /// Whether any of its weights is a variable.
    fn is_trained(&self) -> bool {
        let products = [&self.wqkv, &self.attention_out, &self.wi, &self.mlp_out];
        products.iter().any(|product| product.weight.is_variable()) || self.mlp_norm.weight.is_variable()
    }
}

impl Encoder {
    /// Builds the encoder from weights; variables stay variables, so the same constructor serves training and inference.
    /// `path` names the weights' file in messages.
    ///
    /// # Errors
    /// A weight is missing or has another shape than the configuration says.
    pub fn new(config: &Config, weights: &Weights, path: &Path) -> Result<Encoder> {
        let (d, f, shape) = (config.hidden_size, config.intermediate_size, &config.architecture);
        let norm = |name: &str| Norm::new(config, weights, name, path);
        let linear = |name: &str, size, bias| Linear::new(weights, name, size, bias, path);
        let layer = |i: usize| -> Result<Layer> {
            let wide = if shape.gated { 2 * f } else { f };
            let window = (!config.is_global(i)).then_some(config.local_attention / 2);
            let attention_norm =
                if config.has_attention_norm(i) { Some(norm(&format!("layers.{i}.attn_norm"))?) } else { None };
            Ok(Layer {
                attention_norm,
                wqkv: linear(&format!("layers.{i}.attn.Wqkv"), (3 * d, d), shape.attention_bias)?,
                attention_out: linear(&format!("layers.{i}.attn.Wo"), (d, d), shape.attention_bias)?,
                mlp_norm: norm(&format!("layers.{i}.mlp_norm"))?,
                wi: linear(&format!("layers.{i}.mlp.Wi"), (wide, d), shape.mlp_bias)?,
                mlp_out: linear(&format!("layers.{i}.mlp.Wo"), (d, f), shape.mlp_bias)?,
                heads: Heads { n_heads: config.num_attention_heads, head_dim: config.head_dim(), window },
            })
        };
        let table = |name: &str, n: usize| match n {
            0 => Ok::<_, Error>(None),
            n => Ok(Some(weights.get(name, &[n, d], path)?)),
        };
        let positions = shape.position_rows(config.max_position_embeddings);
        let (mut relative, mut position_embeddings, mut first_position) = (None, None, 0);
        match shape.positions {
            Positions::Rotary => {}
            Positions::Learned { offset } => {
                (position_embeddings, first_position) = (table(POSITIONS, positions)?, offset)
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
        Ok(Encoder {
            token_embeddings: weights.get("embeddings.tok_embeddings.weight", &[config.vocab_size, d], path)?,
            position_embeddings,
            type_embeddings: table("embeddings.token_type_embeddings.weight", config.type_vocab_size)?,
            lexicon_embeddings: table(LEXICON_EMBEDDINGS, config.lexicon_types.len())?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_norm: if shape.post_norm { None } else { Some(norm("final_norm")?) },
            relative,
            activation: shape.activation,
            is_gated: shape.gated,
            is_post_norm: shape.post_norm,
            is_fused: shape.is_fused(),
            first_position,
            max_positions: config.max_position_embeddings,
            global_rotary: Arc::new(config.rotary(config.global_rope_theta)),
            local_rotary: Arc::new(config.rotary(config.local_rope_theta)),
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
        let relative = match &self.relative {
            None => None,
            Some(Relative { embeddings, norm, distances }) => {
                let embeddings = norm.as_ref().map_or_else(|| Ok(embeddings.clone()), |norm| norm.apply(embeddings))?;
                Some((embeddings, distances.clone()))
            }
        };
        for layer in &self.layers {
            let rotary = if layer.heads.window.is_none() { &self.global_rotary } else { &self.local_rotary };
            if let Some(workspace) = workspace.as_ref().filter(|_| self.is_fused) {
                // A fused layer sends gradients to its weights when one comes to its input. Where all below is frozen none
                // would, so that the input is made to ask for one.
                if !x.track_op() && layer.is_trained() {
                    x = Var::from_tensor(&x)?.into_inner();
                }
                x = self.fused(layer, &x, (&starts, rotary), mode, workspace)?;
                on_layer(&x);
                continue;
            }
            let precision = mode.precision();
            let qkv = layer.wqkv.apply(&self.before(layer.attention_norm.as_ref(), &x)?, precision)?; // (T, 3D)
            let attended = match &relative {
                None => ops::packed_attention(&qkv, starts.clone(), layer.heads, rotary.clone())?, // (T, D)
                Some((embeddings, distances)) => {
                    let relative = layer.wqkv.apply(embeddings, precision)?; // (rows, 3D)
                    disentangled_attention(&qkv, &relative, starts.clone(), layer.heads, distances.clone())?
                }
            };
            x = (x + mode.dropout(layer.attention_out.apply(&attended, precision)?)?)?;
            x = self.behind(layer.attention_norm.as_ref(), x)?;
            let wide = layer.wi.apply(&self.before(Some(&layer.mlp_norm), &x)?, precision)?;
            let middle = if self.is_gated { ops::geglu(&wide)? } else { self.activation.of(&wide)? }; // (T, F)
            x = (x + mode.dropout(layer.mlp_out.apply(&middle, precision)?)?)?;
            x = self.behind(Some(&layer.mlp_norm), x)?;
            on_layer(&x);
        }
        self.final_norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.apply(&x))
    }

    /// The sums of the embeddings, (T, D).
    fn embed(&self, batch: &Packed, workspace: Option<&Arc<Workspace>>) -> Result<Tensor> {
        let rows = |table: &Tensor, ids: Vec<u32>| ops::embedding(table, Arc::new(ids), workspace.cloned());
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

    /// The input of a half of a layer: behind its norm, if norms stand before.
    fn before(&self, norm: Option<&Norm>, x: &Tensor) -> Result<Tensor> {
        norm.filter(|_| !self.is_post_norm).map_or_else(|| Ok(x.clone()), |norm| norm.apply(x))
    }

    /// The residual stream behind a half of a layer: behind its norm, if norms stand there.
    fn behind(&self, norm: Option<&Norm>, x: Tensor) -> Result<Tensor> {
        norm.filter(|_| self.is_post_norm).map_or_else(|| Ok(x.clone()), |norm| norm.apply(&x))
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
        let mut branch = |norm: Option<&Norm>, inner: &Linear, back: &Linear| Branch {
            norm: norm.map(|norm| norm.weight.clone()),
            eps: self.embedding_norm.eps as f32,
            inner: inner.weight.clone(),
            back: back.weight.clone(),
            dropout: mode.dropout_factors(x.elem_count()),
            workspace: workspace.clone(),
        };
        let attention = branch(layer.attention_norm.as_ref(), &layer.wqkv, &layer.attention_out);
        let mlp = branch(Some(&layer.mlp_norm), &layer.wi, &layer.mlp_out);
        Ok(mlp_block(&attention_block(x, attention, starts.clone(), layer.heads, rotary.clone())?, mlp)?)
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
