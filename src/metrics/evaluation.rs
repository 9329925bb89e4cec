//! Examples × predictions → an evaluation: every head's scores, with intervals, and the parts it can be broken into.

use super::bootstrap::{Bootstrap, Interval, interval};
use super::counts::ratio;
use super::head::{HeadColumn, HeadScores, Row};
use super::ordered::as_object;
use crate::article::Prediction;
use crate::dataset::Example;
use crate::schema::Schema;
use serde::Serialize;
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

/// Scores of a classifier on a set of examples. Its JSON is the format of `rasid evaluate --format json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Head by head, in the schema's order.
    #[serde(serialize_with = "as_object")]
    pub heads: Vec<(String, HeadScores)>,
    /// Share of the sentences labelled for every head on which every head is right.
    pub joint_accuracy: Option<f64>,
    /// Its 95 % interval.
    pub joint_accuracy_ci: Option<Interval>,
    /// Sentences labelled for every head.
    pub joint_sentences: u64,
    /// Sentences evaluated, also those without any label.
    pub sentences: usize,
    /// Articles they come from: the unit of the intervals.
    pub articles: usize,
    /// Sentences longer than the classifier reads.
    pub truncated: usize,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
}

/// What an evaluation is broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// ISO 639 code of the article.
    Language,
    /// Where the sentence comes from.
    Source,
    /// The article.
    Article,
    /// Number of words, in five ranges.
    Length,
}

/// An evaluation of each part of the examples; in JSON an object of the parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Breakdown {
    /// What the parts differ in.
    #[serde(skip)]
    pub by: By,
    /// Name and scores of each part, in rising order of the names.
    #[serde(serialize_with = "as_object")]
    pub groups: Vec<(String, Evaluation)>,
}

impl Evaluation {
    /// Scores predictions, one an example in the same order, with the default [`Bootstrap`].
    ///
    /// # Panics
    /// If predictions and examples differ in number, or a prediction has other heads than the schema.
    pub fn from_predictions<E: Borrow<Example>>(schema: &Schema, examples: &[E], predictions: &[Prediction]) -> Self {
        Self::with_bootstrap(schema, examples, predictions, Bootstrap::default())
    }

    /// As [`Evaluation::from_predictions`]; with 0 resamples it is quick and has no intervals (for the dev set in training).
    pub fn with_bootstrap<E, P>(schema: &Schema, examples: &[E], predictions: &[P], bootstrap: Bootstrap) -> Self
    where
        E: Borrow<Example>,
        P: Borrow<Prediction>,
    {
        let columns = Columns::new(schema, examples, predictions);
        let figures = |weights: &[u32]| {
            let mut all = vec![columns.joint_accuracy(weights)];
            columns.heads.iter().for_each(|h| all.extend(h.resampled(weights)));
            all
        };
        let distributions = bootstrap.distributions(columns.n_units, figures);
        let intervals: Vec<_> = distributions.iter().map(|d| interval(d, bootstrap.resamples)).collect();
        let mut next = 1;
        let head = |(name, column): (&str, &HeadColumn)| {
            let own = intervals.get(next..next + column.n_resampled()).unwrap_or_default();
            next += column.n_resampled();
            (name.to_string(), column.scores(columns.n_units, own))
        };
        let names = schema.heads.iter().map(|h| h.name.as_str());
        Evaluation {
            heads: names.zip(&columns.heads).map(head).collect(),
            joint_accuracy: columns.joint_accuracy(&vec![1; columns.n_units]),
            joint_accuracy_ci: intervals.first().copied().flatten(),
            joint_sentences: columns.joint.len() as u64,
            sentences: examples.len(),
            articles: columns.n_units,
            truncated: predictions.iter().filter(|p| (*p).borrow().truncated).count(),
            bootstrap,
        }
    }

    /// Scores of a head by name.
    pub fn head(&self, name: &str) -> Option<&HeadScores> {
        self.heads.iter().find(|(n, _)| n == name).map(|(_, scores)| scores)
    }
}

