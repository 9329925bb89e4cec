//! Names of groups in seven languages, and label files from reading to the verdict of `rasid labels check`.

use clap::Parser;
use rasid::article::Span;
use rasid::cli::labels::{Args, execute};
use rasid::dataset::{FindingKind, check};
use rasid::gazetteer::Gazetteer;
use rasid::schema::Schema;
use std::path::{Path, PathBuf};

fn found(gazetteer: &Gazetteer, text: &str, language: &str) -> Vec<String> {
    let matches = gazetteer.find(text, Span { start: 0, end: text.len() }, language);
    matches.iter().map(|m| format!("{}={}", m.id, m.matched)).collect()
}

#[test]
fn names_are_found_and_traps_are_not() {
    let gazetteer = Gazetteer::shipped().unwrap();
    let cases = include_str!("fixtures/labels/names.tsv");
    let mut n_cases = 0;
    let mut wrong = Vec::new();
    for case in cases.lines().filter(|line| !line.starts_with('#')) {
        let [language, text, expected] = case.split('\t').collect::<Vec<_>>()[..] else { panic!("{case}") };
        let found = found(&gazetteer, text, language).join(" | ");
        n_cases += 1;
        if found != expected {
            wrong.push(format!("{language}  {text}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {n_cases}\n{}", wrong.len(), wrong.join("\n"));
    assert!(n_cases >= 80);
}

#[test]
fn the_five_real_articles_name_these_groups() {
    let gazetteer = Gazetteer::shipped().unwrap();
    let mut lines = Vec::new();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir("labels/articles").unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy()[..3].to_string();
        let in_article = gazetteer.in_article(&text, "ar");
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let span = Span { start, end: start + line.len() };
            for m in in_article.find(span) {
                lines.push(format!("{name}\t{}\t{}\t{}", m.span.start, m.id, m.matched));
            }
            start = span.end;
        }
    }
    let expected = include_str!("fixtures/labels/articles.tsv");
    let found = lines.join("\n") + "\n";
    assert!(found == expected, "tests/fixtures/labels/articles.tsv should read:\n{found}");
}

#[test]
fn front_names_keep_their_parent() {
    let gazetteer = Gazetteer::shipped().unwrap();
    let text = "تبنت ربع الله حرق المقر";
    let found = gazetteer.find(text, Span { start: 0, end: text.len() }, "ar");
    assert_eq!((found[0].kind.as_str(), found[0].parent.as_deref()), ("front_name", Some("kataib_hezbollah")));
}

fn schema() -> Schema {
    Schema::read(Path::new("labels/schema.toml")).unwrap()
}

/// `(article, split, text, incident)` a line of a label file.
fn label_file(folder: &Path, name: &str, sentences: &[(&str, &str, &str, &str)]) -> PathBuf {
    let lines: Vec<String> = sentences
        .iter()
        .map(|(article, split, text, incident)| {
            let perpetrator = if *incident == "is_attack" { "islamic_state" } else { "none" };
            serde_json::json!({"article_id": article, "language": "en", "text": text, "incident": incident,
                "perpetrator": perpetrator, "split": split, "start": 0, "end": text.len()})
            .to_string()
        })
        .collect();
    let path = folder.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

const A: &str = "Rockets fell near the Ain al-Asad base in Anbar province late on Thursday, a security source said.";

fn kinds(sentences: &[(&str, &str, &str, &str)]) -> (Vec<FindingKind>, Vec<FindingKind>) {
    let folder = tempfile::tempdir().unwrap();
    let report = check(&[label_file(folder.path(), "x.jsonl", sentences)], &schema()).unwrap();
    let kinds = |findings: &[rasid::dataset::Finding]| {
        findings.iter().map(|f| f.kind).filter(|kind| *kind != FindingKind::Unseen).collect::<Vec<_>>()
    };
    (kinds(&report.errors), kinds(&report.warnings))
}

#[test]
fn what_makes_a_score_dishonest_is_an_error_and_the_rest_a_warning() {
    use FindingKind::*;
    let almost = A.replace("late on", "early on");
    let shouted = A.to_uppercase().replace(",", " –");
    assert_eq!(kinds(&[("a", "train", A, "other"), ("b", "test", "The parliament met.", "other")]), (vec![], vec![]));
    assert_eq!(kinds(&[("a", "train", A, "other"), ("b", "test", A, "other")]), (vec![Leak], vec![]));
    assert_eq!(kinds(&[("a", "train", A, "other"), ("b", "test", &shouted, "other")]), (vec![Leak], vec![]));
    assert_eq!(kinds(&[("a", "train", A, "other"), ("b", "dev", &almost, "other")]), (vec![NearLeak], vec![]));
    assert_eq!(kinds(&[("a", "train", A, "other"), ("b", "train", &almost, "other")]), (vec![], vec![NearDuplicate]));
    assert_eq!(
        kinds(&[("a", "train", A, "other"), ("b", "train", A, "is_attack")]),
        (vec![], vec![Duplicate, Conflict])
    );
    // An article may hold variants of a sentence, but no sentence twice.
    assert_eq!(kinds(&[("a", "train", A, "other"), ("a", "train", &almost, "is_attack")]), (vec![], vec![]));
    assert_eq!(kinds(&[("a", "train", A, "other"), ("a", "train", A, "other")]), (vec![], vec![Duplicate]));
    let both = [("a", "train", A, "other"), ("a", "test", almost.as_str(), "other")];
    assert_eq!(kinds(&both), (vec![ArticleInTwoSplits, NearLeak], vec![]));
    assert_eq!(
        kinds(&[("a", "train", "Read also here", "other"), ("b", "test", "Read also here", "other")]),
        (vec![], vec![Leak])
    );
    assert_eq!(
        kinds(&[("a", "train", A, "other"), ("a", "test", "The parliament met.", "other")]),
        (vec![ArticleInTwoSplits], vec![])
    );
    assert_eq!(kinds(&[("a", "train", &"word ".repeat(500), "other")]), (vec![], vec![LongText]));
    assert_eq!(kinds(&[("a", "train", " ", "other")]), (vec![Schema], vec![]));
    assert_eq!(kinds(&[("a", "train", A, "othr")]), (vec![Schema], vec![]));
}

#[test]
fn labels_that_never_stand_together_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let line = |id: &str, text: &str, incident: &str, perpetrator: serde_json::Value| {
        serde_json::json!({"article_id": id, "language": "en", "text": text, "incident": incident,
            "perpetrator": perpetrator, "split": "train"})
        .to_string()
    };
    let lines = [
        line("a", A, "militia_attack", "unidentified".into()),
        line("b", "Gunmen of the group stormed the village.", "is_attack", "militia".into()),
        line("c", "The mine had been left behind.", "is_attack", serde_json::Value::Null),
    ];
    std::fs::write(&path, lines.join("\n")).unwrap();
    let report = check(&[path], &schema()).unwrap();
    let [error] = &report.errors[..] else { panic!("{:?}", report.errors) };
    assert_eq!(error.kind, FindingKind::Combination);
    assert!(error.place.ends_with("x.jsonl line 2"), "{}", error.place);
    assert!(error.message.starts_with("is_attack and militia never stand together"), "{}", error.message);
}

#[test]
fn behind_another_headline_the_same_words_are_another_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let line = |article: &str, title: &str, incident: &str| {
        let record = serde_json::json!({"article_id": article, "language": "en", "title": title, "text": A, "incident": incident,
            "perpetrator": "none", "split": "train"});
        record.to_string()
    };
    let path = folder.path().join("x.jsonl");
    let n_warnings = |lines: [String; 2]| {
        std::fs::write(&path, lines.join("\n")).unwrap();
        let warnings = check(std::slice::from_ref(&path), &schema()).unwrap().warnings;
        warnings.iter().filter(|f| f.kind != FindingKind::Unseen).count()
    };
    assert_eq!(n_warnings([line("a", "One", "other"), line("a", "Two", "is_attack")]), 0);
    assert_eq!(n_warnings([line("a", "One", "other"), line("a", "One", "is_attack")]), 2);
    assert_eq!(n_warnings([line("a", "One", "other"), line("b", "Two", "is_attack")]), 2);
}

