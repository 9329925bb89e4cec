//! Tagged articles → what is shown: JSON lines, CSV, a table for the terminal, an HTML page.
//!
//! Each format is a [`Report`] that is fed article by article, so that a stream of any length can be shown.

mod color;
mod counts;
mod direction;

pub mod csv;
pub mod evaluation;
pub mod html;
pub mod jsonl;
pub mod table;

pub use counts::{Counts, GroupCount};
pub use direction::Direction;

use crate::article::{TaggedArticle, TaggedSentence};
use crate::schema::Schema;
use std::io::{self, Write};

/// A format in the making. Every call writes whole lines (HTML: at [`Report::end`], the whole page).
pub trait Report {
    /// What stands before the first article.
    ///
    /// # Errors
    /// `out` refuses.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;

    /// One article.
    ///
    /// # Errors
    /// `out` refuses.
    fn article(&mut self, article: &TaggedArticle, out: &mut dyn Write) -> io::Result<()>;

    /// What stands behind the last article.
    ///
    /// # Errors
    /// `out` refuses.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// What a report knows of the run beside the articles.
#[derive(Debug, Clone)]
pub struct Context {
    /// Names, definitions and colours of the labels.
    pub schema: Schema,
    /// The model that tagged.
    pub model: ModelName,
    /// Sentences below it are marked as abstained; 0 to 1.
    pub min_confidence: f32,
    /// Show only sentences whose label in the first head is one of these; empty shows all.
    pub only: Vec<usize>,
    /// Show the terms of the lexicon that stand in each sentence.
    pub explain: bool,
}

/// How outputs name a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The name of its directory, or of the built-in baseline.
    pub name: String,
    /// Hexadecimal SHA-256 of its weights; none for a classifier without a file.
    pub sha256: Option<String>,
}

impl Context {
    /// The sentences to show, each with its index in the article (counted over all sentences from 0).
    pub fn shown<'a>(&self, article: &'a TaggedArticle) -> impl Iterator<Item = (usize, &'a TaggedSentence)> {
        article.sentences.iter().enumerate().filter(|(_, s)| self.shows(s))
    }

    /// Whether the sentence is among those asked for.
    pub fn shows(&self, sentence: &TaggedSentence) -> bool {
        self.only.is_empty() || sentence.prediction.tags.first().is_some_and(|tag| self.only.contains(&tag.label))
    }
}

/// The head whose answer the groups named in the sentence are evidence for; in a schema without it they stand alone.
const GROUPS_HEAD: &str = "perpetrator";

/// A probability for readers: `97 %`; never `100 %` or `0 %` where that would be rounding.
fn percent(probability: f32) -> String {
    match probability * 100.0 {
        p if p >= 99.5 && probability < 1.0 => ">99 %".into(),
        p if p < 0.5 && probability > 0.0 => "<1 %".into(),
        p => format!("{p:.0} %"),
    }
}

/// `1 article`, `2 articles`.
fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_never_round_to_certainty() {
        let shown: Vec<_> = [0.0, 0.001, 0.006, 0.374, 0.9949, 0.9951, 1.0].map(percent).into();
        assert_eq!(shown, ["0 %", "<1 %", "1 %", "37 %", "99 %", ">99 %", "100 %"]);
    }
}
