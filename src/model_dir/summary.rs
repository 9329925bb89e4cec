//! What there is to tell of a folder at a glance, and whether it is whole.

use super::CONFIG;
use super::config_json::ConfigJson;
use super::hub_cache::differs;
use super::open::check;
use super::weight_files::{PICKLE, WeightFiles};
use crate::error::{Error, Place, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A model at a glance; nothing but the small files is read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The folder.
    pub folder: String,
    /// Family of the encoder; empty where it is not known.
    pub family: String,
    /// Number of parameters; none where the weights cannot be looked at without reading them.
    pub parameters: Option<usize>,
    /// Size of all files, in bytes.
    pub bytes: u64,
    /// ISO 639 codes, as the card says.
    pub languages: Vec<String>,
    /// `head: n labels` of each head; a base has none.
    pub labels: Vec<String>,
    /// As the card says.
    pub license: Option<String>,
    /// Why it could not be opened.
    pub fault: Option<String>,
}

/// Looks into a folder; what is wrong with it is told in the summary.
pub fn summary(folder: &Path) -> Summary {
    let files = walkdir::WalkDir::new(folder).follow_links(true).into_iter().flatten();
    let bytes = files.filter(|f| f.file_type().is_file()).filter_map(|f| Some(f.metadata().ok()?.len())).sum();
    let (languages, license) = header(folder);
    let mut summary = Summary {
        folder: folder.display().to_string(),
        family: String::new(),
        parameters: None,
        bytes,
        languages,
        labels: Vec::new(),
        license,
        fault: None,
    };
    let path = folder.join(CONFIG);
    let config = fs::read(&path).map_err(Error::io("read", &path)).and_then(|bytes| ConfigJson::parse(&bytes, &path));
    match config {
        Err(Error::Bad { found, .. }) => summary.fault = Some(found),
        Err(error) => summary.fault = Some(error.to_string()),
        Ok(config) => {
            summary.family = config.model_type;
            summary.labels =
                config.heads.iter().map(|head| format!("{}: {} labels", head.name, head.end - head.start)).collect();
            // Headers only: safetensors are mapped. A pickle would have to be read.
            let is_pickle = folder.join(PICKLE).exists() && !folder.join(super::WEIGHTS).exists();
            match if is_pickle { None } else { Some(WeightFiles::find(folder)) } {
                None => {}
                Some(Ok(files)) => summary.parameters = Some(files.n_parameters()),
                Some(Err(Error::Bad { found, .. })) => summary.fault = Some(found),
                Some(Err(error)) => summary.fault = Some(error.to_string()),
            }
        }
    }
    summary
}

/// Languages and licence from the head of a card, between two lines of dashes, as the hub wants it.
pub fn header(folder: &Path) -> (Vec<String>, Option<String>) {
    let card = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    of_header(&card)
}

fn of_header(card: &str) -> (Vec<String>, Option<String>) {
    let (mut languages, mut license, mut in_languages) = (Vec::new(), None, false);
    let mut lines = card.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return (languages, license);
    }
    let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_string();
    for line in lines.take_while(|line| line.trim_end() != "---") {
        if let Some(item) = line.trim_start().strip_prefix("- ").filter(|_| in_languages) {
            languages.push(plain(item));
            continue;
        }
        in_languages = false;
        match line.split_once(':') {
            Some(("language", value)) if value.trim().is_empty() => in_languages = true,
            Some(("language", value)) => {
                let list = value.trim().trim_start_matches('[').trim_end_matches(']');
                languages.extend(list.split(',').map(plain).filter(|code| !code.is_empty()));
            }
            Some(("license", value)) => license = Some(plain(value)),
            _ => {}
        }
    }
    (languages, license)
}

/// A file of a model that was looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFile {
    /// Its name.
    pub name: String,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
    /// Whether there was a checksum to compare it with.
    pub is_compared: bool,
}

/// Checksums of a folder, as `sha256sum` writes them.
const CHECKSUMS: &str = "SHA256SUMS";

