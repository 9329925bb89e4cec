//! Sentence → sparse vector: n-grams of characters within words (2 to 5), of words (1 and 2) and of the types of the lexicon's
//! terms (1 to 3, and pairs at any distance), weighted by sublinear term frequency × inverse document frequency, each of the
//! kinds scaled to length 1.

use crate::article::SentenceInput;
use crate::lexicon::Lexicon;
use std::collections::HashMap;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Non-zero entries of a vector: (index of the feature, weight).
pub type SparseVector = Vec<(u32, f32)>;

/// The kinds of n-gram; each is scaled by itself, so that the many character n-grams do not drown the words.
const N_KINDS: usize = 3;
const CHARACTERS: usize = 0;
const WORDS: usize = 1;
const LEXICON: usize = 2;

/// Which kinds of n-gram a vector holds.
#[derive(Debug, Clone)]
pub struct Kinds {
    /// N-grams of characters and of words.
    pub letters: bool,
    /// N-grams of the types of the terms that this lexicon finds.
    pub lexicon: Option<Arc<Lexicon>>,
}

impl Kinds {
    /// Letters only: the plain bag of n-grams.
    pub fn letters() -> Kinds {
        Kinds { letters: true, lexicon: None }
    }
}

/// The features seen in training, with their inverse document frequencies.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    kinds: Kinds,
    // The key is a 64-bit hash of the n-gram: among a million n-grams two collide with a probability of 3 in 10⁸.
    features: HashMap<u64, u32>,
    // By index.
    hashes: Vec<u64>,
    inverse_document_frequencies: Vec<f32>,
}

