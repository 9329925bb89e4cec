//! Labels → examples: sentences with their gold labels.

mod agreement;
mod article_files;
mod check;
mod folds;
mod near;
mod open;
mod read;
mod record;
mod write;

pub use agreement::{Agreement, HeadAgreement, agreement};
pub use check::{CheckReport, ClassCounts, Finding, FindingKind, HeadCounts, SplitCounts, check};
pub use folds::{Folds, folds_by_article, of_split};
pub use open::{OpenRow, OpenTable, Search, sentence_hash};
pub use read::read_examples;
pub use write::{json_line, write_examples};

use crate::article::SentenceInput;
use crate::error::Place;

/// Which part of the data an article belongs to. Always whole articles, never single sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// The model learns from it.
    Train,
    /// Choices are made on it.
    Dev,
    /// Looked at once per release of a model.
    Test,
}

impl Split {
    /// All of them, in reading order.
    pub const ALL: [Split; 3] = [Split::Train, Split::Dev, Split::Test];

    /// As it stands in files: `train`, `dev`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Dev => "dev",
            Split::Test => "test",
        }
    }

    /// The split of that name.
    pub fn from_name(name: &str) -> Option<Split> {
        Split::ALL.into_iter().find(|split| split.name() == name)
    }
}

/// A sentence with its gold labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The sentence's own id, if it has one.
    pub id: Option<String>,
    /// The article it stands in: the unit of splits, folds and bootstrap.
    pub article_id: String,
    /// ISO 639 code.
    pub language: String,
    /// The article's headline.
    pub title: Option<String>,
    /// The sentence before.
    pub previous: Option<String>,
    /// The sentence.
    pub text: String,
    /// First byte in the article, if known.
    pub start: Option<usize>,
    /// One past the last byte in the article, if known.
    pub end: Option<usize>,
    /// One entry a head of the schema: index of the gold class, or none where the sentence was not labelled for that head.
    pub labels: Vec<Option<usize>>,
    /// Its split, if the file says so.
    pub split: Option<Split>,
    /// Where the sentence comes from: `seed`, `written`, …
    pub source: Option<String>,
    /// Who labelled it.
    pub annotator: Option<String>,
    /// File and line it was read from.
    pub place: Place,
}

impl Example {
    /// What a classifier sees of it.
    pub fn input(&self) -> SentenceInput<'_> {
        SentenceInput::of(&self.language, &self.text, &self.title, &self.previous)
    }
}
