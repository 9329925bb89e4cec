//! Text → language. The detector (whatlang) knows no Kurdish and is unsure of single sentences; spelling and frequent words of
//! our own languages decide before it is asked.

use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// How much of a text is looked at, in bytes.
const SEEN_BYTES: usize = 20_000;

/// From this score on a language is plain: every seventh word is its own.
const PLAIN: f64 = 0.15;

/// From this score on no detector is asked.
const BEYOND_DOUBT: f64 = 0.5;

static LANGUAGES: LazyLock<HashMap<String, Language>> = LazyLock::new(|| {
    toml::from_str(include_str!("languages.toml")).expect("a file of this crate, parsed in its tests")
});

static ISO_639: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| toml::from_str(include_str!("iso_639.toml")).expect("a file of this crate, parsed in its tests"));

/// What tells a language apart from others of its script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    script: Script,
    own: String,
    foreign: String,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    suffixes: Vec<String>,
    #[serde(deserialize_with = "words")]
    words: HashSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Script {
    Arabic,
    Latin,
}

fn words<'de, D: serde::Deserializer<'de>>(list: D) -> Result<HashSet<String>, D::Error> {
    Ok(String::deserialize(list)?.split_whitespace().map(String::from).collect())
}

/// The language of a text as an ISO 639 code: two letters where there are two (`ar`, `en`, `fa`, `tr`, `fr`, `de`, …), else three
/// (`ckb` Sorani, `kmr` Kurmanji in Latin letters); `und` if the text has no letters. Links and names of accounts do not count.
pub fn identify(text: &str) -> &'static str {
    let text = &text[..text.floor_char_boundary(SEEN_BYTES.min(text.len()))];
    let words = words_of(text);
    let Some(script) = main_script(&words) else {
        return if words.is_empty() { "und" } else { whatlang::detect_lang(text).map_or("und", iso_639) };
    };
    let scores = LANGUAGES.iter().filter(|(_, language)| language.script == script);
    let scores = scores.map(|(code, language)| (code.as_str(), score(&words, language)));
    // Equal scores go to the later name, so that the answer does not hang on the order of a table: Persian before Sorani, which
    // is never without letters of its own alone.
    let (best, score) = scores.max_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(b.0))).unwrap_or(("und", 0.0));
    if score >= BEYOND_DOUBT {
        return best;
    }
    match script {
        // The detector would choose between Arabic, Persian and Urdu only.
        Script::Arabic if score > 0.0 => best,
        Script::Arabic => "ar",
        Script::Latin => {
            match whatlang::detect(text).filter(whatlang::Info::is_reliable).map(|found| iso_639(found.lang())) {
                Some(other) if !LANGUAGES.contains_key(other) => other,
                _ if score >= PLAIN => best,
                // A line of names without a word or a letter of another language; most such are English.
                _ if score <= 0.0 && text.is_ascii() => "en",
                // The detector takes Kurmanji for Turkish.
                _ => detect_ours(text).filter(|code| *code != "tr" || best != "kmr").unwrap_or(best),
            }
        }
    }
}

/// The detector's answer if it is to choose among our languages in Latin letters; a text of a few names is one of them.
fn detect_ours(text: &str) -> Option<&'static str> {
    let ours = vec![whatlang::Lang::Eng, whatlang::Lang::Fra, whatlang::Lang::Tur];
    whatlang::Detector::with_allowlist(ours).detect_lang(text).map(iso_639)
}

/// The words of a text in lower case, without links and names of accounts.
fn words_of(text: &str) -> Vec<String> {
    let tokens = text.split_whitespace().filter(|token| !token.contains("://") && !token.starts_with('@'));
    tokens
        .flat_map(|token| token.split(|c: char| !c.is_alphabetic()))
        .filter(|word| !word.is_empty())
        .map(|word| word.replace('İ', "i").to_lowercase())
        .collect()
}

