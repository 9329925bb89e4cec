//! How finely a tokenizer cuts a text, and how much of it it does not know.

use super::Tokenizer;
use crate::error::Result;

/// Counts over a text; add lines, divide last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fertility {
    /// Words between white space.
    pub n_words: u64,
    /// Words, marks and numbers as the tokenizer splits a text before it cuts words.
    pub n_units: u64,
    /// Subwords, without special tokens.
    pub n_tokens: u64,
    /// Subwords that are `[UNK]`.
    pub n_unknown: u64,
    /// Characters that are not white space.
    pub n_characters: u64,
}

impl Fertility {
    /// Counts a line as well.
    ///
    /// # Errors
    /// The tokenizer refuses the line.
    pub fn add(&mut self, tokenizer: &Tokenizer, line: &str) -> Result<()> {
        let pieces = tokenizer.pieces(line, None)?;
        let ids = &pieces.ids;
        let unknown = tokenizer.special().unknown;
        self.n_words += line.split_whitespace().count() as u64;
        self.n_units += pieces.words.chunk_by(|a, b| a == b).count() as u64;
        self.n_tokens += ids.len() as u64;
        self.n_unknown += ids.iter().filter(|id| **id == unknown).count() as u64;
        self.n_characters += line.chars().filter(|c| !c.is_whitespace()).count() as u64;
        Ok(())
    }

    /// Tokens a unit: a word, a punctuation mark, a number; none without any. The usual fertility, of text split before.
    pub fn tokens_per_unit(&self) -> Option<f64> {
        ratio(self.n_tokens, self.n_units)
    }

    /// Tokens a word between white space, the marks that stand at it included; none without words.
    pub fn tokens_per_word(&self) -> Option<f64> {
        ratio(self.n_tokens, self.n_words)
    }

    /// Share of tokens that are unknown, 0 to 1; none without tokens.
    pub fn unknown_share(&self) -> Option<f64> {
        ratio(self.n_unknown, self.n_tokens)
    }

    /// Characters a token; none without tokens.
    pub fn characters_per_token(&self) -> Option<f64> {
        ratio(self.n_characters, self.n_tokens)
    }
}

fn ratio(a: u64, b: u64) -> Option<f64> {
    (b > 0).then(|| a as f64 / b as f64)
}
