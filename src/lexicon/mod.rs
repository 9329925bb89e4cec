//! What words mean, written down instead of learned: terms of some thirty types in every language, found in one pass.
//!
//! A small network cannot learn from little text that فكتوريا is a base and تبنّت a claim. The types are the same in all
//! languages, so what the network learns about them in Arabic holds in Kurdish. The terms lie in `labels/lexicon`, one file a
//! language; a user adds terms there without training anything.

mod file;
mod phrases;
mod slips;
mod words;

use crate::article::Span;
use crate::error::{Error, Place, Result};
use crate::memo::Memo;
use phrases::Phrases;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use words::words;

pub use file::{LexiconFiles, TermType};

/// Most types a lexicon can have: a token's types are the bits of one number.
pub const MAX_TYPES: usize = 64;

/// A term that stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermMatch {
    /// Bytes of the text.
    pub span: Span,
    /// Index into [`Lexicon::types`].
    pub term_type: usize,
}

/// Typed terms, ready to be searched for.
pub struct Lexicon {
    types: Vec<TermType>,
    // By language; built when the first text of the language comes, because tens of thousands of terms take a while.
    phrases: BTreeMap<String, Searched>,
    files: LexiconFiles,
}

/// The terms of a language, and what was found lately.
struct Searched {
    phrases: OnceLock<Phrases>,
    found: Memo<Box<str>, Vec<TermMatch>>,
}

/// Texts whose terms are kept: those of a batch of articles, and more.
const REMEMBERED: usize = 4096;

impl std::fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lexicon").field("n_types", &self.types.len()).field("languages", &self.phrases.keys()).finish()
    }
}

impl Lexicon {
    /// Builds the search from the files of a lexicon; `path` names their folder in messages.
    ///
    /// # Errors
    /// Broken TOML, an unknown type, a term without letters, a stem that would match nearly everything.
    pub fn new(files: LexiconFiles, path: &Path) -> Result<Lexicon> {
        let lexicon = Lexicon::unchecked(files, path)?;
        for (language, searched) in &lexicon.phrases {
            let built = lexicon.build(language, path)?;
            searched.phrases.get_or_init(|| built);
        }
        Ok(lexicon)
    }

    fn unchecked(files: LexiconFiles, path: &Path) -> Result<Lexicon> {
        let types = files.types(path)?;
        if types.len() > MAX_TYPES {
            let found = format!("{} types", types.len());
            return Err(Error::bad(Place::file(path), found, format!("at most {MAX_TYPES}")));
        }
        let searched = || Searched { phrases: OnceLock::new(), found: Memo::new(REMEMBERED) };
        let phrases = files.languages().into_iter().map(|language| (language, searched())).collect();
        Ok(Lexicon { types, phrases, files })
    }

    fn build(&self, language: &str, path: &Path) -> Result<Phrases> {
        let mut phrases = Phrases::default();
        for term in self.files.terms(language, &self.types, path)? {
            phrases.add(&term).map_err(|fault| {
                let found =
                    format!("\"{}\" among the terms of {} ({fault})", term.text, self.types[term.term_type].name);
                Error::bad(
                    Place::file(path.join(&term.file)),
                    found,
                    "words; * only at the end of a word, three letters in all",
                )
            })?;
        }
        Ok(phrases)
    }

    /// The lexicon of labels/lexicon, compiled in.
    ///
    /// # Errors
    /// Never in a release: a test builds it for every language.
    pub fn shipped() -> Result<Lexicon> {
        Lexicon::unchecked(LexiconFiles::shipped(), Path::new("labels/lexicon"))
    }

    /// This lexicon and the terms of more files, `LANGUAGE.toml` or `NAME.LANGUAGE.toml`; the types stay what they are.
    ///
    /// # Errors
    /// A file cannot be read or is none of terms of these types; the message names it as it was given.
    pub fn with_terms(&self, paths: &[PathBuf]) -> Result<Lexicon> {
        let mut files = self.files.clone();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == file::TYPES || !name.ends_with(".toml") {
                let found = "a name that says no language";
                return Err(Error::bad(
                    Place::file(path),
                    found,
                    "LANGUAGE.toml or NAME.LANGUAGE.toml, as mine.ar.toml",
                ));
            }
            Lexicon::new(files.alone(path)?, path.parent().unwrap_or(Path::new("")))?;
            files.add(path)?;
        }
        Lexicon::new(files, Path::new("labels/lexicon"))
    }

    /// The files it was made from, to be stored with a model.
    pub fn files(&self) -> &LexiconFiles {
        &self.files
    }

    /// The types, in the order of types.toml.
    pub fn types(&self) -> &[TermType] {
        &self.types
    }

    /// The languages that it has terms of, as ISO 639 codes.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.phrases.keys().map(String::as_str)
    }

    /// The terms in a text, by start. `language` is an ISO 639 code and decides which terms are looked for; of another language,
    /// or `und`, all are. Matches may overlap, but one inside a longer one of its type does not count, nor does a name inside a
    /// longer name.
    pub fn find(&self, text: &str, language: &str) -> Vec<TermMatch> {
        let Some(searched) = self.phrases.get(language) else { return self.search(text, self.languages()) };
        let answer = || Ok::<_, Infallible>(self.search(text, std::iter::once(language)));
        let Ok(found) = searched.found.get(text, answer);
        found.to_vec()
    }

    /// [`find`](Self::find) among the terms of some languages.
    fn search<'l>(&self, text: &str, languages: impl Iterator<Item = &'l str>) -> Vec<TermMatch> {
        let words = words(text);
        let in_language = |language: &'l str| {
            let build = || self.build(language, Path::new("labels/lexicon")).expect("the shipped terms are tested");
            self.phrases[language].phrases.get_or_init(build).find(&words, language)
        };
        let mut matches: Vec<TermMatch> = languages.flat_map(in_language).collect();
        let is_name = |m: &TermMatch| self.types[m.term_type].is_name;
        let all = matches.clone();
        let hides = |longer: &TermMatch, m: &TermMatch| {
            longer.span.start <= m.span.start
                && m.span.end <= longer.span.end
                && longer.span != m.span
                && (longer.term_type == m.term_type || is_name(longer) && is_name(m))
        };
        matches.retain(|m| !all.iter().any(|longer| hides(longer, m)));
        matches.sort_by_key(|m| (m.span.start, m.span.end, m.term_type));
        matches.dedup();
        matches
    }
}
