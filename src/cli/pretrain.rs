//! `rasid pretrain`: raw text in, a base out.

use super::say;
use super::train::{STOP, say_precision, stop_on_interrupt};
use crate::error::{Error, Result};
use crate::kernels::threads::default_workers;
use crate::pretrain::PretrainRecipe;
use crate::pretrain::corpus::load;
use crate::pretrain::run::{PretrainEvent, PretrainOptions, default_cache, pretrain};
use crate::tokens::Tokenizer;
use crate::tokens::corpus::{Source, sources};
use crate::train::run::{check_output, training_folder};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Pre-train a base on raw text: it learns to fill in hidden words
///
/// Ctrl-C stops after the step under way; the same command with --resume goes on. The base is written anew at every
/// measurement of perplexity, so it can be tried while the training goes on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Text files or folders of them, plain or packed by gzip, zstd or xz, a paragraph or sentence a line; the first folder
    /// below each is the language
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    corpus: Vec<PathBuf>,

    /// Sources to leave out, by name (file name without endings) or language/name [default: none]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    leave_out: Vec<String>,

    /// Tokenizer
    #[arg(long, value_name = "FILE", default_value = "models/tokenizer/tokenizer.json")]
    tokenizer: PathBuf,

    /// Folder for the base; the checkpoint lies in DIR.training
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Folder for the text as token ids, kept from run to run [default: DIR.training/tokens]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Recipe in TOML; what it does not name is as in the default recipe [default: models/recipes/pretrain.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Change one value of the recipe: --set training.steps=1000; may be given often [default: none]
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Go on where the same command stopped; training.steps may be another, to prolong a run or cut it short
    #[arg(long)]
    resume: bool,

    /// Replace a base that is there already
    #[arg(long)]
    overwrite: bool,

    /// Number of threads; it changes the time only, never the result [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

/// Steps between two lines of progress.
const STEPS_A_LINE: u64 = 50;

/// Runs the command.
///
/// # Errors
/// As [`pretrain`], and files that cannot be read.
pub fn execute(args: Args) -> Result<ExitCode> {
    let recipe = PretrainRecipe::resolve(args.config.as_deref(), &args.settings)?;
    let tokenizer = Tokenizer::read(&args.tokenizer)?;
    check_output(&args.output, args.overwrite || args.resume)?;
    let left_out =
        |s: &Source| args.leave_out.iter().any(|n| *n == s.name || *n == format!("{}/{}", s.language, s.name));
    let sources: Vec<Source> = sources(&args.corpus)?.into_iter().filter(|s| !left_out(s)).collect();
    let cache = args.cache.clone().unwrap_or_else(|| default_cache(&args.output));
    let corpus = load(&sources, &tokenizer, &recipe.data, &cache)?;
    for (language, lines) in &corpus.train {
        say(&format!("{language}: {} lines, {} tokens\n", lines.len(), lines.n_tokens()));
    }
    say_precision(recipe.training.precision);
    stop_on_interrupt()?;
    let names: Vec<String> = sources.iter().map(|s| format!("{}/{}", s.language, s.name)).collect();
    let options = PretrainOptions {
        recipe: &recipe,
        corpus: &corpus,
        tokenizer: &tokenizer,
        sources: &names,
        output: args.output.clone(),
        resume: args.resume,
        workers: args.threads.map_or_else(default_workers, usize::from),
    };
    let (started, mut seen, mut first, mut mean) = (Instant::now(), 0usize, None, 0.0);
    let trained = pretrain(&options, &STOP, &mut |event| match event {
        PretrainEvent::Step { step, n_steps, loss, n_tokens } => {
            seen += n_tokens;
            mean = if mean == 0.0 { loss } else { 0.98 * mean + 0.02 * loss };
            let first = *first.get_or_insert(step - 1);
            if step.is_multiple_of(STEPS_A_LINE) {
                let elapsed = started.elapsed().as_secs_f64();
                let left = elapsed / (step - first) as f64 * (n_steps - step) as f64 / 60.0;
                say(&format!(
                    "step {step} of {n_steps}  loss {mean:.3}  {:.0} tokens/s  {left:.0} min left\n",
                    seen as f64 / elapsed
                ));
            }
        }
        PretrainEvent::Measured(m) => {
            let values: Vec<_> =
                m.perplexity.iter().map(|(language, value)| format!("{language} {value:.0}")).collect();
            say(&format!("step {}  {} tokens  perplexity {}\n", m.step, m.n_tokens, values.join(", ")));
        }
    });
    match trained {
        Err(Error::Interrupted) => {
            say(&format!(
                "stopped; the checkpoint in {} is whole, go on with --resume\n",
                training_folder(&args.output).display()
            ));
            Err(Error::Interrupted)
        }
        other => other.map(|()| ExitCode::SUCCESS),
    }
}
