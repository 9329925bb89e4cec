//! Text → sentences: spans that slice the text exactly and, with the white space between them, make it whole.
//!
//! ```text
//! lines       a line break ends a sentence
//! enclosures  quotes and brackets that a sentence does not break in
//! boundaries  sentencex's judgement of each full stop, with our languages' abbreviations, numbers, links
//! overlong    a sentence of more than 2,000 characters is cut at its punctuation
//! ```
//!
//! Time is linear in the text's length, whatever the text.

mod boundaries;
mod enclosures;
mod overlong;

use crate::article::{Article, Field, Sentence, SentenceInput, Span};
use boundaries::Rules;

/// The longest headline of a plain text, in characters.
const MAX_HEADLINE_CHARS: usize = 200;

/// The sentences of an article in reading order: the title as one sentence if there is one, then the text's.
/// `language` is an ISO 639 code and decides about abbreviations; unknown ones get the rules common to all.
///
/// No span is empty or begins or ends with white space; between two spans of a field, before the first and after the last
/// there is nothing but white space.
pub fn split(article: &Article, language: &str) -> Vec<Sentence> {
    let title = article.title.as_deref().unwrap_or("");
    let in_title =
        trim(title, Span { start: 0, end: title.len() }).into_iter().flat_map(|span| overlong::cut(title, span));
    let rules = Rules::of(language);
    let in_text = lines(&article.text).flat_map(|line| split_line(&article.text, line, &rules));
    let in_title = in_title.map(|span| Sentence { field: Field::Title, span });
    in_title.chain(in_text.map(|span| Sentence { field: Field::Text, span })).collect()
}

/// Index of the headline among `sentences`: the title; in a plain text the first line if it looks like a headline: one sentence
/// of at most 200 characters without a final mark, with more lines below.
pub fn headline(article: &Article, sentences: &[Sentence]) -> Option<usize> {
    let first = sentences.first()?;
    if first.field == Field::Title {
        return Some(0);
    }
    let text = &article.text;
    let is_whole_line = lines(text).find_map(|line| trim(text, line)) == Some(first.span);
    (is_whole_line && sentences.len() > 1 && looks_like_headline(first.span.of(text))).then_some(0)
}

/// At most 200 characters without a final mark.
pub fn looks_like_headline(words: &str) -> bool {
    !words.ends_with(['.', '؟', '?', '!', '…', ':', '،', ',', '۔', ';', '؛'])
        && words.chars().count() <= MAX_HEADLINE_CHARS
}

/// What the model reads of each sentence: its language, its words, the headline (none for the headline itself), the sentence before (none for
/// the first).
pub fn inputs<'a>(article: &'a Article, sentences: &[Sentence], language: &'a str) -> Vec<SentenceInput<'a>> {
    // Looked for once: the first line may be as long as the article.
    let headline = headline(article, sentences);
    let input = |i: usize| SentenceInput {
        language,
        text: words(article, &sentences[i]),
        title: headline.filter(|headline| *headline != i).map(|headline| words(article, &sentences[headline])),
        previous: i.checked_sub(1).map(|previous| words(article, &sentences[previous])),
    };
    (0..sentences.len()).map(input).collect()
}

fn words<'a>(article: &'a Article, sentence: &Sentence) -> &'a str {
    match sentence.field {
        Field::Title => sentence.span.of(article.title.as_deref().unwrap_or("")),
        Field::Text => sentence.span.of(&article.text),
    }
}

/// The lines of a text, without their ends. All that Unicode calls a mandatory break ends a line.
fn lines(text: &str) -> impl Iterator<Item = Span> {
    let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    text.split(is_break).map(move |line| {
        let start = line.as_ptr() as usize - text.as_ptr() as usize;
        Span { start, end: start + line.len() }
    })
}

/// The span without white space at its ends; none if nothing else is in it.
fn trim(text: &str, span: Span) -> Option<Span> {
    let words = span.of(text).trim_end();
    let end = span.start + words.len();
    let start = end - words.trim_start().len();
    (start < end).then_some(Span { start, end })
}

