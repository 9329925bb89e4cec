//! What words mean, written down instead of learned: terms of some thirty types in every language, found in one pass.
//!
//! A small network cannot learn from little text that فكتوريا is a base and تبنّت a claim. The types are the same in all
//! languages, so what the network learns about them in Arabic holds in Kurdish. The terms lie in `labels/lexicon`, one file a
//! language; a user adds terms there without training anything.

mod file;
mod phrases;
mod words;

use crate::article::Span;
use crate::error::{Error, Place, Result};
use phrases::Phrases;
use std::path::Path;

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
    phrases: Phrases,
    files: LexiconFiles,
}

impl std::fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lexicon").field("n_types", &self.types.len()).field("n_terms", &self.phrases.len()).finish()
    }
}

impl Lexicon {
    /// Builds the search from the files of a lexicon; `path` names their folder in messages.
    ///
    /// # Errors
    /// Broken TOML, an unknown type, a term without letters, a stem that would match nearly everything.
    pub fn new(files: LexiconFiles, path: &Path) -> Result<Lexicon> {
        let (types, terms) = files.parse(path)?;
        if types.len() > MAX_TYPES {
            let found = format!("{} types", types.len());
            return Err(Error::bad(Place::file(path), found, format!("at most {MAX_TYPES}")));
        }
        let mut phrases = Phrases::default();
        for term in &terms {
            let anywhere = types[term.term_type].every_language;
            phrases.add(term, anywhere).map_err(|fault| {
                let found = format!("\"{}\" among the terms of {} ({fault})", term.text, types[term.term_type].name);
                Error::bad(
                    Place::file(path.join(&term.file)),
                    found,
                    "words; * only at the end of three letters or more",
                )
            })?;
        }
        Ok(Lexicon { types, phrases, files })
    }

    /// The lexicon of labels/lexicon, compiled in.
    ///
    /// # Errors
    /// Never in a release: a test parses the files.
    pub fn shipped() -> Result<Lexicon> {
        Lexicon::new(LexiconFiles::shipped(), Path::new("labels/lexicon"))
    }

    /// The files it was made from, to be stored with a model.
    pub fn files(&self) -> &LexiconFiles {
        &self.files
    }

    /// The types, in the order of types.toml.
    pub fn types(&self) -> &[TermType] {
        &self.types
    }

    /// Number of terms, each alternative counted.
    pub fn n_terms(&self) -> usize {
        self.phrases.len()
    }

    /// The terms in a text, by start. `language` is an ISO 639 code or `und` (all languages): it decides which file's terms are
    /// looked for; types of names are looked for in all. Matches may overlap, but one inside a longer one of its type does not
    /// count, nor does a name inside a longer name.
    pub fn find(&self, text: &str, language: &str) -> Vec<TermMatch> {
        let mut matches = self.phrases.find(text, language);
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
