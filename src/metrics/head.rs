//! The scores of one head: what was asked of it, what it answered, how sure it was.

use super::bootstrap::Interval;
use super::calibration::{
    Bin, CalibrationPoint, N_BINS, adaptive_calibration_error, bin_of, brier, calibration_error, reliability,
};
use super::counts::{Confusion, Over, PrecisionRecall, mean_defined, ratio};
use super::ordered::as_object;
use super::ranking::{CurvePoint, Ranking};
use crate::schema::Head;
use serde::{Serialize, Serializer};

/// Scores of one head over the sentences that have a gold label for it. Fields ending in `_ci` are 95 % intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadScores {
    /// Sentences with a gold label for this head.
    pub sentences: u64,
    /// The headline: unweighted mean of the F1 of the classes with gold support. A resample averages the classes it holds.
    pub macro_f1: Option<f64>,
    /// Its interval.
    pub macro_f1_ci: Option<Interval>,
    /// Number of classes with gold support, which the macro figures average.
    pub macro_classes: usize,
    /// Mean F1 of the classes that occur in gold or predictions: scikit-learn's default macro F1.
    pub macro_f1_union: Option<f64>,
    /// Mean precision of the supported classes that were predicted at all.
    pub macro_precision: Option<f64>,
    /// Mean recall of the supported classes.
    pub macro_recall: Option<f64>,
    /// F1 of all decisions pooled; with one label a sentence this equals the accuracy.
    pub micro_f1: Option<f64>,
    /// Its interval.
    pub micro_f1_ci: Option<Interval>,
    /// Mean precision weighted by support.
    pub weighted_precision: Option<f64>,
    /// Mean recall weighted by support.
    pub weighted_recall: Option<f64>,
    /// Mean F1 weighted by support.
    pub weighted_f1: Option<f64>,
    /// Its interval.
    pub weighted_f1_ci: Option<Interval>,
    /// Share of sentences predicted right.
    pub accuracy: Option<f64>,
    /// Its interval.
    pub accuracy_ci: Option<Interval>,
    /// Share of articles all of whose sentences are predicted right; where an article is a contrast pair, share of the pairs of
    /// which both members are right.
    pub article_accuracy: Option<f64>,
    /// Its interval.
    pub article_accuracy_ci: Option<Interval>,
    /// Agreement with gold beyond chance.
    pub cohen_kappa: Option<f64>,
    /// Mean over supported classes of the area under the precision-recall curve, one class against the rest.
    pub macro_average_precision: Option<f64>,
    /// Its interval.
    pub macro_average_precision_ci: Option<Interval>,
    /// Mean gap between confidence and accuracy over 15 bins of equal width; lower is better. Small samples raise it, and
    /// resampling raises it again: the interval may lie above the figure.
    pub expected_calibration_error: Option<f64>,
    /// Its interval.
    pub expected_calibration_error_ci: Option<Interval>,
    /// The same over 15 bins of equal counts; lower is better.
    pub adaptive_calibration_error: Option<f64>,
    /// Mean squared distance of the distribution from the gold class, 0..=2; lower is better.
    pub brier_loss: Option<f64>,
    /// Class by class, in the schema's order.
    #[serde(serialize_with = "as_object")]
    pub classes: Vec<(String, ClassScores)>,
    /// Gold class → predicted class → sentences.
    #[serde(serialize_with = "confusion_object")]
    pub confusion: NamedConfusion,
    /// Points of the reliability diagram.
    pub calibration: Vec<CalibrationPoint>,
}

/// Scores of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// Precision, recall and F1.
    #[serde(flatten)]
    pub scores: PrecisionRecall,
    /// Interval of the F1.
    pub f1_ci: Option<Interval>,
    /// Gold labels of the class.
    pub support: u64,
    /// Predictions of the class.
    pub predicted: u64,
    /// Area under the precision-recall curve.
    pub average_precision: Option<f64>,
    /// Points of that curve, from the highest threshold down, at most [`super::ranking::MAX_CURVE_POINTS`].
    pub curve: Vec<CurvePoint>,
}

/// A confusion matrix with the names of its classes.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedConfusion {
    /// Names of the classes.
    pub names: Vec<String>,
    /// The counts.
    pub counts: Confusion,
}

