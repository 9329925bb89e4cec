//! `rasid models pull`: fetches a model from the Hugging Face hub.

use crate::error::{Error, Place, Result};
use crate::model_dir;
use crate::model_dir::hub_cache::{self, HubId};
use std::path::{Path, PathBuf};

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model on the hub, as in https://huggingface.co/OWNER/NAME; @REVISION is a branch, tag or commit
    #[arg(value_name = "OWNER/NAME[@REVISION]")]
    model: String,

    /// Folder to copy the model to, out of the cache; it appears when it is whole [default: none: --model hub:OWNER/NAME finds
    /// it in the cache]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Replace a model directory that is there already
    #[arg(long)]
    overwrite: bool,

    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

/// Fetches what is not there yet and returns the folder.
///
/// # Errors
/// As [`crate::cli::model_lookup::from_hub`]; the folder to copy to is taken or cannot be written.
pub fn run(args: &Args) -> Result<PathBuf> {
    let id = HubId::parse(&args.model)?;
    if let Some(folder) = &args.output {
        check_free(folder, args.overwrite)?;
    }
    let root = hub_cache::root().ok_or_else(|| Error::Usage("this system has no folder of caches".into()))?;
    let snapshot = crate::cli::model_lookup::fetch(&id, &root, args.quiet)?;
    match &args.output {
        None => Ok(snapshot),
        Some(folder) => {
            copy(&snapshot, folder)?;
            Ok(folder.clone())
        }
    }
}

/// Checked before anything is fetched.
fn check_free(folder: &Path, overwrite: bool) -> Result<()> {
    let place = || Place::file(folder);
    if folder.file_name().is_none() {
        return Err(Error::bad(place(), "a folder that cannot be replaced", "the name of a new folder"));
    }
    let is_empty = || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !folder.exists() || is_empty() {
        return Ok(());
    }
    if !folder.join("config.json").is_file() {
        return Err(Error::bad(place(), "something that is no model directory", "a name that is free"));
    }
    if !overwrite {
        let error = Error::bad(place(), "a model directory that is there already", "a name that is free");
        return Err(
            error.hint("choose another --output, or give --overwrite to replace it when the new model is whole")
        );
    }
    Ok(())
}

/// Copies the files of a snapshot, not its links, to a folder that appears when it is whole.
fn copy(snapshot: &Path, folder: &Path) -> Result<()> {
    let staging = model_dir::staging(folder)?;
    for entry in std::fs::read_dir(snapshot).map_err(Error::io("read", snapshot))? {
        let from = entry.map_err(Error::io("read", snapshot))?.path();
        if from.is_file() {
            let to = staging.path().join(from.file_name().unwrap_or_default());
            std::fs::copy(&from, &to).map_err(Error::io("copy", &from))?;
        }
    }
    model_dir::replace(&staging.keep(), folder)
}
