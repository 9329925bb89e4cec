//! `rasid models`: what is here, what it holds, fetching, checking, deleting, handing on.

mod export;
mod info;
mod list;
mod pull;
mod remove;
mod verify;

use super::Output;
use crate::error::Result;
use clap::ValueEnum;
use std::process::ExitCode;

/// Lists, describes, fetches, checks, deletes and exports models.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the models that are here: shipped, pulled, and fetched by any tool of the Hugging Face hub
    List(list::Args),
    /// Tell what a model holds: family, heads and labels, sizes, scores, checksum
    Info(info::Args),
    /// Fetch a model from the Hugging Face hub into the cache that its tools share
    Pull(pull::Args),
    /// Check that a model is whole: that it opens, that every weight is a number, that files are what their checksums say
    Verify(verify::Args),
    /// Delete a fetched model
    Remove(remove::Args),
    /// Write a model for another program
    Export(export::Args),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Runs the command.
///
/// # Errors
/// The model cannot be opened, fetched or deleted, or the output cannot be written.
pub fn execute(args: Args) -> Result<ExitCode> {
    let text = match args.command {
        Command::List(args) => list::text(&args)?,
        Command::Info(args) => info::text(&args)?,
        Command::Pull(args) => format!("{}\n", pull::run(&args)?.display()),
        Command::Verify(args) => verify::text(&args)?,
        Command::Remove(args) => remove::text(&args)?,
        Command::Export(args) => export::text(&args)?,
    };
    let output = Output::create(None)?;
    output.write_whole(text.as_bytes())?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
