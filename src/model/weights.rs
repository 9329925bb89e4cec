//! The model's weights by name: one table says which there are, with which shape and which start.

use super::config::Config;
use super::mode::splitmix64;
use crate::error::{Error, Place, Result};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the embeddings of the lexicon's types.
pub const LEXICON_EMBEDDINGS: &str = "embeddings.lexicon_embeddings.weight";

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

/// Which weights an encoder has, under the names of transformers' `ModernBertModel`.
pub fn encoder_table(config: &Config) -> Vec<(String, Vec<usize>, Start)> {
    let (d, f) = (config.hidden_size, config.intermediate_size);
    // Projections back into the residual stream start smaller, so that its variance does not grow with the depth.
    let (inner, back) =
        (0.02f64.max(0.4 / (d as f64).sqrt()), 0.4 / (2.0 * d as f64 * config.num_hidden_layers as f64).sqrt());
    let mut table = vec![
        ("embeddings.tok_embeddings.weight".into(), vec![config.vocab_size, d], Start::Normal(0.02)),
        ("embeddings.norm.weight".into(), vec![d], Start::Ones),
    ];
    if config.type_vocab_size > 0 {
        table.push((
            "embeddings.token_type_embeddings.weight".into(),
            vec![config.type_vocab_size, d],
            Start::Normal(0.02),
        ));
    }
    if !config.lexicon_types.is_empty() {
        let shape = vec![config.lexicon_types.len(), d];
        table.push((LEXICON_EMBEDDINGS.into(), shape, Start::Normal(0.02)));
    }
    for i in 0..config.num_hidden_layers {
        // ModernBERT's first layer follows the embedding's norm directly and has none of its own.
        if i > 0 {
            table.push((format!("layers.{i}.attn_norm.weight"), vec![d], Start::Ones));
        }
        table.push((format!("layers.{i}.attn.Wqkv.weight"), vec![3 * d, d], Start::Normal(inner)));
        table.push((format!("layers.{i}.attn.Wo.weight"), vec![d, d], Start::Normal(back)));
        table.push((format!("layers.{i}.mlp_norm.weight"), vec![d], Start::Ones));
        table.push((format!("layers.{i}.mlp.Wi.weight"), vec![2 * f, d], Start::Normal(inner)));
        table.push((format!("layers.{i}.mlp.Wo.weight"), vec![d, f], Start::Normal(back)));
    }
    table.push(("final_norm.weight".into(), vec![d], Start::Ones));
    table
}

/// Which weights the heads have: name and number of labels of each.
pub fn head_table(config: &Config, heads: &[(String, usize)]) -> Vec<(String, Vec<usize>, Start)> {
    let d = config.hidden_size;
    heads
        .iter()
        .flat_map(|(name, l)| {
            [
                (format!("classifier.{name}.weight"), vec![*l, d], Start::Normal(0.02)),
                (format!("classifier.{name}.bias"), vec![*l], Start::Zeros),
            ]
        })
        .collect()
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

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.0.values().map(Tensor::elem_count).sum()
    }
}

/// A standard normal number within two deviations (Box-Muller, redrawn outside).
fn normal(state: &mut u64) -> f64 {
    let mut uniform = || (splitmix64(state) >> 11) as f64 / (1u64 << 53) as f64;
    loop {
        let (u, v) = (1.0 - uniform(), uniform());
        let x = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        if x.abs() <= 2.0 {
            return x;
        }
    }
}
