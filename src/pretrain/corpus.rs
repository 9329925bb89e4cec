//! Text files → token ids, kept in a cache, and the sequences drawn from them.

use super::recipe::DataRecipe;
use crate::error::{Error, Place, Result};
use crate::model::mode::splitmix64;
use crate::tokens::corpus::{Source, each_line};
use crate::tokens::{Encoded, Tokenizer};
use crate::train::batches::{epoch_order, mix};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The lines of one language as token ids, without special tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    ids: Vec<u16>,
    starts: Vec<u32>, // n_lines + 1
}

/// Training and held-out lines by language.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// Lines to learn from.
    pub train: BTreeMap<String, Lines>,
    /// Lines to measure perplexity on.
    pub held_out: BTreeMap<String, Lines>,
}

impl Lines {
    fn push(&mut self, ids: &[u32]) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.ids.extend(ids.iter().map(|id| *id as u16));
        self.starts.push(self.ids.len() as u32);
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.ids.len()
    }

    /// The ids of a line.
    pub fn line(&self, i: usize) -> impl Iterator<Item = u32> + '_ {
        self.ids[self.starts[i] as usize..self.starts[i + 1] as usize].iter().map(|id| u32::from(*id))
    }
}

/// Tokenizes all sources, or reads what an earlier call left in `cache` for the same files and tokenizer.
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
    let mut corpus = Corpus { train: BTreeMap::new(), held_out: BTreeMap::new() };
    for (language, sources) in by_language {
        let mut key = vec![data.max_tokens as u64];
        for source in &sources {
            let size = std::fs::metadata(&source.path).map_err(Error::io("read", &source.path))?.len();
            key.extend(source.name.bytes().map(u64::from));
            key.push(size);
        }
        key.extend(tokenizer.bytes().iter().step_by(97).map(|b| u64::from(*b)));
        let file = cache.join(format!("{language}-{:016x}.bin", mix(&key)));
        let lines = match read_cache(&file) {
            Some(lines) => lines,
            None => {
                let lines = tokenize(&sources, tokenizer, data.max_tokens)?;
                write_cache(&file, &lines)?;
                lines
            }
        };
        let (mut train, mut held_out) = (Lines::default(), Lines::default());
        let every = (lines.len() / data.held_out_lines.max(1)).max(20);
        for i in 0..lines.len() {
            let ids: Vec<u32> = lines.line(i).collect();
            if i % every == every - 1 && held_out.len() < data.held_out_lines {
                held_out.push(&ids)
            } else {
                train.push(&ids)
            }
        }
        corpus.train.insert(language.to_string(), train);
        corpus.held_out.insert(language.to_string(), held_out);
    }
    Ok(corpus)
}

/// Lines as ids; one longer than a sequence (with room for three special tokens) becomes several.
fn tokenize(sources: &[&Source], tokenizer: &Tokenizer, max_tokens: usize) -> Result<Lines> {
    let mut lines = Lines::default();
    for source in sources {
        let mut fault = None;
        each_line(&source.path, |line| match tokenizer.text_ids(line) {
            Ok(ids) => ids.chunks(max_tokens - 3).filter(|c| c.len() > 2).for_each(|chunk| lines.push(chunk)),
            Err(e) => fault = Some(e),
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
    }
    Ok(lines)
}

/// Layout: number of lines + 1 (u64), the starts (u32 each), the ids (u16 each), little-endian.
fn write_cache(path: &Path, lines: &Lines) -> Result<()> {
    let mut bytes = (lines.starts.len() as u64).to_le_bytes().to_vec();
    lines.starts.iter().for_each(|s| bytes.extend(s.to_le_bytes()));
    lines.ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
    let beside = path.with_extension("part");
    std::fs::write(&beside, bytes).map_err(Error::io("write", &beside))?;
    std::fs::rename(&beside, path).map_err(Error::io("write", path))
}

fn read_cache(path: &Path) -> Option<Lines> {
    let bytes = std::fs::read(path).ok()?;
    let n = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?) as usize;
    let starts =
        bytes.get(8..8 + 4 * n)?.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let ids = bytes.get(8 + 4 * n..)?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    Some(Lines { ids, starts })
}

/// Where the drawing of sequences stands; part of the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// State of the generator.
    pub state: u64,
    /// Lines drawn so far by language.
    pub drawn: BTreeMap<String, u64>,
}

