//! Endings that the languages with endings put on a noun or a name, in folded letters.

/// Folded endings, Sorani and Persian: ezafe, definite and indefinite forms, plurals, "also", "in", "is".
pub const ARABIC_SCRIPT_ENDINGS: [&str; 28] = [
    "ي",
    "ه",
    "ان",
    "اني",
    "يان",
    "ياني",
    "هكان",
    "هكاني",
    "هكه",
    "هكهي",
    "يش",
    "يشي",
    "ش",
    "شي",
    "دا",
    "يدا",
    "هوه",
    "يهوه",
    "يه",
    "ها",
    "هاي",
    "هايي",
    "اي",
    "هيه",
    "يهكان",
    "ييهكان",
    "يهكاني",
    "ييهكاني",
];

/// Folded endings, Turkish and Kurmanji: cases, plurals, "those of".
pub const LATIN_SCRIPT_ENDINGS: [&str; 56] = [
    "e", "i", "a", "u", "an", "en", "in", "un", "ye", "ya", "yi", "yu", "yan", "yen", "yin", "de", "da", "te", "ta",
    "den", "dan", "ten", "tan", "nin", "nun", "ne", "na", "ni", "nu", "le", "la", "yle", "yla", "ler", "lar", "lere",
    "lara", "leri", "lari", "lerin", "larin", "li", "lu", "liler", "lular", "lilerin", "lilere", "cu", "ci", "ciler",
    "cular", "ek", "eki", "yek", "deki", "daki",
];

/// Whether `ending`, in folded letters, may follow a noun of `language` (an ISO 639 code, or `und` for any).
pub fn is_ending(ending: &str, language: &str) -> bool {
    match language {
        "fa" | "ckb" => ARABIC_SCRIPT_ENDINGS.contains(&ending),
        "tr" | "kmr" => LATIN_SCRIPT_ENDINGS.contains(&ending),
        "und" => ARABIC_SCRIPT_ENDINGS.contains(&ending) || LATIN_SCRIPT_ENDINGS.contains(&ending),
        _ => false,
    }
}
