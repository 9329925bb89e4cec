//! The lexicon from its files to a classification: terms found, tokens told, models that know it written and opened again.

use rasid::article::{Classify, SentenceInput};
use rasid::dataset::{Example, Split};
use rasid::error::Place;
use rasid::lexicon::{Lexicon, LexiconFiles};
use rasid::model::NumberFormat;
use rasid::model_dir;
use rasid::schema::Schema;
use rasid::tokens::{Context, InputConfig, Tokenizer};
use rasid::train::Recipe;
use rasid::train::run::{Options, from_nothing, train};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn found(lexicon: &Lexicon, text: &str, language: &str) -> Vec<(String, String)> {
    let matches = lexicon.find(text, language);
    matches.iter().map(|m| (lexicon.types()[m.term_type].name.clone(), m.span.of(text).to_string())).collect()
}

#[test]
fn the_shipped_lexicon_knows_the_field_in_every_language() {
    let lexicon = Lexicon::shipped().unwrap();
    assert!(lexicon.types().len() >= 25, "{} types", lexicon.types().len());
    for (text, language, expected) in [
        ("استهدفت كتائب حزب الله قاعدة عين الأسد", "ar", ["attack_verb", "militia_name", "coalition_site"]),
        ("ISIS gunmen attacked a checkpoint", "en", ["is_name", "attack_verb", "target_thing"]),
        ("داعش به یک پاسگاه حمله کرد", "fa", ["is_name", "target_thing", "attack_verb"]),
        ("چەکدارانی داعش هێرشیان کردە سەر پێشمەرگە", "ckb", ["is_name", "attack_noun", "kurdish_force"]),
        ("DAIŞê êrîşî Pêşmerge kir", "kmr", ["is_name", "attack_noun", "kurdish_force"]),
        ("DEAŞ'lı teröristler karakola saldırdı", "tr", ["is_name", "loaded_word", "attack_verb"]),
        ("L'État islamique a attaqué un poste de contrôle", "fr", ["is_name", "attack_verb", "target_thing"]),
    ] {
        let types: Vec<String> = found(&lexicon, text, language).into_iter().map(|(t, _)| t).collect();
        for wanted in expected {
            assert!(types.iter().any(|t| t == wanted), "{text}: no {wanted} in {types:?}");
        }
    }
}

#[test]
fn a_name_inside_a_name_does_not_count() {
    let lexicon = Lexicon::shipped().unwrap();
    let types = |text: &str| found(&lexicon, text, "en").into_iter().map(|(t, _)| t).collect::<Vec<_>>();
    assert!(types("Kataib Hezbollah").contains(&"militia_name".to_string()));
    assert!(!types("Kataib Hezbollah").contains(&"other_armed".to_string()));
    assert!(types("the Lebanese Hezbollah").contains(&"other_armed".to_string()));
}

#[test]
fn every_token_is_told_the_terms_that_it_lies_in() {
    let lexicon = Arc::new(Lexicon::shipped().unwrap());
    let plain = Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).unwrap();
    let config = InputConfig { max_tokens: 64, context: Context::Both };
    let text = "قال شهود إن مسلحي داعش هاجموا القرية";
    let input =
        SentenceInput { language: "ar", text, title: Some("داعش يهاجم"), previous: Some("سقط قتلى") };
    let without = plain.encode(input, &config).unwrap();
    assert!(without.lexicon.is_empty());
    let tokenizer = plain.with_lexicon(Some(lexicon.clone()));
    let with = tokenizer.encode(input, &config).unwrap();
    assert_eq!((&with.ids, with.lexicon.len()), (&without.ids, without.ids.len()));
    let bit = |name: &str| 1u64 << lexicon.types().iter().position(|t| t.name == name).unwrap();
    let told = |name: &str| -> Vec<String> {
        let ids = with.ids.iter().zip(&with.lexicon).filter(|(_, bits)| **bits & bit(name) != 0);
        ids.map(|(id, _)| tokenizer.token(*id).unwrap().replace('▁', "")).collect()
    };
    let name = told("is_name").concat();
    assert_eq!(name.matches("داعش").count(), 2, "in the sentence and in the headline: {name}");
    assert!(told("attack_verb").concat().contains("هاجموا"));
    assert!(told("casualty").concat().contains("قتل"), "the sentence before is read too");
    let special = tokenizer.special();
    for (id, bits) in with.ids.iter().zip(&with.lexicon) {
        assert!(!special.marks().contains(id) || *bits == 0);
    }
}

const TYPES: &str =
    "[[type]]\nname = \"raider\"\ndefinition = \"who\"\n[[type]]\nname = \"deed\"\ndefinition = \"what\"\n";
const TERMS: &str = "[terms]\nraider = [\"wolves\"]\ndeed = [\"bit{e,}*\"]\n";

