//! Text files → token ids, kept in a cache, and parted into lines to learn from and lines held out.

use super::cache::{TokenFile, cached, tokenize};
use super::parallel::{self, Parallel};
use super::recipe::DataRecipe;
use crate::error::{Error, Place, Result};
use crate::tokens::Tokenizer;
use crate::tokens::corpus::Source;
use crate::train::batches::mix;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A part of the lines of one language as token ids, without special tokens; a view into the cache.
#[derive(Debug, Clone)]
pub struct Lines {
    file: Arc<TokenFile>,
    every: usize,
    n_held_out: usize,
    held_out: bool,
    n_tokens: usize,
}

/// Training and held-out lines by language.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// Lines to learn from.
    pub train: BTreeMap<String, Lines>,
    /// Lines to measure perplexity on.
    pub held_out: BTreeMap<String, Lines>,
    /// Sentences that stand in several languages.
    pub parallel: Parallel,
}

impl Lines {
    /// Of every so many lines the last is held out, until `held_out_lines` are: (lines to learn from, lines held out).
    fn parts(file: TokenFile, held_out_lines: usize) -> (Lines, Lines) {
        let every = (file.n_lines() / held_out_lines.max(1)).max(20);
        let n_held_out = (file.n_lines() / every).min(held_out_lines);
        let n_tokens = file.n_tokens();
        let mut held_out = Lines { file: Arc::new(file), every, n_held_out, held_out: true, n_tokens: 0 };
        held_out.n_tokens = (0..n_held_out).map(|i| held_out.file.line_tokens(held_out.place(i))).sum();
        let train = Lines { held_out: false, n_tokens: n_tokens - held_out.n_tokens, ..held_out.clone() };
        (train, held_out)
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        if self.held_out { self.n_held_out } else { self.file.n_lines() - self.n_held_out }
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The ids of a line.
    pub fn line(&self, i: usize) -> impl Iterator<Item = u32> + '_ {
        assert!(i < self.len(), "line {i} of {}", self.len());
        self.file.line(self.place(i))
    }

    /// Where line `i` of this part stands among all.
    fn place(&self, i: usize) -> usize {
        match self.held_out {
            true => (i + 1) * self.every - 1,
            // Before it, one line was held out of each full round.
            false => i + (i / (self.every - 1)).min(self.n_held_out),
        }
    }
}

impl PartialEq for Lines {
    fn eq(&self, other: &Lines) -> bool {
        self.len() == other.len() && (0..self.len()).all(|i| self.line(i).eq(other.line(i)))
    }
}

/// Tokenizes all sources, or maps what an earlier call left in `cache` for the same files and tokenizer.
///
/// # Errors
/// A file cannot be read, a vocabulary of more than 65,536 entries, a cache that cannot be written.
pub fn load(sources: &[Source], tokenizer: &Tokenizer, data: &DataRecipe, cache: &Path) -> Result<Corpus> {
    if tokenizer.vocab_size() > usize::from(u16::MAX) + 1 {
        let found = format!("{} entries", tokenizer.vocab_size());
        return Err(Error::bad(Place::file("the tokenizer"), found, "at most 65536"));
    }
    let mut by_language: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    sources.iter().for_each(|s| by_language.entry(&s.language).or_default().push(s));
    std::fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let mut corpus = Corpus { train: BTreeMap::new(), held_out: BTreeMap::new(), parallel: Parallel::default() };
    for (language, sources) in by_language {
        let mut key = vec![data.max_tokens as u64];
        for source in &sources {
            let size = std::fs::metadata(&source.path).map_err(Error::io("read", &source.path))?.len();
            key.extend(source.name.bytes().map(u64::from));
            key.push(size);
        }
        key.extend(tokenizer.bytes().iter().step_by(97).map(|b| u64::from(*b)));
        let file = cached(cache, language, mix(&key), |writer| {
            sources.iter().try_for_each(|source| {
                tokenize(source, tokenizer, |ids| chunks(ids, data.max_tokens).try_for_each(|chunk| writer.push(chunk)))
            })
        })?;
        let (train, held_out) = Lines::parts(file, data.held_out_lines);
        corpus.train.insert(language.to_string(), train);
        corpus.held_out.insert(language.to_string(), held_out);
    }
    corpus.parallel = parallel::load(sources, tokenizer, data, &corpus.held_out, cache)?;
    Ok(corpus)
}

/// A line in pieces that fit into a sequence, with room for three special tokens; one of less than three tokens teaches nothing.
pub(super) fn chunks(ids: &[u32], max_tokens: usize) -> impl Iterator<Item = &[u32]> {
    ids.chunks(max_tokens - 3).filter(|chunk| chunk.len() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_are_those_of_a_walk_over_all_lines(n in 0usize..300, held_out_lines in 0usize..8) {
            let dir = tempfile::tempdir().unwrap();
            let file = cached(dir.path(), "a", 1, |writer| (0..n as u32).try_for_each(|i| writer.push(&[i, i]))).unwrap();
            let (mut train, mut held_out) = (Vec::new(), Vec::new());
            let every = (n / held_out_lines.max(1)).max(20);
            for i in 0..n {
                let is_held_out = i % every == every - 1 && held_out.len() < held_out_lines;
                if is_held_out { held_out.push(i as u32) } else { train.push(i as u32) }
            }
            let parts = Lines::parts(file, held_out_lines);
            for (lines, expected) in [(&parts.0, train), (&parts.1, held_out)] {
                let found: Vec<u32> = (0..lines.len()).map(|i| lines.line(i).next().unwrap()).collect();
                prop_assert_eq!(lines.n_tokens(), 2 * expected.len());
                prop_assert_eq!(found, expected);
            }
        }
    }
}
