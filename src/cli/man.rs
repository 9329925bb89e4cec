//! `rasid man [--dir DIR]`.

use super::{Output, definition};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `rasid man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one page a command into this folder [default: print rasid.1 to standard output]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the page, or writes all of them.
///
/// # Errors
/// The folder or standard output refuses.
pub fn execute(args: Args) -> Result<ExitCode> {
    if let Some(dir) = args.dir {
        std::fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        clap_mangen::generate_to(definition(), &dir).map_err(Error::io("write", &dir))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(definition()).render(&mut page).map_err(Error::io("write", "-"))?;
    let output = Output::create(None)?;
    output.write_whole(&page)?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
