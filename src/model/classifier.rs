//! The encoder with one linear head a question.

use super::architecture::{Activation, Dense};
use super::config::{Config, Pooling};
use super::encoder::Encoder;
use super::layer::{Linear, Norm};
use super::mode::{Mode, Precision};
use super::ops;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::tokens::Packed;
use candle_core::Tensor;
use std::path::Path;

/// Packed tokens → logits of every head.
#[derive(Debug, Clone)]
pub struct Classifier {
    encoder: Encoder,
    pooling: Pooling,
    dense: Option<(Linear, Activation, Option<Norm>)>,
    heads: Vec<Linear>, // (L, D)
}

impl Classifier {
    /// Builds the network from weights; `heads` are name and number of labels of each question, in the schema's order.
    ///
    /// # Errors
    /// A weight is missing or has another shape than the configuration and the heads say.
    pub fn new(config: &Config, heads: &[(String, usize)], weights: &Weights, path: &Path) -> Result<Classifier> {
        let d = config.hidden_size;
        let linear = |name: &str, n, has_bias| Linear::new(weights, name, (n, d), has_bias, None, path);
        let dense = |dense: Dense| {
            let norm = if dense.norm { Some(Norm::new(config, weights, "head.norm", path)?) } else { None };
            Ok::<_, Error>((linear("head.dense", d, dense.bias)?, dense.activation, norm))
        };
        Ok(Classifier {
            heads: heads
                .iter()
                .map(|(name, l)| linear(&format!("classifier.{name}"), *l, true))
                .collect::<Result<_>>()?,
            dense: config.architecture.dense.map(dense).transpose()?,
            encoder: Encoder::new(config, weights, path)?,
            pooling: config.classifier_pooling,
        })
    }

    /// Logits (S, L), one tensor a head, for the sentences of a batch. Softmax and loss are the caller's.
    ///
    /// # Errors
    /// As [`Encoder::forward`].
    pub fn forward(&self, batch: &Packed, mode: &mut Mode<'_>) -> Result<Vec<Tensor>> {
        let hidden = self.encoder.forward(batch, mode)?; // (T, D)
        let firsts = batch.starts.iter().zip(&batch.sentence_tokens);
        let ranges = match self.pooling {
            Pooling::Cls => firsts.map(|(start, _)| *start..start + 1).collect(),
            Pooling::Mean => firsts.map(|(start, n)| *start..start + n).collect(),
        };
        let mut pooled = ops::mean_of_rows(&hidden, ranges)?; // (S, D)
        if let Some((linear, activation, norm)) = &self.dense {
            pooled = activation.of(&linear.apply(&pooled, Precision::F32)?)?;
            if let Some(norm) = norm {
                pooled = norm.apply(&pooled)?;
            }
        }
        let pooled = mode.dropout(pooled)?;
        self.heads.iter().map(|head| head.apply(&pooled, Precision::F32)).collect()
    }
}
