//! Two classifiers on the same sentences: is the difference more than noise?
//!
//! The paired bootstrap draws articles and scores both classifiers on the same draw, so it respects that the sentences of an
//! article resemble each other. McNemar's test takes sentences for independent and is the more optimistic of the two.

use super::bootstrap::{Bootstrap, Interval, interval};
use super::counts::Over;
use super::evaluation::Columns;
use super::head::HeadColumn;
use super::ordered::as_object;
use crate::article::Prediction;
use crate::dataset::Example;
use crate::schema::Schema;
use serde::Serialize;
use std::borrow::Borrow;

/// What speaks for B over A, head by head and for both heads at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Head by head, in the schema's order.
    #[serde(serialize_with = "as_object")]
    pub heads: Vec<(String, HeadComparison)>,
    /// Every head right at once.
    pub joint_accuracy: Difference,
    /// McNemar's test on "every head right".
    pub joint_mcnemar: McNemar,
    /// Sentences compared.
    pub sentences: usize,
    /// Articles they come from.
    pub articles: usize,
    /// How intervals and p-values were made.
    pub bootstrap: Bootstrap,
}

/// The comparison of one head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadComparison {
    /// Macro F1 over the classes with gold support.
    pub macro_f1: Difference,
    /// F1 weighted by support.
    pub weighted_f1: Difference,
    /// Share of sentences predicted right.
    pub accuracy: Difference,
    /// Sentences that only one of the two got right.
    pub mcnemar: McNemar,
    /// Sentences that get another label.
    pub differing: Differing,
}

/// One figure of both classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The figure of A.
    pub a: Option<f64>,
    /// The figure of B.
    pub b: Option<f64>,
    /// B − A: above 0 speaks for B.
    pub difference: Option<f64>,
    /// 95 % interval of the difference.
    pub difference_ci: Option<Interval>,
    /// Two-sided p-value: twice the smaller share of resamples in which the difference is not above, or not below, 0
    /// (one resample is added on that side, so that it is never 0).
    pub p: Option<f64>,
}

/// McNemar's exact test on the sentences that only one classifier got right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// A right, B wrong.
    pub only_a_right: u64,
    /// B right, A wrong.
    pub only_b_right: u64,
    /// Two-sided p-value of a fair coin falling at least as unevenly; undefined where the two never differ.
    pub p: Option<f64>,
}

/// Sentences to which A and B give different labels, right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Differing {
    /// How many.
    pub sentences: u64,
    /// Their share, 0 to 1; undefined without sentences.
    pub share: Option<f64>,
}

impl Differing {
    fn of(pairs: impl Iterator<Item = bool>) -> Differing {
        let (mut sentences, mut n) = (0, 0u64);
        for differ in pairs {
            sentences += u64::from(differ);
            n += 1;
        }
        Differing { sentences, share: (n > 0).then(|| sentences as f64 / n as f64) }
    }
}

