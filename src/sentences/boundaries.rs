//! Where sentences end within a line: sentencex judges each full stop; before it come the rules that it lacks for our languages.

use super::enclosures::is_closing;
use crate::article::Span;
use sentencex::languages::Language;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// How much of the line sentencex sees before and after a mark, in bytes: enough for its rules, and little enough that a line of
/// any length takes linear time.
const SEEN_BEFORE: usize = 400;
const SEEN_AFTER: usize = 100;

static ABBREVIATIONS: LazyLock<HashMap<String, Abbreviations>> = LazyLock::new(|| {
    toml::from_str(include_str!("abbreviations.toml")).expect("a file of this crate, parsed in its tests")
});

/// The abbreviations of one language, in lower case and without their last full stop.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Abbreviations {
    goes_on: HashSet<String>,
    may_end: HashSet<String>,
}

/// What decides about full stops in one language.
pub struct Rules {
    sentencex: Box<dyn Language>,
    abbreviations: Option<&'static Abbreviations>,
    /// A number and a full stop make an ordinal: 12. Tugay.
    has_ordinals: bool,
    /// Single letters are left to sentencex, which knows initials and the pronoun I.
    has_own_initials: bool,
}

/// sentencex's rules without any language's abbreviations. Its fallback for unknown languages is English, whose abbreviations are
/// words of others (Turkish on, Kurmanji ma).
struct NoLanguage;

impl Language for NoLanguage {}

impl Rules {
    /// The rules of a language given by its ISO 639 code.
    pub fn of(language: &str) -> Self {
        let has_own_initials = matches!(language, "en" | "fr");
        Rules {
            sentencex: match language {
                "ar" | "fa" | "ckb" | "kmr" | "tr" | "und" => Box::new(NoLanguage),
                known => sentencex::language_factory(known),
            },
            abbreviations: ABBREVIATIONS.get(language),
            has_ordinals: language == "tr",
            has_own_initials,
        }
    }
}

/// The ends of all sentences of a line but the last, in bytes, in order. `enclosures` are the line's quotes and brackets.
pub fn find(line: &str, enclosures: &[Span], rules: &Rules) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    let mut enclosures = enclosures.iter().peekable();
    for mark in marks(line, rules) {
        let start = ends.last().copied().unwrap_or(0);
        if mark.start < start || goes_on(line, start, mark, rules) {
            continue;
        }
        let seen_from = line.floor_char_boundary(start.max(mark.start.saturating_sub(SEEN_BEFORE)));
        let seen = &line[seen_from..line.ceil_char_boundary((mark.end + SEEN_AFTER).min(line.len()))];
        let Some(end) = rules.sentencex.find_boundary(seen, mark.start - seen_from, mark.end - seen_from) else {
            continue;
        };
        while enclosures.next_if(|enclosure| enclosure.end <= mark.end).is_some() {}
        let around = enclosures.peek().filter(|enclosure| enclosure.start < mark.end);
        let end = match around {
            Some(enclosure) => {
                if !line[mark.end..enclosure.end].chars().all(is_closing)
                    || !begins_after_quote(line, mark, enclosure.end)
                {
                    continue;
                }
                enclosure.end
            }
            None => after_closing(line, mark.end, enclosures.peek().map_or(line.len(), |next| next.start))
                .max(seen_from + end),
        };
        if !seen_after(line, end).trim_start().starts_with([',', '،', '؛', ';', ':', '-', '–', '—']) {
            ends.push(end);
        }
    }
    ends
}

/// All marks that may end a sentence, in order: sentencex's, which lack the ellipsis that is one character.
fn marks(line: &str, rules: &Rules) -> Vec<Span> {
    let known = rules.sentencex.get_sentence_break_regex().find_iter(line);
    let ellipses = line.match_indices('…').map(|(start, mark)| Span { start, end: start + mark.len() });
    let mut marks: Vec<Span> =
        known.map(|mark| Span { start: mark.start(), end: mark.end() }).chain(ellipses).collect();
    marks.sort_unstable();
    marks
}

/// The next bytes of the line, as far as the rules look.
fn seen_after(line: &str, end: usize) -> &str {
    &line[end..line.ceil_char_boundary((end + SEEN_AFTER).min(line.len()))]
}

/// Whether the sentence that begins at `start` goes on after `mark`, whatever sentencex says.
fn goes_on(line: &str, start: usize, mark: Span, rules: &Rules) -> bool {
    let after = seen_after(line, mark.end);
    let before = &line[line.floor_char_boundary(start.max(mark.start.saturating_sub(SEEN_BEFORE)))..mark.start];
    let word = before.rsplit(char::is_whitespace).next().unwrap_or("");
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '@');
    let (Some(last), Some(next)) = (before.chars().next_back(), after.chars().next()) else {
        return false;
    };
    if !next.is_whitespace() && is_link(word, after) {
        return true;
    }
    match mark.of(line) {
        // Arabic headlines part their halves by two dots
        ".." if is_caseless(last) => true,
        "…" if next.is_alphanumeric() => true,
        dots if dots != "." && dots.starts_with(['.', '…']) => first_letter(after).is_some_and(char::is_lowercase),
        "." if !next.is_whitespace() => last.is_numeric() && next.is_numeric() || is_inside_name(word, after),
        "." => {
            let next = first_letter(after);
            next.is_some_and(|next| next.is_lowercase() && !begins_with_article(after))
                || is_list_number(word, &line[start..mark.start])
                || (rules.has_ordinals && word.len() <= 2 && is_number(word) && next.is_some_and(char::is_alphabetic))
                || is_abbreviation(word, before, rules)
        }
        // Sorumlu kim? diye sordu.
        "?" | "!" => first_letter(after).is_some_and(char::is_lowercase) && !begins_with_article(after),
        _ => false,
    }
}

