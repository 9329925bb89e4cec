//! The metrics are scikit-learn's, to the ninth digit, on the cases of tests/fixtures/metrics/make.py.

use rasid::article::{Prediction, Tag};
use rasid::dataset::Example;
use rasid::error::Place;
use rasid::metrics::bootstrap::Bootstrap;
use rasid::metrics::compare::{Comparison, McNemar};
use rasid::metrics::evaluation::{Breakdown, By, Evaluation};
use rasid::schema::{Class, Head, Schema};
use serde_json::Value;

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/metrics/scores.json")).unwrap()
}

fn schema(n_classes: usize) -> Schema {
    let class = |i: usize| Class { name: format!("c{i}"), definition: String::new(), examples: vec![], color: None };
    let head = Head { name: "incident".into(), question: "?".into(), classes: (0..n_classes).map(class).collect() };
    Schema { version: 1, heads: vec![head], never: Vec::new() }
}

fn example(i: usize, gold: Option<usize>) -> Example {
    Example {
        id: None,
        article_id: format!("a{}", i / 4),
        language: if i.is_multiple_of(2) { "ar" } else { "ckb" }.into(),
        title: None,
        previous: None,
        text: "word ".repeat(i + 1),
        start: None,
        end: None,
        labels: vec![gold],
        split: None,
        source: None,
        annotator: None,
        place: Place::line("x.jsonl", i as u64),
    }
}

/// Gold labels as examples, probabilities as predictions.
fn read_case(case: &Value) -> (Schema, Vec<Example>, Vec<Prediction>) {
    let gold: Vec<usize> = serde_json::from_value(case["gold"].clone()).unwrap();
    let probabilities: Vec<Vec<f32>> = serde_json::from_value(case["probabilities"].clone()).unwrap();
    let schema = schema(probabilities[0].len());
    let examples = gold.iter().enumerate().map(|(i, g)| example(i, Some(*g))).collect();
    let prediction = |p: Vec<f32>| Prediction { tags: vec![Tag::from_probabilities(p)], truncated: false };
    (schema, examples, probabilities.into_iter().map(prediction).collect())
}

fn assert_same(what: &str, ours: &Value, theirs: &Value) {
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{what}: {a} here, {b} in scikit-learn"),
        _ => assert_eq!(ours, theirs, "{what}"),
    }
}

#[test]
fn every_figure_equals_scikit_learn() {
    for case in fixtures()["cases"].as_array().unwrap() {
        let (schema, examples, predictions) = read_case(case);
        let evaluation = Evaluation::from_predictions(&schema, &examples, &predictions);
        let ours = serde_json::to_value(&evaluation).unwrap();
        let ours = &ours["heads"]["incident"];
        for (figure, theirs) in case["expected"].as_object().unwrap() {
            let what = format!("{}: {figure}", case["name"]);
            match figure.as_str() {
                "classes" => theirs.as_array().unwrap().iter().enumerate().for_each(|(c, class)| {
                    for (figure, theirs) in class.as_object().unwrap() {
                        let ours = &ours["classes"][format!("c{c}")][figure];
                        if figure == "curve" {
                            assert_same_curve(&format!("{what} c{c}"), ours, theirs);
                        } else {
                            assert_same(&format!("{what} c{c} {figure}"), ours, theirs);
                        }
                    }
                }),
                "confusion" => theirs.as_array().unwrap().iter().enumerate().for_each(|(gold, row)| {
                    let line = ours["confusion"][format!("c{gold}")].as_object().unwrap();
                    assert_eq!(&line.values().cloned().collect::<Vec<_>>(), row.as_array().unwrap(), "{what}");
                }),
                _ => assert_same(&what, &ours[figure], theirs),
            }
        }
    }
}

/// scikit-learn appends the point of recall 0, which has no threshold; zipping with the thresholds left it out.
fn assert_same_curve(what: &str, ours: &Value, theirs: &Value) {
    let (ours, theirs) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        for (i, field) in ["threshold", "precision", "recall"].iter().enumerate() {
            assert_same(what, &a[*field], &b[i]);
        }
    }
}

