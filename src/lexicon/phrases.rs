//! All terms as one tree of words, and the walk through it.
//!
//! A word of a term is whole or, with `*`, a stem. In the text an Arabic word may carry proclitics (و ف ب ل ك س and the
//! article) and a Kurdish, Persian or Turkish one an ending of its language; both are tried and the tree decides.

use super::TermMatch;
use super::file::Term;
use super::words::{Word, words};
use crate::article::Span;
use crate::letters::endings::is_ending;
use std::collections::HashMap;

/// Folded letters that a term with a stem has at least, in all its words.
const MIN_CHARS_WITH_STEM: usize = 3;

/// A whole word of this many letters may carry an ending where its language has them.
const MIN_CHARS_BEFORE_ENDING: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Phrases {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    whole: HashMap<Box<str>, u32>,
    stems: HashMap<Box<str>, u32>,
    ends: Vec<End>,
}

/// A term ends here.
#[derive(Debug, Clone, Copy, PartialEq)]
struct End {
    term_type: u8,
    /// Only in capitals: an acronym.
    capitals: bool,
}

impl Phrases {
    /// Adds a term; the error says what is wrong with it.
    pub fn add(&mut self, term: &Term) -> Result<(), String> {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        let (mut n_words, mut n_chars, mut any_stem) = (0, 0, false);
        for part in term.text.split_whitespace() {
            let stem = part.ends_with('*');
            let parts = words(part.trim_end_matches('*'));
            if part.trim_end_matches('*').contains('*') {
                return Err("a * inside a word".into());
            }
            for (i, word) in parts.iter().enumerate() {
                let stem = stem && i + 1 == parts.len();
                n_chars += word.folded.chars().count();
                any_stem |= stem;
                n_words += 1;
                let next = self.nodes.len() as u32;
                let node = &mut self.nodes[at as usize];
                let map = if stem { &mut node.stems } else { &mut node.whole };
                at = *map.entry(word.folded.as_str().into()).or_insert(next);
                if at == next {
                    self.nodes.push(Node::default());
                }
            }
        }
        if n_words == 0 {
            return Err("no letters".into());
        }
        if any_stem && n_chars < MIN_CHARS_WITH_STEM {
            return Err("it would match too much".into());
        }
        let has = |f: fn(char) -> bool| term.text.chars().any(f);
        let end = End {
            term_type: term.term_type as u8,
            capitals: n_words == 1 && has(char::is_uppercase) && !has(char::is_lowercase),
        };
        let ends = &mut self.nodes[at as usize].ends;
        if !ends.contains(&end) {
            ends.push(end);
        }
        Ok(())
    }

    /// Every term in a text of these words, in no particular order.
    pub fn find(&self, words: &[Word], language: &str) -> Vec<TermMatch> {
        let walk = Walk { phrases: self, words, language };
        let mut matches = Vec::new();
        if !self.nodes.is_empty() {
            (0..words.len()).for_each(|i| walk.from(0, i, i, &mut matches));
        }
        matches
    }
}

struct Walk<'p> {
    phrases: &'p Phrases,
    words: &'p [Word],
    language: &'p str,
}

impl Walk<'_> {
    /// Goes on at `node` with word `i` of a phrase that began with word `first`.
    fn from(&self, node: u32, first: usize, i: usize, matches: &mut Vec<TermMatch>) {
        let Some(word) = self.words.get(i) else { return };
        if i > first && word.after_stop {
            return;
        }
        let node = &self.phrases.nodes[node as usize];
        for form in forms(&word.folded) {
            if let Some(next) = node.whole.get(form) {
                self.reached(*next, first, i, matches);
            }
            for (at, _) in form.char_indices().skip(1).chain([(form.len(), ' ')]) {
                if let Some(next) = node.stems.get(&form[..at]) {
                    self.reached(*next, first, i, matches);
                }
                if at < form.len()
                    && let Some(next) = node.whole.get(&form[..at])
                    && form[..at].chars().nth(MIN_CHARS_BEFORE_ENDING - 1).is_some()
                    && is_ending(&form[at..], self.language)
                {
                    self.reached(*next, first, i, matches);
                }
            }
        }
    }

    fn reached(&self, node: u32, first: usize, i: usize, matches: &mut Vec<TermMatch>) {
        let span = Span { start: self.words[first].span.start, end: self.words[i].span.end };
        for end in &self.phrases.nodes[node as usize].ends {
            if !end.capitals || self.words[first].capitals {
                matches.push(TermMatch { span, term_type: usize::from(end.term_type) });
            }
        }
        self.from(node, first, i + 1, matches);
    }
}

/// The word, and what is left of it without Arabic proclitics: و ف, then ب ل ك س, then the article (لل is ل and the article).
fn forms(word: &str) -> Vec<&str> {
    let mut forms = vec![word];
    if !word.starts_with(['و', 'ف', 'ب', 'ل', 'ك', 'س', 'ا']) {
        return forms;
    }
    let long = |rest: &&str| rest.chars().nth(1).is_some();
    forms.extend(word.strip_prefix(['و', 'ف']).filter(long));
    for form in forms.clone() {
        forms.extend(form.strip_prefix(['ب', 'ل', 'ك', 'س']).filter(long));
        forms.extend(form.strip_prefix("لل").filter(long));
    }
    for form in forms.clone() {
        forms.extend(form.strip_prefix("ال").filter(long));
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(terms: &[&str], text: &'t str, language: &str) -> Vec<&'t str> {
        let mut phrases = Phrases::default();
        for (term_type, text) in terms.iter().enumerate() {
            phrases.add(&Term { text: (*text).into(), term_type, file: "x".into() }).unwrap();
        }
        let mut matches = phrases.find(&words(text), language);
        matches.sort_by_key(|m| (m.span.start, m.span.end));
        matches.dedup();
        matches.iter().map(|m| m.span.of(text)).collect()
    }

    #[test]
    fn arabic_words_carry_proclitics_and_spellings_vary() {
        let terms = ["هجوم", "تنظيم الدولة", "استهدف*"];
        assert_eq!(found(&terms, "وبالهجومِ على تنظيم الدَّولة", "ar"), ["وبالهجومِ", "تنظيم الدَّولة"]);
        assert_eq!(found(&terms, "إستهدفتهم للهجوم", "ar"), ["إستهدفتهم", "للهجوم"]);
        assert!(found(&terms, "التهجم", "ar").is_empty());
    }

    #[test]
    fn endings_of_turkish_and_kurdish_are_known() {
        assert_eq!(found(&["saldırı"], "Saldırıların ardından", "tr"), ["Saldırıların"]);
        assert_eq!(found(&["DEAŞ"], "DEAŞ'ın üyesi", "tr"), ["DEAŞ"]);
    }

    #[test]
    fn a_phrase_does_not_cross_a_stop_and_an_acronym_stands_in_capitals() {
        let terms = ["open* fire", "IS"];
        assert_eq!(found(&terms, "They opened fire. It is IS.", "en"), ["opened fire", "IS"]);
        assert!(found(&terms, "It opened. Fire spread.", "en").is_empty());
    }

    #[test]
    fn a_bad_term_is_refused() {
        let term = |text: &str| Term { text: text.into(), term_type: 0, file: "x".into() };
        for text in ["ab*", "a*b", "…", ""] {
            assert!(Phrases::default().add(&term(text)).is_err(), "{text}");
        }
    }
}
