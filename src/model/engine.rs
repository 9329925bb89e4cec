//! The network in use: the forward pass of [`Classifier`](super::Classifier) on slices, with weights laid out once and memory
//! used again from batch to batch.
//!
//! The mathematics is that of [`Encoder::forward`](super::Encoder::forward), and a test holds the two together.

use super::architecture::{Activation, Dense, Positions};
use super::config::{Config, Pooling};
use super::encoder::check_length;
use super::linear::{Linear, NumberFormat};
use super::stored::{Stored, StoredWeights};
use super::weights::{DISTANCES, LEXICON_EMBEDDINGS, POSITIONS};
use crate::error::{Error, Place, Result};
use crate::kernels::attention::Heads;
use crate::kernels::disentangled::{self, Distances};
use crate::kernels::int8::attention::{Scratch as RoundedScratch, attention as rounded_attention};
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
    position_embeddings: Option<Stored>,  // (positions, D)
    type_embeddings: Option<Vec<f32>>,    // (type_vocab_size, D)
    lexicon_embeddings: Option<Vec<f32>>, // (number of types, D)
    embedding_norm: Norm,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    distances: Option<Distances>,
    activation: Activation,
    is_gated: bool,
    is_post_norm: bool,
    first_position: usize,
    max_positions: usize,
    global_rotary: Rotary,
    local_rotary: Rotary,
    pooling: Pooling,
    dense: Option<(Product, Activation, Option<Norm>)>, // in f32
    heads: Vec<Product>,                                // (L, D), in f32
    format: NumberFormat,
    /// One for each worker that has been at work at the same time.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Option<Norm>,
    wqkv: Product,          // (3D, D)
    attention_out: Product, // (D, D)
    mlp_norm: Norm,
    wi: Product,        // (2F, D) if gated, else (F, D)
    mlp_out: Product,   // (D, F)
    relative: Vec<f32>, // (rows, 3D), what wqkv makes of the distances; empty without any
    heads: Heads,
}

/// A norm over D channels.
#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    eps: f32,
}

/// A product, with or without a bias.
#[derive(Debug)]
struct Product {
    weight: Linear,
    bias: Option<Vec<f32>>,
}

impl Norm {
    fn apply(&self, x: &[f32], out: &mut [f32]) {
        norm::layer_norm(x, &self.weight, self.eps, out);
        if let Some(bias) = &self.bias {
            norm::add_to_rows(out, bias);
        }
    }

    /// On a residual stream, by way of `spare`.
    fn apply_in_place(&self, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        self.apply(x, spare);
        std::mem::swap(x, spare);
    }
}

