//! The network in use: the forward pass of [`Classifier`](super::Classifier) on slices, with weights laid out once and memory
//! used again from batch to batch.
//!
//! The mathematics is that of [`Encoder::forward`](super::Encoder::forward), and a test holds the two together.

use super::config::{Config, Pooling};
use super::linear::{Linear, NumberFormat};
use super::stored::{Stored, StoredWeights};
use super::weights::LEXICON_EMBEDDINGS;
use crate::error::{Error, Place, Result};
use crate::kernels::attention::Heads;
use crate::kernels::int8::rows::QuantizedRows;
use crate::kernels::panels::attention::{Scratch as AttentionScratch, attention};
use crate::kernels::rotary::Rotary;
use crate::kernels::{activation, norm};
use crate::tokens::Packed;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Packed tokens → logits of every head.
#[derive(Debug)]
pub struct Engine {
    token_embeddings: Stored,             // (V, D), read where it lies
    type_embeddings: Option<Vec<f32>>,    // (type_vocab_size, D)
    lexicon_embeddings: Option<Vec<f32>>, // (number of types, D)
    embedding_norm: Vec<f32>,             // (D)
    layers: Vec<Layer>,
    final_norm: Vec<f32>, // (D)
    norm_eps: f32,
    global_rotary: Rotary,
    local_rotary: Rotary,
    pooling: Pooling,
    heads: Vec<(Linear, Vec<f32>)>, // weight (L, D) in f32, bias (L)
    format: NumberFormat,
    /// One for each worker that has been at work at the same time.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Option<Vec<f32>>, // (D)
    wqkv: Linear,                     // (3D, D)
    attention_out: Linear,            // (D, D)
    mlp_norm: Vec<f32>,               // (D)
    wi: Linear,                       // (2F, D)
    mlp_out: Linear,                  // (D, F)
    heads: Heads,
}

/// Memory of a forward pass.
#[derive(Debug, Default)]
struct Scratch {
    x: Vec<f32>,      // (T, D), the residual stream
    normed: Vec<f32>, // (T, D)
    wide: Vec<f32>,   // (T, 3D), then (T, 2F)
    middle: Vec<f32>, // (T, D), then (T, F)
    rounded: QuantizedRows,
    attention: AttentionScratch,
}

impl Engine {
    /// Lays out the weights; `heads` are name and number of labels of each question, in the schema's order, `path` names the
    /// weights' file in messages.
    ///
    /// # Errors
    /// A weight is missing or has another shape than the configuration and the heads say.
    pub fn new(
        config: &Config,
        heads: &[(String, usize)],
        weights: &StoredWeights,
        format: NumberFormat,
        path: &Path,
    ) -> Result<Engine> {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let vector = |name: &str| Ok::<_, Error>(weights.get(name, &[d], path)?.to_f32());
        let linear =
            |name: &str, n: usize, k: usize| Ok::<_, Error>(Linear::new(weights.get(name, &[n, k], path)?, format));
        let layer = |i: usize| -> Result<Layer> {
            let window = (!config.is_global(i)).then_some(config.local_attention / 2);
            Ok(Layer {
                attention_norm: match i {
                    0 => None,
                    _ => Some(vector(&format!("layers.{i}.attn_norm.weight"))?),
                },
                wqkv: linear(&format!("layers.{i}.attn.Wqkv.weight"), 3 * d, d)?,
                attention_out: linear(&format!("layers.{i}.attn.Wo.weight"), d, d)?,
                mlp_norm: vector(&format!("layers.{i}.mlp_norm.weight"))?,
                wi: linear(&format!("layers.{i}.mlp.Wi.weight"), 2 * f, d)?,
                mlp_out: linear(&format!("layers.{i}.mlp.Wo.weight"), d, f)?,
                heads: Heads { n_heads: config.num_attention_heads, head_dim: config.head_dim(), window },
            })
        };
        let table = |name: &str, n: usize| match n {
            0 => Ok::<_, Error>(None),
            n => Ok(Some(weights.get(name, &[n, d], path)?.to_f32())),
        };
        let head = |(name, l): &(String, usize)| -> Result<(Linear, Vec<f32>)> {
            let weight = weights.get(&format!("classifier.{name}.weight"), &[*l, d], path)?;
            let bias = weights.get(&format!("classifier.{name}.bias"), &[*l], path)?;
            Ok((Linear::new(weight, NumberFormat::F32), bias.to_f32()))
        };
        let rotary = |theta| Rotary::new(config.max_position_embeddings, config.head_dim(), theta);
        Ok(Engine {
            token_embeddings: weights.get("embeddings.tok_embeddings.weight", &[config.vocab_size, d], path)?.clone(),
            type_embeddings: table("embeddings.token_type_embeddings.weight", config.type_vocab_size)?,
            lexicon_embeddings: table(LEXICON_EMBEDDINGS, config.lexicon_types.len())?,
            embedding_norm: vector("embeddings.norm.weight")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_norm: vector("final_norm.weight")?,
            norm_eps: config.norm_eps as f32,
            global_rotary: rotary(config.global_rope_theta),
            local_rotary: rotary(config.local_rope_theta),
            pooling: config.classifier_pooling,
            heads: heads.iter().map(head).collect::<Result<_>>()?,
            format,
            scratch: Mutex::default(),
        })
    }

