//! Evaluations, comparisons and cross-validations as a reader sees them: a table on the terminal, JSON, Markdown, or one
//! self-contained HTML page. What is undefined is shown as "—".

mod charts;
mod document;
mod errors;
mod html;
mod tables;

pub use errors::{ErrorsFormat, errors};

use crate::metrics::compare::Comparison;
use crate::metrics::cross_validation::CrossValidation;
use crate::metrics::evaluation::{Breakdown, Evaluation};
use document::Document;
use serde::{Serialize, Serializer};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for the terminal.
    Table,
    /// Every figure, for programs and notebooks.
    Json,
    /// For a README or a pull request.
    Markdown,
    /// One page without a network, with charts.
    Html,
}

impl Format {
    /// Every format, the default first.
    pub const ALL: [Format; 4] = [Format::Table, Format::Json, Format::Markdown, Format::Html];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Markdown => "markdown",
            Format::Html => "html",
        }
    }
}

/// An evaluation with what it was made from. Its JSON is the evaluation's, with `model`, `split` and `by` beside it.
#[derive(Debug, Clone, Serialize)]
pub struct EvaluationReport {
    /// The model as the user named it.
    pub model: String,
    /// The split that was asked for; none means every record.
    pub split: Option<String>,
    /// The scores.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The same by parts; language → part → scores.
    #[serde(serialize_with = "by_name")]
    pub by: Vec<Breakdown>,
}

/// A comparison with the names of what was compared.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonReport {
    /// The first model as the user named it.
    pub a: String,
    /// The second.
    pub b: String,
    /// The split that was asked for; none means every record.
    pub split: Option<String>,
    /// The differences.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl EvaluationReport {
    /// The report as text that ends with a line break.
    pub fn render(&self, format: Format) -> String {
        render(format, self, || tables::evaluation(self))
    }
}

impl ComparisonReport {
    /// The report as text that ends with a line break.
    pub fn render(&self, format: Format) -> String {
        render(format, self, || tables::comparison(self))
    }
}

/// A cross-validation as text that ends with a line break.
pub fn render_cross_validation(report: &CrossValidation, format: Format) -> String {
    render(format, report, || tables::cross_validation(report))
}

fn render(format: Format, report: &impl Serialize, document: impl FnOnce() -> Document) -> String {
    match format {
        Format::Table => document().to_text(),
        Format::Markdown => document().to_markdown(),
        Format::Html => html::page(&document()),
        Format::Json => {
            let json = serde_json::to_string_pretty(report).expect("a report holds only numbers and strings as keys");
            json + "\n"
        }
    }
}

fn by_name<S: Serializer>(breakdowns: &[Breakdown], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(breakdowns.iter().map(|b| (b.by.name(), b)))
}
