//! `rasid train`: label files in, a model directory out.

use super::model_lookup::by_name;
use super::say;
use crate::dataset::{Example, Split, read_examples};
use crate::error::{Error, Place, Result};
use crate::kernels::bf16::Instructions;
use crate::kernels::threads::default_workers;
use crate::lexicon::{Lexicon, LexiconFiles};
use crate::model::mode::Precision;
use crate::schema::Schema;
use crate::tokens::Tokenizer;
use crate::train::counterfactual::Rules;
use crate::train::preflight::check_output;
use crate::train::run::{self, Base, Options, from_directory, from_nothing};
use crate::train::soft::read_tags;
use crate::train::{Event, Recipe};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The tokenizer of networks that start from nothing.
const TOKENIZER: &[u8] = include_bytes!("../../models/tokenizer/tokenizer.json");

/// The schema that label files are read with if none is named.
const SCHEMA: &str = include_str!("../../labels/schema.toml");

/// Encoders of at most this hidden size, E5-small's, are not spoiled by rates that spoil larger ones.
const SMALL: usize = 384;

/// The schema that is compiled in.
///
/// # Errors
/// None; the tests read it.
pub fn default_schema() -> Result<Schema> {
    Schema::parse(SCHEMA, Path::new("labels/schema.toml"))
}

/// Set by Ctrl-C: the step under way is finished and a checkpoint written.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Train a model on labelled sentences
///
/// Records of split "train" or without one are learned from, records of split "dev" choose the best epoch, records of split
/// "test" are not looked at. Ctrl-C stops after the step under way; the same command with --resume goes on to the same bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Label files (JSONL, CSV, TSV) or folders of them
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    labels: Vec<PathBuf>,

    /// More label files, all of them dev whatever their split says [default: the records of split "dev" in --labels]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    dev: Vec<PathBuf>,

    /// Tags of other models to learn from beside the labels: JSON lines of `rasid classify`, without --only, on text without
    /// labels; of several files, one a model and all of the same articles, the probabilities are averaged. The network learns from
    /// them, the n-grams beside it do not. The text must hold no sentence that scores are measured on [default: none]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    distill: Vec<PathBuf>,

    #[command(flatten)]
    network: Network,

    /// Model directory to write; it appears when it is whole. Checkpoints, metrics.jsonl, TensorBoard events, the
    /// sentences made with other actors and the last epoch's model lie in DIR.training
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Replace a model directory that is there already
    #[arg(long)]
    overwrite: bool,

    /// Go on where the same command stopped
    #[arg(long)]
    resume: bool,

    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

/// Options that `train` and `cross-validate` share.
#[derive(Debug, clap::Args)]
pub struct Network {
    /// Model directory to start from, by path or by name in models/, hub:OWNER/NAME[@REVISION] on the Hugging Face hub, or none: a
    /// network from nothing
    #[arg(long, value_name = "DIR", default_value = "base")]
    base: String,

    /// Tokenizer of a network from nothing [default: models/tokenizer/tokenizer.json as compiled in]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,

    /// Heads and classes [default: labels/schema.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// Folder of lexicon files, stored with the model [default: labels/lexicon as compiled in]
    #[arg(long, value_name = "DIR")]
    lexicon: Option<PathBuf>,

    /// Rules by which sentences with other actors are made from the labelled ones, as training.counterfactuals says [default:
    /// labels/counterfactuals.toml as compiled in, if the schema has the heads and classes that it names]
    #[arg(long, value_name = "FILE")]
    counterfactuals: Option<PathBuf>,

