//! Word counts of several languages → a tokenizer.json, the same bytes for the same counts.

use super::normalizer::{normalizer, pre_tokenizer};
use super::tokenizer::Special;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::{ModelWrapper, bpe};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

/// How words are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The likeliest cut under a unigram model of subwords (Kudo 2018).
    Unigram,
    /// Byte-pair encoding on characters: the most frequent pair is joined first.
    Bpe,
}

/// What a tokenizer is trained with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// How words are cut.
    pub kind: Kind,
    /// Entries of the vocabulary, special tokens included.
    pub vocab_size: usize,
    /// A language with the share p of all words weighs p^exponent: 1 as it is, 0 all alike.
    pub exponent: f64,
    /// Share of all characters that must be in the vocabulary; the rarest beyond it become `[UNK]`.
    pub coverage: f64,
    /// Different words that are looked at, the most frequent ones; bounds time and memory.
    pub max_words: usize,
}

/// How often each word between white space occurs, weighted; one entry a language.
pub type WordCounts = BTreeMap<String, HashMap<String, f64>>;

/// Longer words are no words, and would make the sums over their cuts overflow.
const MAX_WORD_CHARS: usize = 48;
const MAX_PIECE_CHARS: usize = 16;

/// In the vocabulary however rare they are: what lower-cased ASCII prints, such as the # of tweets.
fn ascii() -> impl Iterator<Item = char> {
    ('!'..='~').filter(|c| !c.is_ascii_uppercase())
}

/// Trains a tokenizer and returns its tokenizer.json. `Kind::Unigram` takes some minutes.
///
/// # Errors
/// There are no words, or the vocabulary is too small for the characters in them.
pub fn train(counts: &WordCounts, recipe: &Recipe) -> Result<Vec<u8>> {
    let words = frequent_words(balanced(counts, recipe.exponent)?, recipe);
    if words.is_empty() {
        return Err(Error::Usage("the corpus has no words to train a tokenizer on".to_owned()));
    }
    let n_characters = words.iter().flat_map(|(word, _)| word.chars()).chain(ascii()).collect::<HashSet<_>>().len();
    let least = Special::NAMES.len() + n_characters;
    if recipe.vocab_size <= least {
        return Err(Error::Usage(format!(
            "--vocab-size is {}; expected more than {least} (special tokens and the characters of the corpus)",
            recipe.vocab_size
        )));
    }
    // sums in another order round otherwise: one thread makes the bytes repeatable
    tokenizers::parallelism::set_parallelism(false);
    let model = match recipe.kind {
        Kind::Unigram => train_unigram(words, recipe.vocab_size)?,
        Kind::Bpe => train_bpe(&words, recipe.vocab_size)?,
    };
    assemble(model)
}

/// Folds and splits the words and adds them up over the languages, each language scaled to its share.
fn balanced(counts: &WordCounts, exponent: f64) -> Result<HashMap<String, f64>> {
    let normalizer = normalizer()?;
    let pre_tokenizer = pre_tokenizer();
    let total = |words: &HashMap<String, f64>| {
        // summed in a fixed order: a hash map's own changes from run to run, and with it the rounding
        let mut values: Vec<f64> = words.values().copied().collect();
        values.sort_by(f64::total_cmp);
        values.iter().sum::<f64>()
    };
    let largest = counts.values().map(total).fold(0.0, f64::max);
    let mut sum = HashMap::new();
    for words in counts.values() {
        let factor = (total(words) / largest).powf(exponent - 1.0);
        let mut words: Vec<_> = words.iter().collect();
        words.sort_by(|a, b| a.0.cmp(b.0));
        for (word, count) in words {
            let mut normalized = NormalizedString::from(word.as_str());
            normalizer.normalize(&mut normalized).map_err(refused)?;
            let mut split = PreTokenizedString::from(normalized);
            pre_tokenizer.pre_tokenize(&mut split).map_err(refused)?;
            for (piece, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
                *sum.entry(piece.to_owned()).or_insert(0.0) += count * factor;
            }
        }
    }
    Ok(sum)
}

