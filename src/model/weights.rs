//! The model's weights by name: one table says which there are, with which shape and which start.

use super::architecture::{Lora, Positions};
use super::config::Config;
use super::mode::uniform;
use crate::error::{Error, Place, Result};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the embeddings of the lexicon's types.
pub const LEXICON_EMBEDDINGS: &str = "embeddings.lexicon_embeddings.weight";

/// Name of the embeddings of positions.
pub const POSITIONS: &str = "embeddings.position_embeddings.weight";

/// Name of the embeddings of distances, without its ending.
pub const DISTANCES: &str = "embeddings.distance_embeddings";

/// Endings of the names of an adapter's weights (PEFT's names).
pub const LORA_A: &str = "lora_A.weight";
/// As [`LORA_A`].
pub const LORA_B: &str = "lora_B.weight";

/// Names and tensors, in the order of the names.
#[derive(Debug, Clone, Default)]
pub struct Weights(pub BTreeMap<String, Tensor>);

/// How a weight starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All ones: norms.
    Ones,
    /// All zeros: biases.
    Zeros,
    /// Normal with this standard deviation, cut off at two of them.
    Normal(f64),
}

/// Which weights an encoder has: names (those of transformers' `ModernBertModel` where it has them), shapes, starts.
pub fn encoder_table(config: &Config) -> Vec<(String, Vec<usize>, Start)> {
    let (d, f, shape) = (config.hidden_size, config.intermediate_size, &config.architecture);
    // Projections back into the residual stream start smaller, so that its variance does not grow with the depth.
    let (inner, back) =
        (0.02f64.max(0.4 / (d as f64).sqrt()), 0.4 / (2.0 * d as f64 * config.num_hidden_layers as f64).sqrt());
    let mut table: Vec<(String, Vec<usize>, Start)> = Vec::new();
    let mut embeddings = |name: &str, n: usize| {
        if n > 0 {
            table.push((name.into(), vec![n, d], Start::Normal(0.02)));
        }
    };
    let positions = shape.position_rows(config.max_position_embeddings);
    embeddings("embeddings.tok_embeddings.weight", config.vocab_size);
    let has_norm = match shape.positions {
        Positions::Rotary => false,
        Positions::Learned { .. } => {
            embeddings(POSITIONS, positions);
            false
        }
        Positions::Relative { norm, .. } => {
            embeddings(&format!("{DISTANCES}.weight"), positions);
            norm
        }
    };
    embeddings("embeddings.token_type_embeddings.weight", config.type_vocab_size);
    embeddings(LEXICON_EMBEDDINGS, config.lexicon_types.len());
    let mut norms = vec!["embeddings.norm".to_string()];
    norms.extend(has_norm.then(|| "embeddings.distance_norm".into()));
    norms.extend((!shape.post_norm).then(|| "final_norm".into()));
    let wide = if shape.gated { 2 * f } else { f };
    for i in 0..config.num_hidden_layers {
        norms.extend(config.has_attention_norm(i).then(|| format!("layers.{i}.attn_norm")));
        norms.push(format!("layers.{i}.mlp_norm"));
        for (name, n, k, start, has_bias) in [
            ("attn.Wqkv", 3 * d, d, inner, shape.attention_bias),
            ("attn.Wo", d, d, back, shape.attention_bias),
            ("mlp.Wi", wide, d, inner, shape.mlp_bias),
            ("mlp.Wo", d, f, back, shape.mlp_bias),
        ] {
            let name = format!("layers.{i}.{name}");
            linear(&mut table, &name, (n, k), start, has_bias);
            if let Some(lora) = shape.lora.filter(|lora| lora.is_target(&name)) {
                table.push((format!("{name}.{LORA_A}"), vec![lora.rank, k], Start::Normal(1.0 / (k as f64).sqrt())));
                table.push((format!("{name}.{LORA_B}"), vec![n, lora.rank], Start::Zeros));
            }
        }
    }
    norms.iter().for_each(|name| norm(&mut table, name, d, shape.norm_bias));
    table
}

