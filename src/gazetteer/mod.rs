//! Names → groups with spans: which armed groups and forces a sentence names, under any of their names.
//!
//! The names lie in labels/groups.toml. All of them are searched in one pass (Aho-Corasick) over folded text
//! ([`letters`](crate::letters)) from which the white space is gone too, so that `حزب‌الله`, `حزب الله` and `#حزب_الله` are one
//! name; every hit is then checked at its borders and, if its name means other things as well, for its cue.
//! Of overlapping names the longest counts: `Kataib Hezbollah` is never also `Hezbollah`.

mod borders;
mod folding;
mod groups_file;
mod patterns;

use crate::article::{GroupMatch, Span};
use crate::error::{Error, Place, Result};
use aho_corasick::{AhoCorasick, MatchKind};
use folding::Folding;
use groups_file::{Condition, Group, Window};
use patterns::{Pattern, Use};
use std::cell::OnceCell;
use std::path::Path;

/// The known groups, ready to be searched for.
pub struct Gazetteer {
    groups: Vec<Group>,
    conditions: Vec<Condition>,
    n_cues: usize,
    automaton: AhoCorasick,
    // One entry a pattern of the automaton: all names and cues that fold to it.
    patterns: Vec<Vec<Pattern>>,
}

impl Gazetteer {
    /// Parses the text of a groups file; `path` is for messages.
    ///
    /// # Errors
    /// Broken TOML, an unknown key, an id twice, a parent that is not there, one name for two groups without a cue to decide.
    pub fn parse(toml: &str, path: &Path) -> Result<Gazetteer> {
        let file = groups_file::parse(toml, path)?;
        let (folded, patterns): (Vec<Vec<u8>>, Vec<Vec<Pattern>>) = patterns::all(&file, path)?.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&folded)
            .map_err(|e| Error::bad(Place::file(path), format!("too many names ({e})"), "a smaller file"))?;
        let groups_file::GroupsFile { groups, conditions, cues } = file;
        Ok(Gazetteer { groups, conditions, n_cues: cues.len(), automaton, patterns })
    }

    /// The groups of labels/groups.toml, compiled in.
    ///
    /// # Errors
    /// Never in a release: a test parses the file.
    pub fn shipped() -> Result<Gazetteer> {
        Gazetteer::parse(include_str!("../../labels/groups.toml"), Path::new("labels/groups.toml"))
    }

    /// The groups named in `span` of `text`, by start, without overlaps. `language` is an ISO 639 code or `und`: it decides which
    /// endings a name may carry and whether names that only one language uses are looked for.
    ///
    /// Cues that may stand anywhere in the article are looked for in all of `text`; who asks for many sentences of one text takes
    /// [`Gazetteer::in_article`], which looks once.
    pub fn find(&self, text: &str, span: Span, language: &str) -> Vec<GroupMatch> {
        self.in_article(text, language).find(span)
    }

    /// A text whose sentences are to be searched.
    pub fn in_article<'a>(&'a self, text: &'a str, language: &'a str) -> InArticle<'a> {
        InArticle { gazetteer: self, text, language, cues: OnceCell::new() }
    }

    /// Names and cues in a piece of a text.
    fn scan(&self, text: &str, span: Span, language: &str) -> (Vec<Candidate<'_>>, Vec<bool>) {
        let folding = Folding::new(text, span);
        let mut candidates = Vec::new();
        let mut cues = vec![false; self.n_cues];
        for hit in self.automaton.find_overlapping_iter(&folding.bytes) {
            for pattern in &self.patterns[hit.pattern().as_usize()] {
                let Some(start) = borders::start_of_name(&folding, hit.start()..hit.end(), pattern, language) else {
                    continue;
                };
                match pattern.meaning {
                    Use::Cue(cue) => cues[cue] = true,
                    Use::Name { group, condition } => {
                        let span = folding.span(text, start..hit.end());
                        candidates.push(Candidate { span, group, condition, pattern });
                    }
                }
            }
        }
        (candidates, cues)
    }
}

/// A name that stands in the text, before it is known whether it means the group.
struct Candidate<'g> {
    span: Span,
    group: usize,
    condition: Option<usize>,
    pattern: &'g Pattern,
}

/// A text whose sentences are searched one by one.
pub struct InArticle<'a> {
    gazetteer: &'a Gazetteer,
    text: &'a str,
    language: &'a str,
    // Cues anywhere in the text; looked for when the first ambiguous name asks.
    cues: OnceCell<Vec<bool>>,
}

