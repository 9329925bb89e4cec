//! Sentence → sparse vector: n-grams of characters within words (2 to 5) and of words (1 and 2), weighted by sublinear
//! term frequency × inverse document frequency, each of the two kinds scaled to length 1.

use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Non-zero entries of a vector: (index of the feature, weight).
pub type SparseVector = Vec<(u32, f32)>;

/// The two kinds of n-gram; each is scaled by itself, so that the many character n-grams do not drown the words.
const N_KINDS: usize = 2;
const CHARACTERS: usize = 0;
const WORDS: usize = 1;

/// The features seen in training, with their inverse document frequencies.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    // The key is a 64-bit hash of the n-gram: among a million n-grams two collide with a probability of 3 in 10⁸.
    features: HashMap<u64, Feature>,
}

#[derive(Debug, Clone, Copy)]
struct Feature {
    index: u32,
    inverse_document_frequency: f32,
}

impl Vocabulary {
    /// Collects the n-grams that occur in at least `min_documents` of the texts.
    pub fn learn(texts: &[&str], min_documents: u32) -> Self {
        let mut n_documents: HashMap<u64, u32> = HashMap::new();
        for text in texts {
            for (hash, ..) in term_counts(text) {
                *n_documents.entry(hash).or_default() += 1;
            }
        }
        let mut kept: Vec<(u64, u32)> = n_documents.into_iter().filter(|(_, n)| *n >= min_documents).collect();
        kept.sort_unstable(); // a HashMap has another order in each run; the indices must not
        let n_texts = texts.len() as f32;
        // As scikit-learn's smooth_idf: as if one more document held every n-gram.
        let feature = |(index, (hash, n)): (u32, (u64, u32))| {
            (hash, Feature { index, inverse_document_frequency: ((1.0 + n_texts) / (1.0 + n as f32)).ln() + 1.0 })
        };
        Vocabulary { features: (0..).zip(kept).map(feature).collect() }
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// The vector of a text, by rising index; n-grams that training did not keep are left out.
    pub fn vector(&self, text: &str) -> SparseVector {
        let mut squares = [0.0f32; N_KINDS];
        let mut entries: Vec<(u32, f32, usize)> = Vec::new();
        for (hash, kind, n) in term_counts(text) {
            if let Some(feature) = self.features.get(&hash) {
                let weight = (1.0 + (n as f32).ln()) * feature.inverse_document_frequency;
                squares[kind] += weight * weight;
                entries.push((feature.index, weight, kind));
            }
        }
        entries.sort_unstable_by_key(|(index, ..)| *index);
        entries.into_iter().map(|(index, weight, kind)| (index, weight / squares[kind].sqrt())).collect()
    }
}

/// Every n-gram of a text once: its hash, its kind, and how often it occurs; by rising hash, so that sums of the weights
/// are the same in every run.
fn term_counts(text: &str) -> Vec<(u64, usize, u32)> {
    let words = words(text);
    let mut terms: Vec<(u64, usize)> = Vec::new();
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
    terms.sort_unstable();
    terms.chunk_by(|a, b| a == b).map(|same| (same[0].0, same[0].1, same.len() as u32)).collect()
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

    #[test]
    fn each_kind_has_length_one_and_a_repetition_counts_less_than_twice() {
        let texts = ["attack on the base", "base base statement"];
        let vocabulary = Vocabulary::learn(&texts, 1);
        let vector = vocabulary.vector(texts[0]);
        let length: f32 = vector.iter().map(|(_, w)| w * w).sum();
        assert!((length - 2.0).abs() < 1e-5, "{length}");
        assert!(vector.is_sorted_by_key(|(index, _)| *index));
        let twice = term_counts("base base");
        assert!(twice.iter().any(|(h, k, n)| (*h, *k, *n) == (hash(WORDS, "base".chars()), WORDS, 2)));
        assert!(vocabulary.vector("unseen 漢字").is_empty() || vocabulary.vector("漢字").is_empty());
    }

    #[test]
    fn rare_features_are_dropped_and_indices_are_the_same_in_every_run() {
        let texts = ["alpha beta", "alpha gamma"];
        assert!(Vocabulary::learn(&texts, 2).len() < Vocabulary::learn(&texts, 1).len());
        assert_eq!(
            Vocabulary::learn(&texts, 1).vector("alpha beta"),
            Vocabulary::learn(&texts, 1).vector("alpha beta")
        );
    }
}
