//! `evaluate` and `compare` from their flags to their files, with the baselines as models.

use clap::Parser;
use rasid::article::Classify;
use rasid::cli::scoring::Sources;
use rasid::cli::{compare, evaluate};
use rasid::dataset::{Example, Split};
use rasid::error::{Error, Place, Result};
use rasid::metrics::bootstrap::Bootstrap;
use rasid::metrics::cross_validation::CrossValidation;
use rasid::model::NumberFormat;
use rasid::report::evaluation::{Format, render_cross_validation};
use rasid::schema::Schema;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Parser)]
enum Cli {
    Evaluate(evaluate::Args),
    Compare(compare::Args),
}

fn schema() -> Result<Schema> {
    Schema::read(Path::new("labels/schema.toml"))
}

/// Six training and three test articles; the last test sentence is labelled for one head only. Of pairs.jsonl the articles have two.
fn examples(paths: &[PathBuf], _: &Schema) -> Result<Vec<Example>> {
    let sentences = [
        ("هاجم مسلحون من داعش نقطة للجيش", Some(0), Some(0)),
        ("أعلن رئيس الوزراء موعد انسحاب القوات", Some(2), Some(6)),
        ("اشترك في النشرة | <البريدية>", Some(3), None),
    ];
    let mut examples = Vec::new();
    for article in 0..9 {
        let n = if paths == [PathBuf::from("pairs.jsonl")] { 2 } else { 3 };
        for (line, (text, incident, perpetrator)) in sentences[..n].iter().enumerate() {
            examples.push(Example {
                id: None,
                article_id: format!("a{article}"),
                language: if article % 2 == 0 { "ar" } else { "fa" }.into(),
                title: Some("عنوان".into()),
                previous: None,
                text: text.to_string(),
                start: None,
                end: None,
                labels: vec![*incident, *perpetrator],
                split: Some(if article < 6 { Split::Train } else { Split::Test }),
                source: None,
                annotator: None,
                place: Place::line("a.jsonl", 1 + article * 3 + line as u64),
            });
        }
    }
    Ok(examples)
}

fn no_model(name: &str, _: NumberFormat) -> Result<Box<dyn Classify>> {
    Err(Error::bad(Place::file(name), "no such folder", "a model folder"))
}

fn run(line: &str) -> Result<u8> {
    let sources = Sources { schema: &schema, open_model: &no_model, read_examples: &examples };
    match Cli::try_parse_from(std::iter::once("rasid").chain(line.split(' '))).unwrap() {
        Cli::Evaluate(args) => evaluate::execute(&args, &sources),
        Cli::Compare(args) => compare::execute(&args, &sources),
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_json_report_has_the_promised_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.json");
    let line = format!(
        "evaluate --model tfidf --labels a.jsonl --split test --by language,article --format json -o {}",
        path.display()
    );
    assert_eq!(run(&line).unwrap(), 0);
    let report = json(&path);
    assert_eq!(
        (&report["sentences"], &report["articles"], &report["joint_sentences"]),
        (&9.into(), &3.into(), &6.into())
    );
    let incident = &report["heads"]["incident"];
    assert_eq!(incident["macro_f1"], 1.0);
    assert_eq!(incident["macro_f1_ci"], serde_json::json!([1.0, 1.0]));
    assert_eq!(incident["classes"]["is_attack"]["support"], 3);
    assert_eq!(incident["classes"]["militia_attack"]["f1"], Value::Null);
    assert_eq!(incident["confusion"]["is_attack"]["is_attack"], 3);
    assert_eq!(incident["calibration"].as_array().unwrap().len(), 15);
    assert_eq!(report["heads"]["perpetrator"]["sentences"], 6);
    assert_eq!(report["by"]["language"]["fa"]["articles"], 1);
    assert_eq!(report["by"]["language"]["fa"]["heads"]["incident"]["macro_f1_ci"], Value::Null);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written is left beside the report");
}

#[test]
fn of_pairs_it_is_told_how_many_are_wholly_right() {
    let folder = tempfile::tempdir().unwrap();
    let report = |labels: &str| {
        let path = folder.path().join(labels);
        run(&format!("evaluate --model majority --labels {labels} --split test -o {}", path.display())).unwrap();
        fs::read_to_string(&path).unwrap()
    };
    let pairs = report("pairs.jsonl");
    let told = pairs.lines().find(|line| line.starts_with("whole articles right")).unwrap();
    assert!(told.contains("0.000"), "{told}"); // of two labels the most frequent one is wrong once in each
    assert!(!report("a.jsonl").contains("whole articles right"));
}

#[test]
fn text_reports_show_the_undefined_as_a_dash_and_escape() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["table", "markdown", "html"] {
        let path = folder.path().join(format);
        let line = format!(
            "evaluate --model majority --labels a.jsonl --split test --by source --format {format} -o {}",
            path.display()
        );
        assert_eq!(run(&line).unwrap(), 0);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("majority") && text.contains('—') && text.contains("0.333"), "{text}");
        match format {
            "markdown" => assert!(text.contains("| is\\_attack |") || text.contains("| is\\_attack  "), "{text}"),
            "html" => assert!(text.contains("<svg") && !text.contains("http"), "{text}"),
            _ => assert!(!text.contains('|'), "{text}"),
        }
    }
}