/// A figure of a head that is asked for by name.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// The field's name in JSON and in `--fail-under`.
    pub name: &'static str,
    /// What a reader is shown.
    pub title: &'static str,
    /// Whether more is better; otherwise it is an error or a loss.
    pub higher_is_better: bool,
    /// The figure.
    pub of: fn(&HeadScores) -> Option<f64>,
    /// Its interval, for figures that have one.
    pub interval: fn(&HeadScores) -> Option<Interval>,
}

const fn figure(
    name: &'static str,
    title: &'static str,
    higher_is_better: bool,
    of: fn(&HeadScores) -> Option<f64>,
    interval: fn(&HeadScores) -> Option<Interval>,
) -> Figure {
    Figure { name, title, higher_is_better, of, interval }
}

/// Every figure of a head, the headline first.
#[rustfmt::skip]
pub const FIGURES: [Figure; 15] = [
    figure("macro_f1", "macro F1", true, |h| h.macro_f1, |h| h.macro_f1_ci),
    figure("macro_f1_union", "macro F1, gold or predicted", true, |h| h.macro_f1_union, |_| None),
    figure("macro_precision", "macro precision", true, |h| h.macro_precision, |_| None),
    figure("macro_recall", "macro recall", true, |h| h.macro_recall, |_| None),
    figure("micro_f1", "micro F1", true, |h| h.micro_f1, |h| h.micro_f1_ci),
    figure("weighted_f1", "weighted F1", true, |h| h.weighted_f1, |h| h.weighted_f1_ci),
    figure("weighted_precision", "weighted precision", true, |h| h.weighted_precision, |_| None),
    figure("weighted_recall", "weighted recall", true, |h| h.weighted_recall, |_| None),
    figure("accuracy", "accuracy", true, |h| h.accuracy, |h| h.accuracy_ci),
    figure("article_accuracy", "whole articles right", true, |h| h.article_accuracy, |h| h.article_accuracy_ci),
    figure("cohen_kappa", "Cohen's kappa", true, |h| h.cohen_kappa, |_| None),
    figure("macro_average_precision", "macro average precision", true, |h| h.macro_average_precision, |h| h.macro_average_precision_ci),
    figure("expected_calibration_error", "calibration error", false, |h| h.expected_calibration_error, |h| h.expected_calibration_error_ci),
    figure("adaptive_calibration_error", "adaptive calibration error", false, |h| h.adaptive_calibration_error, |_| None),
    figure("brier_loss", "Brier loss", false, |h| h.brier_loss, |_| None),
];

/// A sentence as a head sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub gold: usize,
    pub predicted: usize,
    pub probabilities: &'a [f32],
    /// Index of the article: the unit of the bootstrap.
    pub unit: u32,
}

/// The sentences of one head, ranked once for all resamples.
pub(super) struct HeadColumn<'a> {
    head: &'a Head,
    rows: Vec<Row<'a>>,
    rankings: Vec<Ranking>,
}

struct Tally {
    confusion: Confusion,
    bins: [Bin; N_BINS],
}

impl<'a> HeadColumn<'a> {
    /// One row a labelled sentence.
    pub fn new(head: &'a Head, rows: Vec<Row<'a>>) -> Self {
        let ranking =
            |class: usize| Ranking::new(rows.iter().map(|r| (r.probabilities[class], r.gold == class, r.unit)));
        let rankings = (0..head.classes.len()).map(ranking).collect();
        HeadColumn { head, rows, rankings }
    }

    /// Counts of classes alone, each row `weights[its unit]` times.
    pub fn confusion(&self, weights: &[u32]) -> Confusion {
        let mut confusion = Confusion::new(self.head.classes.len());
        self.rows.iter().for_each(|r| confusion.add(r.gold, r.predicted, u64::from(weights[r.unit as usize])));
        confusion
    }

    fn tally(&self, weights: &[u32]) -> Tally {
        let mut bins = [Bin::default(); N_BINS];
        for row in &self.rows {
            let confidence = f64::from(row.probabilities[row.predicted]);
            bins[bin_of(confidence)].add(confidence, row.gold == row.predicted, u64::from(weights[row.unit as usize]));
        }
        Tally { confusion: self.confusion(weights), bins }
    }

    /// Share of the articles with labelled sentences, each `weights[its number]` times, all of whose sentences are right.
    fn article_accuracy(&self, weights: &[u32]) -> Option<f64> {
        let mut right: Vec<Option<bool>> = vec![None; weights.len()];
        for row in &self.rows {
            let so_far = &mut right[row.unit as usize];
            *so_far = Some(so_far.unwrap_or(true) && row.gold == row.predicted);
        }
        let (mut all, mut whole) = (0u64, 0u64);
        for (right, weight) in right.iter().zip(weights) {
            all += u64::from(right.is_some()) * u64::from(*weight);
            whole += u64::from(*right == Some(true)) * u64::from(*weight);
        }
        ratio(whole, all)
    }