/// The sentences of one line.
fn split_line(text: &str, line: Span, rules: &Rules) -> Vec<Span> {
    let words = line.of(text);
    let enclosures = enclosures::find(words);
    let mut sentences: Vec<Span> = Vec::new();
    let mut start = line.start;
    for end in boundaries::find(words, &enclosures, rules).into_iter().map(|end| line.start + end).chain([line.end]) {
        let Some(span) = trim(text, Span { start, end }) else { continue };
        start = end;
        // An emoji, a lone bracket or a dash after the full stop is no sentence; it stays with the one before.
        match sentences.last_mut() {
            Some(previous) if !span.of(text).chars().any(char::is_alphanumeric) => previous.end = span.end,
            _ => sentences.push(span),
        }
    }
    sentences.into_iter().flat_map(|span| overlong::cut(text, span)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn article(title: Option<&str>, text: &str) -> Article {
        Article { id: "a".into(), source: "a.txt".into(), title: title.map(String::from), text: text.into() }
    }

    /// Spans and white space between them are the whole text, in order; no span is empty or has white space at its ends.
    fn assert_tiles(article: &Article, language: &str) {
        let sentences = split(article, language);
        for (field, text) in
            [(Field::Title, article.title.as_deref().unwrap_or("")), (Field::Text, article.text.as_str())]
        {
            let mut end = 0;
            for sentence in sentences.iter().filter(|sentence| sentence.field == field) {
                let words = sentence.span.of(text);
                assert!(text[end..sentence.span.start].trim().is_empty(), "words lost before {words:?} of {text:?}");
                assert!(!words.is_empty() && words.trim() == words, "{words:?} of {text:?}");
                assert!(words.chars().count() <= overlong::MAX_CHARS, "{words:?}");
                end = sentence.span.end;
            }
            assert!(text[end..].trim().is_empty(), "words lost at the end of {text:?}");
        }
    }

    #[test]
    fn the_headline_is_the_title_or_a_first_line_like_one() {
        let headline_of = |title: Option<&str>, text: &str| {
            let article = article(title, text);
            let sentences = split(&article, "ar");
            headline(&article, &sentences).map(|i| words(&article, &sentences[i]).to_string())
        };
        assert_eq!(headline_of(Some(" عنوان. ثان "), "نص."), Some("عنوان. ثان".into()));
        assert_eq!(headline_of(None, "\n عنوان الخبر\n\nنص الخبر."), Some("عنوان الخبر".into()));
        assert_eq!(headline_of(None, "جملة تامة.\nنص الخبر."), None);
        assert_eq!(headline_of(None, "سطر واحد"), None);
        assert_eq!(headline_of(None, "من فعلها؟ تقرير\nنص الخبر."), None);
        assert_eq!(headline_of(None, &format!("{}\nنص", "كلمة ".repeat(50))), None);
        assert_eq!(headline_of(None, ""), None);
    }

    #[test]
    fn the_input_has_its_headline_and_the_sentence_before() {
        let article = article(Some("عنوان"), "أولى. ثانية.");
        let sentences = split(&article, "ar");
        let inputs = inputs(&article, &sentences, "en");
        assert_eq!(inputs.len(), 3);
        assert_eq!((inputs[0].text, inputs[0].title, inputs[0].previous), ("عنوان", None, None));
        assert_eq!((inputs[1].text, inputs[1].title, inputs[1].previous), ("أولى.", Some("عنوان"), Some("عنوان")));
        assert_eq!((inputs[2].text, inputs[2].title, inputs[2].previous), ("ثانية.", Some("عنوان"), Some("أولى.")));
    }

    #[test]
    fn a_flood_of_anything_takes_linear_time_and_is_cut() {
        // A quadratic path would take minutes here.
        let floods = [
            "كلمة ",
            "كلمة",
            "a!",
            "«",
            "\"",
            "( ",
            "a. ",
            "د. ",
            "http://a.B?",
            "A.",
            "1.",
            ". ",
            "»",
            "‘’(",
            "🙏",
            "\n",
            "x@y.",
            ". - ",
            "… ",
            "? ",
            "a? ",
            "1. ",
            "(.",
        ];
        for flood in floods {
            let article = article(None, &flood.repeat(300_000 / flood.len()));
            for language in ["ar", "en", "tr"] {
                assert_tiles(&article, language);
            }
        }
    }

    proptest! {
        #[test]
        fn spans_tile_any_text(title in any::<Option<String>>(), text in any::<String>(), language in "ar|en|fa|ckb|kmr|tr|fr|und") {
            assert_tiles(&article(title.as_deref(), &text), &language);
        }

        #[test]
        fn spans_tile_mixes_of_our_scripts(
            text in "([اأدمکێ]{1,4}|[A-Zaz]{1,4}|ş|[0-9٠۵]{1,3}|[.!?؟۔…،؛:,]{1,3}|[«»“”\"()\\[\\]]|[ \t\n\u{a0}\u{200c}\r]|https://t\\.co/aB|#و|@a|•|-|🙏){0,60}",
            language in "ar|en|fa|ckb|kmr|tr|fr|und",
        ) {
            assert_tiles(&article(None, &text), &language);
        }
    }
}