/// Addresses on the web and of mail hold full stops and question marks.
fn is_link(word: &str, after: &str) -> bool {
    let mailbox = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let is_mail = word.contains('@') || (mailbox.len() < after.len() && mailbox.starts_with('@'));
    word.contains("://") || word.starts_with("www.") || is_mail
}

/// A full stop without white space before an ending of web addresses, after a single letter, or between Latin letters and digits: أ.ف.ب, U.S.A., rudaw.net (but
/// `killed.The` is a lost space).
fn is_inside_name(word: &str, after: &str) -> bool {
    let next_word = after.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    if matches!(next_word, "نت" | "كوم" | "کوم" | "net" | "com" | "org") {
        return true;
    }
    let part = word.rsplit('.').next().unwrap_or(word);
    if part.chars().count() == 1 && part.chars().all(char::is_alphabetic) && after.starts_with(char::is_alphabetic) {
        return true;
    }
    let is_joined =
        word.ends_with(|c: char| c.is_ascii_alphanumeric()) && after.starts_with(|c: char| c.is_ascii_alphanumeric());
    let mut next = after.chars();
    let is_lost_space = word.len() > 2
        && word.chars().skip(1).all(|c| c.is_lowercase())
        && next.next().is_some_and(char::is_uppercase)
        && next.next().is_some_and(char::is_lowercase);
    is_joined && !is_lost_space
}

/// `1.`, `٢.`, `a.` at a sentence's start number an item of a list.
fn is_list_number(word: &str, sentence: &str) -> bool {
    let is_first = sentence.len() <= SEEN_AFTER && sentence.trim_start_matches(|c: char| !c.is_alphanumeric()) == word;
    is_first && ((is_number(word) && word.chars().count() <= 3) || word.chars().count() == 1)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.chars().all(char::is_numeric)
}

/// Whether the full stop after `word` (the end of `before`) belongs to an abbreviation.
fn is_abbreviation(word: &str, before: &str, rules: &Rules) -> bool {
    let word = word.to_lowercase();
    if let Some(abbreviations) = rules.abbreviations {
        if abbreviations.may_end.contains(&word) {
            return false;
        }
        if without_prefix(&word).any(|word| abbreviations.goes_on.contains(word)) {
            return true;
        }
    }
    if rules.has_own_initials {
        return false;
    }
    let is_letters = |word: &str| {
        word.split('.').all(|letter| {
            letter.chars().filter(|c| c.is_alphabetic()).count() == 1 && !letter.contains(char::is_numeric)
        })
    };
    // م after a number is metres or anno Domini, and may end a sentence; before a name it is an engineer
    let previous = before.trim_end_matches(|c: char| !c.is_whitespace()).trim_end();
    let is_unit = !word.contains('.') && previous.ends_with(char::is_numeric);
    !is_unit && without_prefix(&word).any(is_letters)
}

/// The word itself, and without the particles that Arabic writes together with the word that follows (and, to, by, as).
fn without_prefix(word: &str) -> impl Iterator<Item = &str> {
    let stripped = word.strip_prefix(['و', 'ل', 'ب', 'ك', 'ف']).map(|rest| rest.trim_start_matches('ـ'));
    std::iter::once(word).chain(stripped.filter(|rest| !rest.is_empty()))
}

/// Whether a new sentence begins at `end`, after a quotation whose last words end with `mark`: «I did it.» He left.
/// In scripts without capitals a question in quotes is taken as part of its sentence, a full stop as its end.
fn begins_after_quote(line: &str, mark: Span, end: usize) -> bool {
    let after = seen_after(line, end);
    if !after.starts_with(char::is_whitespace) {
        return false;
    }
    match first_letter(after) {
        Some(next) if next.is_uppercase() => true,
        Some(next) if next.is_lowercase() => false,
        Some(_) => mark.of(line).ends_with(['.', '۔']),
        None => false,
    }
}

/// The end of the closing marks and pictures that follow a sentence's mark directly, not beyond `limit`, where a quotation opens.
fn after_closing(line: &str, end: usize, limit: usize) -> usize {
    let is_picture = |c| matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}' | '\u{fe0f}' | '\u{200d}');
    let after = &line[end..limit.max(end)];
    end + after.len() - after.trim_start_matches(|c| is_closing(c) || is_picture(c)).len()
}

/// The first letter or digit of the next word, behind white space and opening marks; none where a tag, a name or a picture follows.
fn first_letter(after: &str) -> Option<char> {
    let is_opening = |c: char| {
        c.is_whitespace()
            || matches!(c, '«' | '“' | '„' | '‘' | '"' | '\'' | '(' | '[' | '•' | '-' | '–' | '—' | '…' | '.')
    };
    after.chars().find(|c| !is_opening(*c)).filter(|c| c.is_alphanumeric())
}

/// Names with the Arabic article begin sentences in lower case.
fn begins_with_article(after: &str) -> bool {
    let word = after.trim_start();
    word.starts_with("al-") || word.starts_with("el-")
}

fn is_caseless(c: char) -> bool {
    !c.is_ascii() && !c.is_lowercase() && !c.is_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_abbreviations_are_in_the_form_they_are_compared_in() {
        for (language, lists) in ABBREVIATIONS.iter() {
            for word in lists.goes_on.iter().chain(&lists.may_end) {
                assert!(*word == word.to_lowercase() && !word.ends_with('.') && !word.is_empty(), "{language}: {word}");
            }
        }
        assert_eq!(ABBREVIATIONS.len(), 7);
    }
}
