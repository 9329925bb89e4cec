//! `rasid cross-validate`: label files in, scores on articles that were held out in turn.

use super::train::{Network, STOP, stop_on_interrupt};
use super::{Output, say, scoring};
use crate::dataset::{Folds, read_examples};
use crate::error::Result;
use crate::report::evaluation::{Format, render_cross_validation};
use crate::train::cross_validate::{Learner, Plan};
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Train and score over folds of articles: every article is held out once
///
/// The splits of the files are ignored: every record is held out in one fold and trained on in the others.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Label files (JSONL, CSV, TSV) or folders of them, whose articles are held out in turn
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    labels: Vec<PathBuf>,

    /// Label files that are never held out: split "dev" chooses the epoch, split "test" is left out, the rest is trained on
    /// [default: none]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    extra: Vec<PathBuf>,

    /// What is held out together
    #[arg(long, value_enum, default_value_t = Group::Article)]
    group: Group,

    /// Number of folds, or leave-one-out
    #[arg(long, value_name = "N", default_value = "5", value_parser = folds)]
    folds: Folds,

    /// Number of runs, with seeds 1 to N
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,

    /// What is trained
    #[arg(long, value_enum, default_value_t = Which::Transformer)]
    model: Which,

    #[command(flatten)]
    network: Network,

    /// How the report is written
    #[arg(long, default_value = "table", value_parser = scoring::format_parser())]
    format: Format,

    /// Write here; the file appears when it is complete [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

/// What is held out together. Sentences of one article resemble each other, so there is nothing smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Whole articles.
    Article,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The network, by the recipe, from the base.
    Transformer,
    /// A baseline: n-grams and logistic regression.
    Tfidf,
    /// A baseline: types of the lexicon's terms and logistic regression.
    Lexicon,
    /// A baseline: both kinds of features together.
    TfidfLexicon,
    /// A baseline: always the most frequent label.
    Majority,
}

fn folds(text: &str) -> std::result::Result<Folds, String> {
    match (text, text.parse()) {
        ("leave-one-out", _) => Ok(Folds::LeaveOneOut),
        (_, Ok(n)) if n >= 2 => Ok(Folds::Number(n)),
        _ => Err("expected a number from 2 or leave-one-out".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// As [`Plan::run`], and files that cannot be read or written.
pub fn execute(args: Args) -> Result<ExitCode> {
    let Group::Article = args.group;
    let schema = args.network.schema()?;
    let (recipe, base) = args.network.recipe_and_base()?;
    let rules = args.network.rules(&schema, &base)?;
    let examples = read_examples(&args.labels, &schema)?;
    let extra = if args.extra.is_empty() { Vec::new() } else { read_examples(&args.extra, &schema)? };
    let output = Output::create(args.output.as_deref())?;
    let learner = match args.model {
        Which::Transformer => Learner::Transformer(&recipe, &base),
        Which::Tfidf => Learner::Linear(scoring::kinds("tfidf")?),
        Which::Lexicon => Learner::Linear(scoring::kinds("lexicon")?),
        Which::TfidfLexicon => Learner::Linear(scoring::kinds("tfidf-lexicon")?),
        Which::Majority => Learner::Majority,
    };
    stop_on_interrupt()?;
    let plan = Plan {
        schema: &schema,
        examples: &examples,
        extra: &extra,
        rules: rules.as_ref(),
        folds: args.folds,
        seeds: (1..=args.seeds.max(1)).collect(),
        workers: args.network.workers(),
    };
    let mut on_fold = |seed: u64, fold: usize, n_folds: usize| {
        if !args.quiet {
            say(&format!("seed {seed}, fold {} of {n_folds}\n", fold + 1));
        }
    };
    let report = plan.run(&learner, &STOP, &mut on_fold, &mut |_| ())?;
    output.write_whole(render_cross_validation(&report, args.format).as_bytes())?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