#[test]
fn below_the_asked_score_the_exit_code_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |rest: &str| {
        let out = folder.path().join("r.txt");
        run(&format!("evaluate --model majority --labels a.jsonl --split test -o {} {rest}", out.display()))
    };
    assert_eq!(at("--fail-under incident.accuracy=0.3").unwrap(), 0);
    assert_eq!(at("--fail-under incident.accuracy=0.3 --fail-under incident.macro_f1=0.8").unwrap(), 1);
    assert_eq!(at("--fail-under incident.militia_attack.recall=0").unwrap(), 1, "undefined does not pass");
    assert!(at("--fail-under incident.accurracy=1").unwrap_err().to_string().contains("incident.accuracy"));
}

#[test]
fn every_wrong_sentence_is_listed_with_its_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let (out, jsonl, csv) = (folder.path().join("r.txt"), folder.path().join("e.jsonl"), folder.path().join("e.csv"));
    for errors in [&jsonl, &csv] {
        let line = format!(
            "evaluate --model majority --labels a.jsonl --split test -o {} --errors {}",
            out.display(),
            errors.display()
        );
        run(&line).unwrap();
    }
    let text = fs::read_to_string(&jsonl).unwrap();
    assert_eq!(text.lines().count(), 6);
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["file"], &first["line"], &first["wrong"][0]),
        (&"a.jsonl".into(), &20.into(), &"incident".into())
    );
    assert_eq!(first["incident"]["gold"], "policy_statement");
    assert_eq!(first["incident"]["probabilities"].as_object().unwrap().len(), 4);
    let mut reader = csv::Reader::from_path(&csv).unwrap();
    assert!(reader.headers().unwrap().iter().any(|h| h == "incident_p_is_attack"));
    let last = reader.records().last().unwrap().unwrap();
    assert_eq!(&last[8], "اشترك في النشرة | <البريدية>");
}

#[test]
fn a_baseline_is_never_scored_on_what_it_learned() {
    let message = |line: &str| run(line).unwrap_err().to_string();
    assert!(message("evaluate --model tfidf --labels a.jsonl").contains("would be learned by the baseline"));
    assert!(message("evaluate --model tfidf --labels a.jsonl --split dev").contains("\"split\": \"dev\""));
    assert!(message("evaluate --model nowhere --labels a.jsonl").contains("nowhere: no such folder"));
    assert!(
        message("evaluate --model tfidf --labels a.jsonl --split test -o /no/such/r.txt")
            .contains("its folder does not exist")
    );
}

#[test]
fn compare_tells_who_is_better() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["json", "table", "markdown", "html"] {
        let path = folder.path().join(format);
        let line =
            format!("compare majority tfidf --labels a.jsonl --split test --format {format} -o {}", path.display());
        assert_eq!(run(&line).unwrap(), 0);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("majority") && text.contains("tfidf"), "{text}");
    }
    let report = json(&folder.path().join("json"));
    assert_eq!(report["heads"]["incident"]["accuracy"]["b"], 1.0);
    assert!(report["heads"]["incident"]["macro_f1"]["difference_ci"][0].as_f64().unwrap() > 0.5);
    assert_eq!(report["heads"]["incident"]["mcnemar"]["only_b_right"], 6);
    let differing = &report["heads"]["incident"]["differing"];
    let (n, share) = (differing["sentences"].as_f64().unwrap(), differing["share"].as_f64().unwrap());
    assert!(n >= 6.0 && (share - n / report["sentences"].as_f64().unwrap()).abs() < 1e-12, "{differing}");
}

#[test]
fn a_cross_validation_shows_every_seed_and_its_spread() {
    let schema = schema().unwrap();
    let examples = examples(&[], &schema).unwrap();
    let training: Vec<&Example> = examples.iter().collect();
    let inputs: Vec<_> = examples.iter().map(Example::input).collect();
    let majority = rasid::baseline::Majority::train(&schema, &training).classify(&inputs).unwrap();
    let tfidf =
        rasid::baseline::Tfidf::train(&schema, rasid::baseline::Kinds::letters(), &training).classify(&inputs).unwrap();
    let bootstrap = Bootstrap { resamples: 100, seed: 0 };
    let runs = [(1, majority), (2, tfidf)];
    let report = CrossValidation::from_runs(&schema, &examples, 3, &runs, bootstrap);
    let json: Value = serde_json::from_str(&render_cross_validation(&report, Format::Json)).unwrap();
    let accuracy = &json["heads"]["incident"]["accuracy"];
    assert!((accuracy["mean"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9 && accuracy["max"] == 1.0, "{accuracy}");
    assert_eq!(json["runs"].as_array().unwrap().len(), 2);
    let table = render_cross_validation(&report, Format::Table);
    assert!(table.starts_with("Cross-validation: 3 folds × 2 seeds") && table.contains("seed 2"), "{table}");
}