    /// What gets an interval: macro F1, weighted F1, accuracy, macro average precision, calibration error, articles, then F1 by
    /// class.
    pub fn resampled(&self, weights: &[u32]) -> Vec<Option<f64>> {
        let Tally { confusion, bins } = self.tally(weights);
        let mut figures = vec![
            confusion.macro_average(Over::Supported).f1,
            confusion.weighted_average().f1,
            confusion.accuracy(),
            mean_defined(self.rankings.iter().map(|r| r.average_precision(weights))),
            calibration_error(&bins),
            self.article_accuracy(weights),
        ];
        figures.extend((0..confusion.n_classes()).map(|c| confusion.class(c).f1));
        figures
    }

    /// Length of [`HeadColumn::resampled`].
    pub fn n_resampled(&self) -> usize {
        6 + self.head.classes.len()
    }

    /// The scores of all rows, with the intervals of [`HeadColumn::resampled`] (fewer or none where undefined).
    pub fn scores(&self, n_units: usize, intervals: &[Option<Interval>]) -> HeadScores {
        let weights = vec![1; n_units];
        let Tally { confusion, bins } = self.tally(&weights);
        let interval = |i: usize| intervals.get(i).copied().flatten();
        let (supported, weighted) = (confusion.macro_average(Over::Supported), confusion.weighted_average());
        let n = self.rows.len();
        let class = |(c, ranking): (usize, &Ranking)| ClassScores {
            scores: confusion.class(c),
            f1_ci: interval(6 + c),
            support: confusion.support(c),
            predicted: confusion.predicted(c),
            average_precision: ranking.average_precision(&weights),
            curve: ranking.curve(),
        };
        let classes: Vec<ClassScores> = self.rankings.iter().enumerate().map(class).collect();
        let names: Vec<String> = self.head.names().map(String::from).collect();
        let certainty = |r: &Row| (f64::from(r.probabilities[r.predicted]), r.gold == r.predicted);
        HeadScores {
            sentences: n as u64,
            macro_f1: supported.f1,
            macro_f1_ci: interval(0),
            macro_classes: confusion.classes(Over::Supported).len(),
            macro_f1_union: confusion.macro_average(Over::Union).f1,
            macro_precision: supported.precision,
            macro_recall: supported.recall,
            micro_f1: confusion.accuracy(),
            micro_f1_ci: interval(2),
            weighted_precision: weighted.precision,
            weighted_recall: weighted.recall,
            weighted_f1: weighted.f1,
            weighted_f1_ci: interval(1),
            accuracy: confusion.accuracy(),
            accuracy_ci: interval(2),
            article_accuracy: self.article_accuracy(&weights),
            article_accuracy_ci: interval(5),
            cohen_kappa: confusion.cohen_kappa(),
            macro_average_precision: mean_defined(classes.iter().map(|c| c.average_precision)),
            macro_average_precision_ci: interval(3),
            expected_calibration_error: calibration_error(&bins),
            expected_calibration_error_ci: interval(4),
            adaptive_calibration_error: adaptive_calibration_error(self.rows.iter().map(certainty).collect()),
            brier_loss: mean_defined(self.rows.iter().map(|r| Some(brier(r.gold, r.probabilities)))),
            classes: names.iter().cloned().zip(classes).collect(),
            confusion: NamedConfusion { names, counts: confusion },
            calibration: reliability(&bins),
        }
    }

    /// The rows, in the order of the examples.
    pub fn rows(&self) -> &[Row<'a>] {
        &self.rows
    }
}

fn confusion_object<S: Serializer>(confusion: &NamedConfusion, serializer: S) -> Result<S::Ok, S::Error> {
    struct Line(Vec<(String, u64)>);
    impl Serialize for Line {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            as_object(&self.0, serializer)
        }
    }
    let NamedConfusion { names, counts } = confusion;
    let line =
        |gold: usize| Line(names.iter().enumerate().map(|(p, name)| (name.clone(), counts.at(gold, p))).collect());
    let lines: Vec<_> = names.iter().enumerate().map(|(gold, name)| (name.clone(), line(gold))).collect();
    as_object(&lines, serializer)
}
