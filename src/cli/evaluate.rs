//! `rasid evaluate`: a model's scores on labelled sentences.

use super::Output;
use super::precision::Precision;
use super::scoring::{self, Scored, Sources};
use crate::dataset::Split;
use crate::error::{Error, Result};
use crate::metrics::bootstrap::Bootstrap;
use crate::metrics::evaluation::{Breakdown, By, Evaluation};
use crate::metrics::threshold::Threshold;
use crate::report::evaluation::{ErrorsFormat, EvaluationReport, Format, errors};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// Score a model on labelled sentences
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model folder, its name, hub:OWNER/NAME[@REVISION], or a baseline trained on the records with "split": "train": majority, tfidf
    #[arg(long, value_name = "DIR|NAME", default_value = "default")]
    pub model: String,
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
    /// Also score each part apart, by one or more of these [default: none]
    #[arg(long, value_delimiter = ',', value_parser = by_parser())]
    pub by: Vec<By>,
    /// How the report is written
    #[arg(long, default_value = "table", value_parser = scoring::format_parser())]
    pub format: Format,
    /// File to write the report to [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// File for every wrong sentence with its probabilities: .csv, .tsv, otherwise JSONL [default: none]
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// Exit with 1 if a figure (a share, 0 to 1) is lower, as in incident.macro_f1=0.8 [default: none]
    #[arg(long, value_name = "FIGURE=P", num_args = 1)]
    pub fail_under: Vec<String>,
    /// Numbers that the network computes with; auto: int8 where the processor has VNNI or dot products, else f32
    #[arg(long, value_enum, default_value_t = Precision::Auto)]
    pub precision: Precision,
    /// Resamples of articles for the 95 % intervals; 0 for none
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().resamples)]
    pub resamples: usize,
    /// Seed of the resampling
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().seed)]
    pub seed: u64,
}

/// Scores the model and writes the report. Returns the exit code: 0, or 1 where a figure is below `--fail-under`.
///
/// # Errors
/// A file cannot be read or written, a name is unknown, or nothing is left to score.
pub fn execute(args: &Args, sources: &Sources<'_>) -> Result<u8> {
    let output = Output::create(args.output.as_deref())?;
    let errors_file = args.errors.as_deref().map(|path| Output::create(Some(path))).transpose()?;
    let Scored { schema, examples, models } = scoring::open(
        &[(&args.model, args.precision)],
        &args.labels,
        &args.train,
        args.split,
        args.schema.as_deref(),
        sources,
    )?;
    let thresholds = args.fail_under.iter().map(|text| Threshold::parse(text, &schema)).collect::<Result<Vec<_>>>()?;
    let predictions = scoring::predict_with_progress(models[0].as_ref(), &examples)?;
    let bootstrap = Bootstrap { resamples: args.resamples, seed: args.seed };
    let breakdown = |by: &By| Breakdown::from_predictions(*by, &schema, &examples, &predictions, bootstrap);
    let report = EvaluationReport {
        model: args.model.clone(),
        split: args.split.map(|s| scoring::split_name(s).to_string()),
        evaluation: Evaluation::with_bootstrap(&schema, &examples, &predictions, bootstrap),
        by: args.by.iter().map(breakdown).collect(),
    };
    output.write_whole(report.render(args.format).as_bytes())?;
    output.finish()?;
    if let (Some(file), Some(path)) = (errors_file, &args.errors) {
        let (text, n_wrong) = errors(errors_format(path), &schema, &examples, &predictions);
        file.write_whole(text.as_bytes())?;
        file.finish()?;
        anstream::eprintln!("{n_wrong} wrong sentences in {}", path.display());
    }
    Ok(fails(&thresholds, &report.evaluation))
}

fn fails(thresholds: &[Threshold], evaluation: &Evaluation) -> u8 {
    let below: Vec<_> = thresholds.iter().filter(|t| !t.passes(evaluation)).collect();
    for threshold in &below {
        let value = threshold.value(evaluation).map_or("undefined".to_string(), |v| format!("{v:.4}"));
        anstream::eprintln!("{} is {value}, below the asked {}", threshold.name, threshold.minimum);
    }
    u8::from(!below.is_empty())
}

fn errors_format(path: &Path) -> ErrorsFormat {
    match path.extension().and_then(|e| e.to_str()).map(str::to_lowercase).as_deref() {
        Some("csv") => ErrorsFormat::Csv,
        Some("tsv") => ErrorsFormat::Tsv,
        _ => ErrorsFormat::Jsonl,
    }
}

fn by_parser() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(By::ALL.map(By::name)).try_map(|name| {
        By::ALL.into_iter().find(|by| by.name() == name).ok_or_else(|| Error::Usage(format!("no part is named {name}")))
    })
}
