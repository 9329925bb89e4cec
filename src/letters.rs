//! Letters → one form each: spellings that a reader takes for the same fold to the same bytes.
//!
//! Compatibility decomposition (NFKD), no diacritics, no tatweel, no case; the variants of alef, hamza, ya, kaf and heh as one
//! letter each, the Kurdish letters with their Arabic bases, dotless i with i, Arabic and Persian digits with 0 to 9.
//! What is compared and searched goes through here; what is shown never does.

pub mod endings;

use std::sync::LazyLock;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// What a character does to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A letter or digit; folds to bytes.
    Letter,
    /// Dropped without a trace: combining marks, tatweel, a bare hamza, direction marks.
    Silent,
    /// Dropped, but a name may begin or end here: `Da'esh`, `DEAŞ'ın`, `l'État`.
    Apostrophe,
    /// Joins two words or parts one: hyphens and the zero-width non-joiner.
    Joint,
    /// Parts words of one phrase: white space, underscore, hash sign, quotation marks.
    Space,
    /// Ends a phrase: all other punctuation and symbols.
    Stop,
}

/// Longest folded form that is kept; the two Arabic ligatures that are whole sentences (ﷺ, ﷻ) fold to a space.
const MAX_BYTES: usize = 14;

/// A character after folding.
#[derive(Debug, Clone, Copy)]
pub struct Folded {
    /// What it does to the words around it.
    pub class: Class,
    n_bytes: u8,
    bytes: [u8; MAX_BYTES],
}

impl Folded {
    /// UTF-8 of the folded letters; empty unless the class is [`Class::Letter`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.n_bytes as usize]
    }

    fn without_letters(class: Class) -> Self {
        Folded { class, n_bytes: 0, bytes: [0; MAX_BYTES] }
    }
}

// Every script of our languages lies below; the rest of Unicode (presentation forms, emoji) is folded when it comes.
const TABLE_LEN: usize = 0x2100;

static TABLE: LazyLock<Vec<Folded>> =
    LazyLock::new(|| (0..TABLE_LEN as u32).map(|c| char::from_u32(c).map_or_else(stop, compute)).collect());

/// The table of [`fold`], for loops that fold many characters.
pub struct Folder {
    table: &'static [Folded],
}

impl Folder {
    /// Builds the table on first use.
    pub fn new() -> Self {
        Folder { table: &TABLE }
    }

    /// The folded form of a character.
    #[inline]
    pub fn fold(&self, c: char) -> Folded {
        match self.table.get(c as usize) {
            Some(folded) => *folded,
            None => compute(c),
        }
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

/// The words of a text in folded form, one space between two: equal for texts that differ only in spelling variants, case,
/// punctuation and white space. Digits stay.
pub fn folded_words(text: &str) -> String {
    let folder = Folder::new();
    let mut words: Vec<u8> = Vec::with_capacity(text.len());
    let mut border = false;
    for c in text.chars() {
        let folded = folder.fold(c);
        match folded.class {
            Class::Letter => {
                if border && !words.is_empty() {
                    words.push(b' ');
                }
                border = false;
                words.extend_from_slice(folded.as_bytes());
            }
            Class::Silent | Class::Apostrophe => {}
            Class::Joint | Class::Space | Class::Stop => border = true,
        }
    }
    String::from_utf8(words).expect("folded letters are UTF-8")
}

fn stop() -> Folded {
    Folded::without_letters(Class::Stop)
}

fn compute(c: char) -> Folded {
    if let Some(class) = class_by_name(c) {
        return Folded::without_letters(class);
    }
    let mut folded = Folded::without_letters(Class::Letter);
    let mut too_long = false;
    decompose_compatible(c, |part| {
        for low in part.to_lowercase() {
            if low.is_alphanumeric() && !is_combining_mark(low) && class_by_name(low).is_none() {
                let mut utf8 = [0; 4];
                let utf8 = unify(low).encode_utf8(&mut utf8).as_bytes();
                let end = folded.n_bytes as usize + utf8.len();
                if end > MAX_BYTES {
                    too_long = true;
                    return;
                }
                folded.bytes[folded.n_bytes as usize..end].copy_from_slice(utf8);
                folded.n_bytes = end as u8;
            }
        }
    });
    if too_long {
        return Folded::without_letters(Class::Space);
    }
    if folded.n_bytes == 0 {
        let silent = is_combining_mark(c) || c.is_alphanumeric();
        return Folded::without_letters(if silent { Class::Silent } else { Class::Stop });
    }
    folded
}

fn class_by_name(c: char) -> Option<Class> {
    Some(match c {
        // tatweel, hamza on the line, soft hyphen, direction marks and isolates, zero-width joiner, word joiner, BOM, variation selectors
        'ـ'
        | 'ء'
        | '\u{AD}'
        | '\u{61C}'
        | '\u{200D}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}'
        | '\u{FE00}'..='\u{FE0F}' => Class::Silent,
        '\'' | '`' | '´' | '‘' | '’' | '‛' | '′' | 'ʹ'..='ʿ' | 'ˈ' => Class::Apostrophe,
        '-' | '‐' | '‑' | '−' | '\u{200B}' | '\u{200C}' => Class::Joint,
        '_' | '#' | '"' | '“' | '”' | '„' | '‟' | '«' | '»' | '‹' | '›' | '″' => Class::Space,
        c if c.is_whitespace() => Class::Space,
        _ => return None,
    })
}

fn unify(c: char) -> char {
    match c {
        'ٱ' => 'ا',
        'ى' | 'ی' | 'ې' | 'ێ' | 'ے' => 'ي',
        'ک' | 'ڪ' => 'ك',
        'ة' | 'ە' | 'ھ' | 'ہ' | 'ۃ' => 'ه',
        'ۆ' | 'ۊ' | 'ۇ' | 'ۈ' => 'و',
        'ڵ' => 'ل',
        'ڕ' => 'ر',
        'ڤ' => 'ف',
        'ı' => 'i',
        '٠'..='٩' => digit(c, '٠'),
        '۰'..='۹' => digit(c, '۰'),
        other => other,
    }
}

fn digit(c: char, zero: char) -> char {
    char::from(b'0' + (c as u32 - zero as u32) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_word_fold_to_one() {
        let same = [
            vec!["أولياء", "اولياء", "اوليا", "أَوْلِيَاء", "اولیاء"],
            vec!["كتائب", "کتائب", "كتـــائب", "کتایب"],
            vec!["ديالى", "ديالي", "دیالی"],
            vec!["مقاومة", "مقاومه"],
            vec!["ﷲ", "الله", "اللّٰه"],
            vec!["IŞİD", "işid", "ışıd", "ISID"],
            vec!["Kata'ib", "Kataʾib", "Kata’ib", "KATAIB"],
            vec!["État", "etat", "E\u{301}TAT"],
            vec!["٢٠٢٤", "۲۰۲۴", "2024"],
        ];
        for spellings in &same {
            for spelling in spellings {
                assert_eq!(folded_words(spelling), folded_words(spellings[0]), "{spelling}");
            }
        }
        assert_eq!(folded_words("دەوڵەت"), folded_words("دهولهت"));
    }

    #[test]
    fn punctuation_and_white_space_part_words_once() {
        assert_eq!(folded_words("  #كتائب_حزب_الله،\n«قال»…"), folded_words("كتائب حزب الله قال"));
        assert_eq!(folded_words("حزب‌الله"), "حزب الله");
        assert_eq!(folded_words("ﷺ 🚀 !"), "");
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,60}") {
            let once = folded_words(&text);
            proptest::prop_assert_eq!(folded_words(&once), once);
        }
    }
}
