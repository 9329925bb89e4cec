//! The files of a lexicon: types.toml says which types there are, one file a language which terms.

use crate::error::{Error, Place, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name of the file that lists the types.
pub(super) const TYPES: &str = "types.toml";

/// What a term can mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermType {
    /// Short name: `attack_verb`.
    pub name: String,
    /// What belongs to it.
    pub definition: String,
    /// Names of somebody or something: of two, one inside the other, only the longer counts.
    #[serde(default)]
    pub is_name: bool,
}

/// One way to write a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub text: String,
    pub term_type: usize,
    pub file: String,
}

/// The files of a lexicon by name, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LexiconFiles(pub BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypesFile {
    #[serde(rename = "type")]
    types: Vec<TermType>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsFile {
    terms: BTreeMap<String, Vec<String>>,
}

impl LexiconFiles {
    /// The files of labels/lexicon, compiled in.
    pub fn shipped() -> LexiconFiles {
        let files = [
            (TYPES, include_str!("../../labels/lexicon/types.toml")),
            ("ar.toml", include_str!("../../labels/lexicon/ar.toml")),
            ("ckb.toml", include_str!("../../labels/lexicon/ckb.toml")),
            ("en.toml", include_str!("../../labels/lexicon/en.toml")),
            ("fa.toml", include_str!("../../labels/lexicon/fa.toml")),
            ("fr.toml", include_str!("../../labels/lexicon/fr.toml")),
            ("kmr.toml", include_str!("../../labels/lexicon/kmr.toml")),
            ("tr.toml", include_str!("../../labels/lexicon/tr.toml")),
        ];
        LexiconFiles(files.into_iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
    }

    /// Reads `types.toml` and every `LANGUAGE.toml` of a folder.
    ///
    /// # Errors
    /// The folder or a file cannot be read, or there is no types.toml.
    pub fn read(folder: &Path) -> Result<LexiconFiles> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let path = entry.map_err(Error::io("list", folder))?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.insert(name, std::fs::read_to_string(&path).map_err(Error::io("read", &path))?);
            }
        }
        if !files.contains_key(TYPES) {
            let error = Error::bad(Place::file(folder), format!("no {TYPES}"), "a folder of lexicon files");
            return Err(error.hint("start from a copy of labels/lexicon"));
        }
        Ok(LexiconFiles(files))
    }

    /// Adds the terms of one more file, `LANGUAGE.toml` or `NAME.LANGUAGE.toml`; the types stay what they are.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        // The number keeps files of one name from two folders apart.
        self.0.insert(format!("added{}.{name}", self.0.len()), text);
        Ok(())
    }

    /// The types, and the terms of one more file under its own name.
    pub(super) fn alone(&self, path: &Path) -> Result<LexiconFiles> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let types = self.0.get(TYPES).cloned().unwrap_or_default();
        Ok(LexiconFiles(BTreeMap::from([(TYPES.to_string(), types), (name, text)])))
    }

    pub(super) fn types(&self, folder: &Path) -> Result<Vec<TermType>> {
        let file: TypesFile = toml(self.0.get(TYPES).map_or("", String::as_str), &folder.join(TYPES))?;
        Ok(file.types)
    }

    /// The languages of the files, each once.
    pub(super) fn languages(&self) -> BTreeSet<String> {
        self.0.keys().filter(|name| *name != TYPES).map(|name| language_of(name).to_string()).collect()
    }

    /// All terms of a language.
    pub(super) fn terms(&self, language: &str, types: &[TermType], folder: &Path) -> Result<Vec<Term>> {
        let mut terms = Vec::new();
        for (file, text) in self.0.iter().filter(|(name, _)| *name != TYPES && language_of(name) == language) {
            let path = folder.join(file);
            let parsed: TermsFile = toml(text, &path)?;
            for (name, texts) in parsed.terms {
                let Some(term_type) = types.iter().position(|t| t.name == name) else {
                    let known: Vec<&str> = types.iter().map(|t| t.name.as_str()).collect();
                    let found = format!("terms of an unknown type \"{name}\"");
                    return Err(Error::bad(Place::file(&path), found, format!("one of {}", known.join(", "))));
                };
                let texts = texts.iter().flat_map(|text| alternatives(text));
                terms.extend(texts.map(|text| Term { text, term_type, file: file.clone() }));
            }
        }
        Ok(terms)
    }
}

/// `ar` of `ar.toml` and of `mine.ar.toml`.
fn language_of(file: &str) -> &str {
    file.trim_end_matches(".toml").rsplit('.').next().unwrap_or("und")
}

fn toml<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map(|span| text[..span.start].matches('\n').count() as u64 + 1);
        let place = line.map_or_else(|| Place::file(path), |line| Place::line(path, line));
        Error::bad(place, e.message().to_string(), "a file as those in labels/lexicon")
    })
}

/// `{a,b,}c` → `ac`, `bc`, `c`; braces are not nested.
fn alternatives(text: &str) -> Vec<String> {
    let Some((before, rest)) = text.split_once('{') else { return vec![text.to_string()] };
    let Some((inside, after)) = rest.split_once('}') else { return vec![text.to_string()] };
    let tails = alternatives(after);
    inside.split(',').flat_map(|choice| tails.iter().map(move |tail| format!("{before}{choice}{tail}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_stand_for_each_of_their_parts() {
        assert_eq!(alternatives("{ي,}هاجم {x,y}"), ["يهاجم x", "يهاجم y", "هاجم x", "هاجم y"]);
        assert_eq!(alternatives("plain"), ["plain"]);
    }

    #[test]
    fn an_unknown_type_is_named() {
        let types = "[[type]]\nname = \"weapon\"\ndefinition = \"x\"\n";
        let files = [("types.toml", types), ("en.toml", "[terms]\nweapons = [\"rocket\"]\n")];
        let files = LexiconFiles(files.into_iter().map(|(n, t)| (n.into(), t.into())).collect());
        let types = files.types(Path::new("lexicon")).unwrap();
        let message = files.terms("en", &types, Path::new("lexicon")).unwrap_err().to_string();
        assert_eq!(message, "lexicon/en.toml: terms of an unknown type \"weapons\"; expected one of weapon");
    }
}
