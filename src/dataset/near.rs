//! Texts → pairs that say almost the same, without comparing each with each.
//!
//! Exact, not sampled: two sets with a Jaccard similarity of t or more share at least one of their |x| − ⌈t·|x|⌉ + 1 rarest
//! members (prefix filtering: Bayardo, Ma & Srikant, "Scaling up all pairs similarity search", WWW 2007), so only texts that
//! meet in an index of those are compared.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Jaccard similarity from which two texts are near-duplicates.
pub(super) const NEAR: f64 = 0.8;

const WORDS_A_SHINGLE: usize = 3;
const CHARS_A_GRAM: usize = 5;

/// Two texts by index, `a < b`, and how alike they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NearPair {
    pub a: usize,
    pub b: usize,
    pub similarity: f64,
}

/// All pairs whose word 3-shingles or character 5-grams have a Jaccard similarity of [`NEAR`] or more, by index.
/// `texts` are folded ([`folded_words`](crate::letters::folded_words)) and distinct.
pub(super) fn near_pairs(texts: &[&str]) -> Vec<NearPair> {
    let words: Vec<Vec<u64>> = texts.iter().map(|text| shingles(text)).collect();
    let chars: Vec<Vec<u64>> = texts.iter().map(|text| grams(text)).collect();
    let mut pairs: HashMap<(usize, usize), f64> = HashMap::new();
    for sets in [words, chars] {
        for pair in similar_sets(&sets, NEAR) {
            let similarity = pairs.entry((pair.a, pair.b)).or_default();
            *similarity = similarity.max(pair.similarity);
        }
    }
    let mut pairs: Vec<_> = pairs.into_iter().map(|((a, b), similarity)| NearPair { a, b, similarity }).collect();
    pairs.sort_by_key(|pair| (pair.a, pair.b));
    pairs
}

// Texts of fewer words have no shingle; their characters decide.
fn shingles(text: &str) -> Vec<u64> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    words.windows(WORDS_A_SHINGLE).map(hash).collect()
}

fn grams(text: &str) -> Vec<u64> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() < CHARS_A_GRAM { vec![hash(&chars)] } else { chars.windows(CHARS_A_GRAM).map(hash).collect() }
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn similar_sets(sets: &[Vec<u64>], threshold: f64) -> Vec<NearPair> {
    let mut ranked = by_rarity(sets);
    // Short sets first: a set then meets only sets that are no longer than itself.
    let mut order: Vec<usize> = (0..ranked.len()).filter(|i| !ranked[*i].is_empty()).collect();
    order.sort_by_key(|i| ranked[*i].len());
    let mut index: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut met = vec![usize::MAX; ranked.len()];
    let mut pairs = Vec::new();
    for i in order {
        let set = std::mem::take(&mut ranked[i]);
        let n_needed = (threshold * set.len() as f64).ceil() as usize;
        for member in &set[..set.len() - n_needed + 1] {
            let holders = index.entry(*member).or_default();
            for &other in holders.iter() {
                if met[other] == i || (ranked[other].len() as f64) < threshold * set.len() as f64 {
                    continue;
                }
                met[other] = i;
                let similarity = jaccard(&set, &ranked[other]);
                if similarity >= threshold {
                    pairs.push(NearPair { a: i.min(other), b: i.max(other), similarity });
                }
            }
            holders.push(i);
        }
        ranked[i] = set;
    }
    pairs
}

// Members numbered from the rarest on, each set sorted by these numbers and without repetition.
fn by_rarity(sets: &[Vec<u64>]) -> Vec<Vec<u32>> {
    let mut counts: HashMap<u64, u32> = HashMap::new();
    for member in sets.iter().flatten() {
        *counts.entry(*member).or_default() += 1;
    }
    let mut members: Vec<(u32, u64)> = counts.into_iter().map(|(member, count)| (count, member)).collect();
    members.sort_unstable();
    let rank: HashMap<u64, u32> = members.into_iter().map(|(_, member)| member).zip(0..).collect();
    sets.iter()
        .map(|set| {
            let mut ranks: Vec<u32> = set.iter().map(|member| rank[member]).collect();
            ranks.sort_unstable();
            ranks.dedup();
            ranks
        })
        .collect()
}

fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut n_shared) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                n_shared += 1;
                i += 1;
                j += 1;
            }
        }
    }
    n_shared as f64 / (a.len() + b.len() - n_shared) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn naive(sets: &[Vec<u64>], threshold: f64) -> Vec<(usize, usize)> {
        let sets: Vec<BTreeSet<u64>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
        let similar = |a: &BTreeSet<u64>, b: &BTreeSet<u64>| {
            !a.is_empty() && a.intersection(b).count() as f64 / a.union(b).count() as f64 >= threshold
        };
        (0..sets.len())
            .flat_map(|b| (0..b).map(move |a| (a, b)))
            .filter(|(a, b)| similar(&sets[*a], &sets[*b]))
            .collect()
    }

    proptest! {
        #[test]
        fn finds_what_comparing_each_with_each_finds(sets in prop::collection::vec(prop::collection::vec(0u64..9, 0..12), 0..25)) {
            let mut found: Vec<_> = similar_sets(&sets, NEAR).iter().map(|pair| (pair.a, pair.b)).collect();
            found.sort_by_key(|(a, b)| (*b, *a));
            prop_assert_eq!(found, naive(&sets, NEAR));
        }
    }

    #[test]
    fn one_changed_word_in_a_long_sentence_is_near_and_another_sentence_is_not() {
        let long = "rockets fell near the ain al asad base in anbar province on thursday evening without causing casualties or damage officials said";
        let changed = long.replace("evening", "morning");
        let pairs = near_pairs(&[long, &changed, "the base was not hit officials said on thursday"]);
        assert_eq!(pairs.iter().map(|pair| (pair.a, pair.b)).collect::<Vec<_>>(), [(0, 1)]);
    }

    #[test]
    fn tens_of_thousands_of_texts_take_no_time() {
        let texts: Vec<String> =
            (0..20_000).map(|i| format!("number {} of the {} texts that all say {}", i * 7919, i, i / 3)).collect();
        let start = std::time::Instant::now();
        near_pairs(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
