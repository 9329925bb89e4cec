//! The sequences drawn from a corpus.

use super::corpus::Corpus;
use super::recipe::DataRecipe;
use crate::model::mode::uniform;
use crate::tokens::{Encoded, Tokenizer};
use crate::train::batches::{epoch_order, mix};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the drawing of sequences stands; part of the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// State of the generator.
    pub state: u64,
    /// Lines drawn so far by language.
    pub drawn: BTreeMap<String, u64>,
    /// Pairs of translations drawn so far.
    #[serde(default)]
    pub pairs: u64,
}

/// Draws sequences: now and then a sentence in two languages, else a language in proportion to its tokens to a power, then the next line of its shuffled order.
pub struct Sampler<'c> {
    corpus: &'c Corpus,
    data: &'c DataRecipe,
    seed: u64,
    shares: Vec<(&'c str, f64)>,
    orders: BTreeMap<&'c str, (u64, Vec<usize>)>,
    pair_order: (u64, Vec<usize>),
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
        Sampler { corpus, data, seed, shares, orders: BTreeMap::new(), pair_order: (u64::MAX, Vec::new()), cursor }
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

    fn uniform(&mut self) -> f64 {
        uniform(&mut self.cursor.state)
    }

    /// The next sentence of a shuffled order, in two languages drawn at random.
    fn pair(&mut self, tokenizer: &Tokenizer) -> Encoded {
        let parallel = &self.corpus.parallel;
        let n = parallel.len() as u64;
        let (round, position) = (self.cursor.pairs / n, (self.cursor.pairs % n) as usize);
        self.cursor.pairs += 1;
        if self.pair_order.0 != round {
            self.pair_order = (round, epoch_order(parallel.len(), mix(&[self.seed, 5]), round as usize));
        }
        let sentence = self.pair_order.1[position];
        let versions: Vec<_> = (0..parallel.n_versions(sentence)).map(|v| parallel.version(sentence, v)).collect();
        let first = (self.uniform() * versions.len() as f64) as usize;
        let others: Vec<_> = versions.iter().filter(|(language, _)| *language != versions[first].0).collect();
        let second = (self.uniform() * others.len() as f64) as usize;
        pair(&versions[first].1, &others[second].1, self.data.max_tokens, tokenizer)
    }

    fn sequence(&mut self, tokenizer: &Tokenizer) -> Encoded {
        // Without pairs nothing is drawn for them: the sequences of a seed stay what they were.
        if !self.corpus.parallel.is_empty() && self.uniform() < self.data.parallel_share {
            return self.pair(tokenizer);
        }
        let mut uniform = || uniform(&mut self.cursor.state);
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
    let line: Vec<u32> = line.collect();
    let room = max_tokens.saturating_sub(line.len() + 4);
    let previous = previous.as_ref().filter(|_| room >= 8);
    lay_out(&line, previous.map(|previous| &previous[previous.len().saturating_sub(room)..]), tokenizer)
}

/// `[CLS] sentence [SEP] [PREV] translation [SEP]`: a translation stands where the sentence before does. What is too long together
/// loses its end in both, the shorter one only if it is longer than half.
pub fn pair(sentence: &[u32], translation: &[u32], max_tokens: usize, tokenizer: &Tokenizer) -> Encoded {
    let room = max_tokens.saturating_sub(4);
    let kept = |own: usize, other: usize| own.min((room - room / 2).max(room.saturating_sub(other)));
    let n_sentence = kept(sentence.len(), translation.len());
    let n_translation = translation.len().min(room - n_sentence);
    lay_out(&sentence[..n_sentence], Some(&translation[..n_translation]), tokenizer)
}

fn lay_out(sentence: &[u32], context: Option<&[u32]>, tokenizer: &Tokenizer) -> Encoded {
    let special = tokenizer.special();
    let mut ids = vec![special.cls];
    ids.extend(sentence);
    ids.push(special.sep);
    let sentence_tokens = ids.len();
    if let Some(context) = context {
        ids.extend(special.previous);
        ids.extend(context);
        ids.push(special.sep);
    }
    let types = (0..ids.len()).map(|i| if i < sentence_tokens { 0 } else { 2 }).collect();
    Encoded { ids, types, sentence_tokens, ..Encoded::default() }
}
