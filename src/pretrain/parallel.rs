//! Sentences that stand in several languages, for translation language modelling (Conneau and Lample, Cross-lingual Language
//! Model Pretraining, NeurIPS 2019): the network fills in a word of one language from the sentence in another.
//!
//! A set is the files of one name in several language folders, the same text in the same order: `ar/ntrex.txt`, `en/ntrex.txt`, ….
//! Which lines belong together is found by [`align`]; a file twice as long as the others that holds two
//! versions with a blank line between them (Persian and Dari) gives both.

use super::align::{Shape, Unaligned, align};
use super::cache::{TokenFile, cached, tokenize};
use super::corpus::Lines;
use super::recipe::DataRecipe;
use crate::error::Result;
use crate::tokens::Tokenizer;
use crate::tokens::corpus::{Source, each_line_or_blank};
use crate::train::batches::mix;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Sentences with their translations, as token ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parallel {
    files: Vec<(String, Arc<TokenFile>)>,
    /// A sentence each: (file, line) of every version, two languages or more.
    sentences: Vec<Vec<(u32, u32)>>,
    /// What was found of each set and what was left out, for the user.
    pub notes: Vec<String>,
}

/// A file of a set, or a part of it between blank lines.
struct Version {
    language: String,
    file: u32,
    first: usize,
    lines: Vec<Shape>,
}

impl Parallel {
    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.sentences.len()
    }

    /// Whether there is no sentence.
    pub fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    /// Number of versions of a sentence, in two or more languages.
    pub fn n_versions(&self, sentence: usize) -> usize {
        self.sentences[sentence].len()
    }

    /// Language and ids of a version of a sentence.
    pub fn version(&self, sentence: usize, version: usize) -> (&str, Vec<u32>) {
        let (file, line) = self.sentences[sentence][version];
        let (language, file) = &self.files[file as usize];
        (language, file.line(line as usize).collect())
    }
}

/// Aligns the sets that `data` names, of those sources that are there. A sentence of which a version is held out, in the language
/// where it is, is left out in all languages, so that perplexity is not measured on what was seen in a pair.
///
/// # Errors
/// A file cannot be read, the cache cannot be written. A set that is missing or cannot be aligned is no error but a note.
pub fn load(
    sources: &[Source],
    tokenizer: &Tokenizer,
    data: &DataRecipe,
    held_out: &BTreeMap<String, Lines>,
    cache: &Path,
) -> Result<Parallel> {
    let mut parallel = Parallel::default();
    let tokenizer_key = mix(&tokenizer.bytes().iter().step_by(97).map(|b| u64::from(*b)).collect::<Vec<_>>());
    if data.parallel_share == 0.0 {
        return Ok(parallel);
    }
    let seen: BTreeMap<&str, HashSet<u64>> = held_out.iter().map(|(l, lines)| (l.as_str(), hashes(lines))).collect();
    for name in &data.parallel {
        let mut versions: Vec<Vec<Version>> = Vec::new();
        for source in sources.iter().filter(|source| source.name == *name) {
            let size = std::fs::metadata(&source.path).map_or(0, |m| m.len());
            let key: Vec<u64> = source.name.bytes().map(u64::from).chain([size, tokenizer_key]).collect();
            let file = cached(cache, &format!("{}-{name}", source.language), mix(&key), |writer| {
                tokenize(source, tokenizer, |ids| writer.push(ids))
            })?;
            versions.push(blocks(source, parallel.files.len() as u32)?);
            parallel.files.push((source.language.clone(), Arc::new(file)));
        }
        let note = parallel.add(versions, data.max_tokens, &seen);
        parallel.notes.push(format!("parallel {name}: {note}"));
    }
    Ok(parallel)
}

