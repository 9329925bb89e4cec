//! In what families of encoders differ. All of it is data: there is one encoder.

use crate::kernels::disentangled::Distances;
use crate::kernels::{activation, math};
use candle_core::{Result, Tensor};

/// In what families of encoders differ; the default is ModernBERT's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Architecture {
    /// How a token knows its place.
    pub positions: Positions,
    /// Norms stand behind each half of a layer, on the residual stream (Vaswani et al., 2017), not before it.
    pub post_norm: bool,
    /// Norms have a bias.
    pub norm_bias: bool,
    /// Products of the attention have a bias.
    pub attention_bias: bool,
    /// Products of the feed-forward half have a bias.
    pub mlp_bias: bool,
    /// The feed-forward half is gated: D → 2F → F → D; else D → F → D.
    pub gated: bool,
    /// In the feed-forward half.
    pub activation: Activation,
    /// What stands between the pooled vector and the classifiers.
    pub dense: Option<Dense>,
    /// Adapters beside the products while training; in a finished network they are part of the weights.
    pub lora: Option<Lora>,
}

/// Low-rank adapters (Hu et al., 2022): a product `x @ wᵀ` becomes `x @ (w + alpha / rank * b @ a)ᵀ`, and only a (rank, K) and b
/// (N, rank) are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lora {
    /// Rows of a, columns of b.
    pub rank: usize,
    /// Numerator of the factor.
    pub alpha: f32,
    /// Which of [`PRODUCTS`] have one.
    pub targets: [bool; 4],
}

/// The products of a layer, in the order of [`Lora::targets`].
pub const PRODUCTS: [&str; 4] = ["attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"];

impl Lora {
    /// What the adapter is multiplied by.
    pub fn scale(&self) -> f64 {
        f64::from(self.alpha) / self.rank as f64
    }

    /// Whether the product with this name (`layers.3.attn.Wo`) has one.
    pub fn is_target(&self, name: &str) -> bool {
        PRODUCTS.iter().zip(self.targets).any(|(product, is_target)| is_target && name.ends_with(product))
    }
}

/// How a token knows its place in the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Queries and keys are turned.
    Rotary,
    /// Each position has an embedding; the first is row `offset` of the table.
    Learned {
        /// Rows before the first position.
        offset: usize,
    },
    /// Scores know the distance of two tokens.
    Relative {
        /// Bins of the distances to each side; 0 for a row a distance.
        buckets: usize,
        /// The furthest distance that is told from further ones.
        max_distance: usize,
        /// The table of distances goes through a norm.
        norm: bool,
    },
}

/// A layer between the pooled vector and the classifiers, D → D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    /// It has a bias.
    pub bias: bool,
    /// What follows it.
    pub activation: Activation,
    /// Whether a norm follows that.
    pub norm: bool,
}

/// A function of each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The exact one (Hendrycks and Gimpel, 2016).
    Gelu,
    /// By the hyperbolic tangent, as BERT's `gelu_new`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Default for Architecture {
    fn default() -> Self {
        Architecture {
            positions: Positions::Rotary,
            post_norm: false,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            gated: true,
            activation: Activation::Gelu,
            dense: None,
            lora: None,
        }
    }
}

impl Architecture {
    /// Whether the fused layers of training compute it.
    pub fn is_fused(&self) -> bool {
        Architecture { dense: None, ..*self } == Architecture::default()
    }

    /// Rows of the table of positions or distances of sentences up to `max_positions` tokens; 0 without one.
    pub fn position_rows(&self, max_positions: usize) -> usize {
        match self.positions {
            Positions::Rotary => 0,
            Positions::Learned { offset } => max_positions + offset,
            Positions::Relative { buckets, max_distance, .. } => 2 * Distances::span(buckets, max_distance),
        }
    }
}

impl Activation {
    /// Of every value of a tensor, with a backward pass.
    ///
    /// # Errors
    /// The tensor library refuses.
    pub fn of(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::Gelu => super::ops::gelu(x),
            Activation::GeluTanh => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Tanh => x.tanh(),
        }
    }

    /// Of every value of `x` into `out`.
    pub fn apply(self, x: &[f32], out: &mut [f32]) {
        let each = |f: fn(f32) -> f32, out: &mut [f32]| out.iter_mut().zip(x).for_each(|(o, x)| *o = f(*x));
        match self {
            Activation::Gelu => activation::gelu_all(x, out),
            Activation::GeluTanh => each(math::gelu_tanh, out),
            Activation::Relu => each(|x| x.max(0.0), out),
            Activation::Tanh => each(f32::tanh, out),
        }
    }
}
