//! `rasid models verify`: is a model whole?

use super::info::columns;
use crate::cli::model_lookup;
use crate::error::Result;
use crate::model_dir::verify;
use std::path::PathBuf;

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model directory, hub:OWNER/NAME, or the name of a model that is here
    #[arg(value_name = "DIR")]
    model: PathBuf,
}

/// The text of the command: every file with its checksum and what it was compared with.
///
/// # Errors
/// The model cannot be opened; a weight is no number; a file is not what its checksum says.
pub fn text(args: &Args) -> Result<String> {
    let folder = model_lookup::by_name(&args.model)?;
    let files = verify(&folder)?;
    let row = |file: &crate::model_dir::VerifiedFile| {
        let compared = if file.is_compared { "as its checksum says" } else { "no checksum beside it" };
        [file.sha256.clone(), file.name.clone(), compared.to_string()]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    Ok(format!("{}: opens, every weight is a number\n{}", folder.display(), columns(&rows)))
}