impl Parallel {
    /// Aligns the files of a set, each as its blocks, and adds their sentences; what there is to say of it.
    fn add(&mut self, files: Vec<Vec<Version>>, max_tokens: usize, seen: &BTreeMap<&str, HashSet<u64>>) -> String {
        let whole: Vec<usize> = files.iter().map(|blocks| blocks.iter().map(|b| b.lines.len()).sum()).collect();
        let mut sorted = whole.clone();
        sorted.sort_unstable();
        let Some(median) = sorted.get(sorted.len() / 2).copied() else { return "no such source".into() };
        let is_like = |n: usize| 3 * n > median * 2 && 2 * n < median * 3;
        let mut notes = Vec::new();
        // A file of about the usual length is one version, blank lines or not; of another, each block of that length is.
        let mut versions = Vec::new();
        for (blocks, n) in files.into_iter().zip(whole) {
            let language = blocks.first().map_or(String::new(), |b| b.language.clone());
            let before = versions.len();
            if is_like(n) {
                versions.extend(blocks.into_iter().reduce(|mut all, block| {
                    all.lines.extend(block.lines);
                    all
                }));
            } else {
                versions.extend(blocks.into_iter().filter(|block| is_like(block.lines.len())));
            }
            if versions.len() == before {
                notes.push(format!("{language} left out, {n} lines where {median} are usual"));
            }
        }
        // The longest is what the others are aligned with: what it lacks is lost.
        let Some(pivot) = (0..versions.len()).rev().max_by_key(|i| versions[*i].lines.len()) else {
            return "no lines".into();
        };
        let start = |version: &Version, line: usize| (version.file, (version.first + line) as u32);
        let mut sentences: Vec<Vec<(u32, u32)>> = vec![Vec::new(); versions[pivot].lines.len()];
        let mut languages = Vec::new();
        for (i, version) in versions.iter().enumerate() {
            let pairs = match i == pivot {
                true => Ok((0..version.lines.len()).map(|line| (line, line)).collect()),
                false => align(&versions[pivot].lines, &version.lines),
            };
            match pairs {
                Ok(pairs) => {
                    pairs.into_iter().for_each(|(at, line)| sentences[at].push(start(version, line)));
                    languages.push(version.language.as_str());
                }
                Err(Unaligned::Unlike) => notes.push(format!(
                    "{} left out, its lines are no translations of those of {} in the same order",
                    version.language, versions[pivot].language
                )),
                Err(Unaligned::TooLong) => {
                    notes.push(format!("{} left out, too many lines to align", version.language))
                }
            }
        }
        let is_pair = |versions: &Vec<(u32, u32)>| {
            let language = |version: &(u32, u32)| &self.files[version.0 as usize].0;
            versions.iter().any(|version| language(version) != language(&versions[0]))
        };
        sentences.retain(is_pair);
        let n_pairs = sentences.len();
        sentences.retain(|versions| !versions.iter().any(|version| self.is_held_out(version, max_tokens, seen)));
        let n_held_out = n_pairs - sentences.len();
        let mut note = format!("{} sentences in {}", sentences.len(), languages.join(", "));
        if n_held_out > 0 {
            note += &format!("; {n_held_out} left out, because a version of them is held out");
        }
        self.sentences.append(&mut sentences);
        notes.iter().for_each(|other| note += &format!("; {other}"));
        note
    }

    fn is_held_out(&self, (file, line): &(u32, u32), max_tokens: usize, seen: &BTreeMap<&str, HashSet<u64>>) -> bool {
        let (language, file) = &self.files[*file as usize];
        let Some(seen) = seen.get(language.as_str()) else { return false };
        let ids: Vec<u32> = file.line(*line as usize).collect();
        super::corpus::chunks(&ids, max_tokens).any(|chunk| seen.contains(&hash(chunk.iter().copied())))
    }
}

fn hashes(lines: &Lines) -> HashSet<u64> {
    (0..lines.len()).map(|i| hash(lines.line(i))).collect()
}

fn hash(ids: impl Iterator<Item = u32>) -> u64 {
    mix(&ids.map(u64::from).collect::<Vec<_>>())
}

/// The shapes of a file's lines, cut at blank lines.
fn blocks(source: &Source, file: u32) -> Result<Vec<Version>> {
    let mut blocks: Vec<Version> = Vec::new();
    let (mut n_lines, mut after_blank) = (0, true);
    each_line_or_blank(&source.path, |line| {
        if line.is_empty() {
            after_blank = true;
            return;
        }
        if after_blank {
            let language = source.language.clone();
            blocks.push(Version { language, file, first: n_lines, lines: Vec::new() });
        }
        if let Some(block) = blocks.last_mut() {
            block.lines.push(Shape::of(line));
        }
        (n_lines, after_blank) = (n_lines + 1, false);
    })?;
    Ok(blocks)
}
