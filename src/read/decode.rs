//! Bytes → text: UTF-8, UTF-16, Windows-1256 and other old encodings where there is no doubt; otherwise the place of the fault.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1256};
use std::borrow::Cow;

/// Why bytes are not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// The first byte at fault, from 0.
    pub offset: usize,
    /// What stands there.
    pub found: String,
}

/// What should have stood there.
pub const EXPECTED: &str = "text in UTF-8, UTF-16 or Windows-1256";

const UTF_8_BOM: &[u8] = b"\xef\xbb\xbf";

/// The text of `bytes` without byte order mark. `declared` is what the document says of itself, or what its neighbours are in:
/// believed where the bytes are no valid UTF-8.
///
/// # Errors
/// Binary data, nul bytes, broken UTF-8 or UTF-16, and bytes that no encoding explains beyond doubt.
pub fn decode<'b>(bytes: &'b [u8], declared: Option<&'static Encoding>) -> Result<Cow<'b, str>, Undecodable> {
    if let Some((magic, name)) = magic(bytes) {
        return Err(Undecodable { offset: 0, found: format!("{name}, beginning with {magic:02x?}") });
    }
    if let Some((encoding, bom_bytes)) = utf_16(bytes) {
        return decode_utf_16(bytes, encoding, bom_bytes);
    }
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Undecodable { offset, found: "a nul byte".into() });
    }
    let body = bytes.strip_prefix(UTF_8_BOM).unwrap_or(bytes);
    let has_bom = body.len() < bytes.len();
    let fault = match std::str::from_utf8(body) {
        Ok(text) => return refuse_controls(text).map(|()| Cow::Borrowed(text)),
        Err(error) => bytes.len() - body.len() + error.valid_up_to(),
    };
    let legacy = if has_bom || is_mostly_utf_8(body) { None } else { legacy(body, declared) };
    legacy
        .map(Cow::Owned)
        .ok_or_else(|| Undecodable { offset: fault, found: format!("byte 0x{:02x} that is not UTF-8", bytes[fault]) })
}

/// Whether the first bytes of a file are surely no text.
pub fn looks_binary(head: &[u8]) -> bool {
    magic(head).is_some() || (utf_16(head).is_none() && head.contains(&0))
}

/// The UTF-16 flavour of `bytes` and the length of their byte order mark: by the mark, else by where the nul bytes of spaces,
/// digits and Latin letters stand.
pub fn utf_16(bytes: &[u8]) -> Option<(&'static Encoding, usize)> {
    if bytes.starts_with(b"\xff\xfe") {
        return Some((UTF_16LE, 2));
    }
    if bytes.starts_with(b"\xfe\xff") {
        return Some((UTF_16BE, 2));
    }
    let mut nuls = [0usize; 2];
    for (i, byte) in bytes.iter().enumerate() {
        nuls[i % 2] += usize::from(*byte == 0);
    }
    let (encoding, n_nuls) = match nuls {
        [0, n] if n > 0 => (UTF_16LE, n),
        [n, 0] if n > 0 => (UTF_16BE, n),
        _ => return None,
    };
    // A text has a space or a line break every hundred characters; a few nul bytes in a text of one byte a character are a fault.
    (n_nuls * 200 >= bytes.len()).then_some(())?;
    let (text, _) = encoding.decode_without_bom_handling(&bytes[..bytes.len() & !1]);
    let n_chars = text.chars().count();
    let n_usual = text.chars().filter(|c| is_usual_in_our_scripts(*c)).count();
    (n_usual * 10 >= n_chars * 9).then_some((encoding, 0))
}

/// The old encoding of a file whose first bytes are these, if they are in one beyond doubt.
pub fn legacy_of(head: &[u8]) -> Option<&'static Encoding> {
    let fault = std::str::from_utf8(head).err()?;
    // a character cut by the end of the head is no fault
    if fault.error_len().is_none() || head.contains(&0) || is_mostly_utf_8(head) {
        return None;
    }
    candidates(head, None).into_iter().find(|encoding| decode_surely(head, encoding).is_some())
}

