//! The command line: flags, files, terminal, exit codes.
//!
//! One file a command, each with `Args` and `execute`; a new command is a `mod`, a line of [`Command`] and a line of `execute`.
//!
//! Exit codes: 0 done, 1 below what was asked for (a score, honest labels), 2 error, 130 interrupted.

mod completions;
mod interrupt;
mod knowledge;
mod man;
mod open_labels;
mod output;
mod progress;

pub mod classify;
pub mod compare;
pub mod cross_validate;
pub mod evaluate;
pub mod labels;
pub mod model_lookup;
pub mod models;
pub mod precision;
mod pretrain;
pub mod scoring;
pub mod tokenizer;
pub mod train;

pub use output::Output;
pub use progress::Progress;

use crate::article::Classify;
use crate::dataset;
use crate::error::{Error, Result};
use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  rasid classify labels/articles
      tag every sentence of a folder of articles, in colour, on the terminal
  rasid classify news/ --format html --output report.html
      one page, with counts and a filter, to read, print or mail
  zcat feed.jsonl.gz | rasid classify - --input-format jsonl --format jsonl > tags.jsonl
      tag a stream of any length, one JSON object a sentence";

/// Reads news articles and tags every sentence: what happened, and who did it.
#[derive(Debug, Parser)]
#[command(name = "rasid", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tag every sentence of articles: what happened, and who did it.
    Classify(classify::Args),
    /// Train a model on labelled sentences.
    Train(train::Args),
    /// Pre-train a base on raw text.
    Pretrain(pretrain::Args),
    /// Score a model on labelled sentences: precision, recall, F1, intervals.
    Evaluate(evaluate::Args),
    /// Compare two models on the same sentences: is the difference more than noise?
    Compare(compare::Args),
    /// Train and score over folds of articles: every article is held out once.
    CrossValidate(cross_validate::Args),
    /// Check label files, measure how well two labelings agree, find sentences labelled by hash.
    Labels(labels::Args),
    /// Train a tokenizer, or measure one.
    Tokenizer(tokenizer::Args),
    /// List, describe, fetch, check, delete and export models.
    #[command(visible_alias = "model")]
    Models(models::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the manual page, or write one a command into a folder.
    Man(man::Args),
}

fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Classify(args) => classify::execute(args),
        Command::Train(args) => train::execute(args),
        Command::Pretrain(args) => pretrain::execute(args),
        Command::Evaluate(args) => with_sources(|sources| evaluate::execute(&args, sources)),
        Command::Compare(args) => with_sources(|sources| compare::execute(&args, sources)),
        Command::CrossValidate(args) => cross_validate::execute(args),
        Command::Labels(args) => labels::execute(&args, &mut io::stdout().lock()).map(ExitCode::from),
        Command::Tokenizer(args) => tokenizer::execute(args),
        Command::Models(args) => models::execute(args),
        Command::Completions(args) => completions::execute(args),
        Command::Man(args) => man::execute(args),
    }
}

/// Calls a scoring command with the models and labels of this machine.
fn with_sources(command: impl FnOnce(&scoring::Sources<'_>) -> Result<u8>) -> Result<ExitCode> {
    let open_model = |name: &str, format| -> Result<Box<dyn Classify>> {
        let asked = (name != "default").then(|| Path::new(name));
        Ok(Box::new(model_lookup::open(asked, format)?))
    };
    let sources = scoring::Sources {
        schema: &train::default_schema,
        open_model: &open_model,
        read_examples: &dataset::read_examples,
    };
    command(&sources).map(ExitCode::from)
}

/// Parses the command line, runs the command, tells what went wrong on standard error.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let Some(command) = cli.command else {
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    execute(command).unwrap_or_else(|error| exit_code(&error))
}

/// Tells the error, unless there is nothing to tell.
fn exit_code(error: &Error) -> ExitCode {
    match error {
        // `rasid … | head`: the reader has what it wanted.
        Error::Io { act: "write", source, .. } if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Error::Interrupted => ExitCode::from(130),
        error => {
            say_error(error);
            ExitCode::from(2)
        }
    }
}

/// `error: …` and, where there is a way out, `hint: …` on standard error.
pub fn say_error(error: &Error) {
    let style = anstyle::Style::new().bold();
    let red = style.fg_color(Some(anstyle::AnsiColor::Red.into()));
    let mut message = match error {
        Error::Bad { place, found, expected, .. } => {
            format!("{red}error:{red:#} {place}: {found}; expected {expected}\n")
        }
        error => format!("{red}error:{red:#} {error}\n"),
    };
    if let Error::Bad { hint: Some(hint), .. } = error {
        message.push_str(&format!("{style}hint:{style:#} {hint}\n"));
    }
    say(&message);
}

/// Writes to standard error; colours are dropped where it is no terminal, and a closed one is no reason to stop.
pub(crate) fn say(message: &str) {
    let _ = anstream::stderr().write_all(message.as_bytes());
}

/// The definition of the whole command line, for completions and manual pages.
fn definition() -> clap::Command {
    let mut definition = Cli::command();
    definition.build();
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// The words in brackets that clap adds, or our own `default` and unit: nobody should have to guess.
    #[test]
    fn every_option_says_its_default() {
        for command in definition().get_subcommands().filter(|c| c.get_name() != "help") {
            for option in command.get_opts().filter(|o| !["help", "version"].contains(&o.get_id().as_str())) {
                let help = option.get_help().map(ToString::to_string).unwrap_or_default();
                let told =
                    help.contains("default") || !option.get_default_values().is_empty() || option.is_required_set();
                assert!(told, "{} --{}: {help}", command.get_name(), option.get_id());
            }
        }
    }
}