    /// Number format of its products.
    pub fn format(&self) -> NumberFormat {
        self.format
    }

    /// Logits (S, L), one vector a head, for the sentences of a batch. A sentence's are the same in every batch.
    ///
    /// # Errors
    /// A sentence is longer than `max_position_embeddings`, or a token id is not in the vocabulary.
    pub fn logits(&self, batch: &Packed) -> Result<Vec<Vec<f32>>> {
        let pool = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = pool().pop().unwrap_or_default();
        let logits = self.encode(batch, &mut scratch).map(|()| self.pooled_logits(batch, &mut scratch));
        pool().push(scratch);
        logits
    }

    /// Hidden states (T, D) of all tokens of the batch, after the final norm.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn hidden_states(&self, batch: &Packed) -> Result<Vec<f32>> {
        let mut scratch = Scratch::default();
        self.encode(batch, &mut scratch)?;
        Ok(scratch.normed)
    }

    /// Fills `scratch.normed` with the hidden states.
    fn encode(&self, batch: &Packed, scratch: &mut Scratch) -> Result<()> {
        self.embed(batch, scratch)?;
        let Scratch { x, normed, wide, middle, rounded, attention: buffers } = scratch;
        let (t, d) = (batch.n_tokens(), self.embedding_norm.len());
        for layer in &self.layers {
            let rotary = if layer.heads.window.is_none() { &self.global_rotary } else { &self.local_rotary };
            let input: &[f32] = match &layer.attention_norm {
                None => x,
                Some(weight) => {
                    norm::layer_norm(x, weight, self.norm_eps, normed);
                    normed
                }
            };
            wide.resize(t * 3 * d, 0.0);
            layer.wqkv.apply(input, wide, false, rounded);
            middle.resize(t * d, 0.0);
            attention(wide, &batch.starts, layer.heads, rotary, buffers, middle);
            layer.attention_out.apply(middle, x, true, rounded);

            norm::layer_norm(x, &layer.mlp_norm, self.norm_eps, normed);
            let (two_f, _) = layer.wi.shape();
            wide.resize(t * two_f, 0.0);
            layer.wi.apply(normed, wide, false, rounded);
            middle.resize(t * two_f / 2, 0.0);
            activation::geglu(wide, two_f / 2, middle);
            layer.mlp_out.apply(middle, x, true, rounded);
        }
        norm::layer_norm(x, &self.final_norm, self.norm_eps, normed);
        Ok(())
    }

    /// Fills `scratch.x` with the embeddings after their norm.
    fn embed(&self, batch: &Packed, scratch: &mut Scratch) -> Result<()> {
        let longest = batch.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        if longest > self.global_rotary.n_positions() {
            let (found, expected) =
                (format!("{longest} tokens"), format!("at most {}", self.global_rotary.n_positions()));
            return Err(Error::bad(Place::file("a sentence"), found, expected).hint("lower max_tokens"));
        }
        let (d, Scratch { x, normed, .. }) = (self.embedding_norm.len(), scratch);
        normed.resize(batch.n_tokens() * d, 0.0);
        x.resize(batch.n_tokens() * d, 0.0);
        for (i, out) in normed.chunks_exact_mut(d).enumerate() {
            let id = batch.ids[i];
            self.token_embeddings.row(id as usize, out).ok_or_else(|| {
                let expected = format!("at most {}", self.token_embeddings.shape()[0].saturating_sub(1));
                Error::bad(Place::file("a sentence"), format!("token id {id}"), expected)
            })?;
            if let Some(types) = &self.type_embeddings {
                add(out, types.get(batch.types[i] as usize * d..));
            }
            if let (Some(embeddings), Some(bits)) = (&self.lexicon_embeddings, batch.lexicon.get(i)) {
                let mut rest = *bits;
                while rest != 0 {
                    add(out, embeddings.get(rest.trailing_zeros() as usize * d..));
                    rest &= rest - 1; // without its lowest bit
                }
            }
        }
        norm::layer_norm(normed, &self.embedding_norm, self.norm_eps, x);
        Ok(())
    }

    fn pooled_logits(&self, batch: &Packed, scratch: &mut Scratch) -> Vec<Vec<f32>> {
        let d = self.final_norm.len();
        let Scratch { normed, middle, rounded, .. } = scratch;
        middle.clear();
        middle.resize(batch.n_sentences() * d, 0.0);
        for ((start, n), out) in batch.starts.iter().zip(&batch.sentence_tokens).zip(middle.chunks_exact_mut(d)) {
            let n = match self.pooling {
                Pooling::Cls => 1,
                Pooling::Mean => *n,
            };
            for row in normed[start * d..(start + n) * d].chunks_exact(d) {
                add(out, Some(row));
            }
            let scale = 1.0 / n.max(1) as f32;
            out.iter_mut().for_each(|o| *o *= scale);
        }
        let head = |(weight, bias): &(Linear, Vec<f32>)| {
            let mut logits = bias.repeat(batch.n_sentences());
            weight.apply(middle, &mut logits, true, rounded);
            logits
        };
        self.heads.iter().map(head).collect()
    }
}

/// Adds a row; what is not there adds nothing, as bits beyond a table's rows do.
fn add(out: &mut [f32], row: Option<&[f32]>) {
    out.iter_mut().zip(row.unwrap_or_default()).for_each(|(o, x)| *o += x);
}
