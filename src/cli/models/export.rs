//! `rasid models export`: a model for another program.

use crate::cli::{model_lookup, say};
use crate::error::Result;
use crate::model_dir::export::to_transformers;
use crate::train::preflight::check_output;
use clap::ValueEnum;
use std::path::PathBuf;

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model directory, or the name of a model that is here
    #[arg(value_name = "DIR")]
    model: PathBuf,

    /// For which program
    #[arg(long, value_enum, required = true)]
    to: Target,

    /// Folder to write: in it one folder a head
    #[arg(long, value_name = "DIR", required = true)]
    output: PathBuf,

    /// Replace a folder that is there already
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Folders that `AutoModelForSequenceClassification` and `pipeline("text-classification")` open; those of a network of our own
    /// architecture with `trust_remote_code=True`
    Transformers,
}

/// Writes the folders and names them.
///
/// # Errors
/// As [`to_transformers`]; the output is there already.
pub fn text(args: &Args) -> Result<String> {
    check_output(&args.output, args.overwrite)?;
    let folder = model_lookup::by_name(&args.model)?;
    let exported = match args.to {
        Target::Transformers => to_transformers(&folder, &args.output)?,
    };
    for note in &exported.notes {
        say(&format!("{note}\n"));
    }
    Ok(exported.folders.iter().map(|folder| format!("{}\n", folder.display())).collect())
}