fn decode_utf_16<'b>(
    bytes: &'b [u8],
    encoding: &'static Encoding,
    bom_bytes: usize,
) -> Result<Cow<'b, str>, Undecodable> {
    let read_unit = if encoding == UTF_16LE { u16::from_le_bytes } else { u16::from_be_bytes };
    let units = bytes[bom_bytes..].chunks_exact(2).map(|pair| read_unit([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len());
    let mut offset = bom_bytes;
    for decoded in char::decode_utf16(units) {
        match decoded {
            Ok('\0') => return Err(Undecodable { offset, found: "a nul character in UTF-16".into() }),
            Ok(c) => {
                text.push(c);
                offset += 2 * c.len_utf16();
            }
            Err(_) => return Err(Undecodable { offset, found: "half a surrogate pair in UTF-16".into() }),
        }
    }
    if bytes.len() % 2 == 1 {
        return Err(Undecodable { offset: bytes.len() - 1, found: "half a character at the end of UTF-16".into() });
    }
    refuse_controls(&text).map(|()| Cow::Owned(text))
}

/// Text does not consist of control characters.
fn refuse_controls(text: &str) -> Result<(), Undecodable> {
    let is_control = |c: &char| c.is_control() && !c.is_whitespace() && *c != '\u{1b}';
    let n_controls = text.chars().filter(is_control).count();
    if n_controls * 20 <= text.len() {
        return Ok(());
    }
    let offset = text.char_indices().find(|(_, c)| is_control(c)).map_or(0, |(offset, _)| offset);
    Err(Undecodable { offset, found: "binary data".into() })
}

/// Whether more characters beyond ASCII are valid UTF-8 than bytes are not: then the rest is damage, not another encoding.
/// (In Windows-1256 hardly any two bytes form a UTF-8 character: letters lie at c0 and above, following bytes below.)
fn is_mostly_utf_8(bytes: &[u8]) -> bool {
    let (mut n_valid, mut n_faults) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        n_valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        n_faults += chunk.invalid().len();
    }
    n_valid > n_faults
}

/// The text in an old encoding, if one explains the bytes beyond doubt.
fn legacy(bytes: &[u8], declared: Option<&'static Encoding>) -> Option<String> {
    if let Some(text) = declared.filter(|declared| *declared != UTF_8).and_then(|declared| strict(bytes, declared)) {
        return Some(text);
    }
    candidates(bytes, declared).into_iter().find_map(|encoding| decode_surely(bytes, encoding))
}

/// Windows-1256 first, since it is what Arabic archives hold and since its test is strict; then what the detector thinks.
fn candidates(bytes: &[u8], declared: Option<&'static Encoding>) -> Vec<&'static Encoding> {
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, chardetng::Utf8Detection::Deny);
    declared.into_iter().chain([WINDOWS_1256, guess]).filter(|encoding| *encoding != UTF_8).collect()
}

/// Decodes if each byte has a meaning and the result holds no control characters.
fn strict(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let is_clean = text.chars().all(|c| !c.is_control() || c.is_whitespace());
    is_clean.then(|| text.into_owned())
}

/// Decodes if the result cannot well be anything but text: letters of one script, in words.
fn decode_surely(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    let text = strict(bytes, encoding)?;
    let beyond_ascii: Vec<char> = text.chars().filter(|c| !c.is_ascii() && !is_typography(*c)).collect();
    let share = |is: &dyn Fn(char) -> bool| {
        beyond_ascii.iter().filter(|c| is(**c)).count() as f64 / (beyond_ascii.len().max(1)) as f64
    };
    let sure = if encoding == WINDOWS_1256 {
        beyond_ascii.len() >= 8 && share(&is_arabic) >= 0.95 && share(&|c| "اليومنرتب".contains(c)) >= 0.4
    } else if share(&|c| c < '\u{250}') >= 0.95 {
        beyond_ascii.len() >= 4 && share(&char::is_alphabetic) >= 0.95 && accents_stand_in_words(&text)
    } else {
        beyond_ascii.len() >= 20 && share(&char::is_alphabetic) >= 0.95
    };
    sure.then_some(text)
}

/// Whether the letters with accents stand beside plain letters, and are the fewer: so it is in every language of the Latin script.
fn accents_stand_in_words(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let (mut n_plain, mut n_accented, mut n_in_words) = (0usize, 0usize, 0usize);
    for (i, c) in chars.iter().enumerate() {
        n_plain += usize::from(c.is_ascii_alphabetic());
        if !c.is_ascii() && c.is_alphabetic() {
            n_accented += 1;
            let beside = [i.checked_sub(1).and_then(|i| chars.get(i)), chars.get(i + 1)];
            n_in_words += usize::from(beside.into_iter().flatten().any(char::is_ascii_alphabetic));
        }
    }
    n_in_words * 10 >= n_accented * 8 && n_accented * 3 <= n_plain
}

fn is_arabic(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}')
}

/// Punctuation that the Windows encodings share: quotes, dashes, no-break space, joiners, currency.
fn is_typography(c: char) -> bool {
    matches!(c, '\u{a0}' | '«' | '»' | '°' | '·' | '×' | '÷' | '€' | '\u{2000}'..='\u{206f}')
}

