//! `rasid pretrain`: raw text in, a base out.

use super::say;
use super::train::{STOP, say_precision, stop_on_interrupt};
use crate::error::{Error, Place, Result};
use crate::kernels::threads::default_workers;
use crate::model::Weights;
use crate::model::replica::device;
use crate::model_dir;
use crate::pretrain::PretrainRecipe;
use crate::pretrain::corpus::load;
use crate::pretrain::grow;
use crate::pretrain::objective::weight_table;
use crate::pretrain::run::{PretrainEvent, PretrainOptions, default_cache, pretrain};
use crate::tokens::Tokenizer;
use crate::tokens::corpus::{Source, sources};
use crate::train::preflight::check_output;
use crate::train::run::training_folder;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Pre-train a base on raw text: it learns to fill in hidden words
///
/// Ctrl-C stops after the step under way; the same command with --resume goes on. The base is written anew at every
/// measurement of perplexity, so it can be tried while the training goes on.
///
/// Sources that the recipe names as data.parallel hold the same text in the same order in several language folders
/// (ar/ntrex.txt, en/ntrex.txt). Their lines are matched by length and by the numbers in them, so lines may be missing on either
/// side; a share of the sequences (data.parallel_share) is then a sentence with its translation. What cannot be matched is told
/// and left out, and so is every sentence that is held out for perplexity in one of the languages.
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

    /// Go on from the weights of this base, with its sizes and tokenizer: teach it other text [default: none]
    #[arg(long, value_name = "DIR", conflicts_with = "tokenizer")]
    base: Option<PathBuf>,

    /// Put the base into a larger network of the recipe's sizes, which starts by computing what the base does and learns on
    /// from there; heads keep their number of channels
    #[arg(long, requires = "base")]
    grow: bool,

    /// Folder for the base; checkpoint, metrics.jsonl (loss, learning rate, tokens a second, perplexity by language) and
    /// TensorBoard events lie in DIR.training
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Folder for the text as token ids, kept from run to run, read from disk as needed [default: DIR.training/tokens]
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

    /// Where the network computes: cpu, cuda or cuda:NUMBER, the latter in a build with --features cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

/// Steps between two lines of progress, and seconds after which one comes anyway.
const STEPS_A_LINE: u64 = 50;
const SECONDS_A_LINE: u64 = 30;

/// Runs the command.
///
/// # Errors
/// As [`pretrain`], and files that cannot be read.
pub fn execute(args: Args) -> Result<ExitCode> {
    let device = device(&args.device)?;
    let mut recipe = PretrainRecipe::resolve(args.config.as_deref(), &args.settings)?;
    let (tokenizer, start, start_name) = match &args.base {
        Some(folder) => {
            let base = model_dir::open_base(folder)?;
            if base.config.family().is_some() {
                let found = format!("an encoder of the family {}", base.config.model_type);
                let error = Error::bad(Place::file(folder), found, "a base that `rasid pretrain` wrote");
                return Err(error.hint("`rasid train --base` starts from encoders of other families"));
            }
            let small = &base.config.encoder;
            let wanted = recipe.model.clone();
            recipe.model.adopt(small);
            let weights = if args.grow {
                recipe.model.resize(&wanted);
                let large = recipe.model.encoder(base.tokenizer.vocab_size());
                if let Some((found, expected)) = grow::fault(small, &large) {
                    let error = Error::bad(Place::file("the recipe"), found, expected);
                    return Err(error.hint("give sizes with --set model.hidden_size=… or a recipe with --config"));
                }
                grow::grow(&base.weights, small, &large, &Weights::fresh(&weight_table(&large), recipe.training.seed)?)?
            } else {
                base.weights
            };
            (base.tokenizer, weights, Some(base.config.name))
        }
        None => (Tokenizer::read(&args.tokenizer)?, Weights::default(), None),
    };
    check_output(&args.output, args.overwrite || args.resume)?;
    let left_out =
        |s: &Source| args.leave_out.iter().any(|n| *n == s.name || *n == format!("{}/{}", s.language, s.name));
    let sources: Vec<Source> = sources(&args.corpus)?.into_iter().filter(|s| !left_out(s)).collect();
    let cache = args.cache.clone().unwrap_or_else(|| default_cache(&args.output));
    let corpus = load(&sources, &tokenizer, &recipe.data, &cache)?;
    for (language, lines) in &corpus.train {
        say(&format!("{language}: {} lines, {} tokens\n", lines.len(), lines.n_tokens()));
    }
    corpus.parallel.notes.iter().for_each(|note| say(&format!("{note}\n")));
    if device.is_cpu() {
        say_precision(recipe.training.precision);
    }
    stop_on_interrupt()?;
    let names: Vec<String> = sources.iter().map(|s| format!("{}/{}", s.language, s.name)).collect();
    let options = PretrainOptions {
        recipe: &recipe,
        corpus: &corpus,
        tokenizer: &tokenizer,
        sources: &names,
        start_name,
        start,
        output: args.output.clone(),
        resume: args.resume,
        workers: args.threads.map_or_else(default_workers, usize::from),
        device,
    };
    let (started, mut said, mut first, mut mean) = (Instant::now(), Instant::now(), None, 0.0);
    let trained = pretrain(&options, &STOP, &mut |event| match event {
        PretrainEvent::Step { step, n_steps, loss, tokens_per_second, .. } => {
            mean = if mean == 0.0 { loss } else { 0.98 * mean + 0.02 * loss };
            let first = *first.get_or_insert(step - 1);
            if step.is_multiple_of(STEPS_A_LINE) || said.elapsed().as_secs() >= SECONDS_A_LINE {
                said = Instant::now();
                let left = started.elapsed().as_secs_f64() / (step - first) as f64 * (n_steps - step) as f64;
                let left = time_left(left);
                say(&format!(
                    "step {step} of {n_steps}  loss {mean:.3}  {tokens_per_second:.0} tokens/s  {left} left\n"
                ));
            }
        }
        PretrainEvent::Measured(m) => {
            let values: Vec<_> =
                m.perplexity.iter().map(|(language, value)| format!("{language} {value:.0}")).collect();
            said = Instant::now();
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

fn time_left(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