impl InArticle<'_> {
    /// The groups named in `span` of the text, by start, without overlaps.
    pub fn find(&self, span: Span) -> Vec<GroupMatch> {
        let sentence = span.of(self.text);
        let (mut candidates, cues) = self.gazetteer.scan(self.text, span, self.language);
        candidates.retain(|candidate| self.is_meant(candidate, sentence, &cues));
        // Longest first; of equally long ones the one that a cue speaks for.
        candidates.sort_by_key(|c| {
            (std::cmp::Reverse(c.span.end - c.span.start), c.condition.is_none(), c.span.start, c.group)
        });
        let mut chosen: Vec<Candidate<'_>> = Vec::new();
        for candidate in candidates {
            if chosen.iter().all(|c| candidate.span.end <= c.span.start || c.span.end <= candidate.span.start) {
                chosen.push(candidate);
            }
        }
        chosen.sort_by_key(|c| c.span.start);
        chosen.into_iter().map(|c| self.group_match(&c)).collect()
    }

    fn is_meant(&self, candidate: &Candidate<'_>, sentence: &str, in_sentence: &[bool]) -> bool {
        let words = candidate.span.of(self.text);
        if candidate.pattern.capitals && words.chars().any(char::is_lowercase) {
            return false;
        }
        let Some(condition) = candidate.condition else { return true };
        let condition = &self.gazetteer.conditions[condition];
        if !condition.languages.is_empty() && !condition.languages.iter().any(|l| l == self.language) {
            return false;
        }
        // Among capitals only, an acronym cannot be told from a word.
        if candidate.pattern.capitals && !sentence.chars().any(char::is_lowercase) {
            return false;
        }
        let cues = match condition.window {
            Window::Sentence => in_sentence,
            Window::Article => self.cues.get_or_init(|| {
                let whole = Span { start: 0, end: self.text.len() };
                self.gazetteer.scan(self.text, whole, self.language).1
            }),
        };
        let seen = |wanted: &[usize]| wanted.iter().any(|cue| cues[*cue]);
        (condition.cues.is_empty() || seen(&condition.cues)) && !seen(&condition.not_cues)
    }

    fn group_match(&self, candidate: &Candidate<'_>) -> GroupMatch {
        let group = &self.gazetteer.groups[candidate.group];
        GroupMatch {
            id: group.id.clone(),
            name: group.name.clone(),
            kind: group.kind.clone(),
            parent: group.parent.clone(),
            span: candidate.span,
            matched: candidate.span.of(self.text).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static SHIPPED: LazyLock<Gazetteer> = LazyLock::new(|| Gazetteer::shipped().unwrap());

    const PIECES: [&str; 30] = [
        "داعش",
        "كتائب",
        "حزب",
        "الله",
        "الحشد",
        "الشعبي",
        "وال",
        "لل",
        "ـ",
        "َ",
        "\u{200C}",
        "\u{200F}",
        "#",
        "_",
        " ",
        " ",
        "-",
        "’",
        "Kata'ib",
        "Hezbollah",
        "IS",
        "İŞİD",
        "'in",
        "DAIŞ",
        "ê",
        "ﷲ",
        "«",
        ".",
        "الإسلامية",
        "militants",
    ];

    fn language() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["ar", "en", "fa", "ckb", "kmr", "tr", "fr", "und"])
    }

    fn check_matches(text: &str, language: &str) {
        let span = Span { start: 0, end: text.len() };
        let mut end = 0;
        for found in SHIPPED.find(text, span, language) {
            assert_eq!(found.span.of(text), found.matched);
            assert!(end <= found.span.start && found.span.start < found.span.end, "{found:?} in {text:?}");
            end = found.span.end;
        }
    }

    proptest! {
        #[test]
        fn matches_slice_the_text_and_do_not_overlap(text in "\\PC{0,80}", language in language()) {
            check_matches(&text, language);
        }

        #[test]
        fn pieces_of_names_in_any_order_too(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..25), language in language()) {
            check_matches(&pieces.concat(), language);
        }

        #[test]
        fn spelling_does_not_matter(marks in prop::collection::vec(prop::sample::select(vec!["", "", "ـ", "َ", "ّ"]), 12), space in prop::sample::select(vec![" ", "_", "\u{200C}", "  ", "-"])) {
            let mut text = String::from("قالت ");
            for (letter, mark) in "كتائب حزب الله".chars().zip(marks.iter().cycle()) {
                if letter == ' ' { text.push_str(space) } else { text.push(letter); text.push_str(mark) }
            }
            let found = SHIPPED.find(&text, Span { start: 0, end: text.len() }, "ar");
            prop_assert_eq!(found.len(), 1, "{}", text);
            prop_assert_eq!((found[0].id.as_str(), found[0].span), ("kataib_hezbollah", Span { start: 9, end: text.len() }));
        }
    }

    #[test]
    fn a_cue_counts_in_its_window_only() {
        let text = "Fighters of Kataib Hezbollah left. The Kataib then returned.";
        let second = Span { start: 35, end: text.len() };
        let ids = |text: &str, span| SHIPPED.find(text, span, "en").into_iter().map(|m| m.id).collect::<Vec<_>>();
        assert_eq!(ids(text, second), ["kataib_hezbollah"]);
        assert!(ids(second.of(text), Span { start: 0, end: text.len() - 35 }).is_empty());
    }

    #[test]
    fn reads_twenty_megabytes_a_second() {
        let sentences = [
            (
                "وأعلنت المقاومة الإسلامية في العراق مسؤوليتها عن كلا الهجومين، وهي تشكيل فضفاض من الجماعات المسلحة المرتبطة بتحالف الحشد الشعبي.",
                "ar",
            ),
            (
                "A roadside bomb wounded three soldiers south of the city on Tuesday, officials said, and the search is going on.",
                "en",
            ),
            ("وقال مصدر أمني إن أربعة منازل تضررت في محيط المدينة مساء الخميس دون وقوع إصابات بين السكان.", "ar"),
        ];
        // The best of many short rounds, because other programs share the machine.
        let best = (0..50).map(|_| {
            let start = std::time::Instant::now();
            let mut n_bytes = 0;
            for _ in 0..50 {
                for (text, language) in sentences {
                    n_bytes += text.len();
                    std::hint::black_box(SHIPPED.find(text, Span { start: 0, end: text.len() }, language));
                }
            }
            n_bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
        });
        let megabytes_a_second = best.fold(0.0, f64::max);
        println!("{megabytes_a_second:.0} MB/s");
        assert!(megabytes_a_second >= 20.0, "{megabytes_a_second}");
    }
}
