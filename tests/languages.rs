//! The language of written articles and of their single sentences.

use rasid::language::identify;
use std::collections::BTreeMap;
use std::fs;

/// Language, article, sentences in order.
type WrittenArticles = BTreeMap<(String, String), Vec<String>>;

fn written() -> WrittenArticles {
    let mut articles = WrittenArticles::new();
    let files = fs::read_dir("labels/written").unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")) {
        for line in fs::read_to_string(file).unwrap().lines().filter(|line| !line.trim().is_empty()) {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| record[name].as_str().unwrap().to_string();
            articles.entry((field("language"), field("article_id"))).or_default().push(field("text"));
        }
    }
    articles
}

#[test]
fn written_articles_and_sentences_are_identified() {
    let articles = written();
    assert!(articles.len() >= 60, "labels/written holds {} articles", articles.len());
    let (mut n_right_articles, mut n_right_sentences, mut n_sentences) = (0, 0, 0);
    let (mut wrong, mut kurdish_lost) = (String::new(), String::new());
    for ((language, id), sentences) in &articles {
        let found = identify(&sentences.join("\n"));
        n_right_articles += usize::from(found == language);
        if found != language {
            wrong += &format!("article {id}: {language} as {found}\n");
        }
        for sentence in sentences {
            let found = identify(sentence);
            n_sentences += 1;
            n_right_sentences += usize::from(found == language);
            if found != language {
                wrong += &format!("{language} as {found}: {sentence}\n");
            }
            let is_kurdish = language == "ckb" || language == "kmr";
            // three letters and a dot, an agency's code, could be any language; a verse of the Quran is Arabic wherever it is quoted
            let is_verse = sentence.starts_with('﴿') && sentence.ends_with('﴾');
            if is_kurdish && !is_verse && sentence.chars().count() >= 25 && ["ar", "fa", "tr"].contains(&found) {
                kurdish_lost += &format!("{language} as {found}: {sentence}\n");
            }
        }
    }
    println!("articles {n_right_articles}/{}, sentences {n_right_sentences}/{n_sentences}\n{wrong}", articles.len());
    assert_eq!(kurdish_lost, "");
    assert!(n_right_articles * 100 >= articles.len() * 99, "{wrong}");
    assert!(n_right_sentences * 100 >= n_sentences * 98, "{wrong}");
}
