//! The encoder with one linear head a question.

use super::config::{Config, Pooling};
use super::encoder::Encoder;
use super::mode::{Mode, Precision};
use super::ops;
use super::weights::Weights;
use crate::error::Result;
use crate::tokens::Packed;
use candle_core::Tensor;
use std::path::Path;

/// Packed tokens → logits of every head.
#[derive(Debug, Clone)]
pub struct Classifier {
    encoder: Encoder,
    pooling: Pooling,
    heads: Vec<(Tensor, Tensor)>, // weight (L, D), bias (L)
}

impl Classifier {
    /// Builds the network from weights; `heads` are name and number of labels of each question, in the schema's order.
    ///
    /// # Errors
    /// A weight is missing or has another shape than the configuration and the heads say.
    pub fn new(config: &Config, heads: &[(String, usize)], weights: &Weights, path: &Path) -> Result<Classifier> {
        let heads = heads.iter().map(|(name, l)| {
            Ok((
                weights.get(&format!("classifier.{name}.weight"), &[*l, config.hidden_size], path)?,
                weights.get(&format!("classifier.{name}.bias"), &[*l], path)?,
            ))
        });
        Ok(Classifier {
            heads: heads.collect::<Result<_>>()?,
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
        let pooled = mode.dropout(ops::mean_of_rows(&hidden, ranges)?)?; // (S, D)
        let logits = self
            .heads
            .iter()
            .map(|(weight, bias)| Ok(ops::linear(&pooled, weight, Precision::F32)?.broadcast_add(bias)?));
        logits.collect()
    }
}
