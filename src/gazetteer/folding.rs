//! Text → its folded letters, each with its place in the text and the border before it.

use crate::article::Span;
use crate::letters::{Class, Folder};
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;

/// Stands for punctuation that no name crosses; no byte of UTF-8.
pub(super) const BARRIER: u8 = 0xFF;

/// A border at an apostrophe, hyphen or zero-width non-joiner: a name may begin or end there, or go on.
pub(super) const WITHIN_WORD: u8 = 1;

/// A border between two words.
pub(super) const BETWEEN_WORDS: u8 = 2;

/// Folded letters without what stands between them.
pub(super) struct Folding {
    /// Letters and digits as UTF-8; [`BARRIER`] where punctuation stood.
    pub bytes: Vec<u8>,
    /// The border before each byte, and one after the last: 0, or [`WITHIN_WORD`] and [`BETWEEN_WORDS`] or-ed.
    pub border: Vec<u8>,
    // Where the character that each folded byte comes from begins, counted from the first character of the piece.
    start: Vec<usize>,
    span: Span,
}

impl Folding {
    /// Folds a piece of a text.
    pub fn new(text: &str, span: Span) -> Folding {
        let folder = Folder::new();
        let piece = span.of(text);
        let n = piece.len();
        let mut folding = Folding {
            bytes: Vec::with_capacity(n),
            border: Vec::with_capacity(n + 1),
            start: Vec::with_capacity(n),
            span,
        };
        let mut border = BETWEEN_WORDS;
        let mut n_letters = 0;
        for (start, c) in piece.char_indices() {
            let folded = folder.fold(c);
            match folded.class {
                Class::Letter => {
                    n_letters = if border == 0 { n_letters + 1 } else { 1 };
                    for byte in folded.as_bytes() {
                        folding.push(*byte, border, start);
                        border = 0;
                    }
                }
                Class::Silent => {}
                Class::Apostrophe | Class::Joint => border |= WITHIN_WORD,
                Class::Space => border |= BETWEEN_WORDS,
                // The points of U.S., P.K.K. and پ.ک.ک end nothing.
                Class::Stop if c == '.' && border == 0 && n_letters == 1 => border = WITHIN_WORD,
                Class::Stop => {
                    if folding.bytes.last() != Some(&BARRIER) {
                        folding.push(BARRIER, BETWEEN_WORDS, start);
                    }
                    border = BETWEEN_WORDS;
                }
            }
        }
        folding.border.push(BETWEEN_WORDS);
        folding
    }

    #[inline]
    fn push(&mut self, byte: u8, border: u8, start: usize) {
        self.bytes.push(byte);
        self.border.push(border);
        self.start.push(start);
    }

    /// Where folded bytes stand in the text: from the first letter to the last, marks on the last included.
    pub fn span(&self, text: &str, bytes: Range<usize>) -> Span {
        let start = self.span.start + self.start[bytes.start];
        let last = self.span.start + self.start[bytes.end - 1];
        let mut end = last;
        for (i, c) in text[last..self.span.end].chars().enumerate() {
            // Direction marks are nobody's; a bare hamza or tatweel is the word's.
            if i > 0 && !(is_combining_mark(c) || matches!(c, 'ء' | 'ـ')) {
                break;
            }
            end += c.len_utf8();
        }
        Span { start, end }
    }
}