#[test]
fn spans_are_compared_with_the_article_beside_the_label_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("articles")).unwrap();
    std::fs::write(folder.path().join("articles/a.txt"), format!("{A}\n")).unwrap();
    let path = label_file(folder.path(), "x.jsonl", &[("a", "train", A, "other")]);
    let spans = |path: &PathBuf| {
        let report = check(std::slice::from_ref(path), &schema()).unwrap();
        report.errors.iter().filter(|f| f.kind == FindingKind::Span).map(|f| f.message.clone()).collect::<Vec<_>>()
    };
    assert!(spans(&path).is_empty());
    std::fs::write(folder.path().join("articles/a.txt"), format!("x{A}")).unwrap();
    assert!(spans(&path)[0].starts_with("the article has \"xRockets"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"start\":0", "\"start\":1")).unwrap();
    assert!(spans(&path)[0].ends_with("offsets count bytes of UTF-8, not characters"));
}

#[derive(Parser)]
struct Wrapper {
    #[command(flatten)]
    args: Args,
}

fn run(arguments: &[&str]) -> (Result<u8, String>, String) {
    let wrapper = Wrapper::try_parse_from([&["labels"], arguments].concat()).unwrap();
    let mut out = Vec::new();
    let code = execute(&wrapper.args, &mut out).map_err(|e| e.to_string());
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn check_exits_with_0_or_1_and_shows_counts() {
    let folder = tempfile::tempdir().unwrap();
    let sound = label_file(
        folder.path(),
        "sound.jsonl",
        &[("a", "train", A, "other"), ("b", "test", "The parliament met.", "policy_statement")],
    );
    let (code, out) = run(&["check", sound.to_str().unwrap()]);
    assert_eq!(code, Ok(0), "{out}");
    assert!(out.starts_with("2 sentences of 2 articles in 1 files\n"), "{out}");
    assert!(out.contains("  incident policy_statement      0     1    1\n"), "{out}");
    let unsound = label_file(
        folder.path(),
        "unsound.jsonl",
        &[("a", "train", A, "is_atack"), ("a", "test", A, "other"), ("b", "train", A, "other")],
    );
    let (code, out) = run(&["check", unsound.to_str().unwrap()]);
    assert_eq!(code, Ok(1));
    assert!(out.contains("unsound.jsonl line 1: incident \"is_atack\" is not in the label set"), "{out}");
    assert!(out.contains("did you mean \"is_attack\"?") && out.contains("error: leak (1)"), "{out}");
    let (code, out) = run(&["check", "--format", "json", unsound.to_str().unwrap()]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["errors"][0]["kind"].as_str()), (Ok(1), Some("schema")));
    let (code, _) = run(&["check", "no/such/file.jsonl"]);
    assert!(code.unwrap_err().starts_with("no/such/file.jsonl: no such file or folder; expected a label file"));
}

#[test]
fn agreement_shows_kappa_and_confusion() {
    let folder = tempfile::tempdir().unwrap();
    let texts = ["one", "two", "three", "four"];
    let labelled = |name: &str, labels: [&'static str; 4]| {
        let sentences: Vec<_> = texts.iter().zip(labels).map(|(text, label)| ("a", "train", *text, label)).collect();
        label_file(folder.path(), name, &sentences).to_str().unwrap().to_string()
    };
    let a = labelled("a.jsonl", ["other", "other", "policy_statement", "policy_statement"]);
    let b = labelled("b.jsonl", ["other", "policy_statement", "policy_statement", "policy_statement"]);
    // observed 3/4; expected 2/4·1/4 + 2/4·3/4 = 1/2; kappa (3/4 − 1/2) / (1/2) = 1/2
    let (code, out) = run(&["agreement", &a, &b]);
    assert_eq!(code, Ok(0));
    assert!(out.contains("incident: kappa 0.500 (observed 0.750, by chance 0.500, 4 sentences)"), "{out}");
    assert!(out.contains("perpetrator: kappa — (observed 1.000"), "{out}");
    assert!(out.contains("  other                            1      1\n"), "{out}");
}
