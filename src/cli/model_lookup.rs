//! Which model is meant by a folder, by a name, or when none is named.

#[cfg(not(feature = "hub"))]
use crate::error::Place;
use crate::error::{Error, Result};
use crate::model::NumberFormat;
use crate::model_dir::hub_cache::{self, HubId, SCHEME};
use crate::model_dir::{self, Info, Model};
use std::path::{Component, Path, PathBuf};

/// Opens the model asked for, else the default one, for products in the given format.
///
/// A folder is taken as it is, hub:OWNER/NAME from the cache of the hub. A name without a slash that is no folder here is looked for as `models/NAME` in the places of
/// the default model, which is the first of: the environment variable `RASID_MODEL`; `models/default` in the current folder;
/// `models/default` in a folder above the executable (`target/release/rasid` finds its repository); `rasid/models/default` in
/// the user's data folder; the model compiled into the binary.
///
/// # Errors
/// The model cannot be opened, or there is none.
pub fn open(asked: Option<&Path>, format: NumberFormat) -> Result<Model> {
    found(asked, |path| model_dir::open(path, format), || model_dir::embedded(format))
}

/// What the model that [`open`] would open holds.
///
/// # Errors
/// As [`open`].
pub fn info(asked: Option<&Path>) -> Result<Info> {
    found(asked, model_dir::info, model_dir::embedded_info)
}

/// Where a model of this name lies in the user's data folder; none where the system has no such folder.
pub fn data_place(name: &str) -> Option<PathBuf> {
    dirs::data_dir().map(|data| data.join("rasid/models").join(name))
}

/// Every model that a bare name finds, with its name.
pub fn model_folders() -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for folder in places("").iter().filter_map(|place| place.read_dir().ok()).flatten().flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        // The first place hides the others.
        if is_model(&folder.path()) && !found.iter().any(|(known, _)| *known == name) {
            found.push((name, folder.path()));
        }
    }
    found.sort();
    found
}

fn found<T>(
    asked: Option<&Path>,
    folder: impl FnOnce(&Path) -> Result<T>,
    embedded: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let from_environment = std::env::var_os("RASID_MODEL").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = asked.map(Path::to_path_buf).or(from_environment) {
        return folder(&by_name(&named)?);
    }
    let places = places("default");
    match places.iter().find(|place| is_model(place)) {
        Some(place) => folder(place),
        None => embedded().map_err(|error| {
            let looked: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            Error::Usage(format!("no model: {error}; looked in {}; name one with --model DIR", looked.join(", ")))
        }),
    }
}

/// The folder that a folder, a bare name or hub:OWNER/NAME means; a name that is nowhere stays as it is, for the message.
///
/// # Errors
/// As [`from_hub`].
pub fn by_name(named: &Path) -> Result<PathBuf> {
    if let Some(id) = named.to_str().filter(|name| name.starts_with(SCHEME)) {
        return from_hub(&HubId::parse(id)?);
    }
    let places = bare_name(named).filter(|_| !named.exists()).map(places).unwrap_or_default();
    Ok(places.into_iter().find(|place| is_model(place)).unwrap_or_else(|| named.to_path_buf()))
}

/// The snapshot of a model of the hub: as it lies in the cache, whoever fetched it, else fetched now.
///
/// # Errors
/// It is not in the cache and cannot be fetched; the message says what to copy where.
pub fn from_hub(id: &HubId) -> Result<PathBuf> {
    let root = hub_cache::root().ok_or_else(|| Error::Usage("this system has no folder of caches".into()))?;
    match id.snapshot(&root) {
        Some(snapshot) => Ok(snapshot),
        None => fetch(id, &root, false),
    }
}

/// Fetches what the cache does not hold of a model of the hub.
///
/// # Errors
/// The program was built without the feature `hub`; or as [`crate::model_dir::hub::fetch`].
#[cfg(not(feature = "hub"))]
pub fn fetch(id: &HubId, root: &Path, _: bool) -> Result<PathBuf> {
    let error = Error::bad(
        Place::file(id.to_string()),
        format!("not in {}, and this program was built without the hub", root.display()),
        "a model that was fetched before",
    );
    Err(error.hint(format!(
        "build it with `cargo build --release --features hub`, or by Python: `hf download {}`, or copy its files \
         (config.json, tokenizer.json, model.safetensors) into a folder and name that",
        id.repository
    )))
}

/// Fetches what the cache does not hold of a model of the hub.
///
/// # Errors
/// As [`crate::model_dir::hub::fetch`].
#[cfg(feature = "hub")]
pub fn fetch(id: &HubId, root: &Path, quiet: bool) -> Result<PathBuf> {
    let progress = std::sync::Arc::new(super::Progress::start(!quiet));
    progress.set(format!("asking for {id}"));
    let shown = std::sync::Arc::clone(&progress);
    let on_progress = move |file: &str, done: u64, of: u64| shown.bytes(file, done, of);
    let fetched = model_dir::hub::fetch(id, root, &on_progress);
    progress.finish();
    fetched
}

fn is_model(place: &Path) -> bool {
    place.join("config.json").is_file()
}

/// The name, if the path is one and nothing more.
fn bare_name(path: &Path) -> Option<&str> {
    let mut components = path.components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) => name.to_str(),
        _ => None,
    }
}

fn places(name: &str) -> Vec<PathBuf> {
    let (here, program) = (std::env::current_dir().ok(), std::env::current_exe().ok());
    places_from(name, here.as_deref(), program.as_deref(), data_place(name))
}

/// Where a model may lie, in order of preference, each place once.
fn places_from(
    name: &str,
    current_dir: Option<&Path>,
    executable: Option<&Path>,
    in_data: Option<PathBuf>,
) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    let repositories = executable.into_iter().flat_map(|exe| exe.ancestors().skip(1));
    let folders = current_dir.into_iter().chain(repositories).map(|folder| folder.join("models").join(name));
    for place in folders.chain(in_data) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_folder_comes_first_then_the_repository_then_the_users_data() {
        let places = places_from(
            "default",
            Some(Path::new("/home/a")),
            Some(Path::new("/src/rasid/target/release/rasid")),
            Some(PathBuf::from("/home/a/.local/share/rasid/models/default")),
        );
        let expected = [
            "/home/a/models/default",
            "/src/rasid/target/release/models/default",
            "/src/rasid/target/models/default",
            "/src/rasid/models/default",
            "/src/models/default",
            "/models/default",
            "/home/a/.local/share/rasid/models/default",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
    }

    #[test]
    fn only_a_bare_name_is_looked_for() {
        assert_eq!(bare_name(Path::new("iraq-2024")), Some("iraq-2024"));
        for path in ["", ".", "..", "/", "models/iraq", "/iraq"] {
            assert_eq!(bare_name(Path::new(path)), None, "{path}");
        }
    }
}
