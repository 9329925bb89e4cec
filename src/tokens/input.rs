//! The layout of one input: which parts stand in it, and what is cut when they are too long together.

use super::tokenizer::Special;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which context of a sentence the model reads beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// The sentence alone.
    None,
    /// The headline.
    Title,
    /// The sentence before.
    Previous,
    /// The headline and the sentence before.
    Both,
}

impl Context {
    /// The headline is read.
    pub fn has_title(self) -> bool {
        matches!(self, Context::Title | Context::Both)
    }

    /// The sentence before is read.
    pub fn has_previous(self) -> bool {
        matches!(self, Context::Previous | Context::Both)
    }
}

/// What the model reads of an input; stored with the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Longest input in tokens, special tokens included; 8 or more.
    pub max_tokens: usize,
    /// Context beside the sentence.
    pub context: Context,
}

impl InputConfig {
    /// The least [`max_tokens`](Self::max_tokens) that leaves room for a few words.
    pub const MIN_TOKENS: usize = 8;

    /// # Errors
    /// `max_tokens` is too small to hold a sentence.
    pub fn check(&self) -> Result<()> {
        if self.max_tokens < Self::MIN_TOKENS {
            return Err(Error::Usage(format!(
                "max_tokens is {}; expected {} or more",
                self.max_tokens,
                Self::MIN_TOKENS
            )));
        }
        Ok(())
    }
}

/// One input as the model reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, (T).
    pub ids: Vec<u32>,
    /// Token types, (T): 0 sentence, 1 title, 2 previous sentence.
    pub types: Vec<u32>,
    /// Types of the lexicon's terms in which each token lies, as bits, (T); empty without a lexicon.
    pub lexicon: Vec<u64>,
    /// How many tokens at the head are of type 0: `[CLS] sentence [SEP]`.
    pub sentence_tokens: usize,
    /// The sentence alone was too long; its end is not in `ids`.
    pub truncated: bool,
}

/// The subwords of one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    pub ids: Vec<u32>,
    /// Number of the word that each piece belongs to, never falling.
    pub words: Vec<u32>,
    /// Types of the terms that each piece lies in; empty without a lexicon.
    pub lexicon: Vec<u64>,
}

impl Pieces {
    /// Whole words from the start, `room` pieces at most.
    fn first_words(&self, room: usize) -> Range<usize> {
        let mut end = room.min(self.ids.len());
        while end > 0 && end < self.ids.len() && self.words[end - 1] == self.words[end] {
            end -= 1;
        }
        0..end
    }

    /// Whole words from the end, `room` pieces at most.
    fn last_words(&self, room: usize) -> Range<usize> {
        let mut start = self.ids.len() - room.min(self.ids.len());
        while start > 0 && start < self.ids.len() && self.words[start - 1] == self.words[start] {
            start += 1;
        }
        start..self.ids.len()
    }
}