impl Product {
    /// `out = x @ wᵀ + bias`, or `out += x @ wᵀ + bias` if `accumulate`.
    fn apply(&self, x: &[f32], out: &mut [f32], accumulate: bool, rounded: &mut QuantizedRows) {
        self.weight.apply(x, out, accumulate, rounded);
        if let Some(bias) = &self.bias {
            norm::add_to_rows(out, bias);
        }
    }
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
    rounded_attention: RoundedScratch,
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
        let (d, f, shape) = (config.hidden_size, config.intermediate_size, &config.architecture);
        let vector = |name: &str, n: usize| Ok::<_, Error>(weights.get(name, &[n], path)?.to_f32());
        let norm = |name: &str| {
            let bias = if shape.norm_bias { Some(vector(&format!("{name}.bias"), d)?) } else { None };
            Ok::<_, Error>(Norm { weight: vector(&format!("{name}.weight"), d)?, bias, eps: config.norm_eps as f32 })
        };
        let product = |name: &str, (n, k): (usize, usize), has_bias: bool, format: NumberFormat| {
            let bias = if has_bias { Some(vector(&format!("{name}.bias"), n)?) } else { None };
            let weight = weights.get(&format!("{name}.weight"), &[n, k], path)?;
            Ok::<_, Error>(Product { weight: Linear::new(weight, format), bias })
        };
        let rows = shape.position_rows(config.max_position_embeddings);
        let table = |name: &str, n: usize| weights.get(name, &[n, d], path);
        let some_table = |name: &str, n: usize| match n {
            0 => Ok::<_, Error>(None),
            n => Ok(Some(table(name, n)?.to_f32())),
        };
        let (mut position_embeddings, mut first_position, mut distances, mut of_distances) =
            (None, 0, None, Vec::new());
        match shape.positions {
            Positions::Rotary => {}
            Positions::Learned { offset } => {
                (position_embeddings, first_position) = (Some(table(POSITIONS, rows)?.clone()), offset);
            }
            Positions::Relative { buckets, max_distance, norm: has_norm } => {
                distances = Some(Distances::new(config.max_position_embeddings, buckets, max_distance));
                of_distances = table(&format!("{DISTANCES}.weight"), rows)?.to_f32();
                if has_norm {
                    let mut spare = vec![0.0; of_distances.len()];
                    norm("embeddings.distance_norm")?.apply_in_place(&mut of_distances, &mut spare);
                }
            }
        }
        let layer = |i: usize| -> Result<Layer> {
            let wide = if shape.gated { 2 * f } else { f };
            let window = (!config.is_global(i)).then_some(config.local_attention / 2);
            let wqkv = product(&format!("layers.{i}.attn.Wqkv"), (3 * d, d), shape.attention_bias, format)?;
            let mut relative = vec![0.0; 3 * of_distances.len()];
            if !relative.is_empty() {
                wqkv.apply(&of_distances, &mut relative, false, &mut QuantizedRows::default());
            }
            let attention_norm =
                if config.has_attention_norm(i) { Some(norm(&format!("layers.{i}.attn_norm"))?) } else { None };
            Ok(Layer {
                attention_norm,
                wqkv,
                attention_out: product(&format!("layers.{i}.attn.Wo"), (d, d), shape.attention_bias, format)?,
                mlp_norm: norm(&format!("layers.{i}.mlp_norm"))?,
                wi: product(&format!("layers.{i}.mlp.Wi"), (wide, d), shape.mlp_bias, format)?,
                mlp_out: product(&format!("layers.{i}.mlp.Wo"), (d, f), shape.mlp_bias, format)?,
                relative,
                heads: Heads { n_heads: config.num_attention_heads, head_dim: config.head_dim(), window },
            })
        };
        let dense = |dense: Dense| {
            let norm = if dense.norm { Some(norm("head.norm")?) } else { None };
            Ok::<_, Error>((product("head.dense", (d, d), dense.bias, NumberFormat::F32)?, dense.activation, norm))
        };
        let head =
            |(name, l): &(String, usize)| product(&format!("classifier.{name}"), (*l, d), true, NumberFormat::F32);
        Ok(Engine {
            token_embeddings: table("embeddings.tok_embeddings.weight", config.vocab_size)?.clone(),
            position_embeddings,
            type_embeddings: some_table("embeddings.token_type_embeddings.weight", config.type_vocab_size)?,
            lexicon_embeddings: some_table(LEXICON_EMBEDDINGS, config.lexicon_types.len())?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_norm: if shape.post_norm { None } else { Some(norm("final_norm")?) },
            distances,
            activation: shape.activation,
            is_gated: shape.gated,
            is_post_norm: shape.post_norm,
            first_position,
            max_positions: config.max_position_embeddings,
            global_rotary: config.rotary(config.global_rope_theta),
            local_rotary: config.rotary(config.local_rope_theta),
            pooling: config.classifier_pooling,
            // An encoder without heads has no use for what stands before them.
            dense: config.architecture.dense.filter(|_| !heads.is_empty()).map(dense).transpose()?,
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
        let Scratch { x, normed, wide, middle, rounded, attention: buffers, rounded_attention: rounded_buffers } =
            scratch;
        let (t, d) = (batch.n_tokens(), self.embedding_norm.weight.len());
        for layer in &self.layers {
            let rotary = if layer.heads.window.is_none() { &self.global_rotary } else { &self.local_rotary };
            let input = self.before(layer.attention_norm.as_ref(), x, normed);
            wide.resize(t * 3 * d, 0.0);
            layer.wqkv.apply(input, wide, false, rounded);
            middle.resize(t * d, 0.0);
            match &self.distances {
                None if self.format == NumberFormat::Int8 => {
                    rounded_attention(wide, &batch.starts, layer.heads, rotary, rounded_buffers, middle);
                }
                None => attention(wide, &batch.starts, layer.heads, rotary, buffers, middle),
                Some(distances) => {
                    disentangled::attention(wide, &layer.relative, &batch.starts, layer.heads, distances, middle);
                }
            }
            layer.attention_out.apply(middle, x, true, rounded);
            if let Some(norm) = layer.attention_norm.as_ref().filter(|_| self.is_post_norm) {
                norm.apply_in_place(x, normed);
            }

            let input = self.before(Some(&layer.mlp_norm), x, normed);
            let (n, _) = layer.wi.weight.shape();
            wide.resize(t * n, 0.0);
            layer.wi.apply(input, wide, false, rounded);
            let (_, f) = layer.mlp_out.weight.shape();
            middle.resize(t * f, 0.0);
            match self.is_gated {
                true => activation::geglu(wide, f, middle),
                false => self.activation.apply(wide, middle),
            }
            layer.mlp_out.apply(middle, x, true, rounded);
            if self.is_post_norm {
                layer.mlp_norm.apply_in_place(x, normed);
            }
        }
        match &self.final_norm {
            Some(norm) => norm.apply(x, normed),
            None => std::mem::swap(x, normed),
        }
        Ok(())
    }

    /// The input of a half of a layer: behind its norm, in `normed`, if norms stand before.
    fn before<'x>(&self, norm: Option<&Norm>, x: &'x [f32], normed: &'x mut [f32]) -> &'x [f32] {
        match norm {
            Some(norm) if !self.is_post_norm => {
                norm.apply(x, normed);
                normed
            }
            _ => x,
        }
    }

    /// Fills `scratch.x` with the embeddings after their norm.
    fn embed(&self, batch: &Packed, scratch: &mut Scratch) -> Result<()> {
        check_length(batch, self.max_positions)?;
        let (d, Scratch { x, normed, middle, .. }) = (self.embedding_norm.weight.len(), scratch);
        normed.resize(batch.n_tokens() * d, 0.0);
        x.resize(batch.n_tokens() * d, 0.0);
        let positions = batch.starts.windows(2).flat_map(|w| 0..w[1] - w[0]);
        for ((i, out), position) in normed.chunks_exact_mut(d).enumerate().zip(positions) {
            let id = batch.ids[i];
            self.token_embeddings.row(id as usize, out).ok_or_else(|| {
                let expected = format!("at most {}", self.token_embeddings.shape()[0].saturating_sub(1));
                Error::bad(Place::file("a sentence"), format!("token id {id}"), expected)
            })?;
            if let Some(table) = &self.position_embeddings {
                middle.resize(d, 0.0);
                add(out, table.row(position + self.first_position, middle).map(|()| middle.as_slice()));
            }
            if let Some(types) = &self.type_embeddings {
                // A network that knows fewer kinds of token takes the further ones for its last.
                let row = (batch.types[i] as usize).min(types.len() / d - 1);
                add(out, types.get(row * d..));
            }
            if let (Some(embeddings), Some(bits)) = (&self.lexicon_embeddings, batch.lexicon.get(i)) {
                let mut rest = *bits;
                while rest != 0 {
                    add(out, embeddings.get(rest.trailing_zeros() as usize * d..));
                    rest &= rest - 1; // without its lowest bit
                }
            }
        }
        self.embedding_norm.apply(normed, x);
        Ok(())
    }

    fn pooled_logits(&self, batch: &Packed, scratch: &mut Scratch) -> Vec<Vec<f32>> {
        let d = self.embedding_norm.weight.len();
        let Scratch { normed, middle, rounded, wide, .. } = scratch;
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
        if let Some((dense, activation, norm)) = &self.dense {
            wide.resize(middle.len(), 0.0);
            dense.apply(middle, wide, false, rounded);
            activation.apply(wide, middle);
            if let Some(norm) = norm {
                norm.apply_in_place(middle, wide);
            }
        }
        let head = |head: &Product| {
            let mut logits = vec![0.0; batch.n_sentences() * head.weight.shape().0];
            head.apply(middle, &mut logits, false, rounded);
            logits
        };
        self.heads.iter().map(head).collect()
    }
}

/// Adds a row; what is not there adds nothing, as bits beyond a table's rows do.
fn add(out: &mut [f32], row: Option<&[f32]>) {
    out.iter_mut().zip(row.unwrap_or_default()).for_each(|(o, x)| *o += x);
}
