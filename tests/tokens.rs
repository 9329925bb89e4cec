//! The shipped tokenizer: spellings that are one word, golden ids, strange text, truncation.

use proptest::prelude::*;
use rasid::article::SentenceInput;
use rasid::tokens::{Context, Encoded, InputConfig, Special, Tokenizer};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tokenizer/tokenizer.json");
    Tokenizer::read(&path).expect("the shipped tokenizer opens")
});

fn alone(text: &str) -> Encoded {
    encode(SentenceInput { language: "und", text, title: None, previous: None }, 128)
}

fn encode(input: SentenceInput<'_>, max_tokens: usize) -> Encoded {
    TOKENIZER.encode(input, &InputConfig { max_tokens, context: Context::Both }).expect("any text is encoded")
}

fn pieces(text: &str) -> Vec<String> {
    TOKENIZER.text_ids(text).unwrap().iter().map(|id| TOKENIZER.token(*id).unwrap()).collect()
}

#[test]
fn spellings_of_one_word_have_the_same_ids() {
    let cases: [&[&str]; 16] = [
        &["الإرهاب", "الارهاب", "الأرهاب", "الإِرْهَاب", "الإرهـــاب"],
        &["على", "علي", "علی"],
        &["كركوك", "کرکوک", "ﻛﺮﻛﻮﻙ"],
        &["تنظيم الدولة", "تنظيم_الدولة", "تنظيم\u{a0}الدولة", "  تنظيم\tالدولة "],
        &["٢٠١٥", "۲۰۱۵", "2015", "２０１５"],
        &["می‌کند", "میکند", "ميكند"],
        &["مؤسسه", "موسسه"],
        &["ئه‌وه‌", "ئەوە", "ئەوە\u{200d}"],
        &["هەموو", "ھەموو"],
        &["IŞİD", "ışid", "işid", "Işİd"],
        &["DIYARBAKIR", "Diyarbakır", "diyarbakir"],
        &["Pêşmerge", "PÊŞMERGE", "Pe\u{302}şmerge"],
        &["État islamique", "ÉTAT ISLAMIQUE", "E\u{301}tat islamique"],
        &["the attackers", "THE ATTACKERS", "the at\u{ad}tackers"],
        &["«قال»", "“قال”", "\"قال\""],
        &["l’armée", "l'armée"],
    ];
    for case in cases {
        for variant in case {
            assert_eq!(pieces(variant), pieces(case[0]), "{variant}");
        }
    }
}

#[test]
fn words_that_differ_keep_different_ids() {
    for (a, b) in
        [("كتابة", "كتابه"), ("ئەکەم", "یەکەم"), ("şêr", "şer"), ("پول", "بول"), ("شێر", "شیر"), ("2014", "2015")]
    {
        assert_ne!(pieces(a), pieces(b), "{a} {b}");
    }
}

#[test]
fn a_word_has_the_same_ids_behind_a_bracket_as_behind_a_space() {
    assert_eq!(pieces("(داعش)")[1..], [pieces("داعش"), pieces(")")].concat());
}

/// One sentence a language, its ids and its pieces; changes only with the tokenizer, and then every model is trained anew.
const GOLDEN: &str = include_str!("fixtures/tokens_golden.tsv");

#[test]
fn seven_languages_golden() {
    let mut found = String::new();
    for line in GOLDEN.lines() {
        let (language, text) = line.split_once('\t').unwrap();
        let text = text.split('\t').next().unwrap();
        let ids: Vec<String> = alone(text).ids.iter().map(u32::to_string).collect();
        found += &format!("{language}\t{text}\t{}\t{}\n", ids.join(" "), pieces(text).join(" "));
    }
    assert_eq!(found.lines().count(), 7);
    // compared whole: on a wanted change of the tokenizer the left side is the new fixture
    assert!(found == GOLDEN, "found:\n{found}\nexpected:\n{GOLDEN}");
}

#[test]
fn names_of_special_tokens_in_a_text_are_text() {
    let special = TOKENIZER.special();
    for name in Special::NAMES {
        let encoded = alone(&format!("before {name} after{name}"));
        let inside = &encoded.ids[1..encoded.ids.len() - 1];
        for id in [special.marks(), vec![special.pad, special.mask]].concat() {
            assert!(!inside.contains(&id), "{name}: {inside:?}");
        }
    }
    assert_eq!(pieces("[ad_1]").concat(), "▁[▁ad▁1▁]");
}

#[test]
fn the_special_tokens_come_first_and_in_order() {
    for (id, name) in Special::NAMES.iter().enumerate() {
        assert_eq!(TOKENIZER.id(name), Some(id as u32));
    }
    let longest = (0..TOKENIZER.vocab_size() as u32).all(|id| TOKENIZER.token(id).is_some());
    assert!(longest, "every id below vocab_size is a token");
    assert_eq!(TOKENIZER.token(TOKENIZER.vocab_size() as u32), None);
}