/// The most frequent words made of covered characters, with whole counts, by word.
fn frequent_words(words: HashMap<String, f64>, recipe: &Recipe) -> Vec<(String, u32)> {
    let mut words: Vec<(String, u32)> = words
        .into_iter()
        .filter(|(word, _)| !word.is_empty() && word.chars().count() <= MAX_WORD_CHARS)
        .map(|(word, count)| (word, count.round().clamp(1.0, f64::from(u32::MAX / 1024)) as u32))
        .collect();
    let covered = covered_characters(&words, recipe.coverage);
    words.retain(|(word, _)| word.chars().all(|c| covered.contains(&c)));
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    words.truncate(recipe.max_words);
    words.sort();
    words
}

/// The most frequent characters that together make up the share `coverage` of all, and ASCII.
fn covered_characters(words: &[(String, u32)], coverage: f64) -> HashSet<char> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (word, count) in words {
        for c in word.chars() {
            *counts.entry(c).or_insert(0) += u64::from(*count);
        }
    }
    let mut counts: Vec<(u64, char)> = counts.into_iter().map(|(c, count)| (count, c)).collect();
    counts.sort_by(|a, b| b.cmp(a));
    let wanted = coverage * counts.iter().map(|(count, _)| *count).sum::<u64>() as f64;
    let mut seen = 0.0;
    let enough = |(count, _): &&(u64, char)| {
        let missing = seen < wanted;
        seen += *count as f64;
        missing
    };
    counts.iter().take_while(enough).map(|(_, c)| *c).chain(ascii()).collect()
}

fn train_unigram(words: Vec<(String, u32)>, vocab_size: usize) -> Result<ModelWrapper> {
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(vocab_size as u32)
        .special_tokens(special_tokens())
        .initial_alphabet(ascii().collect())
        .unk_token(Some(Special::NAMES[1].to_owned()))
        .max_piece_length(MAX_PIECE_CHARS)
        .seed_size(vocab_size * 12)
        .build()
        .map_err(|e| Error::Tokenizer(e.to_string()))?;
    let mut model = Unigram::default();
    trainer.do_train(words, &mut model).map_err(refused)?;
    let model = Unigram::from(in_fixed_order(&model), Some(1), false).map_err(refused)?;
    Ok(ModelWrapper::Unigram(model))
}

/// The vocabulary with the special tokens first, then by falling score, then by text.
///
/// The trainer gives characters that it had pruned a score each from the lowest upwards, in steps of 1e-4, in the order of a
/// hash set with random keys; here they get the same scores in the order of the characters.
fn in_fixed_order(model: &Unigram) -> Vec<(String, f64)> {
    const STEP: f64 = 1e-4;
    let (special, pieces): (Vec<_>, Vec<_>) =
        model.iter().cloned().partition(|(piece, _)| Special::NAMES.contains(&piece.as_str()));
    let lowest = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let is_given = |(piece, score): &(String, f64)| {
        let steps = (score - lowest) / STEP;
        piece.chars().count() == 1 && steps < 1000.0 && (steps - steps.round()).abs() < 1e-6
    };
    let (mut given, mut rest): (Vec<_>, Vec<_>) = pieces.into_iter().partition(is_given);
    let mut scores: Vec<f64> = given.iter().map(|(_, score)| *score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    given.sort_by(|a, b| a.0.cmp(&b.0));
    rest.extend(given.into_iter().zip(scores).map(|((piece, _), score)| (piece, score)));
    rest.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    special.into_iter().chain(rest).collect()
}

fn train_bpe(words: &[(String, u32)], vocab_size: usize) -> Result<ModelWrapper> {
    let trainer: BpeTrainer = bpe::BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocab_size)
        .special_tokens(special_tokens())
        .initial_alphabet(ascii().collect())
        .max_token_length(Some(MAX_PIECE_CHARS))
        .build();
    let unknown = Special::NAMES[1].to_owned();
    let mut model = BPE::builder().unk_token(unknown).fuse_unk(true).build().map_err(refused)?;
    let counts = words.iter().map(|(word, count)| (word.as_str().into(), u64::from(*count))).collect();
    trainer.do_train(&counts, &mut model).map_err(refused)?;
    Ok(ModelWrapper::BPE(model))
}