fn is_usual_in_our_scripts(c: char) -> bool {
    is_arabic(c)
        || is_typography(c)
        || matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..='\u{24f}' | '\u{370}'..='\u{5ff}')
        || matches!(c, '\u{2070}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// What binary files begin with, and what they are.
fn magic(bytes: &[u8]) -> Option<(&'static [u8], &'static str)> {
    const MAGIC: [(&[u8], &str); 16] = [
        (b"\x89PNG\r\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF-", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive or office document"),
        (b"\xd0\xcf\x11\xe0", "an old office document"),
        (b"{\\rtf", "an RTF document"),
        (b"BZh", "bzip2 data"),
        (b"\xfd7zXZ\x00", "xz data"),
        (b"7z\xbc\xaf\x27", "a 7z archive"),
        (b"\x1f\x8b", "gzip data within gzip data"),
        (b"\x28\xb5\x2f\xfd", "zstd data within zstd data"),
        (b"\x7fELF", "a program"),
        (b"SQLite format 3", "an SQLite database"),
        (b"OggS", "Ogg sound"),
        (b"PAR1", "a Parquet file"),
    ];
    MAGIC.into_iter().find(|(magic, _)| bytes.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARABIC: &str = "أعلنت خلية الإعلام الأمني، مقتل 3 من عناصر «داعش» في ديالى؟";
    const FRENCH: &str = "Après l'attaque, l'armée a annoncé avoir tué un émir à Kirkouk. Été, forêt.";

    fn utf_16_bytes(text: &str, encoding: &'static Encoding, bom: &[u8]) -> Vec<u8> {
        let write = if encoding == UTF_16LE { u16::to_le_bytes } else { u16::to_be_bytes };
        bom.iter().copied().chain(text.encode_utf16().flat_map(write)).collect()
    }

    #[test]
    fn the_encodings_of_archives_are_read() {
        let windows_1256 = WINDOWS_1256.encode(ARABIC).0.into_owned();
        let windows_1252 = encoding_rs::WINDOWS_1252.encode(FRENCH).0.into_owned();
        let cases = [
            (ARABIC, ARABIC.as_bytes().to_vec()),
            (ARABIC, [UTF_8_BOM, ARABIC.as_bytes()].concat()),
            (ARABIC, utf_16_bytes(ARABIC, UTF_16LE, b"\xff\xfe")),
            (ARABIC, utf_16_bytes(ARABIC, UTF_16BE, b"\xfe\xff")),
            (ARABIC, utf_16_bytes(ARABIC, UTF_16LE, b"")),
            (ARABIC, utf_16_bytes(ARABIC, UTF_16BE, b"")),
            (FRENCH, utf_16_bytes(FRENCH, UTF_16LE, b"")),
            (ARABIC, windows_1256),
            (FRENCH, windows_1252),
        ];
        for (text, bytes) in cases {
            assert_eq!(decode(&bytes, None).as_deref(), Ok(text), "{:02x?}", &bytes[..4]);
        }
    }

    #[test]
    fn what_is_no_text_is_told_with_its_offset() {
        let broken = [ARABIC.as_bytes(), b"\xff\xfe", ARABIC.as_bytes()].concat();
        let cut = &ARABIC.as_bytes()[..ARABIC.len() - 1];
        let odd = &utf_16_bytes(ARABIC, UTF_16LE, b"\xff\xfe")[..41];
        let lone = utf_16_bytes("a b", UTF_16LE, b"\xff\xfe").into_iter().chain([0x00, 0xd8]).collect::<Vec<u8>>();
        let cases: [(&[u8], usize, &str); 9] = [
            (&broken, ARABIC.len(), "byte 0xff that is not UTF-8"),
            (cut, ARABIC.len() - 2, "byte 0xd8 that is not UTF-8"),
            (b"hello \xff world", 6, "byte 0xff that is not UTF-8"),
            (b"hello \0 world, this is a long enough text with a single nul byte", 6, "a nul byte"),
            (b"\x89PNG\r\n\x1a\n", 0, "a PNG image"),
            (b"\x01\x02\x03\x04abc", 0, "binary data"),
            (odd, 40, "half a character at the end of UTF-16"),
            (&lone, 8, "half a surrogate pair in UTF-16"),
            (b"\xef\xbb\xbfabc\xe9", 6, "byte 0xe9 that is not UTF-8"),
        ];
        for (bytes, offset, found) in cases {
            let fault = decode(bytes, None).unwrap_err();
            assert!(fault.found.starts_with(found), "{fault:?} {found}");
            assert_eq!(fault.offset, offset, "{fault:?}");
        }
    }

    #[test]
    fn a_declared_encoding_is_believed_unless_the_bytes_are_utf_8() {
        assert_eq!(decode(b"caf\xe9", Some(encoding_rs::WINDOWS_1252)).as_deref(), Ok("café"));
        assert_eq!(decode("café".as_bytes(), Some(encoding_rs::WINDOWS_1252)).as_deref(), Ok("café"));
        assert_eq!(legacy_of(&WINDOWS_1256.encode(ARABIC).0), Some(WINDOWS_1256));
        assert_eq!(legacy_of(ARABIC.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Err(fault) = decode(&bytes, None) {
                prop_assert!(fault.offset < bytes.len());
            }
        }

        #[test]
        fn utf_8_is_never_taken_for_something_else(text in "[\\PC\n]{0,80}") {
            // text that begins like an image or an archive is refused as such
            prop_assume!(magic(text.as_bytes()).is_none());
            prop_assert_eq!(decode(text.as_bytes(), Some(WINDOWS_1256)).unwrap(), text.trim_start_matches('\u{feff}'));
        }
    }
}