/// Puts the parts together. The previous sentence gives way first (its end, next to the sentence, is kept), then the title;
/// the sentence loses its end only if it is too long alone. A part without room for one whole word is left out.
pub(super) fn lay_out(
    sentence: &Pieces,
    title: &Pieces,
    previous: &Pieces,
    special: &Special,
    max_tokens: usize,
) -> Encoded {
    let kept = sentence.ids.len().min(max_tokens.saturating_sub(2));
    let with_lexicon = [sentence, title, previous].iter().any(|part| !part.lexicon.is_empty());
    let mut encoded = Encoded { sentence_tokens: kept + 2, truncated: kept < sentence.ids.len(), ..Encoded::default() };
    let mut append = |mark: Option<u32>, part: &Pieces, range: Range<usize>, token_type: u32| {
        encoded.ids.extend(mark);
        encoded.ids.extend_from_slice(&part.ids[range.clone()]);
        encoded.ids.push(special.sep);
        encoded.types.resize(encoded.ids.len(), token_type);
        if with_lexicon {
            encoded.lexicon.extend(mark.map(|_| 0));
            encoded.lexicon.extend_from_slice(part.lexicon.get(range).unwrap_or_default());
            encoded.lexicon.resize(encoded.ids.len(), 0);
        }
        // a mark before and a separator behind each part of context
        max_tokens.saturating_sub(encoded.ids.len() + 2)
    };
    let mut room = append(Some(special.cls), sentence, 0..kept, 0);
    let range = title.first_words(room);
    if !range.is_empty() {
        room = append(special.title, title, range, 1);
    }
    let range = previous.last_words(room);
    if !range.is_empty() {
        append(special.previous, previous, range, 2);
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPECIAL: Special = Special { pad: 0, unknown: 1, cls: 2, sep: 3, mask: 4, title: Some(5), previous: Some(6) };

    /// Pieces numbered from `first`, each word two pieces long.
    fn pieces(first: u32, n: usize) -> Pieces {
        Pieces {
            ids: (0..n as u32).map(|i| first + i).collect(),
            words: (0..n as u32).map(|i| i / 2).collect(),
            lexicon: Vec::new(),
        }
    }

    fn check(n: [usize; 3], max_tokens: usize, expected: &[u32]) {
        let [sentence, title, previous] = n;
        let encoded = lay_out(&pieces(10, sentence), &pieces(30, title), &pieces(50, previous), &SPECIAL, max_tokens);
        assert_eq!(encoded.ids, expected, "{n:?} in {max_tokens}");
    }

    #[test]
    fn previous_gives_way_first_then_the_title_then_the_sentence() {
        check([2, 4, 4], 16, &[2, 10, 11, 3, 5, 30, 31, 32, 33, 3, 6, 50, 51, 52, 53, 3]);
        check([2, 4, 4], 15, &[2, 10, 11, 3, 5, 30, 31, 32, 33, 3, 6, 52, 53, 3]);
        check([2, 4, 4], 13, &[2, 10, 11, 3, 5, 30, 31, 32, 33, 3]);
        check([2, 4, 4], 9, &[2, 10, 11, 3, 5, 30, 31, 3]);
        // the title needs 4, the previous sentence fits no word then either
        check([4, 4, 4], 9, &[2, 10, 11, 12, 13, 3]);
        check([8, 4, 4], 8, &[2, 10, 11, 12, 13, 14, 15, 3]);
        check([0, 0, 0], 8, &[2, 3]);
        check([0, 0, 2], 8, &[2, 3, 6, 50, 51, 3]);
    }

    #[test]
    fn a_context_in_config_is_a_lowercase_word() {
        let config: InputConfig = toml::from_str("max_tokens = 128\ncontext = \"both\"").unwrap();
        assert_eq!(config, InputConfig { max_tokens: 128, context: Context::Both });
        assert!(toml::from_str::<InputConfig>("max_tokens = 128\ncontext = \"both\"\nstride = 1").is_err());
        assert!(InputConfig { max_tokens: 7, context: Context::None }.check().is_err());
    }

    proptest! {
        #[test]
        fn no_input_is_too_long_and_no_sentence_is_cut_for_context(
            sentence in 0usize..40, title in 0usize..40, previous in 0usize..40, max_tokens in 8usize..60,
        ) {
            let encoded =
                lay_out(&pieces(100, sentence), &pieces(200, title), &pieces(300, previous), &SPECIAL, max_tokens);
            prop_assert!(encoded.ids.len() <= max_tokens);
            prop_assert_eq!(encoded.ids.len(), encoded.types.len());
            prop_assert_eq!(encoded.sentence_tokens, sentence.min(max_tokens - 2) + 2);
            prop_assert_eq!(encoded.truncated, sentence > max_tokens - 2);
            prop_assert_eq!(encoded.types.iter().filter(|t| **t == 0).count(), encoded.sentence_tokens);
            prop_assert!(encoded.types.is_sorted());
            // every part ends with a separator, and the previous sentence is cut before the title
            prop_assert_eq!(encoded.ids.last(), Some(&3));
            let (has_title, has_previous) = (encoded.ids.contains(&5), encoded.ids.contains(&6));
            let whole_title = encoded.types.iter().filter(|t| **t == 1).count() == title + 2;
            prop_assert!(!has_previous || !has_title || whole_title);
        }
    }
}
