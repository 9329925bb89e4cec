//! `rasid compare`: is one model better than another, or is it noise?

use super::Output;
use super::precision::Precision;
use super::scoring::{self, Scored, Sources};
use crate::dataset::Split;
use crate::error::{Error, Result};
use crate::metrics::bootstrap::Bootstrap;
use crate::metrics::compare::Comparison;
use crate::report::evaluation::{ComparisonReport, Format};
use std::path::PathBuf;

/// Compare two models on the same labelled sentences
#[derive(Debug, clap::Args)]
pub struct Args {
    /// First model: a folder, majority or tfidf
    #[arg(value_name = "MODEL_A")]
    pub a: String,
    /// Second model: a folder, majority or tfidf; a difference above 0 speaks for it
    #[arg(value_name = "MODEL_B")]
    pub b: String,
    /// Label files to score on (JSONL, CSV or TSV)
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub labels: Vec<PathBuf>,
    /// More label files for a baseline to learn from [default: none]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub train: Vec<PathBuf>,
    /// Heads and classes of baselines [default: those of the model folder, else labels/schema.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Score only records of this split [default: every record]
    #[arg(long, value_parser = scoring::split_parser())]
    pub split: Option<Split>,
    /// Numbers that the networks compute with, for both or, separated by a comma, for each: f32,int8 [default: auto]
    #[arg(long, value_enum, value_name = "A[,B]", value_delimiter = ',')]
    pub precision: Vec<Precision>,
    /// How the report is written
    #[arg(long, default_value = "table", value_parser = scoring::format_parser())]
    pub format: Format,
    /// File to write the report to [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Resamples of articles for the 95 % intervals; 0 for none
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().resamples)]
    pub resamples: usize,
    /// Seed of the resampling
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().seed)]
    pub seed: u64,
}

/// Scores both models on the same sentences and writes the differences. Returns the exit code 0.
///
/// # Errors
/// A file cannot be read or written, the models have different labels, or nothing is left to score.
pub fn execute(args: &Args, sources: &Sources<'_>) -> Result<u8> {
    let [first, second] = match *args.precision.as_slice() {
        [] => [Precision::Auto; 2],
        [both] => [both; 2],
        [first, second] => [first, second],
        _ => return Err(Error::Usage(format!("--precision names {}; expected one or two", args.precision.len()))),
    };
    let output = Output::create(args.output.as_deref())?;
    let Scored { schema, examples, models } = scoring::open(
        &[(&args.a, first), (&args.b, second)],
        &args.labels,
        &args.train,
        args.split,
        args.schema.as_deref(),
        sources,
    )?;
    let a = scoring::predict_with_progress(models[0].as_ref(), &examples)?;
    let b = scoring::predict_with_progress(models[1].as_ref(), &examples)?;
    let bootstrap = Bootstrap { resamples: args.resamples, seed: args.seed };
    let report = ComparisonReport {
        a: named(&args.a, first),
        b: named(&args.b, second),
        split: args.split.map(|s| scoring::split_name(s).to_string()),
        comparison: Comparison::from_predictions(&schema, &examples, &a, &b, bootstrap),
    };
    output.write_whole(report.render(args.format).as_bytes())?;
    output.finish()?;
    Ok(0)
}

/// A model's name, with the numbers it computes with if they were asked for.
fn named(model: &str, precision: Precision) -> String {
    match precision {
        Precision::Auto => model.to_string(),
        asked => format!("{model} in {}", asked.format().name()),
    }
}
