//! Model → folder, whole or not at all.

use super::config_json::ConfigJson;
use super::families::Family;
use super::{CONFIG, TOKENIZER, WEIGHTS};
use crate::baseline::Tfidf;
use crate::error::{Error, Result};
use crate::model::laying::Laid;
use crate::model::{StorageFormat, Weights};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that a model directory holds.
pub struct Contents<'a> {
    /// config.json.
    pub config: &'a ConfigJson,
    /// model.safetensors.
    pub weights: &'a Weights,
    /// The linear classifier beside the network, if there is one.
    pub ngrams: Option<&'a Tfidf>,
    /// How the weights are stored; an encoder of another program's family in f16 where this says int8.
    pub storage: StorageFormat,
    /// tokenizer.json, byte for byte.
    pub tokenizer: &'a [u8],
    /// Other files by name: schema.toml, train.toml, metrics.json, README.md.
    pub texts: Vec<(String, String)>,
}

/// Writes the folder beside `path` and renames it; a folder that was there before is replaced only when the new one is whole.
///
/// # Errors
/// The system refuses to write; what was at `path` is then still there.
pub fn write(path: &Path, contents: &Contents<'_>) -> Result<()> {
    let staging = staging(path)?;
    let put = |name: &str, bytes: &[u8]| {
        let file = staging.path().join(name);
        fs::write(&file, bytes).map_err(Error::io("write", path.join(name)))
    };
    let family = contents.config.family();
    let storage = storage(contents.storage, &contents.config.model_type);
    let dtype = if storage == StorageFormat::F32 { "float32" } else { "float16" };
    put(CONFIG, contents.config.to_json(dtype).as_bytes())?;
    put(TOKENIZER, contents.tokenizer)?;
    for (name, text) in &contents.texts {
        if let Some(folder) = Path::new(name).parent() {
            let folder = staging.path().join(folder);
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        }
        put(name, text.as_bytes())?;
    }
    let mut stored = match family {
        Some(family) => storage.lay_out(&family.to_theirs(contents.weights)?)?,
        None => storage.lay_out(contents.weights)?,
    };
    let ngrams = contents.ngrams.map_or(Ok(Vec::new()), |ngrams| ngrams.tensors())?;
    stored.extend(ngrams.iter().map(|(name, tensor)| (name.clone(), Laid::as_it_is(tensor))));
    put(WEIGHTS, &serialize(stored)?)?;
    replace(&staging.keep(), path)
}

/// A folder beside `path` to write into until it is whole, for [`replace`].
///
/// # Errors
/// The system refuses.
pub fn staging(path: &Path) -> Result<tempfile::TempDir> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let folder = tempfile::Builder::new().prefix(".rasid-model-").tempdir_in(parent);
    folder.map_err(Error::io("create a folder in", parent))
}

/// The bytes of a safetensors file, as Python's programs expect it.
pub(super) fn serialize(weights: Vec<(String, Laid)>) -> Result<Vec<u8>> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::tensor::serialize(weights, Some(metadata))
        .map_err(|e| Error::Usage(format!("could not lay out the weights: {e}")))
}

/// How weights of an encoder of this family are stored where `asked` is wanted: other programs do not read whole numbers with
/// scales, so those families are stored in f16 then.
pub fn storage(asked: StorageFormat, model_type: &str) -> StorageFormat {
    match asked {
        StorageFormat::Int8 if Family::of(model_type).is_some() => StorageFormat::F16,
        asked => asked,
    }
}

/// Renames the folder `new` to `path`, on the same disk; what was there is set aside first and deleted last.
///
/// # Errors
/// The system refuses; what was at `path` is then still there.
pub fn replace(new: &Path, path: &Path) -> Result<()> {
    // A folder made for one user only would stay so; a model is to be read by all who may read its parent.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(new, fs::Permissions::from_mode(0o755)).map_err(Error::io("open up", new))?;
    }
    let mut aside: Option<PathBuf> = None;
    if path.exists() {
        let old = path.with_extension(format!("old-{}", std::process::id()));
        fs::rename(path, &old).map_err(Error::io("set aside", path))?;
        aside = Some(old);
    }
    if let Err(error) = fs::rename(new, path) {
        if let Some(old) = &aside {
            let _ = fs::rename(old, path);
        }
        return Err(Error::io("write", path)(error));
    }
    match aside {
        Some(old) => fs::remove_dir_all(&old).map_err(Error::io("delete the former", &old)),
        None => Ok(()),
    }
}