/// The script that most words begin in; none if that is neither Arabic nor Latin.
fn main_script(words: &[String]) -> Option<Script> {
    let count = |is: fn(char) -> bool| words.iter().filter(|word| word.starts_with(is)).map(String::len).sum::<usize>();
    // Arabic letters take two bytes
    let (arabic, latin, all) =
        (count(is_arabic) / 2, count(is_latin), words.iter().map(|word| word.chars().count()).sum::<usize>());
    match () {
        _ if arabic >= latin && arabic * 3 > all => Some(Script::Arabic),
        _ if latin * 3 > all => Some(Script::Latin),
        _ => None,
    }
}

fn is_arabic(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{8a0}'..='\u{8ff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// How well the words fit a language: one point for a frequent word, beginning or end, one for a letter of its own, a point off for a letter that
/// its spelling lacks; per word.
fn score(words: &[String], language: &Language) -> f64 {
    let points: i64 = words
        .iter()
        .map(|word| {
            let is_long_with = |rest: Option<&str>| rest.is_some_and(|rest| rest.chars().nth(1).is_some());
            let is_known = language.words.contains(word)
                || language.prefixes.iter().any(|prefix| is_long_with(word.strip_prefix(prefix.as_str())))
                || language.suffixes.iter().any(|suffix| is_long_with(word.strip_suffix(suffix.as_str())));
            let has = |letters: &str| word.chars().any(|c| letters.contains(c));
            i64::from(is_known) + i64::from(has(&language.own)) - i64::from(has(&language.foreign))
        })
        .sum();
    points as f64 / words.len() as f64
}

fn iso_639(language: whatlang::Lang) -> &'static str {
    let code = language.code();
    ISO_639.get(code).map_or(code, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_languages_are_told_apart_sentence_by_sentence() {
        let cases = [
            ("ar", "أعلنت خلية الإعلام الأمني مقتل ثلاثة إرهابيين في ديالى"),
            ("ar", "داعش"),
            ("fa", "سپاه پاسداران پایگاه‌های گروه‌های تروریستی در اقلیم کردستان را هدف قرار داد"),
            ("fa", "وزير دفاع گفت كه اين حمله ناكام ماند"),
            ("ckb", "هێزەکانی پێشمەرگە هێرشێکی داعشیان لە گەرمیان تێکشکاند"),
            ("ckb", "دوو سەرباز کوژران"),
            ("kmr", "Hêzên Sûriya Demokratîk êrîşeke DAIŞ'ê ya li Dêrazorê têk birin"),
            ("kmr", "Di teqînê de du leşker hatin kuştin"),
            ("kmr", "Artêşa Tirk gundên Metînayê topbaran kir"),
            ("tr", "Irak'ın kuzeyinde üç asker şehit oldu"),
            ("tr", "IŞİD Kerkük'te polis noktasına saldırdı"),
            ("en", "Rockets hit Iraqi base hosting U.S. troops"),
            ("en", "Islamic State claims Kirkuk bombing"),
            ("fr", "Irak : deux soldats tués dans une attaque de drones"),
            (
                "de",
                "Bei einem Angriff im Norden des Irak sind am Montag drei Soldaten getötet worden, wie die Behörden mitteilten.",
            ),
            (
                "es",
                "Al menos tres soldados murieron el lunes en un ataque contra una base militar en el norte del país.",
            ),
            ("ru", "Российские военные сообщили, что в результате нападения были убиты трое военнослужащих."),
            ("ur", "عراق میں فوجی اڈے پر راکٹ حملے میں دو افراد ہلاک ہو گئے ہیں"),
            ("und", ""),
            ("und", "🙏🙏 2024 … !"),
            ("und", "https://t.co/abc @SecMedCell"),
        ];
        let wrong: Vec<_> = cases
            .iter()
            .map(|(code, text)| (*code, identify(text), *text))
            .filter(|(code, found, _)| code != found)
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_tables_are_in_the_form_they_are_compared_in() {
        assert!(ISO_639.len() >= 68);
        for (code, language) in LANGUAGES.iter() {
            assert!(
                language.words.iter().all(|word| *word == word.to_lowercase() && word.chars().all(char::is_alphabetic)),
                "{code}"
            );
            assert!(
                !language.own.chars().any(|c| language.foreign.contains(c)),
                "{code}: a letter both own and foreign"
            );
        }
    }
}
