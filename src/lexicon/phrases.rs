//! All terms as one tree of words, and the walk through it.
//!
//! A word of a term is whole or, with `*`, a stem. In the text an Arabic word may carry proclitics (و ف ب ل ك س and the
//! article) and a Kurdish, Persian or Turkish one an ending of its language; both are tried and the tree decides. Where no word of
//! the tree goes on, one word of a term may be misprinted, if the word is long or the term's other words say enough.

use super::TermMatch;
use super::file::Term;
use super::slips::{Slips, is_slip};
use super::words::{Word, words};
use crate::article::Span;
use crate::letters::endings::is_ending;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Folded letters that a term with a stem has at least, in all its words.
const MIN_CHARS_WITH_STEM: usize = 3;

/// A whole word of this many letters may carry an ending where its language has them.
const MIN_CHARS_BEFORE_ENDING: usize = 4;

/// A term of one word may be misprinted if it has this many letters; shorter ones are too near to other words.
const MIN_CHARS_MISPRINTED: usize = 7;

/// A word among others of a term may be misprinted if it has this many letters and the others have as many together.
const MIN_CHARS_MISPRINTED_AMONG_OTHERS: usize = 4;

/// Letters of a word in which a misprint is looked for: no term has a longer word, and a text may have one of thousands.
const MAX_CHARS_MISPRINTED: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Phrases {
    nodes: Vec<Node>,
    /// Bytes of the longest word, beyond which nothing is looked up: a text may have a word of a million letters.
    longest: usize,
    /// The long words that terms begin with, and where each leads; found when the first text is searched.
    slips: OnceLock<(Slips, Vec<Edge>)>,
}

/// A word of a term in the tree.
#[derive(Debug, Clone)]
struct Edge {
    to: u32,
    is_stem: bool,
    n_chars: usize,
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
                self.longest = self.longest.max(word.folded.len());
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
            (0..words.len()).for_each(|i| walk.from(0, Way { first: i, exact: 0, misprinted: 0 }, i, &mut matches));
        }
        matches
    }

    fn slips(&self) -> &(Slips, Vec<Edge>) {
        self.slips.get_or_init(|| {
            let mut edges: Vec<(&str, Edge)> = self.nodes[0].edges().collect();
            edges.retain(|(_, edge)| edge.n_chars >= MIN_CHARS_MISPRINTED_AMONG_OTHERS);
            (Slips::new(edges.iter().map(|(word, _)| word)), edges.into_iter().map(|(_, edge)| edge).collect())
        })
    }
}

impl Node {
    fn edges(&self) -> impl Iterator<Item = (&str, Edge)> {
        let parts = [(&self.whole, false), (&self.stems, true)];
        parts.into_iter().flat_map(|(words, is_stem)| {
            words.iter().map(move |(word, to)| (&**word, Edge { to: *to, is_stem, n_chars: word.chars().count() }))
        })
    }
}

struct Walk<'p> {
    phrases: &'p Phrases,
    words: &'p [Word],
    language: &'p str,
}

/// How a phrase has come so far.
#[derive(Debug, Clone, Copy)]
struct Way {
    first: usize,
    /// Letters of the words that stand as in the term.
    exact: usize,
    /// Letters of the word of the term that is misprinted; 0 for none.
    misprinted: usize,
}

