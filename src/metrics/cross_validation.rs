//! The report of a cross-validation: each seed's held-out predictions of all folds pooled into one evaluation, and how much
//! the figures move from seed to seed.

use super::bootstrap::Bootstrap;
use super::evaluation::Evaluation;
use super::head::FIGURES;
use super::ordered::as_object;
use crate::article::Prediction;
use crate::dataset::Example;
use crate::schema::Schema;
use serde::{Serialize, Serializer};
use std::borrow::Borrow;

/// Every example predicted once a seed, by a model that did not see its article.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidation {
    /// Number of folds.
    pub folds: usize,
    /// The seeds, in the order of `runs`.
    pub seeds: Vec<u64>,
    /// Head by head: figure → spread over the seeds.
    #[serde(serialize_with = "spreads_object")]
    pub heads: Vec<(String, Spreads)>,
    /// Every head right at once.
    pub joint_accuracy: Option<Spread>,
    /// The pooled evaluation of each seed.
    pub runs: Vec<Evaluation>,
}

/// Figures by name, as in [`FIGURES`], each with its spread where it is defined for every seed.
pub type Spreads = Vec<(String, Option<Spread>)>;

/// A figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation (n − 1); undefined for one seed.
    pub std: Option<f64>,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
}

impl CrossValidation {
    /// Scores the pooled held-out predictions of each seed: `runs` holds seed and predictions, one an example in the order of
    /// `examples`, each made by the fold that left the example's article out.
    ///
    /// # Panics
    /// As [`Evaluation::from_predictions`].
    pub fn from_runs<E: Borrow<Example>>(
        schema: &Schema,
        examples: &[E],
        folds: usize,
        runs: &[(u64, Vec<Prediction>)],
        bootstrap: Bootstrap,
    ) -> Self {
        let evaluate = |run: &(u64, Vec<Prediction>)| Evaluation::with_bootstrap(schema, examples, &run.1, bootstrap);
        let evaluations: Vec<Evaluation> = runs.iter().map(evaluate).collect();
        let spreads = |i: usize| -> Spreads {
            let values = |of: fn(&super::head::HeadScores) -> Option<f64>| {
                Spread::of(evaluations.iter().map(|e| of(&e.heads[i].1)))
            };
            FIGURES.iter().map(|f| (f.name.to_string(), values(f.of))).collect()
        };
        CrossValidation {
            folds,
            seeds: runs.iter().map(|(seed, _)| *seed).collect(),
            heads: schema.heads.iter().enumerate().map(|(i, head)| (head.name.clone(), spreads(i))).collect(),
            joint_accuracy: Spread::of(evaluations.iter().map(|e| e.joint_accuracy)),
            runs: evaluations,
        }
    }
}

impl Spread {
    /// The spread of values; undefined if there is none or one of them is undefined.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Spread> {
        let values: Vec<f64> = values.into_iter().collect::<Option<_>>()?;
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        (!values.is_empty()).then(|| Spread {
            mean,
            std: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

fn spreads_object<S: Serializer>(heads: &[(String, Spreads)], serializer: S) -> Result<S::Ok, S::Error> {
    struct Object<'a>(&'a Spreads);
    impl Serialize for Object<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            as_object(self.0, serializer)
        }
    }
    let heads: Vec<_> = heads.iter().map(|(name, spreads)| (name.clone(), Object(spreads))).collect();
    as_object(&heads, serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_over_seeds() {
        let spread = Spread::of([Some(0.5), Some(0.7), Some(0.6)]).unwrap();
        assert!((spread.mean - 0.6).abs() < 1e-12 && (spread.std.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!((spread.min, spread.max), (0.5, 0.7));
        assert_eq!(Spread::of([Some(0.5)]).unwrap().std, None);
        assert_eq!(Spread::of([Some(0.5), None]), None);
        assert_eq!(Spread::of([]), None);
    }
}
