//! What is known beside what is learned, as flags ask for it: groups, and terms of the lexicon.

use crate::error::{Error, Result};
use crate::gazetteer::Gazetteer;
use crate::lexicon::Lexicon;
use crate::model_dir::Model;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The shipped list of groups.
const GROUPS: &str = include_str!("../../labels/groups.toml");

/// The groups of a file, else those compiled in.
///
/// # Errors
/// The file cannot be read or is none of groups.
pub fn gazetteer(path: Option<&Path>) -> Result<Gazetteer> {
    let Some(path) = path else {
        return Gazetteer::parse(GROUPS, Path::new("labels/groups.toml"));
    };
    let mut text = String::new();
    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    file.read_to_string(&mut text).map_err(Error::io("read", path))?;
    Gazetteer::parse(&text, path)
}

/// The model's lexicon with the user's terms, which the model then knows too; none if nobody needs one.
///
/// # Errors
/// A file cannot be read or is none of terms, or the model reads no lexicon.
pub fn lexicon(model: &mut Model, terms: &[PathBuf], wanted: bool) -> Result<Option<Arc<Lexicon>>> {
    let own = model.lexicon();
    if terms.is_empty() {
        return match own {
            None if wanted => Ok(Some(Arc::new(Lexicon::shipped()?))),
            own => Ok(own),
        };
    }
    let own = own.ok_or_else(|| Error::Usage("the model reads no lexicon, so --terms would change nothing".into()))?;
    let lexicon = Arc::new(own.with_terms(terms)?);
    model.set_lexicon(lexicon.clone());
    Ok(Some(lexicon))
}
