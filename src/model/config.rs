//! The model's sizes, under the names that Hugging Face's `config.json` of ModernBERT uses.

use super::architecture::{Architecture, Positions};
use crate::kernels::rotary::Rotary;
use serde::{Deserialize, Serialize};

/// How the vectors of a sentence's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The vector of the first token.
    Cls,
    /// The mean over the tokens of the sentence itself, its context left out.
    Mean,
}

/// Sizes of the encoder.
///
/// Names and meanings as in transformers' `ModernBertConfig`; `type_vocab_size` is BERT's and 0 switches it off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Number of entries of the tokenizer, V.
    pub vocab_size: usize,
    /// D.
    pub hidden_size: usize,
    /// F: each layer's gated unit goes D → 2F → F → D.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// H; D / H channels each.
    pub num_attention_heads: usize,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Kinds of token that have an embedding of their own (sentence, headline, previous sentence); 0 for none.
    #[serde(default)]
    pub type_vocab_size: usize,
    /// Names of the lexicon's types that tokens are told, in the order of their embeddings; empty for no lexicon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lexicon_types: Vec<String>,
    /// Added to the variance in every norm.
    pub norm_eps: f64,
    /// Base of the rotary angles in layers that see the whole sentence.
    pub global_rope_theta: f64,
    /// Base of the rotary angles in layers with a window.
    pub local_rope_theta: f64,
    /// Every n-th layer, from the first, sees the whole sentence.
    pub global_attn_every_n_layers: usize,
    /// Width of the window of the other layers: a token sees `local_attention / 2` to each side.
    pub local_attention: usize,
    /// How a sentence becomes one vector.
    pub classifier_pooling: Pooling,
    /// In what its family differs from ModernBERT; known from `model_type`, so it is not written.
    #[serde(skip)]
    pub architecture: Architecture,
}

impl Config {
    /// The same encoder with classifiers directly on the pooled vector, whatever its family has between.
    pub fn with_pooling(mut self, pooling: Pooling) -> Config {
        (self.classifier_pooling, self.architecture.dense) = (pooling, None);
        self
    }

    /// Channels of an attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Whether a layer sees the whole sentence.
    pub fn is_global(&self, layer_idx: usize) -> bool {
        layer_idx.is_multiple_of(self.global_attn_every_n_layers)
    }

    /// Whether a layer's attention has a norm: ModernBERT's first follows that of the embeddings directly.
    pub fn has_attention_norm(&self, layer_idx: usize) -> bool {
        layer_idx > 0 || self.architecture.post_norm
    }

    /// The angles of the positions, or none where positions are known otherwise.
    pub fn rotary(&self, theta: f64) -> Rotary {
        match self.architecture.positions {
            Positions::Rotary => Rotary::new(self.max_position_embeddings, self.head_dim(), theta),
            _ => Rotary::still(self.max_position_embeddings, self.head_dim()),
        }
    }

    /// What is wrong with the sizes, if anything is: the key, its value and what was expected.
    pub fn fault(&self) -> Option<String> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("global_attn_every_n_layers", self.global_attn_every_n_layers),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Some(format!("{key} = 0; expected 1 or more"));
        }
        let (d, h) = (self.hidden_size, self.num_attention_heads);
        if !d.is_multiple_of(h) || !(d / h).is_multiple_of(2) {
            return Some(format!(
                "hidden_size = {d} with num_attention_heads = {h}; expected an even number of channels a head"
            ));
        }
        None
    }
}