fn special_tokens() -> Vec<AddedToken> {
    Special::NAMES.iter().map(|name| AddedToken::from(*name, true)).collect()
}

/// The model with folding before it and `[CLS] … [SEP]` around it, for tools that know only tokenizer.json.
fn assemble(model: ModelWrapper) -> Result<Vec<u8>> {
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_normalizer(Some(normalizer()?)).map_err(refused)?;
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer()));
    tokenizer.add_special_tokens(special_tokens()).map_err(refused)?;
    let id = |name: &str| {
        tokenizer
            .token_to_id(name)
            .map(|id| (name.to_owned(), id))
            .ok_or_else(|| Error::Tokenizer(format!("no id for {name}")))
    };
    let frame = TemplateProcessing::builder()
        .try_single("[CLS]:0 $A:0 [SEP]:0")
        .and_then(|b| b.try_pair("[CLS]:0 $A:0 [SEP]:0 [TITLE]:1 $B:1 [SEP]:1"))
        .map_err(|e| Error::Tokenizer(e.to_string()))?
        .special_tokens(vec![id("[CLS]")?, id("[SEP]")?, id("[TITLE]")?])
        .build()
        .map_err(|e| Error::Tokenizer(e.to_string()))?;
    tokenizer.with_post_processor(Some(frame));
    let mut json = tokenizer.to_string(false).map_err(refused)?;
    json.push('\n');
    Ok(json.into_bytes())
}

fn refused(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::article::SentenceInput;
    use crate::tokens::{Context, InputConfig, Tokenizer};
    use std::path::Path;

    fn counts() -> WordCounts {
        let text =
            "attack on the army base attacked attackers bases armies in the north of the city near the northern base";
        let arabic = "هجوم على قاعدة الجيش هاجم المهاجمون القاعدة في شمال المدينة قرب القاعدة الشمالية";
        let count = |text: &str, n: f64| text.split(' ').map(|word| (word.to_owned(), n)).collect();
        BTreeMap::from([("en".to_owned(), count(text, 50.0)), ("ar".to_owned(), count(arabic, 5.0))])
    }

    #[test]
    fn the_same_words_give_the_same_bytes_and_a_working_tokenizer() {
        for kind in [Kind::Unigram, Kind::Bpe] {
            let recipe = Recipe { kind, vocab_size: 160, exponent: 0.5, coverage: 1.0, max_words: 1000 };
            let bytes = train(&counts(), &recipe).unwrap();
            assert_eq!(bytes, train(&counts(), &recipe).unwrap(), "{kind:?}");
            let tokenizer = Tokenizer::parse(&bytes, Path::new("trained")).unwrap();
            assert!(tokenizer.vocab_size() <= 160);
            let config = InputConfig { max_tokens: 32, context: Context::None };
            let input = SentenceInput { language: "und", text: "the attack", title: None, previous: None };
            let encoded = tokenizer.encode(input, &config).unwrap();
            assert!(encoded.ids.iter().all(|id| *id != tokenizer.special().unknown), "{kind:?}");
        }
    }

    #[test]
    fn a_vocabulary_smaller_than_the_alphabet_is_refused() {
        let recipe = Recipe { kind: Kind::Unigram, vocab_size: 20, exponent: 0.5, coverage: 1.0, max_words: 1000 };
        assert!(
            train(&counts(), &recipe).unwrap_err().to_string().starts_with("--vocab-size is 20; expected more than")
        );
        assert!(train(&WordCounts::new(), &recipe).unwrap_err().to_string().contains("no words"));
    }

    #[test]
    fn rare_characters_are_left_out() {
        let words = [("قققف".to_owned(), 1000), ("𓀀".to_owned(), 1)];
        let covered = |coverage| {
            let mut letters: Vec<char> = covered_characters(&words, coverage).into_iter().collect();
            letters.retain(|c| !c.is_ascii());
            letters.sort();
            letters
        };
        assert_eq!(covered(0.99), ['ف', 'ق']);
        assert_eq!(covered(1.0), ['ف', 'ق', '𓀀']);
        assert!(covered_characters(&words, 0.99).contains(&'#'));
    }
}
