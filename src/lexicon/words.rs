//! Text → its words in folded letters, each with its place.

use crate::article::Span;
use crate::letters::{Class, Folder};

/// One word: a run of letters between spaces, hyphens, apostrophes or punctuation.
pub(super) struct Word {
    /// Folded letters.
    pub folded: String,
    /// Bytes of the text.
    pub span: Span,
    /// Punctuation that ends a phrase stands before it.
    pub after_stop: bool,
    /// All its letters are capitals.
    pub capitals: bool,
}

pub(super) fn words(text: &str) -> Vec<Word> {
    let folder = Folder::new();
    let mut words: Vec<Word> = Vec::new();
    let (mut inside, mut stop) = (false, false);
    for (at, c) in text.char_indices() {
        let folded = folder.fold(c);
        match folded.class {
            Class::Letter => {
                if !inside {
                    let span = Span { start: at, end: at };
                    words.push(Word { folded: String::new(), span, after_stop: stop, capitals: true });
                    (inside, stop) = (true, false);
                }
                if let Some(word) = words.last_mut() {
                    word.folded.push_str(std::str::from_utf8(folded.as_bytes()).unwrap_or(""));
                    word.span.end = at + c.len_utf8();
                    word.capitals &= !c.is_lowercase();
                }
            }
            Class::Silent => {
                if let (true, Some(word)) = (inside, words.last_mut()) {
                    word.span.end = at + c.len_utf8();
                }
            }
            Class::Apostrophe | Class::Joint | Class::Space => inside = false,
            // the points of U.S. and P.K.K. end no phrase
            Class::Stop => {
                let initial = c == '.' && inside && words.last().is_some_and(|w| w.folded.chars().count() == 1);
                (inside, stop) = (false, stop || !initial);
            }
        }
    }
    words
}
