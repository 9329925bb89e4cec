//! A sentence longer than any reader, or model, takes in → pieces cut at its punctuation.

use super::trim;
use crate::article::Span;

/// The longest sentence, in characters.
pub const MAX_CHARS: usize = 2000;

/// Cuts a sentence of more than [`MAX_CHARS`] characters: at the last full stop of the second half, else at the last clause
/// mark, else at white space, else (a single endless word) after [`MAX_CHARS`].
pub fn cut(text: &str, sentence: Span) -> Vec<Span> {
    let mut pieces = Vec::new();
    let mut rest = sentence;
    while let Some(end) = piece_end(rest.of(text)) {
        pieces.extend(trim(text, Span { start: rest.start, end: rest.start + end }));
        match trim(text, Span { start: rest.start + end, end: rest.end }) {
            Some(left) => rest = left,
            None => return pieces,
        }
    }
    pieces.push(rest);
    pieces
}

/// Where the first piece of an over-long sentence ends, in bytes; none if the sentence is short enough.
fn piece_end(sentence: &str) -> Option<usize> {
    let (limit, _) = sentence.char_indices().nth(MAX_CHARS)?;
    let head = &sentence[..limit];
    let (half, _) = head.char_indices().nth(MAX_CHARS / 2)?;
    let after_last = |is_mark: fn(char) -> bool| {
        let mut next = sentence[limit..].chars().next().unwrap_or(' ');
        for (at, c) in head[half..].char_indices().rev() {
            // a mark within a number or a name (3.5, t.co) has no white space behind it
            if is_mark(c) && (next.is_whitespace() || c.is_whitespace()) {
                return Some(half + at + c.len_utf8());
            }
            next = c;
        }
        None
    };
    after_last(|c| matches!(c, '.' | '!' | '?' | '؟' | '…' | '۔'))
        .or_else(|| after_last(|c| matches!(c, '،' | '؛' | ',' | ';' | ':' | '–' | '—')))
        .or_else(|| after_last(char::is_whitespace))
        .or(Some(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        cut(text, Span { start: 0, end: text.len() }).iter().map(|span| span.of(text)).collect()
    }

    #[test]
    fn the_best_mark_of_the_second_half_ends_a_piece() {
        let words = "كلمة ".repeat(300); // 1,500 characters
        assert_eq!(pieces("قصيرة، جدا"), ["قصيرة، جدا"]);
        let text = format!("{words}نهاية. {words}آخر");
        assert_eq!(pieces(&text)[0], format!("{words}نهاية."));
        let text = format!("{words}نهاية، {words}3,5 آخر");
        assert_eq!(pieces(&text)[0], format!("{words}نهاية،"));
        assert_eq!(pieces(&"كلمة ".repeat(1000)).iter().map(|piece| piece.chars().count()).max(), Some(1999));
        assert_eq!(pieces(&"ك".repeat(4001)).len(), 3);
    }
}
