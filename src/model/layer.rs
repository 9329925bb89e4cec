//! A layer of the encoder: attention, then a feed-forward half, each added to the residual stream, with norms before or behind.

use super::architecture::{Activation, Lora};
use super::blocks::{Branch, attention_block, mlp_block};
use super::config::Config;
use super::mode::{Mode, Precision};
use super::ops;
use super::relative::disentangled_attention;
use super::weights::{LORA_A, LORA_B, Weights};
use super::workspace::Workspace;
use crate::error::Result;
use crate::kernels::attention::Heads;
use crate::kernels::disentangled::Distances;
use crate::kernels::rotary::Rotary;
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

/// A layer.
#[derive(Debug, Clone)]
pub struct Layer {
    attention_norm: Option<Norm>,
    wqkv: Linear,          // (3D, D)
    attention_out: Linear, // (D, D)
    mlp_norm: Norm,
    wi: Linear,      // (2F, D) if gated, else (F, D)
    mlp_out: Linear, // (D, F)
    heads: Heads,
    rotary: Arc<Rotary>,
    relative: Option<Relative>,
    activation: Activation,
    is_gated: bool,
    is_post_norm: bool,
}

/// The table of distances, the same in all layers.
#[derive(Debug, Clone)]
pub struct Relative {
    /// (rows, D).
    pub embeddings: Tensor,
    /// What the table goes through.
    pub norm: Option<Norm>,
    /// Which row is meant.
    pub distances: Arc<Distances>,
}

/// A norm over D channels.
#[derive(Debug, Clone)]
pub struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

/// A product, with or without a bias, with or without an adapter.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    adapter: Option<(Tensor, Tensor, f64)>, // (rank, K), (N, rank), scale
}

impl Norm {
    /// The norm `name` of the weights.
    ///
    /// # Errors
    /// A weight is missing or has another shape.
    pub fn new(config: &Config, weights: &Weights, name: &str, path: &Path) -> Result<Norm> {
        let get = |end: &str| weights.get(&format!("{name}.{end}"), &[config.hidden_size], path);
        let bias = if config.architecture.norm_bias { Some(get("bias")?) } else { None };
        Ok(Norm { weight: get("weight")?, bias, eps: config.norm_eps })
    }

    /// Of each row of x (T, D).
    ///
    /// # Errors
    /// The tensor library refuses.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        with_bias(ops::layer_norm(x, &self.weight, self.eps)?, self.bias.as_ref())
    }

    fn weights(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

impl Linear {
    /// The product `name` of the weights, (n, k).
    ///
    /// # Errors
    /// A weight is missing or has another shape.
    pub fn new(
        weights: &Weights,
        name: &str,
        (n, k): (usize, usize),
        has_bias: bool,
        lora: Option<Lora>,
        path: &Path,
    ) -> Result<Linear> {
        let get = |end: &str, shape: &[usize]| weights.get(&format!("{name}.{end}"), shape, path);
        let adapter = match lora.filter(|lora| lora.is_target(name)) {
            Some(lora) => Some((get(LORA_A, &[lora.rank, k])?, get(LORA_B, &[n, lora.rank])?, lora.scale())),
            None => None,
        };
        let bias = if has_bias { Some(get("bias", &[n])?) } else { None };
        Ok(Linear { weight: get("weight", &[n, k])?, bias, adapter })
    }

    /// `x @ weightᵀ + bias` for x (T, K), with what the adapter adds.
    ///
    /// # Errors
    /// The tensor library refuses.
    pub fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let mut y = ops::linear(x, &self.weight, precision)?;
        if let Some((a, b, scale)) = &self.adapter {
            let added = ops::linear(&ops::linear(x, a, precision)?, b, precision)?;
            y = (y + (added * *scale)?)?;
        }
        with_bias(y, self.bias.as_ref())
    }

    fn weights(&self) -> impl Iterator<Item = &Tensor> {
        let adapter = self.adapter.iter().flat_map(|(a, b, _)| [a, b]);
        std::iter::once(&self.weight).chain(&self.bias).chain(adapter)
    }
}

fn with_bias(x: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) => x.broadcast_add(bias)?,
        None => x,
    })
}

