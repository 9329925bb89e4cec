//! The classifier that reads nothing: every sentence gets the most frequent class of the training examples.

use super::{gold_counts, shares};
use crate::article::{Classify, Prediction, SentenceInput, Tag};
use crate::dataset::Example;
use crate::error::Result;
use crate::schema::Schema;

/// Answers with the share of each class among the training examples.
#[derive(Debug, Clone)]
pub struct Majority {
    schema: Schema,
    prediction: Prediction,
}

impl Majority {
    /// Counts the gold labels. A head without any gets equal shares; of equal shares the first class wins.
    pub fn train(schema: &Schema, examples: &[&Example]) -> Self {
        let counts = gold_counts(schema, examples);
        let tags = counts.iter().map(|c| Tag::from_probabilities(shares(c))).collect();
        Majority { schema: schema.clone(), prediction: Prediction { tags, truncated: false } }
    }
}

impl Classify for Majority {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn classify(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Prediction>> {
        Ok(vec![self.prediction.clone(); inputs.len()])
    }
}
