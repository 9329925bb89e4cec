//! The confusion matrix and what follows from it alone. Definitions as scikit-learn's `precision_recall_fscore_support`
//! with `zero_division=nan`: <https://scikit-learn.org/stable/modules/model_evaluation.html#precision-recall-and-f-measures>.

use serde::Serialize;
use std::ops::AddAssign;

/// How often gold class *g* was predicted as class *p*: row *g*, column *p*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    cells: Vec<u64>,
}

/// What the averages of a confusion matrix are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Classes that occur among the gold labels.
    Supported,
    /// Classes that occur among the gold labels or the predictions: scikit-learn's default.
    Union,
}

/// Precision, recall and F1 side by side; each undefined where its denominator is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// Right predictions of the class / all predictions of it.
    pub precision: Option<f64>,
    /// Right predictions of the class / all gold labels of it.
    pub recall: Option<f64>,
    /// Harmonic mean of both: 2·right / (gold + predicted).
    pub f1: Option<f64>,
}

/// `numerator / denominator`, undefined for a denominator of 0.
pub fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// Mean of those values that are defined; undefined if none is.
pub fn mean_defined(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    weighted_mean_defined(values.into_iter().map(|v| (v, 1)))
}

/// Weighted mean of those values that are defined; undefined if their weights sum to 0.
fn weighted_mean_defined(values: impl IntoIterator<Item = (Option<f64>, u64)>) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0);
    for (value, w) in values {
        if let Some(value) = value {
            sum += value * w as f64;
            weight += w;
        }
    }
    (weight > 0).then(|| sum / weight as f64)
}

impl Confusion {
    /// An empty matrix of `n_classes` × `n_classes`.
    pub fn new(n_classes: usize) -> Self {
        Confusion { n_classes, cells: vec![0; n_classes * n_classes] }
    }

    /// Adds `times` sentences of gold class `gold` that were predicted as `predicted`.
    pub fn add(&mut self, gold: usize, predicted: usize, times: u64) {
        self.cells[gold * self.n_classes + predicted] += times;
    }

    /// Number of classes, on each side.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// How often `gold` was predicted as `predicted`.
    pub fn at(&self, gold: usize, predicted: usize) -> u64 {
        self.cells[gold * self.n_classes + predicted]
    }

    /// Gold labels of a class.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|p| self.at(class, p)).sum()
    }

    /// Predictions of a class.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|g| self.at(g, class)).sum()
    }

    /// All sentences counted.
    pub fn total(&self) -> u64 {
        self.cells.iter().sum()
    }

    /// Sentences predicted right.
    pub fn right(&self) -> u64 {
        (0..self.n_classes).map(|c| self.at(c, c)).sum()
    }

    /// Right / all. For one label a sentence this is also micro precision, recall and F1.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.right(), self.total())
    }

    /// Precision, recall and F1 of one class.
    pub fn class(&self, class: usize) -> PrecisionRecall {
        let (right, gold, predicted) = (self.at(class, class), self.support(class), self.predicted(class));
        PrecisionRecall {
            precision: ratio(right, predicted),
            recall: ratio(right, gold),
            f1: ratio(2 * right, gold + predicted),
        }
    }

    /// The classes that an average is taken over.
    pub fn classes(&self, over: Over) -> Vec<usize> {
        let counts = |c: &usize| match over {
            Over::Supported => self.support(*c) > 0,
            Over::Union => self.support(*c) + self.predicted(*c) > 0,
        };
        (0..self.n_classes).filter(counts).collect()
    }

    /// Unweighted mean over classes; a class whose figure is undefined is left out of that figure's mean.
    pub fn macro_average(&self, over: Over) -> PrecisionRecall {
        let classes: Vec<_> = self.classes(over).into_iter().map(|c| self.class(c)).collect();
        PrecisionRecall {
            precision: mean_defined(classes.iter().map(|c| c.precision)),
            recall: mean_defined(classes.iter().map(|c| c.recall)),
            f1: mean_defined(classes.iter().map(|c| c.f1)),
        }
    }

    /// Mean over classes weighted by their support; a class whose figure is undefined is left out of that figure's mean.
    pub fn weighted_average(&self) -> PrecisionRecall {
        let classes: Vec<_> = (0..self.n_classes).map(|c| (self.class(c), self.support(c))).collect();
        PrecisionRecall {
            precision: weighted_mean_defined(classes.iter().map(|(c, w)| (c.precision, *w))),
            recall: weighted_mean_defined(classes.iter().map(|(c, w)| (c.recall, *w))),
            f1: weighted_mean_defined(classes.iter().map(|(c, w)| (c.f1, *w))),
        }
    }

    /// Cohen's kappa: agreement beyond chance, 1 is perfect, 0 is chance. Undefined when chance alone agrees always.
    pub fn cohen_kappa(&self) -> Option<f64> {
        let total = self.total() as f64;
        let chance: f64 = (0..self.n_classes).map(|c| self.support(c) as f64 * self.predicted(c) as f64).sum::<f64>()
            / (total * total);
        let kappa = (self.accuracy()? - chance) / (1.0 - chance);
        kappa.is_finite().then_some(kappa)
    }
}

impl AddAssign<&Confusion> for Confusion {
    /// Adds the counts of another part. Panics if the parts have different classes.
    fn add_assign(&mut self, other: &Confusion) {
        assert_eq!(self.n_classes, other.n_classes, "confusion matrices of different heads do not add up");
        for (cell, more) in self.cells.iter_mut().zip(&other.cells) {
            *cell += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(pairs: &[(usize, usize)]) -> Confusion {
        let mut confusion = Confusion::new(4);
        for (gold, predicted) in pairs {
            confusion.add(*gold, *predicted, 1);
        }
        confusion
    }

    #[test]
    fn what_has_no_denominator_is_undefined_and_what_was_missed_is_zero() {
        let confusion = counted(&[(0, 0), (0, 1), (2, 0)]);
        assert_eq!(confusion.class(2), PrecisionRecall { precision: None, recall: Some(0.0), f1: Some(0.0) });
        assert_eq!(confusion.class(1), PrecisionRecall { precision: Some(0.0), recall: None, f1: Some(0.0) });
        assert_eq!(confusion.class(3), PrecisionRecall { precision: None, recall: None, f1: None });
        assert_eq!(confusion.classes(Over::Supported), [0, 2]);
        assert_eq!(confusion.classes(Over::Union), [0, 1, 2]);
        assert_eq!(confusion.macro_average(Over::Supported).f1, Some(0.25));
        assert_eq!(confusion.macro_average(Over::Supported).precision, Some(0.5));
    }

    #[test]
    fn nothing_counted_gives_nothing_but_undefined() {
        let empty = Confusion::new(3);
        assert_eq!(empty.accuracy(), None);
        assert_eq!(empty.macro_average(Over::Union).f1, None);
        assert_eq!(empty.weighted_average().f1, None);
        assert_eq!(empty.cohen_kappa(), None);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(pairs in proptest::collection::vec((0usize..4, 0usize..4), 0..40), cut in 0usize..40) {
            let cut = cut.min(pairs.len());
            let mut sum = counted(&pairs[..cut]);
            sum += &counted(&pairs[cut..]);
            prop_assert_eq!(&sum, &counted(&pairs));
            prop_assert_eq!(sum.total(), pairs.len() as u64);
            let (recall, accuracy) = (sum.weighted_average().recall, sum.accuracy());
            prop_assert_eq!(recall.is_some(), accuracy.is_some());
            prop_assert!((recall.unwrap_or(0.0) - accuracy.unwrap_or(0.0)).abs() < 1e-12);
        }
    }
}