#[test]
fn a_text_of_nothing_is_an_empty_sentence() {
    let special = TOKENIZER.special();
    for text in ["", " ", "\n\t", "\u{200f}\u{feff}", "ـــ", "\u{0}", "\u{301}"] {
        let encoded = alone(text);
        assert_eq!(encoded.ids, [special.cls, special.sep], "{text:?}");
        assert_eq!((encoded.sentence_tokens, encoded.truncated), (2, false));
    }
    assert!(alone("𓀀𓀁").ids.contains(&special.unknown));
}

#[test]
fn context_is_marked_and_gives_way_to_the_sentence() {
    let special = TOKENIZER.special();
    let long = "قصف الجيش مواقع التنظيم في المدينة ".repeat(20);
    let input = SentenceInput {
        language: "und", text: "هجوم على قاعدة", title: Some("العراق"), previous: Some(&long)
    };
    let encoded = encode(input, 24);
    assert!(encoded.ids.len() <= 24 && !encoded.truncated);
    assert_eq!(encoded.ids[..encoded.sentence_tokens], alone("هجوم على قاعدة").ids);
    let after = |mark| encoded.ids.iter().position(|id| *id == mark).map(|i| encoded.types[i]);
    assert_eq!((after(special.title.unwrap()), after(special.previous.unwrap())), (Some(1), Some(2)));
    // the end of the previous sentence is what stands beside the sentence
    let end = TOKENIZER.text_ids("المدينة").unwrap();
    assert!(encoded.ids[..encoded.ids.len() - 1].ends_with(&end));

    for (context, has_title, has_previous) in
        [(Context::None, false, false), (Context::Title, true, false), (Context::Previous, false, true)]
    {
        let ids = TOKENIZER.encode(input, &InputConfig { max_tokens: 64, context }).unwrap().ids;
        assert_eq!(
            (ids.contains(&special.title.unwrap()), ids.contains(&special.previous.unwrap())),
            (has_title, has_previous)
        );
    }
}

#[test]
fn a_sentence_of_ten_megabytes_costs_no_more_than_a_long_one() {
    for filler in ["قصف ", "ا", " \u{301}", "ﷺ", "😀"] {
        let text = format!("قصف{}نهاية", filler.repeat(10_000_000 / filler.len()));
        let start = Instant::now();
        let encoded = alone(&text);
        assert!(encoded.truncated && encoded.ids.len() <= 128, "{filler}");
        assert!(start.elapsed() < Duration::from_secs(5), "{filler}: {:?}", start.elapsed());
    }
}

#[test]
fn the_stored_file_opens_as_the_same_tokenizer() {
    let again = Tokenizer::parse(TOKENIZER.bytes(), Path::new("copy")).unwrap();
    assert_eq!((again.bytes(), again.vocab_size()), (TOKENIZER.bytes(), TOKENIZER.vocab_size()));
    let text = "Turkish-backed forces shelled the outskirts of Tal Tamr.";
    assert_eq!(again.text_ids(text).unwrap(), TOKENIZER.text_ids(text).unwrap());
}

#[test]
fn a_tokenizer_without_our_marks_is_refused() {
    let json = String::from_utf8(TOKENIZER.bytes().to_vec()).unwrap().replace("[PREV]", "[OTHER]");
    let error = Tokenizer::parse(json.as_bytes(), Path::new("x/tokenizer.json")).unwrap_err().to_string();
    assert!(error.starts_with("x/tokenizer.json: no special token [PREV]; expected"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_encoded(text in any::<String>(), title in any::<String>(), max_tokens in 8usize..40) {
        let encoded = encode(SentenceInput { language: "und", text: &text, title: Some(&title), previous: Some(&text) }, max_tokens);
        let special = TOKENIZER.special();
        prop_assert!(encoded.ids.len() <= max_tokens && encoded.ids.len() == encoded.types.len());
        prop_assert_eq!(encoded.ids[0], special.cls);
        prop_assert_eq!(encoded.ids[encoded.sentence_tokens - 1], special.sep);
        prop_assert_eq!(encoded.ids.last(), Some(&special.sep));
        prop_assert!(encoded.ids.iter().all(|id| (*id as usize) < TOKENIZER.vocab_size()));
    }

    #[test]
    fn text_of_our_scripts_is_encoded(text in "[ء-ۿa-zA-Zİıêşğç0-9٠-٩۰-۹‌ـ \u{300}-\u{36f}😀-😎\\[\\]]{0,80}") {
        let encoded = alone(&text);
        prop_assert!(encoded.ids.len() >= 2);
        prop_assert_eq!(alone(&format!(" {text}\n")), encoded);
    }

    #[test]
    fn the_sentence_part_does_not_depend_on_its_context(text in "[ا-ي ]{1,60}", context in "[ا-ي ]{0,60}") {
        let input = SentenceInput { language: "und", text: &text, title: Some(&context), previous: Some(&context) };
        let encoded = encode(input, 24);
        let bare = encode(SentenceInput { language: "und", text: &text, title: None, previous: None }, 24);
        prop_assert_eq!(&encoded.ids[..encoded.sentence_tokens], &bare.ids[..]);
        prop_assert_eq!(encoded.truncated, bare.truncated);
    }
}