    /// Recipe in TOML; what it does not name is as in the default recipe [default: models/recipes/default.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Change one value of the recipe: --set training.learning_rate=1e-4; may be given often [default: none]
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Number of threads; it changes the time only, never the result [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

impl Network {
    /// The schema asked for.
    ///
    /// # Errors
    /// As [`Schema::read`].
    pub fn schema(&self) -> Result<Schema> {
        match &self.schema {
            Some(path) => Schema::read(path),
            None => default_schema(),
        }
    }

    /// The resolved recipe and what it starts from.
    ///
    /// # Errors
    /// As [`Recipe::resolve`], [`from_directory`] and [`Tokenizer::parse`].
    pub fn recipe_and_base(&self) -> Result<(Recipe, Base)> {
        let mut recipe = Recipe::resolve(self.config.as_deref(), &self.settings)?;
        let lexicon = Some(self.lexicon()?);
        let base = if self.base == "none" {
            let tokenizer = match &self.tokenizer {
                Some(path) => Tokenizer::read(path)?,
                None => Tokenizer::parse(TOKENIZER, Path::new("models/tokenizer/tokenizer.json"))?,
            };
            from_nothing(&recipe, tokenizer, lexicon)
        } else {
            if let Some(path) = &self.tokenizer {
                let place = Place::file(path);
                return Err(Error::bad(place, "a tokenizer beside --base", "one of the two")
                    .hint("a base keeps its own tokenizer"));
            }
            let (base, lacking) = from_directory(&by_name(Path::new(&self.base))?, &mut recipe, lexicon)?;
            if !lacking.is_empty() {
                say(&format!(
                    "{} has no {}: made anew and learned from the labels; --set model.family_head=false classifies the mean of the tokens\n",
                    self.base,
                    lacking.join(", ")
                ));
            }
            let t = &recipe.training;
            let highest = if base.config.hidden_size <= SMALL { 1e-3 } else { 3e-4 };
            if base.family.1.is_some() && t.lora_rank == 0 && t.learning_rate > highest {
                say(&format!(
                    "note: training.learning_rate = {} is high for an encoder that is trained already: --config models/recipes/encoders.toml\n",
                    t.learning_rate
                ));
            }
            base
        };
        Ok((recipe, base))
    }

    /// The rules for sentences with other actors. They find actors by the lexicon, also where the network is not told it.
    ///
    /// # Errors
    /// As [`Rules::read`].
    pub fn rules(&self, schema: &Schema, base: &Base) -> Result<Option<Rules>> {
        let lexicon = base.lexicon.clone().map_or_else(|| self.lexicon(), Ok)?;
        match &self.counterfactuals {
            Some(path) => Rules::read(path, schema, &lexicon).map(Some),
            None => Rules::shipped(schema, &lexicon),
        }
    }

    fn lexicon(&self) -> Result<Arc<Lexicon>> {
        Ok(Arc::new(match &self.lexicon {
            Some(folder) => Lexicon::new(LexiconFiles::read(folder)?, folder)?,
            None => Lexicon::shipped()?,
        }))
    }

    /// Number of threads.
    pub fn workers(&self) -> usize {
        self.threads.map_or_else(default_workers, usize::from)
    }
}

/// Runs the command.
///
/// # Errors
/// As [`run::train`].
pub fn execute(args: Args) -> Result<ExitCode> {
    let schema = args.network.schema()?;
    let (recipe, base) = args.network.recipe_and_base()?;
    let rules = args.network.rules(&schema, &base)?;
    let examples = labelled(&args.labels, &args.dev, &schema)?;
    let soft = read_tags(&args.distill, &schema)?;
    if !args.quiet && !soft.is_empty() {
        say(&format!("{} sentences with the tags of {} models\n", soft.len(), args.distill.len()));
    }
    check_output(&args.output, args.overwrite)?;
    say_precision(recipe.training.precision);
    stop_on_interrupt()?;
    let options = Options {
        schema: &schema,
        recipe,
        base,
        examples: &examples,
        soft: &soft,
        rules: rules.as_ref(),
        output: args.output.clone(),
        resume: args.resume,
        workers: args.network.workers(),
    };
    let mut progress = TrainingProgress::new(args.quiet, &schema);
    let trained = run::train(&options, &STOP, &mut |event| progress.show(event));
    progress.finish();
    let trained = match trained {
        Err(Error::Interrupted) => {
            let folder = run::training_folder(&args.output);
            say(&format!(
                "stopped; the checkpoint in {} is whole, repeat the command with --resume to go on\n",
                folder.display()
            ));
            return Err(Error::Interrupted);
        }
        other => other?,
    };
    if !args.quiet {
        say(&format!("{}: best epoch {}", args.output.display(), trained.best_epoch));
        if let Some(evaluation) = &trained.evaluation {
            for (name, scores) in &evaluation.heads {
                let f1 = scores.macro_f1.map_or("—".into(), |f1| format!("{f1:.3}"));
                say(&format!(", {name} macro F1 {f1} on {} dev sentences", scores.sentences));
            }
        }
        say("\n");
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads label files; all records of `dev` files become dev.
fn labelled(labels: &[PathBuf], dev: &[PathBuf], schema: &Schema) -> Result<Vec<Example>> {
    let mut examples = read_examples(labels, schema)?;
    if !dev.is_empty() {
        let more = read_examples(dev, schema)?;
        examples.extend(more.into_iter().map(|e| Example { split: Some(Split::Dev), ..e }));
    }
    Ok(examples)
}

/// Says what computes the products of a training in bf16, so that a slow one is no riddle.
pub fn say_precision(precision: Precision) {
    let instructions = Instructions::detected();
    match (precision, instructions) {
        (Precision::F32, _) => {}
        (Precision::Bf16, Instructions::Portable) => say(
            "bf16: this processor has neither AMX-BF16 nor AVX512-BF16; plain code is much slower than precision f32\n",
        ),
        (Precision::Bf16, _) => say(&format!("bf16: products by {}\n", instructions.name())),
    }
}

/// From now on Ctrl-C sets [`STOP`]; a second one ends the process at once.
///
/// # Errors
/// The system refuses the handler.
pub fn stop_on_interrupt() -> Result<()> {
    let handler = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Usage(format!("could not watch for Ctrl-C: {error}")))
}

/// A bar on a terminal, a line an epoch elsewhere.
pub struct TrainingProgress {
    bar: Option<ProgressBar>,
    quiet: bool,
    heads: Vec<String>,
    started: Instant,
    n_tokens: usize,
    f1: String,
}

impl TrainingProgress {
    /// Starts the clock.
    pub fn new(quiet: bool, schema: &Schema) -> TrainingProgress {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = "{bar:24} {pos}/{len} steps  {msg}  {eta} left";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is sound"));
            bar
        });
        let heads = schema.heads.iter().map(|h| h.name.clone()).collect();
        TrainingProgress { bar, quiet, heads, started: Instant::now(), n_tokens: 0, f1: String::new() }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Step { epoch, step, n_steps, loss, n_tokens, .. } => {
                self.n_tokens += n_tokens;
                let speed = self.n_tokens as f64 / self.started.elapsed().as_secs_f64();
                if let Some(bar) = &self.bar {
                    bar.set_length(*n_steps);
                    bar.set_position(*step);
                    bar.set_message(format!("epoch {epoch}  loss {loss:.3}  {}{speed:.0} tokens/s", self.f1));
                }
            }
            Event::Epoch { report, is_best } => {
                let f1 = self.heads.iter().zip(&report.dev_macro_f1);
                let f1: Vec<_> = f1.filter_map(|(head, f1)| Some(format!("{head} F1 {:.3}", (*f1)?))).collect();
                self.f1 = if f1.is_empty() { String::new() } else { format!("{}  ", f1.join(" ")) };
                if self.bar.is_none() && !self.quiet {
                    let speed = self.n_tokens as f64 / self.started.elapsed().as_secs_f64();
                    let best = if *is_best && !f1.is_empty() { "  (best)" } else { "" };
                    say(&format!(
                        "epoch {}  loss {:.4}  {}{speed:.0} tokens/s{best}\n",
                        report.epoch, report.loss, self.f1
                    ));
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_in_can_be_read() {
        Tokenizer::parse(TOKENIZER, Path::new("tokenizer.json")).unwrap();
        default_schema().unwrap();
    }
}