#[test]
fn mcnemar_equals_scipy() {
    for case in fixtures()["mcnemar"].as_array().unwrap() {
        let count = |key: &str| case[key].as_u64().unwrap() as usize;
        let pairs = std::iter::repeat_n((true, false), count("only_a"))
            .chain(std::iter::repeat_n((false, true), count("only_b")))
            .chain([(true, true), (false, false)]);
        let p = McNemar::of(pairs).p.unwrap();
        assert!((p - case["p"].as_f64().unwrap()).abs() < 1e-9, "{case}: {p}");
    }
}

#[test]
fn intervals_hold_the_figure_and_do_not_depend_on_chance() {
    let (schema, examples, predictions) = read_case(&fixtures()["cases"][0]);
    let evaluation = Evaluation::from_predictions(&schema, &examples, &predictions);
    let head = evaluation.head("incident").unwrap();
    let ([low, high], macro_f1) = (head.macro_f1_ci.unwrap(), head.macro_f1.unwrap());
    assert!(low < macro_f1 && macro_f1 < high && high - low < 0.4, "{low} {macro_f1} {high}");
    assert_eq!(evaluation, Evaluation::from_predictions(&schema, &examples, &predictions));
    let other = Bootstrap { seed: 1, ..Bootstrap::default() };
    let other = Evaluation::with_bootstrap(&schema, &examples, &predictions, other);
    assert!((other.heads[0].1.macro_f1_ci.unwrap()[0] - low).abs() < 0.02);
}

#[test]
fn sentences_without_a_gold_label_do_not_count_for_the_head() {
    let (schema, mut examples, mut predictions) = read_case(&fixtures()["cases"][0]);
    let quick = Bootstrap { resamples: 0, seed: 0 };
    let whole = Evaluation::with_bootstrap(&schema, &examples, &predictions, quick);
    examples.push(example(0, None));
    predictions.push(predictions[0].clone());
    let more = Evaluation::with_bootstrap(&schema, &examples, &predictions, quick);
    assert_eq!(more.heads, whole.heads);
    assert_eq!((more.sentences, more.joint_sentences), (whole.sentences + 1, whole.joint_sentences));
}

#[test]
fn no_example_gives_nothing_but_null() {
    let none: [Example; 0] = [];
    let evaluation = Evaluation::from_predictions(&schema(3), &none, &[]);
    let json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(json["joint_accuracy"], Value::Null);
    assert_eq!(json["heads"]["incident"]["macro_f1"], Value::Null);
    assert_eq!(json["heads"]["incident"]["classes"]["c0"]["support"], 0);
}

#[test]
fn parts_hold_every_sentence_once() {
    let (schema, examples, predictions) = read_case(&fixtures()["cases"][0]);
    for by in By::ALL {
        let parts =
            Breakdown::from_predictions(by, &schema, &examples, &predictions, Bootstrap { resamples: 0, seed: 0 });
        assert_eq!(parts.groups.iter().map(|(_, e)| e.sentences).sum::<usize>(), examples.len());
        let names: Vec<_> = parts.groups.iter().map(|(name, _)| name.as_str()).collect();
        match by {
            By::Language => assert_eq!(names, ["ar", "ckb"]),
            By::Length => {
                assert_eq!(names, ["00-05 words", "06-10 words", "11-20 words", "21-40 words", "41 words or more"])
            }
            By::Source => assert_eq!(names, ["(none)"]),
            By::Article => assert_eq!(names.len(), 30),
        }
    }
}

#[test]
fn a_classifier_does_not_differ_from_itself_and_beats_a_worse_one() {
    let (schema, examples, predictions) = read_case(&fixtures()["cases"][0]);
    let same = Comparison::from_predictions(&schema, &examples, &predictions, &predictions, Bootstrap::default());
    assert_eq!((same.heads[0].1.macro_f1.difference, same.heads[0].1.macro_f1.p), (Some(0.0), Some(1.0)));
    assert_eq!(same.heads[0].1.mcnemar.p, None);
    let worse: Vec<_> = predictions.iter().map(|_| predictions[0].clone()).collect();
    let better = Comparison::from_predictions(&schema, &examples, &worse, &predictions, Bootstrap::default());
    let difference = better.heads[0].1.macro_f1;
    assert!(difference.difference_ci.unwrap()[0] > 0.0 && difference.p.unwrap() < 0.01, "{difference:?}");
    assert!(better.heads[0].1.mcnemar.p.unwrap() < 0.01);
    assert_eq!(better.joint_accuracy.a, better.heads[0].1.accuracy.a);
}