impl Layer {
    /// Layer `i` of the weights.
    ///
    /// # Errors
    /// A weight is missing or has another shape.
    pub fn new(
        config: &Config,
        i: usize,
        weights: &Weights,
        rotary: Arc<Rotary>,
        relative: Option<Relative>,
        path: &Path,
    ) -> Result<Layer> {
        let (d, f, shape) = (config.hidden_size, config.intermediate_size, &config.architecture);
        let norm = |name: &str| Norm::new(config, weights, &format!("layers.{i}.{name}"), path);
        let linear = |name: &str, size, has_bias| {
            Linear::new(weights, &format!("layers.{i}.{name}"), size, has_bias, shape.lora, path)
        };
        let window = (!config.is_global(i)).then_some(config.local_attention / 2);
        Ok(Layer {
            attention_norm: if config.has_attention_norm(i) { Some(norm("attn_norm")?) } else { None },
            wqkv: linear("attn.Wqkv", (3 * d, d), shape.attention_bias)?,
            attention_out: linear("attn.Wo", (d, d), shape.attention_bias)?,
            mlp_norm: norm("mlp_norm")?,
            wi: linear("mlp.Wi", (if shape.gated { 2 * f } else { f }, d), shape.mlp_bias)?,
            mlp_out: linear("mlp.Wo", (d, f), shape.mlp_bias)?,
            heads: Heads { n_heads: config.num_attention_heads, head_dim: config.head_dim(), window },
            rotary,
            relative,
            activation: shape.activation,
            is_gated: shape.gated,
            is_post_norm: shape.post_norm,
        })
    }

    /// All its weights, adapters included; those of the table of distances are all layers'.
    pub fn weights(&self) -> Vec<&Tensor> {
        let norms = self.attention_norm.iter().chain([&self.mlp_norm]).flat_map(Norm::weights);
        let products = [&self.wqkv, &self.attention_out, &self.wi, &self.mlp_out];
        let relative = self
            .relative
            .iter()
            .flat_map(|r| std::iter::once(&r.embeddings).chain(r.norm.iter().flat_map(Norm::weights)));
        norms.chain(products.into_iter().flat_map(Linear::weights)).chain(relative).collect()
    }

    /// Whether any of its weights is a variable.
    pub fn is_trained(&self) -> bool {
        self.weights().iter().any(|weight| weight.is_variable())
    }

    /// The residual stream behind the layer, (T, D), from that before it; `starts` (S + 1).
    ///
    /// # Errors
    /// The tensor library refuses.
    pub fn forward(&self, x: &Tensor, starts: &Arc<Vec<usize>>, mode: &mut Mode<'_>) -> Result<Tensor> {
        let precision = mode.precision();
        let qkv = self.wqkv.apply(&self.before(self.attention_norm.as_ref(), x)?, precision)?; // (T, 3D)
        let attended = match &self.relative {
            None => ops::packed_attention(&qkv, starts.clone(), self.heads, self.rotary.clone())?, // (T, D)
            Some(Relative { embeddings, norm, distances }) => {
                let table = norm.as_ref().map_or_else(|| Ok(embeddings.clone()), |norm| norm.apply(embeddings))?;
                let relative = self.wqkv.apply(&table, precision)?; // (rows, 3D)
                disentangled_attention(&qkv, &relative, starts.clone(), self.heads, distances.clone())?
            }
        };
        let x = (x + mode.dropout(self.attention_out.apply(&attended, precision)?)?)?;
        let x = self.behind(self.attention_norm.as_ref(), x)?;
        let wide = self.wi.apply(&self.before(Some(&self.mlp_norm), &x)?, precision)?;
        let middle = if self.is_gated { ops::geglu(&wide)? } else { self.activation.of(&wide)? }; // (T, F)
        let x = (x + mode.dropout(self.mlp_out.apply(&middle, precision)?)?)?;
        self.behind(Some(&self.mlp_norm), x)
    }

    /// The input of a half: behind its norm, if norms stand before.
    fn before(&self, norm: Option<&Norm>, x: &Tensor) -> Result<Tensor> {
        norm.filter(|_| !self.is_post_norm).map_or_else(|| Ok(x.clone()), |norm| norm.apply(x))
    }

    /// The residual stream behind a half: behind its norm, if norms stand there.
    fn behind(&self, norm: Option<&Norm>, x: Tensor) -> Result<Tensor> {
        norm.filter(|_| self.is_post_norm).map_or_else(|| Ok(x.clone()), |norm| norm.apply(&x))
    }

    /// [`forward`](Self::forward) in training, each half one operation; for architectures of which
    /// [`is_fused`](super::Architecture::is_fused) holds.
    ///
    /// # Errors
    /// The tensor library refuses.
    pub fn fused(
        &self,
        x: &Tensor,
        starts: &Arc<Vec<usize>>,
        mode: &mut Mode<'_>,
        workspace: &Arc<Workspace>,
    ) -> Result<Tensor> {
        let mut branch = |norm: Option<&Norm>, inner: &Linear, back: &Linear| Branch {
            norm: norm.map(|norm| norm.weight.clone()),
            eps: self.mlp_norm.eps as f32,
            inner: inner.weight.clone(),
            back: back.weight.clone(),
            dropout: mode.dropout_factors(x.elem_count()),
            workspace: workspace.clone(),
        };
        let attention = branch(self.attention_norm.as_ref(), &self.wqkv, &self.attention_out);
        let mlp = branch(Some(&self.mlp_norm), &self.wi, &self.mlp_out);
        let x = attention_block(x, attention, starts.clone(), self.heads, self.rotary.clone())?;
        Ok(mlp_block(&x, mlp)?)
    }
}
