//! `rasid models remove`: deletes what was fetched.

use super::info::size;
use crate::cli::model_lookup::data_place;
use crate::error::{Error, Place, Result};
use crate::model_dir::hub_cache::{self, HubId, SCHEME};

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// hub:OWNER/NAME as `rasid models list` tells it, or the name of a model in the user's data folder
    #[arg(value_name = "ID")]
    model: String,
}

/// The text of the command.
///
/// # Errors
/// There is no such model among those that were fetched; the system refuses.
pub fn text(args: &Args) -> Result<String> {
    let is_on_hub = args.model.starts_with(SCHEME) || args.model.contains('/');
    if !is_on_hub && let Some(folder) = data_place(&args.model).filter(|folder| folder.join("config.json").is_file()) {
        std::fs::remove_dir_all(&folder).map_err(Error::io("delete", &folder))?;
        return Ok(format!("deleted {}\n", folder.display()));
    }
    if !is_on_hub {
        let expected = "hub:OWNER/NAME, or the name of a model in the user's data folder";
        let error = Error::bad(Place::file(&args.model), "no model that was fetched", expected);
        return Err(error.hint("`rasid models list` tells what is here; folders of your own are yours to delete"));
    }
    let root = hub_cache::root().ok_or_else(|| Error::Usage("this system has no folder of caches".into()))?;
    let id = HubId::parse(&args.model)?;
    let bytes = hub_cache::remove(&id, &root)?;
    Ok(format!("deleted {} with all its revisions: {}\n", id.repository, size(bytes)))
}