/// Which weights stand behind the encoder: those of the layer between pooled vector and classifiers, where the family has one,
/// and name and number of labels of each classifier.
pub fn head_table(config: &Config, heads: &[(String, usize)]) -> Vec<(String, Vec<usize>, Start)> {
    let (d, mut table) = (config.hidden_size, Vec::new());
    if let Some(dense) = config.architecture.dense {
        linear(&mut table, "head.dense", (d, d), 0.02, dense.bias);
        if dense.norm {
            norm(&mut table, "head.norm", d, config.architecture.norm_bias);
        }
    }
    for (name, l) in heads {
        linear(&mut table, &format!("classifier.{name}"), (*l, d), 0.02, true);
    }
    table
}

type Table = Vec<(String, Vec<usize>, Start)>;

fn linear(table: &mut Table, name: &str, (n, k): (usize, usize), start: f64, has_bias: bool) {
    table.push((format!("{name}.weight"), vec![n, k], Start::Normal(start)));
    if has_bias {
        table.push((format!("{name}.bias"), vec![n], Start::Zeros));
    }
}

fn norm(table: &mut Table, name: &str, d: usize, has_bias: bool) {
    table.push((format!("{name}.weight"), vec![d], Start::Ones));
    if has_bias {
        table.push((format!("{name}.bias"), vec![d], Start::Zeros));
    }
}

impl Weights {
    /// Fresh variables for a table, the same for the same seed on every machine.
    ///
    /// # Errors
    /// Fails if a tensor cannot be allocated.
    pub fn fresh(table: &[(String, Vec<usize>, Start)], seed: u64) -> Result<Weights> {
        let mut weights = BTreeMap::new();
        for (name, shape, start) in table {
            // Each weight draws from a stream of its own: adding a head changes no other weight's start.
            let mut state = name
                .bytes()
                .fold(seed ^ 0x5261_7369_6400_0000, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
            let n = shape.iter().product();
            let values: Vec<f32> = match start {
                Start::Ones => vec![1.0; n],
                Start::Zeros => vec![0.0; n],
                Start::Normal(deviation) => (0..n).map(|_| (normal(&mut state) * deviation) as f32).collect(),
            };
            let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?;
            weights.insert(name.clone(), Var::from_tensor(&tensor)?.into_inner());
        }
        Ok(Weights(weights))
    }

    /// The weight of this name, checked against its shape; `path` names the file in messages.
    ///
    /// # Errors
    /// The weight is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize], path: &Path) -> Result<Tensor> {
        let place = || Place::file(path);
        let tensor = self.0.get(name).ok_or_else(|| {
            Error::bad(place(), format!("no weight \"{name}\""), format!("one of shape {shape:?}"))
                .hint("the file is of another model or was cut short; train or fetch it again")
        })?;
        if tensor.dims() != shape {
            let found = format!("weight \"{name}\" of shape {:?}", tensor.dims());
            let error = Error::bad(place(), found, format!("shape {shape:?}, as config.json says"));
            return Err(error.hint("weights and configuration are of two models; train or fetch the folder again"));
        }
        Ok(tensor.clone())
    }

    /// The weights with their adapters added to them; the others are shared, not copied.
    ///
    /// # Errors
    /// An adapter does not fit its weight.
    pub fn merged(&self, lora: Option<Lora>) -> Result<Weights> {
        let Some(lora) = lora else { return Ok(self.clone()) };
        let mut merged = BTreeMap::new();
        for (name, tensor) in &self.0 {
            let adapter = |end: &str| self.0.get(&format!("{}.{end}", name.strip_suffix(".weight").unwrap_or(name)));
            let is_adapter = name.ends_with(LORA_A) || name.ends_with(LORA_B);
            match (adapter(LORA_A), adapter(LORA_B)) {
                _ if is_adapter => {}
                (Some(a), Some(b)) => {
                    let added = (b.detach().matmul(&a.detach())? * lora.scale())?;
                    merged.insert(name.clone(), (tensor.detach() + added)?);
                }
                _ => _ = merged.insert(name.clone(), tensor.clone()),
            }
        }
        Ok(Weights(merged))
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.0.values().map(Tensor::elem_count).sum()
    }
}

/// A standard normal number within two deviations (Box-Muller, redrawn outside).
fn normal(state: &mut u64) -> f64 {
    let mut uniform = || uniform(state);
    loop {
        let (u, v) = (1.0 - uniform(), uniform());
        let x = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        if x.abs() <= 2.0 {
            return x;
        }
    }
}
