//! A word with a slip of the hand → the words of terms that may be meant: one letter dropped, doubled or exchanged with the next.
//!
//! The first letter stays, because an Arabic one may be a proclitic, and the last is not dropped, because that is mostly another
//! inflection; one letter for another is no slip here, because that is mostly another word.

/// Whether `word` is `meant` with one slip.
pub(super) fn is_slip(word: &[char], meant: &[char]) -> bool {
    let same = word.iter().zip(meant).take_while(|(a, b)| a == b).count();
    let (rest, of) = (&word[same..], &meant[same..]);
    match (rest, of) {
        _ if same == 0 => false,
        (rest, [_, of @ ..]) if rest.len() == of.len() && !rest.is_empty() && rest == of => true,
        ([doubled, rest @ ..], of) if *doubled == word[same - 1] && rest == of => true,
        ([a, b, rest @ ..], [c, d, of @ ..]) => a == d && b == c && rest == of,
        _ => false,
    }
}

/// Words of the first place of a tree, found by a slip of them.
#[derive(Debug, Default)]
pub(super) struct Slips {
    meant: Vec<Vec<char>>,
    /// Hashes of each word and of it without one letter, by hash, with the word's number.
    hashes: Vec<(u64, u32)>,
    /// A bit for each hash: most words are nobody's slip, and one look says so.
    filter: Vec<u64>,
}

const FILTER_BITS: u64 = 1 << 18;

impl Slips {
    /// Of these words.
    pub fn new(words: impl Iterator<Item = impl AsRef<str>>) -> Slips {
        let meant: Vec<Vec<char>> = words.map(|word| word.as_ref().chars().collect()).collect();
        let mut hashes = Vec::new();
        for (number, word) in (0..).zip(&meant) {
            hashes.push((hash(word.iter()), number));
            hashes.extend((1..word.len()).map(|i| (hash(without(word, i)), number)));
        }
        hashes.sort_unstable();
        let mut filter = vec![0; (FILTER_BITS / 64) as usize];
        for (hash, _) in &hashes {
            filter[(hash % FILTER_BITS / 64) as usize] |= 1 << (hash % 64);
        }
        Slips { meant, hashes, filter }
    }

    /// Numbers of the words of which `word` is a slip.
    pub fn meant(&self, word: &[char]) -> Vec<u32> {
        let mut found = Vec::new();
        let mut look = |hash: u64| {
            if self.filter[(hash % FILTER_BITS / 64) as usize] >> (hash % 64) & 1 == 1 {
                let first = self.hashes.partition_point(|(other, _)| *other < hash);
                let same =
                    self.hashes[first..].iter().take_while(|(other, _)| *other == hash).map(|(_, number)| *number);
                found.extend(same.filter(|number| is_slip(word, &self.meant[*number as usize])));
            }
        };
        look(hash(word.iter()));
        for i in 1..word.len() {
            if word[i] == word[i - 1] {
                look(hash(without(word, i)));
            } else if i + 1 < word.len() {
                let exchanged = word[..i].iter().chain([&word[i + 1], &word[i]]).chain(&word[i + 2..]);
                look(hash(exchanged));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn without(word: &[char], i: usize) -> impl Iterator<Item = &char> {
    word[..i].iter().chain(&word[i + 1..])
}

/// FNV-1a over the letters, with its bits mixed once more for the filter.
fn hash<'c>(letters: impl Iterator<Item = &'c char>) -> u64 {
    let hash = letters.fold(0xCBF2_9CE4_8422_2325, |h, c| (h ^ u64::from(u32::from(*c))).wrapping_mul(0x100_0000_01B3));
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chars(word: &str) -> Vec<char> {
        word.chars().collect()
    }

    #[test]
    fn one_letter_is_dropped_doubled_or_exchanged() {
        for slip in ["hizbllah", "hizbbollah", "hizobllah", "hizbolalh"] {
            assert!(is_slip(&chars(slip), &chars("hizbollah")), "{slip}");
        }
        for other in ["hizbollah", "izbollah", "hizbolla", "hizballah", "hizbolah2", "hizbolhal", "hizb", ""] {
            assert!(!is_slip(&chars(other), &chars("hizbollah")), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_every_word_finds(
            words in prop::collection::vec("[abc]{2,7}", 1..30), word in "[abc]{1,8}",
        ) {
            let expected: Vec<u32> =
                (0..words.len() as u32).filter(|i| is_slip(&chars(&word), &chars(&words[*i as usize]))).collect();
            prop_assert_eq!(Slips::new(words.iter()).meant(&chars(&word)), expected);
        }
    }
}