fn own_lexicon() -> Arc<Lexicon> {
    let files = BTreeMap::from([("types.toml".into(), TYPES.into()), ("en.toml".into(), TERMS.into())]);
    Arc::new(Lexicon::new(LexiconFiles(files), Path::new("own")).unwrap())
}

fn example(n: usize, text: &str, labels: [usize; 2], split: Split) -> Example {
    Example {
        id: None,
        article_id: format!("{n}{split:?}"),
        language: "en".into(),
        title: None,
        previous: None,
        text: text.into(),
        start: None,
        end: None,
        labels: labels.map(Some).into(),
        split: Some(split),
        source: None,
        annotator: None,
        place: Place::line("x.jsonl", 1),
    }
}

#[test]
fn a_model_brings_its_own_lexicon_and_answers_as_it_was_calibrated() {
    let schema = Schema::read(Path::new("labels/schema.toml")).unwrap();
    let small =
        ["model.hidden_size=16", "model.intermediate_size=16", "model.num_attention_heads=2", "training.epochs=2"];
    let recipe = Recipe::resolve(None, &small.map(String::from)).unwrap();
    assert!(recipe.model.lexicon && recipe.model.ngrams, "the default recipe uses both");
    let texts = [
        ("Wolves bit a man", [0, 0]),
        ("The minister spoke", [2, 6]),
        ("Wolves bite again", [0, 0]),
        ("Rain fell", [3, 6]),
    ];
    let mut examples = Vec::new();
    for (n, (text, labels)) in texts.into_iter().enumerate() {
        examples.push(example(n, text, labels, Split::Train));
        examples.push(example(n, &format!("{text} today"), labels, Split::Dev));
    }
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("m");
    let tokenizer = Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).unwrap();
    let options = Options {
        schema: &schema,
        base: from_nothing(&recipe, tokenizer, Some(own_lexicon())),
        recipe,
        examples: &examples,
        soft: &[],
        rules: None,
        output: output.clone(),
        resume: false,
        workers: 1,
    };
    let trained = train(&options, &AtomicBool::new(false), &mut |_| ()).unwrap();
    let opened = model_dir::open(&output, NumberFormat::F32).unwrap();
    assert_eq!(opened.lexicon().unwrap().files(), own_lexicon().files());
    assert!(trained.model.ngrams.is_some() && opened.ngram_weights.iter().any(|w| *w > 0.0));
    let inputs: Vec<_> = examples.iter().map(Example::input).collect();
    assert_eq!(opened.classify(&inputs).unwrap(), trained.model.classify(&inputs).unwrap());

    // a user's term reaches the model, and is shown
    let terms = root.path().join("mine.en.toml");
    std::fs::write(&terms, "[terms]\nraider = [\"jackals\"]\n").unwrap();
    let text = root.path().join("news.txt");
    std::fs::write(&text, "The jackals bit a man in the street.\n").unwrap();
    let classify = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rasid"));
        command.args(["classify", "--format", "jsonl", "--quiet", "--explain"]).arg("--model").arg(&output).arg(&text);
        let done = command.args(more).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<serde_json::Value>(&done.stdout).unwrap()
    };
    let (before, after) = (classify(&[]), classify(&["--terms", terms.to_str().unwrap()]));
    let types = |line: &serde_json::Value| -> Vec<String> {
        line["terms"].as_array().unwrap().iter().map(|t| format!("{} {}", t["type"], t["matched"])).collect()
    };
    assert_eq!(types(&before), [r#""deed" "bit""#]);
    assert_eq!(types(&after), [r#""raider" "jackals""#, r#""deed" "bit""#]);
    assert_ne!(before["incident"]["probabilities"], after["incident"]["probabilities"]);

    // files of one name from two folders are two files, and a fault is told by the name that was given
    let elsewhere = root.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let other = elsewhere.join("mine.en.toml");
    std::fs::write(&other, "[terms]\ndeed = [\"street\"]\n").unwrap();
    let both = classify(&["--terms", terms.to_str().unwrap(), "--terms", other.to_str().unwrap()]);
    assert_eq!(types(&both), [r#""raider" "jackals""#, r#""deed" "bit""#, r#""deed" "street""#]);
    std::fs::write(&other, "[terms]\nraiders = [\"street\"]\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rasid"));
    command.args(["classify", "--quiet", "--terms"]).arg(&other).arg("--model").arg(&output).arg(&text);
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("{}: terms of an unknown type \"raiders\"", other.display())), "{told}");

    // types in another order would be a silent lie
    let swapped = "[[type]]\nname = \"deed\"\ndefinition = \"x\"\n[[type]]\nname = \"raider\"\ndefinition = \"x\"\n";
    std::fs::write(output.join("lexicon/types.toml"), swapped).unwrap();
    let message = model_dir::open(&output, NumberFormat::F32).err().unwrap().to_string();
    assert!(message.contains("type 0 of the lexicon is \"raider\"; expected \"deed\""), "{message}");
}