impl Vocabulary {
    /// Collects the n-grams that occur in at least `min_documents` of the texts.
    pub fn learn(inputs: &[SentenceInput<'_>], kinds: Kinds, min_documents: u32) -> Self {
        let mut n_documents: HashMap<u64, u32> = HashMap::new();
        for input in inputs {
            for (hash, ..) in term_counts(input, &kinds) {
                *n_documents.entry(hash).or_default() += 1;
            }
        }
        let mut kept: Vec<(u64, u32)> = n_documents.into_iter().filter(|(_, n)| *n >= min_documents).collect();
        kept.sort_unstable(); // a HashMap has another order in each run; the indices must not
        let n_texts = inputs.len() as f32;
        // As scikit-learn's smooth_idf: as if one more document held every n-gram.
        let idf = |n: u32| ((1.0 + n_texts) / (1.0 + n as f32)).ln() + 1.0;
        Vocabulary::from_parts(kinds, kept.into_iter().map(|(hash, n)| (hash, idf(n))))
    }

    /// A vocabulary from hashes and inverse document frequencies, in the order of their indices.
    pub fn from_parts(kinds: Kinds, parts: impl Iterator<Item = (u64, f32)>) -> Self {
        let (hashes, inverse_document_frequencies): (Vec<u64>, Vec<f32>) = parts.unzip();
        let features = hashes.iter().copied().zip(0..).collect();
        Vocabulary { kinds, features, hashes, inverse_document_frequencies }
    }

    /// The kinds of its n-grams.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Looks into another lexicon from now on, if it looks into one at all.
    pub fn set_lexicon(&mut self, lexicon: Arc<Lexicon>) {
        if self.kinds.lexicon.is_some() {
            self.kinds.lexicon = Some(lexicon);
        }
    }

    /// Hash of each feature, by index.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Inverse document frequency of each feature, by index.
    pub fn idf(&self) -> &[f32] {
        &self.inverse_document_frequencies
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// The vector of a text, by rising index; n-grams that training did not keep are left out.
    pub fn vector(&self, input: &SentenceInput<'_>) -> SparseVector {
        let mut squares = [0.0f32; N_KINDS];
        let mut entries: Vec<(u32, f32, usize)> = Vec::new();
        for (hash, kind, n) in term_counts(input, &self.kinds) {
            if let Some(index) = self.features.get(&hash) {
                let weight = (1.0 + (n as f32).ln()) * self.inverse_document_frequencies[*index as usize];
                squares[kind] += weight * weight;
                entries.push((*index, weight, kind));
            }
        }
        entries.sort_unstable_by_key(|(index, ..)| *index);
        entries.into_iter().map(|(index, weight, kind)| (index, weight / squares[kind].sqrt())).collect()
    }
}

/// Every n-gram of a text once: its hash, its kind, and how often it occurs; by rising hash, so that sums of the weights
/// are the same in every run.
fn term_counts(input: &SentenceInput<'_>, kinds: &Kinds) -> Vec<(u64, usize, u32)> {
    let mut terms: Vec<(u64, usize)> = Vec::new();
    if kinds.letters {
        letter_terms(input.text, &mut terms);
    }
    if let Some(lexicon) = &kinds.lexicon {
        lexicon_terms(input, lexicon, &mut terms);
    }
    terms.sort_unstable();
    terms.chunk_by(|a, b| a == b).map(|same| (same[0].0, same[0].1, same.len() as u32)).collect()
}

/// Types one by one, two and three in a row, and which comes anywhere before which; the types of the headline and of the sentence
/// before, alone and with each type of the sentence: "the group" is often named only there.
fn lexicon_terms(input: &SentenceInput<'_>, lexicon: &Lexicon, terms: &mut Vec<(u64, usize)>) {
    // Bits shift when a type is put in; names do not.
    let types_of = |text: &str| -> Vec<&str> {
        lexicon.find(text, input.language).iter().map(|m| lexicon.types()[m.term_type].name.as_str()).collect()
    };
    let types = types_of(input.text);
    let mut push = |form: &str, parts: &[&str]| {
        let letters = form.chars().chain(parts.iter().flat_map(|part| [' '].into_iter().chain(part.chars())));
        terms.push((hash(LEXICON, letters), LEXICON));
    };
    for n in 1..=3 {
        types.windows(n).for_each(|gram| push("row", gram));
    }
    for (form, context) in [("title", input.title), ("previous", input.previous)] {
        let mut there = context.map_or_else(Vec::new, types_of);
        there.sort_unstable();
        there.dedup();
        for name in there {
            push(form, &[name]);
            types.iter().for_each(|own| push(form, &[name, own]));
        }
    }
    for (i, first) in types.iter().enumerate() {
        types[i + 1..].iter().for_each(|second| push("before", &[first, second]));
    }
}

fn letter_terms(text: &str, terms: &mut Vec<(u64, usize)>) {
    let words = words(text);
    for word in &words {
        let characters: Vec<char> = std::iter::once(' ').chain(word.chars()).chain(std::iter::once(' ')).collect();
        for n in 2..=5 {
            terms.extend(characters.windows(n).map(|gram| (hash(CHARACTERS, gram.iter().copied()), CHARACTERS)));
        }
        terms.push((hash(WORDS, word.chars()), WORDS));
    }
    for pair in words.windows(2) {
        terms.push((hash(WORDS, pair[0].chars().chain([' ']).chain(pair[1].chars())), WORDS));
    }
}

/// FNV-1a over the characters, begun with the kind.
fn hash(kind: usize, characters: impl Iterator<Item = char>) -> u64 {
    let step = |hash: u64, value: u32| (hash ^ u64::from(value)).wrapping_mul(0x0000_0100_0000_01b3);
    characters.fold(step(0xcbf2_9ce4_8422_2325, kind as u32), |h, c| step(h, c as u32))
}

/// The words of a text in lower case: runs of letters and digits, with the spellings that differ only by habit made one
/// (presentation forms, diacritics, tatweel, alef, ya, kaf and heh variants, digits of any script).
fn words(text: &str) -> Vec<String> {
    let folded: String =
        text.nfkd().filter(|c| !is_combining_mark(*c)).filter_map(fold).flat_map(char::to_lowercase).collect();
    let folded: String = folded.chars().filter(|c| !is_combining_mark(*c)).collect();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(String::from).collect()
}

fn fold(c: char) -> Option<char> {
    Some(match c {
        '\u{640}' | '\u{200c}' | '\u{200d}' => return None, // tatweel, zero-width non-joiner and joiner
        'ٱ' => 'ا',
        'ى' | 'ی' | 'ې' => 'ي',
        'ک' => 'ك',
        'ة' | 'ہ' | 'ە' | 'ھ' => 'ه',
        'ı' => 'i',
        '٠'..='٩' => char::from(b'0' + (c as u32 - '٠' as u32) as u8),
        '۰'..='۹' => char::from(b'0' + (c as u32 - '۰' as u32) as u8),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_differ_by_habit_are_one() {
        assert_eq!(words("أُعلِنَ فـي إيران"), words("اعلن في ایران"));
        assert_eq!(words("كركوك ١٢"), words("کرکوک ۱۲"));
        assert_eq!(words("İstanbul'da ISIS!"), ["istanbul", "da", "isis"]);
        assert_eq!(words(" — … "), Vec::<String>::new());
    }

    fn input(text: &str) -> SentenceInput<'_> {
        SentenceInput { language: "en", text, title: None, previous: None }
    }

    #[test]
    fn the_order_of_typed_terms_is_a_feature() {
        let kinds = Kinds { letters: false, lexicon: Some(Arc::new(Lexicon::shipped().unwrap())) };
        let counts = |text: &str| term_counts(&input(text), &kinds);
        assert_ne!(counts("Islamic State attacked soldiers"), counts("soldiers attacked Islamic State"));
        assert_eq!(counts("Islamic State attacked soldiers"), counts("Daesh bombed policemen"));
    }

    #[test]
    fn each_kind_has_length_one_and_a_repetition_counts_less_than_twice() {
        let texts = ["attack on the base", "base base statement"].map(input);
        let vocabulary = Vocabulary::learn(&texts, Kinds::letters(), 1);
        let vector = vocabulary.vector(&texts[0]);
        let length: f32 = vector.iter().map(|(_, w)| w * w).sum();
        assert!((length - 2.0).abs() < 1e-5, "{length}");
        assert!(vector.is_sorted_by_key(|(index, _)| *index));
        let twice = term_counts(&input("base base"), &Kinds::letters());
        assert!(twice.iter().any(|(h, k, n)| (*h, *k, *n) == (hash(WORDS, "base".chars()), WORDS, 2)));
        assert!(vocabulary.vector(&input("漢字")).is_empty());
    }

    #[test]
    fn rare_features_are_dropped_and_indices_are_the_same_in_every_run() {
        let texts = ["alpha beta", "alpha gamma"].map(input);
        let learn = |min_documents| Vocabulary::learn(&texts, Kinds::letters(), min_documents);
        assert!(learn(2).len() < learn(1).len());
        assert_eq!(learn(1).vector(&texts[0]), learn(1).vector(&texts[0]));
    }
}
