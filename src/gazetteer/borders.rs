//! Where a name may begin and end inside a word: Arabic proclitics and article before it, Kurdish, Persian and Turkish endings
//! after it.

use super::folding::{BARRIER, BETWEEN_WORDS, Folding};
use super::patterns::{Pattern, Use};
use crate::letters::endings::{ARABIC_SCRIPT_ENDINGS, LATIN_SCRIPT_ENDINGS};
use std::ops::Range;

// و ف ب ل ك and the article are two bytes a letter; no word that begins with more than five of them is looked at.
const MAX_PREFIX_BYTES: usize = 10;

/// First folded byte of the name (its article included) if the hit stands as a word of its own, else none.
pub(super) fn start_of_name(folding: &Folding, hit: Range<usize>, pattern: &Pattern, language: &str) -> Option<usize> {
    // The end first: it refuses most hits.
    if !end_fits(folding, &hit, pattern, language) || !breaks_fit(folding, &hit, pattern) {
        return None;
    }
    let mut word_start = hit.start;
    while folding.border[word_start] == 0 && folding.bytes[word_start - 1] != BARRIER {
        word_start -= 1;
        if hit.start - word_start > MAX_PREFIX_BYTES {
            return None;
        }
    }
    let prefix = &folding.bytes[word_start..hit.start];
    match std::str::from_utf8(prefix).ok().and_then(article_after_proclitics) {
        _ if !pattern.arabic_script => prefix.is_empty().then_some(hit.start),
        Some(true) if pattern.article || pattern.may_take_article() => Some(hit.start - "ال".len()),
        Some(false) if !pattern.article => Some(hit.start),
        _ => None,
    }
}

/// Whether the letters before a stem are proclitics, and whether the article is the last of them.
fn article_after_proclitics(prefix: &str) -> Option<bool> {
    let rest = prefix.strip_prefix(['و', 'ف']).unwrap_or(prefix);
    match rest {
        "" | "ب" | "ل" | "ك" => Some(false),
        // ل and the article are written لل
        "ال" | "بال" | "كال" | "لل" => Some(true),
        _ => None,
    }
}

// The text may join what the name parts (حزبالله) but not part what the name joins ("is id" is no ISID).
fn breaks_fit(folding: &Folding, hit: &Range<usize>, pattern: &Pattern) -> bool {
    (hit.start + 1..hit.end)
        .all(|at| folding.border[at] & BETWEEN_WORDS == 0 || pattern.breaks.contains(&(at - hit.start)))
}

fn end_fits(folding: &Folding, hit: &Range<usize>, pattern: &Pattern, language: &str) -> bool {
    if folding.border[hit.end] != 0 {
        return true;
    }
    if pattern.stem {
        return true;
    }
    let rest = &folding.bytes[hit.end..];
    let n = (0..rest.len()).find(|i| *i > 0 && folding.border[hit.end + i] != 0).unwrap_or(rest.len());
    let ending = std::str::from_utf8(&rest[..n]).unwrap_or("?");
    let ambiguous = matches!(pattern.meaning, Use::Name { condition: Some(_), .. });
    let n_bytes = hit.end - hit.start;
    match (pattern.arabic_script, language) {
        (true, "fa" | "ckb" | "und") => !ambiguous && n_bytes >= 6 && ARABIC_SCRIPT_ENDINGS.contains(&ending),
        (false, "tr" | "kmr" | "und") => {
            !ambiguous && (n_bytes >= 4 || pattern.capitals) && LATIN_SCRIPT_ENDINGS.contains(&ending)
        }
        _ => false,
    }
}
