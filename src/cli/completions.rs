//! `rasid completions SHELL`.

use super::{Output, definition};
use crate::error::Result;
use clap_complete::Shell;
use std::process::ExitCode;

/// Options of `rasid completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell that will read the script; for bash: rasid completions bash > ~/.local/share/bash-completion/completions/rasid
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output refuses.
pub fn execute(args: Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "rasid", &mut script);
    let output = Output::create(None)?;
    output.write_whole(&script)?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