impl Walk<'_> {
    /// Goes on at `node` with word `i` of a phrase.
    fn from(&self, node: u32, way: Way, i: usize, matches: &mut Vec<TermMatch>) {
        let Some(word) = self.words.get(i) else { return };
        if i > way.first && word.after_stop {
            return;
        }
        let node = &self.phrases.nodes[node as usize];
        let forms = forms(&word.folded);
        let mut goes_on = false;
        for form in &forms {
            let mut exactly = |to: u32, n_bytes: usize| {
                goes_on = true;
                self.reached(to, Way { exact: way.exact + form[..n_bytes].chars().count(), ..way }, i, matches);
            };
            if let Some(next) = node.whole.get(*form) {
                exactly(*next, form.len());
            }
            let ends = form.char_indices().skip(1).map(|(at, _)| at).chain([form.len()]);
            for at in ends.take_while(|at| *at <= self.phrases.longest) {
                if let Some(next) = node.stems.get(&form[..at]) {
                    exactly(*next, at);
                }
                if at < form.len()
                    && let Some(next) = node.whole.get(&form[..at])
                    && form[..at].chars().nth(MIN_CHARS_BEFORE_ENDING - 1).is_some()
                    && is_ending(&form[at..], self.language)
                {
                    exactly(*next, at);
                }
            }
        }
        if !goes_on && way.misprinted == 0 {
            for form in forms {
                self.misprinted(node, way, i, form, matches);
            }
        }
    }

    /// Goes on with a form of word `i` as a misprint of the words that lead on from `node`, whole or in their beginning.
    fn misprinted(&self, node: &Node, way: Way, i: usize, form: &str, matches: &mut Vec<TermMatch>) {
        let letters: Vec<char> = form.chars().collect();
        for n in MIN_CHARS_MISPRINTED_AMONG_OTHERS - 1..=letters.len().min(MAX_CHARS_MISPRINTED) {
            let rest = form.char_indices().nth(n).map_or("", |(at, _)| &form[at..]);
            let mut slip = |edge: &Edge| {
                if rest.is_empty() || edge.is_stem || is_ending(rest, self.language) {
                    self.reached(edge.to, Way { misprinted: edge.n_chars, ..way }, i, matches);
                }
            };
            if i == way.first {
                let (slips, edges) = self.phrases.slips();
                slips.meant(&letters[..n]).into_iter().for_each(|number| slip(&edges[number as usize]));
            } else {
                let long = |(_, edge): &(&str, Edge)| edge.n_chars >= MIN_CHARS_MISPRINTED_AMONG_OTHERS;
                let meant = |word: &str| is_slip(&letters[..n], &word.chars().collect::<Vec<_>>());
                node.edges().filter(long).filter(|(word, _)| meant(word)).for_each(|(_, edge)| slip(&edge));
            }
        }
    }

    fn reached(&self, node: u32, way: Way, i: usize, matches: &mut Vec<TermMatch>) {
        let span = Span { start: self.words[way.first].span.start, end: self.words[i].span.end };
        let says_enough = match way.misprinted {
            0 => true,
            n if i == way.first => n >= MIN_CHARS_MISPRINTED,
            _ => way.exact >= MIN_CHARS_MISPRINTED_AMONG_OTHERS,
        };
        for end in self.phrases.nodes[node as usize].ends.iter().filter(|_| says_enough) {
            if !end.capitals || self.words[way.first].capitals {
                matches.push(TermMatch { span, term_type: usize::from(end.term_type) });
            }
        }
        self.from(node, way, i + 1, matches);
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
    fn a_long_word_or_one_among_others_may_be_misprinted() {
        let terms =
            ["كتائب حزب الله", "كتائب سيد الشهداء", "الباليستية", "داعش", "peshmerga", "Asaib Ahl al-Haq", "استهدف*"];
        assert_eq!(found(&terms, "كتئب حزب الله", "ar"), ["كتئب حزب الله"]);
        assert_eq!(found(&terms, "وكتائب سيد الشهدداء", "ar"), ["وكتائب سيد الشهدداء"]);
        assert_eq!(found(&terms, "بالصواريخ البالستية", "ar"), ["البالستية"]);
        assert_eq!(found(&terms, "the Pehsmerga", "en"), ["Pehsmerga"]);
        // Too short, two words of a term misprinted, the last letter dropped, another letter.
        for text in ["داعس", "داعشش", "كتئب حزبب الله", "peshmerg", "pashmerga", "كتئب الله"]
        {
            assert!(found(&terms, text, "ar").is_empty(), "{text}");
        }
        assert!(found(&terms, &"pe".repeat(500_000), "en").is_empty(), "and soon");
        // What stands as in a term is no misprint of another.
        assert_eq!(found(&["trained", "trainned"], "trained", "en"), ["trained"]);
    }

    #[test]
    fn a_bad_term_is_refused() {
        let term = |text: &str| Term { text: text.into(), term_type: 0, file: "x".into() };
        for text in ["ab*", "a*b", "…", ""] {
            assert!(Phrases::default().add(&term(text)).is_err(), "{text}");
        }
    }
}