/// Opens a model, looks at every weight and compares its files with their checksums: those in SHA256SUMS, and in the cache of the
/// hub the names of the files that the links point at.
///
/// # Errors
/// The model cannot be opened; a weight is no number; a file is not what its checksum says.
pub fn verify(folder: &Path) -> Result<Vec<VerifiedFile>> {
    let path = folder.join(CONFIG);
    let config = ConfigJson::parse(&fs::read(&path).map_err(super::open::not_read(&path))?, &path)?;
    check(folder, &config)?;
    let weights = WeightFiles::find(folder)?;
    for (name, weight) in &weights.stored.0 {
        if let Some(i) = weight.to_f32().iter().position(|value| !value.is_finite()) {
            let found = format!("weight \"{name}\" whose value {i} is no number");
            let error = Error::bad(Place::file(&weights.path), found, "numbers");
            return Err(error.hint("the training that wrote it failed, or the file was damaged; fetch it again"));
        }
    }
    let listed = checksums(&folder.join(CHECKSUMS))?;
    let mut names: Vec<String> = fs::read_dir(folder)
        .map_err(Error::io("read", folder))?
        .flatten()
        .filter(|entry| entry.path().is_file() && entry.file_name() != CHECKSUMS)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if let Some(missing) = listed.keys().find(|name| !folder.join(name).is_file()) {
        let error = Error::bad(Place::file(folder.join(missing)), "no such file", format!("the file of {CHECKSUMS}"));
        return Err(error.hint("the folder was copied in part; fetch it again"));
    }
    names.into_iter().map(|name| verified(folder, name, &listed)).collect()
}

fn verified(folder: &Path, name: String, listed: &BTreeMap<String, String>) -> Result<VerifiedFile> {
    let path = folder.join(&name);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    let damaged = |found: String, expected: &str| {
        let error = Error::bad(Place::file(&path), found, format!("checksum {expected}"));
        error.hint("the file was damaged; `rasid models remove` it and fetch it again")
    };
    let expected = listed.get(&name);
    if let Some(expected) = expected.filter(|expected| **expected != sha256) {
        return Err(damaged(format!("{} bytes with checksum {sha256}", bytes.len()), expected));
    }
    // In the cache a file's own name is its checksum.
    let blob = fs::read_link(&path).ok().and_then(|target| target.file_name()?.to_str().map(String::from));
    let is_checksum =
        blob.as_deref().is_some_and(|b| [40, 64].contains(&b.len()) && b.bytes().all(|c| c.is_ascii_hexdigit()));
    if let Some(blob) = blob.filter(|_| is_checksum)
        && let Some(found) = differs(&path, &blob)?
    {
        return Err(damaged(found, &blob));
    }
    Ok(VerifiedFile { name, sha256, is_compared: expected.is_some() || is_checksum })
}

/// The lines of a file of checksums by name of the file; none if there is no such file.
fn checksums(path: &Path) -> Result<BTreeMap<String, String>> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let line = |(i, line): (usize, &str)| {
        let parts = line.split_once(' ').map(|(sum, name)| (name.trim_start_matches([' ', '*']), sum));
        let parts =
            parts.filter(|(name, sum)| sum.len() == 64 && Path::new(name).file_name().is_some_and(|f| f == *name));
        let (name, sum) = parts.ok_or_else(|| {
            Error::bad(Place::line(path, i as u64 + 1), format!("\"{line}\""), "a SHA-256 and a file of this folder")
        })?;
        Ok((name.to_string(), sum.to_lowercase()))
    };
    text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_card_tells_languages_and_licence() {
        let of = |card: &str| of_header(card);
        let list = "---\nlanguage:\n- ar\n- \"en\"\nlicense: mit\ntags:\n- x\n---\n# Card\n";
        assert_eq!(of(list), (vec!["ar".into(), "en".into()], Some("mit".into())));
        assert_eq!(of("---\nlanguage: [ar, fa]\n---\n").0, ["ar", "fa"]);
        assert_eq!(of("---\nlanguage: ku\n---\n").0, ["ku"]);
        assert_eq!(of("# Card\nlicense: mit\n"), (vec![], None));
    }
}
