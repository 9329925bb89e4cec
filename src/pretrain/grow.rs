//! A small base inside a larger network: what it has learned is kept, and room to learn more is added around it.
//!
//! The larger network starts by computing nearly what the small one does (Net2Net, Chen et al., 2016; further layers as in LLaMA
//! Pro, Wu et al., 2024). Further channels of the residual stream hold the mean of the others: a norm then takes off the same
//! mean and leaves nothing in them, and as it divides by the deviation over more channels its weights are scaled back. Further heads, gated
//! units and layers add nothing until their projections back into the stream have learned. What is not exact is the mean
//! behind the norm of the embeddings, which no weight can write into further channels, and the deviation in the model's head.

use crate::error::Result;
use crate::model::{Config, Weights};
use candle_core::{Device, Tensor, Var};

/// What keeps a network from holding another, if anything does: the key with its value, and what was expected.
pub fn fault(from: &Config, to: &Config) -> Option<(String, String)> {
    let sizes = [
        ("hidden_size", from.hidden_size, to.hidden_size),
        ("intermediate_size", from.intermediate_size, to.intermediate_size),
        ("num_hidden_layers", from.num_hidden_layers, to.num_hidden_layers),
    ];
    if let Some((key, from, to)) = sizes.iter().find(|(_, from, to)| to < from) {
        return Some((format!("{key} = {to}"), format!("{from}, the base's, or more")));
    }
    (from.head_dim() != to.head_dim()).then(|| {
        let found = format!("num_attention_heads = {} with hidden_size = {}", to.num_attention_heads, to.hidden_size);
        (found, format!("heads of {} channels, as the base has them", from.head_dim()))
    })
}

/// Puts the weights of the network `from` into the larger network `to`, whose fresh weights are given; a weight that `old` does
/// not have stays fresh. The sizes have no [`fault`].
///
/// # Errors
/// A tensor cannot be read.
pub fn grow(old: &Weights, from: &Config, to: &Config, fresh: &Weights) -> Result<Weights> {
    let mut grown = fresh.clone();
    for (name, tensor) in &mut grown.0 {
        let (source, is_further_layer) = source(name, from, to);
        let Some(small) = old.0.get(&source) else { continue };
        let shape = tensor.dims().to_vec();
        let large = Matrix::read(tensor)?;
        let small = Matrix::read(small)?;
        let end = name.strip_suffix(".weight").unwrap_or(name).rsplit('.').next().unwrap_or(name);
        let scale = (from.hidden_size as f32 / to.hidden_size as f32).sqrt();
        let values = match (end, shape.len()) {
            // Query, key and value, and the halves of a gated unit, grow each on its own. What reads further channels is fresh.
            ("Wqkv", _) => large.with(&small, 3),
            ("Wi", _) => large.with(&small, 2),
            ("Wo", _) if is_further_layer => large.zeros(),
            ("Wo", _) => large.zeros().with(&small, 1).with_mean_rows(small.rows),
            // The head's norm keeps its weights, as further channels of the head are copies of others and leave mean and deviation;
            // nothing of them is used at first.
            ("dense", _) => large.zeros().with(&small, 1).with_copied_rows(small.rows),
            ("norm", _) if name.starts_with("head.") => large.zeros().with(&small, 1),
            (_, 1) => large.with(&small, 1).scaled(scale),
            _ => large.with(&small, 1).with_mean_columns(small.columns),
        };
        *tensor = Var::from_tensor(&Tensor::from_vec(values.values, shape, &Device::Cpu)?)?.into_inner();
    }
    Ok(grown)
}

/// Which weight of the small network a weight of the large one comes from, and whether its layer is a further one: these lie
/// evenly between the others, each a copy of the one below it.
fn source(name: &str, from: &Config, to: &Config) -> (String, bool) {
    let layer = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
    let Some((layer, rest)) = layer.and_then(|(layer, rest)| Some((layer.parse::<usize>().ok()?, rest))) else {
        return (name.to_string(), false);
    };
    let of = |layer: usize| layer * from.num_hidden_layers / to.num_hidden_layers;
    // The first layer has no norm before its attention, so that a copy of it keeps the fresh one.
    (format!("layers.{}.{rest}", of(layer)), layer > 0 && of(layer - 1) == of(layer))
}

/// A weight, rows first; a norm's has rows of one column.
struct Matrix {
    values: Vec<f32>, // (rows, columns)
    rows: usize,
    columns: usize,
}

impl Matrix {
    fn read(tensor: &Tensor) -> Result<Matrix> {
        let (rows, columns) = (tensor.dim(0)?, tensor.dims().get(1).copied().unwrap_or(1));
        Ok(Matrix { values: tensor.flatten_all()?.to_vec1()?, rows, columns })
    }

    fn zeros(self) -> Matrix {
        Matrix { values: vec![0.0; self.values.len()], ..self }
    }

    fn scaled(mut self, scale: f32) -> Matrix {
        self.values.iter_mut().for_each(|value| *value *= scale);
        self
    }

    /// The small one at the start of each of the parts that the rows fall into.
    fn with(mut self, small: &Matrix, n_parts: usize) -> Matrix {
        let (part, small_part) = (self.rows / n_parts, small.rows / n_parts);
        for (i, row) in small.values.chunks_exact(small.columns).enumerate() {
            let at = (i / small_part * part + i % small_part) * self.columns;
            self.values[at..at + small.columns].copy_from_slice(row);
        }
        self
    }

    /// The mean of the first n columns in the others.
    fn with_mean_columns(mut self, n: usize) -> Matrix {
        for row in self.values.chunks_exact_mut(self.columns) {
            let (old, further) = row.split_at_mut(n);
            further.fill(old.iter().sum::<f32>() / n as f32);
        }
        self
    }

    /// The mean of the first n rows in the others.
    fn with_mean_rows(mut self, n: usize) -> Matrix {
        let (old, further) = self.values.split_at_mut(n * self.columns);
        for column in 0..self.columns {
            let mean = old.iter().skip(column).step_by(self.columns).sum::<f32>() / n as f32;
            further.iter_mut().skip(column).step_by(self.columns).for_each(|value| *value = mean);
        }
        self
    }

    /// Copies of rows, evenly from the first n, in the others.
    fn with_copied_rows(mut self, n: usize) -> Matrix {
        for i in n..self.rows {
            let from = (i - n) * n / (self.rows - n) % n * self.columns;
            self.values.copy_within(from..from + self.columns, i * self.columns);
        }
        self
    }
}