/// Draws sequences: a language in proportion to its tokens to a power, then the next line of its shuffled order.
pub struct Sampler<'c> {
    corpus: &'c Corpus,
    data: &'c DataRecipe,
    seed: u64,
    shares: Vec<(&'c str, f64)>,
    orders: BTreeMap<&'c str, (u64, Vec<usize>)>,
    /// Where it stands.
    pub cursor: Cursor,
}

impl<'c> Sampler<'c> {
    /// A sampler at `cursor`.
    pub fn new(corpus: &'c Corpus, data: &'c DataRecipe, seed: u64, cursor: Cursor) -> Sampler<'c> {
        let filled = corpus.train.iter().filter(|(_, lines)| !lines.is_empty());
        let shares: Vec<(&str, f64)> = filled
            .map(|(language, lines)| (language.as_str(), (lines.n_tokens() as f64).powf(data.language_exponent)))
            .collect();
        Sampler { corpus, data, seed, shares, orders: BTreeMap::new(), cursor }
    }

    /// The next batch of sequences with at least `batch_tokens` tokens in all.
    pub fn batch(&mut self, batch_tokens: usize, tokenizer: &Tokenizer) -> Vec<Encoded> {
        let (mut batch, mut n) = (Vec::new(), 0);
        while n < batch_tokens {
            let sequence = self.sequence(tokenizer);
            n += sequence.ids.len();
            batch.push(sequence);
        }
        batch
    }

    fn sequence(&mut self, tokenizer: &Tokenizer) -> Encoded {
        let mut uniform = || (splitmix64(&mut self.cursor.state) >> 11) as f64 / (1u64 << 53) as f64;
        let total: f64 = self.shares.iter().map(|(_, share)| share).sum();
        let (mut at, with_previous) = (uniform() * total, uniform() < self.data.previous_line);
        let mut language = self.shares[self.shares.len() - 1].0;
        for (name, share) in &self.shares {
            if at < *share {
                language = name;
                break;
            }
            at -= share;
        }
        let lines = &self.corpus.train[language];
        let drawn = self.cursor.drawn.entry(language.to_string()).or_default();
        let (round, position) = (*drawn / lines.len() as u64, (*drawn % lines.len() as u64) as usize);
        *drawn += 1;
        let order = self.orders.entry(language).or_insert_with(|| (u64::MAX, Vec::new()));
        if order.0 != round {
            let name: Vec<u64> = language.bytes().map(u64::from).collect();
            *order = (round, epoch_order(lines.len(), mix(&[self.seed, mix(&name)]), round as usize));
        }
        let i = order.1[position];
        let previous = (with_previous && i > 0).then(|| lines.line(i - 1).collect::<Vec<_>>());
        sequence(lines.line(i), previous, self.data.max_tokens, tokenizer)
    }
}

/// `[CLS] line [SEP]`, and behind it `[PREV] end of the line before [SEP]` as far as there is room.
pub fn sequence(
    line: impl Iterator<Item = u32>,
    previous: Option<Vec<u32>>,
    max_tokens: usize,
    tokenizer: &Tokenizer,
) -> Encoded {
    let special = tokenizer.special();
    let mut ids = vec![special.cls];
    ids.extend(line);
    ids.push(special.sep);
    let sentence_tokens = ids.len();
    if let Some(previous) = previous {
        let room = max_tokens.saturating_sub(sentence_tokens + 2);
        if room >= 8 {
            ids.push(special.previous);
            ids.extend(&previous[previous.len().saturating_sub(room)..]);
            ids.push(special.sep);
        }
    }
    let types = (0..ids.len()).map(|i| if i < sentence_tokens { 0 } else { 2 }).collect();
    Encoded { ids, types, sentence_tokens, ..Encoded::default() }
}