impl Breakdown {
    /// Scores each part of the examples; the arguments are as for [`Evaluation::with_bootstrap`].
    pub fn from_predictions<E>(
        by: By,
        schema: &Schema,
        examples: &[E],
        predictions: &[Prediction],
        bootstrap: Bootstrap,
    ) -> Self
    where
        E: Borrow<Example>,
    {
        let mut parts: BTreeMap<String, (Vec<&Example>, Vec<&Prediction>)> = BTreeMap::new();
        for (example, prediction) in examples.iter().zip(predictions) {
            let part = parts.entry(by.part(example.borrow())).or_default();
            part.0.push(example.borrow());
            part.1.push(prediction);
        }
        let score = |(name, (examples, predictions)): (String, (Vec<_>, Vec<_>))| {
            (name, Evaluation::with_bootstrap(schema, &examples, &predictions, bootstrap))
        };
        Breakdown { by, groups: parts.into_iter().map(score).collect() }
    }
}

impl By {
    /// Every way to break down.
    pub const ALL: [By; 4] = [By::Language, By::Source, By::Article, By::Length];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            By::Language => "language",
            By::Source => "source",
            By::Article => "article",
            By::Length => "length",
        }
    }

    /// Name of the part that an example belongs to.
    fn part(self, example: &Example) -> String {
        match self {
            By::Language => example.language.clone(),
            By::Source => example.source.clone().unwrap_or_else(|| "(none)".to_string()),
            By::Article => example.article_id.clone(),
            // Numbers of two digits, so that the order of the names is the order of the lengths.
            By::Length => match example.text.split_whitespace().count() {
                0..=5 => "00-05 words",
                6..=10 => "06-10 words",
                11..=20 => "11-20 words",
                21..=40 => "21-40 words",
                _ => "41 words or more",
            }
            .to_string(),
        }
    }
}

/// Examples and predictions turned into what the heads count.
pub(super) struct Columns<'a> {
    pub heads: Vec<HeadColumn<'a>>,
    /// Article and whether every head is right, for sentences labelled for every head.
    pub joint: Vec<(u32, bool)>,
    pub n_units: usize,
}

impl<'a> Columns<'a> {
    /// The columns of examples and their predictions, in the same order.
    pub fn new<E: Borrow<Example>, P: Borrow<Prediction>>(
        schema: &'a Schema,
        examples: &'a [E],
        predictions: &'a [P],
    ) -> Self {
        assert_eq!(examples.len(), predictions.len(), "a classifier answers every sentence once");
        let mut units = HashMap::new();
        let mut rows: Vec<Vec<Row<'a>>> = vec![Vec::new(); schema.heads.len()];
        let mut joint = Vec::new();
        for (example, prediction) in examples.iter().zip(predictions) {
            let (example, prediction): (&'a Example, &'a Prediction) = (example.borrow(), prediction.borrow());
            assert_eq!(prediction.tags.len(), schema.heads.len(), "a prediction has a tag for every head");
            let n_units = units.len() as u32;
            let unit = *units.entry(example.article_id.as_str()).or_insert(n_units);
            for ((rows, gold), tag) in rows.iter_mut().zip(&example.labels).zip(&prediction.tags) {
                if let Some(gold) = *gold {
                    rows.push(Row { gold, predicted: tag.label, probabilities: &tag.probabilities, unit });
                }
            }
            if example.labels.iter().all(Option::is_some) {
                let right = example.labels.iter().zip(&prediction.tags).all(|(gold, tag)| *gold == Some(tag.label));
                joint.push((unit, right));
            }
        }
        let heads = schema.heads.iter().zip(rows).map(|(head, rows)| HeadColumn::new(head, rows)).collect();
        Columns { heads, joint, n_units: units.len() }
    }

    /// Share of sentences on which every head is right, each counted `weights[its article]` times.
    pub fn joint_accuracy(&self, weights: &[u32]) -> Option<f64> {
        let (mut right, mut all) = (0, 0);
        for (unit, is_right) in &self.joint {
            let weight = u64::from(weights[*unit as usize]);
            all += weight;
            right += weight * u64::from(*is_right);
        }
        ratio(right, all)
    }
}
