//! Sentences of real articles and of seven languages, against what a careful reader would cut.

use rasid::article::{Article, Field};
use rasid::sentences::split;
use std::fs;

fn article(text: &str) -> Article {
    Article { id: "a".into(), source: "a".into(), title: None, text: text.into() }
}

fn sentences(text: &str, language: &str) -> Vec<String> {
    split(&article(text), language).iter().map(|sentence| sentence.span.of(text).to_string()).collect()
}

#[test]
fn sentences_of_seven_languages() {
    let cases = include_str!("fixtures/reading/sentences.txt");
    let cases: Vec<(&str, &str)> = cases.lines().filter_map(|line| line.split_once('\t')).collect();
    assert!(cases.len() >= 60);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(language, case)| {
            let text = case.replace(" ⏎ ", "\n").replace(" ‖ ", "").replace(" | ", " ");
            let case = case.replace(" ⏎ ", " | ").replace(" ‖ ", " | ");
            let expected: Vec<&str> = case.split(" | ").collect();
            let found = sentences(&text, language);
            (found != expected).then(|| format!("{language}: {expected:#?}\nfound: {found:#?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_five_real_articles_come_out_as_labelled() {
    let spans = include_str!("fixtures/reading/seed_spans.tsv");
    let mut paths: Vec<_> = fs::read_dir("labels/articles").unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut found = String::new();
    for path in &paths {
        let number = &path.file_name().unwrap().to_string_lossy()[..3];
        let article = article(&fs::read_to_string(path).unwrap());
        for (i, sentence) in split(&article, "ar").iter().enumerate() {
            assert_eq!(sentence.field, Field::Text);
            found += &format!("{number}-{i:02}\t{}\t{}\n", sentence.span.start, sentence.span.end);
        }
    }
    assert_eq!(paths.len(), 5);
    assert_eq!(found, spans);
}

#[test]
fn a_hundred_thousand_sentences_without_a_full_stop() {
    let text = "وقصفت الطائرات مواقع التنظيم في جبال حمرين، ".repeat(100_000);
    let found = sentences(&text, "ar");
    assert!(found.len() > 2_000 && found.iter().all(|sentence| sentence.ends_with('،')));
}