impl Comparison {
    /// Compares the predictions of A and of B on the same examples.
    ///
    /// # Panics
    /// If predictions and examples differ in number, or a prediction has other heads than the schema.
    pub fn from_predictions<E: Borrow<Example>>(
        schema: &Schema,
        examples: &[E],
        a: &[Prediction],
        b: &[Prediction],
        bootstrap: Bootstrap,
    ) -> Self {
        let (a, b) = (Columns::new(schema, examples, a), Columns::new(schema, examples, b));
        let once = vec![1; a.n_units];
        let (figures_a, figures_b) = (figures(&a, &once), figures(&b, &once));
        let subtract = |b: &Option<f64>, a: &Option<f64>| Some((*b)? - (*a)?);
        let differences = |weights: &[u32]| {
            let (a, b) = (figures(&a, weights), figures(&b, weights));
            b.iter().zip(&a).map(|(b, a)| subtract(b, a)).collect()
        };
        let distributions = bootstrap.distributions(a.n_units, differences);
        let difference = |i: usize| Difference {
            a: figures_a[i],
            b: figures_b[i],
            difference: subtract(&figures_b[i], &figures_a[i]),
            difference_ci: distributions.get(i).and_then(|d| interval(d, bootstrap.resamples)),
            p: distributions.get(i).and_then(|d| p_of_zero(d)),
        };
        let head = |(i, (a, b)): (usize, (&HeadColumn, &HeadColumn))| {
            let pairs = a.rows().iter().zip(b.rows()).map(|(a, b)| (a.predicted == a.gold, b.predicted == b.gold));
            let first = 1 + 3 * i;
            let comparison = HeadComparison {
                macro_f1: difference(first),
                weighted_f1: difference(first + 1),
                accuracy: difference(first + 2),
                mcnemar: McNemar::of(pairs),
                differing: Differing::of(a.rows().iter().zip(b.rows()).map(|(a, b)| a.predicted != b.predicted)),
            };
            (schema.heads[i].name.clone(), comparison)
        };
        Comparison {
            heads: a.heads.iter().zip(&b.heads).enumerate().map(head).collect(),
            joint_accuracy: difference(0),
            joint_mcnemar: McNemar::of(a.joint.iter().zip(&b.joint).map(|(a, b)| (a.1, b.1))),
            sentences: examples.len(),
            articles: a.n_units,
            bootstrap,
        }
    }
}

/// Joint accuracy, then macro F1, weighted F1 and accuracy of each head.
fn figures(columns: &Columns<'_>, weights: &[u32]) -> Vec<Option<f64>> {
    let mut figures = vec![columns.joint_accuracy(weights)];
    for head in &columns.heads {
        let confusion = head.confusion(weights);
        figures.extend([
            confusion.macro_average(Over::Supported).f1,
            confusion.weighted_average().f1,
            confusion.accuracy(),
        ]);
    }
    figures
}

fn p_of_zero(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let not_above = sorted.partition_point(|d| *d <= 0.0);
    let not_below = n - sorted.partition_point(|d| *d < 0.0);
    (n > 0).then(|| (2.0 * (1 + not_above.min(not_below)) as f64 / (n + 1) as f64).min(1.0))
}

impl McNemar {
    /// Counts pairs of (A right, B right).
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let (mut only_a_right, mut only_b_right) = (0, 0);
        for (a, b) in pairs {
            only_a_right += u64::from(a && !b);
            only_b_right += u64::from(b && !a);
        }
        McNemar { only_a_right, only_b_right, p: two_sided_binomial(only_a_right, only_b_right) }
    }
}

/// P of a fair coin giving, in `a + b` throws, at most `min(a, b)` or at least `max(a, b)` heads. In logarithms, because
/// ½ⁿ underflows above a thousand throws.
fn two_sided_binomial(a: u64, b: u64) -> Option<f64> {
    let (n, k) = (a + b, a.min(b));
    let mut log_term = n as f64 * 0.5f64.ln();
    let mut tail = log_term.exp();
    for i in 0..k {
        log_term += ((n - i) as f64 / (i + 1) as f64).ln();
        tail += log_term.exp();
    }
    (n > 0).then(|| (2.0 * tail).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_is_the_exact_binomial() {
        let near = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-12, "{a:?} {b}");
        // scipy.stats.binomtest(min, n, 0.5).pvalue
        near(two_sided_binomial(2, 8), 0.109375);
        near(two_sided_binomial(5, 5), 1.0);
        near(two_sided_binomial(0, 6), 0.03125);
        assert!(two_sided_binomial(2100, 1900).unwrap() < 0.002);
        assert_eq!(two_sided_binomial(0, 0), None);
    }

    #[test]
    fn p_is_small_when_zero_lies_outside_and_one_when_all_is_zero() {
        assert_eq!(p_of_zero(&[0.1; 1999]), Some(0.001));
        assert_eq!(p_of_zero(&[0.0; 100]), Some(1.0));
        assert_eq!(p_of_zero(&[]), None);
    }
}
