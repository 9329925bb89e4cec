//! Classifier × examples → scores: what `rasid evaluate` prints, and how training looks at its dev set.

use crate::article::{Classify, Prediction};
use crate::dataset::Example;
use crate::error::Result;
use crate::metrics::evaluation::Evaluation;
use std::borrow::Borrow;

/// Sentences handed to the classifier at once: enough to fill its batches, few enough to show progress.
const SENTENCES_AT_ONCE: usize = 256;

/// Predictions for the examples, in their order. `progress` is called with the number of sentences done, after each part.
///
/// # Errors
/// The classifier fails, or `progress` does (it may return [`crate::error::Error::Interrupted`] to stop).
pub fn predict<E: Borrow<Example>>(
    classifier: &dyn Classify,
    examples: &[E],
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Prediction>> {
    let mut predictions = Vec::with_capacity(examples.len());
    for part in examples.chunks(SENTENCES_AT_ONCE) {
        let inputs: Vec<_> = part.iter().map(|e| e.borrow().input()).collect();
        predictions.extend(classifier.classify(&inputs)?);
        progress(predictions.len())?;
    }
    Ok(predictions)
}

/// Scores a classifier on examples, with intervals. The examples' labels are indices into the classifier's schema.
///
/// # Errors
/// The classifier fails.
pub fn evaluate<E: Borrow<Example>>(classifier: &dyn Classify, examples: &[E]) -> Result<Evaluation> {
    let predictions = predict(classifier, examples, |_| Ok(()))?;
    Ok(Evaluation::from_predictions(classifier.schema(), examples, &predictions))
}
