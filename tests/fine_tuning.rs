//! Fine-tuning from encoders that other programs wrote, and the ways to do it in little memory: adapters, accumulated gradients,
//! layers computed again.
//!
//! The bases are the tiny checkpoints of `tests/fixtures/families`.

use candle_core::Tensor;
use rasid::article::Classify;
use rasid::dataset::{Example, read_examples};
use rasid::error::Result;
use rasid::model::{NumberFormat, Weights};
use rasid::model_dir;
use rasid::schema::Schema;
use rasid::train::run::{Base, Options, Trained, from_directory, train, training_folder};
use rasid::train::{Event, Recipe};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

const FAMILIES: [&str; 5] = ["bert", "xlm-roberta", "distilbert", "modernbert", "deberta-v2"];

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(Path::new("labels/schema.toml")).unwrap());

const SENTENCES: [(&str, &str, &str); 8] = [
    ("قتل ثلاثة جنود في هجوم لتنظيم داعش شمال كركوك", "is_attack", "islamic_state"),
    ("داعش", "is_attack", "islamic_state"),
    ("Three rockets fell near the base in the north.", "militia_attack", "unidentified"),
    ("Trois roquettes près de la base", "militia_attack", "unidentified"),
    ("The ministry said that the talks would go on.", "policy_statement", "none"),
    ("talks next week in Baghdad", "policy_statement", "none"),
    ("Sê li nêzîkî", "other", "none"),
    ("Üç kimse", "other", "none"),
];

/// The sentences, from a file as users have them; two an article, all to learn from.
fn examples(folder: &Path) -> Vec<Example> {
    let line = |(i, (text, incident, perpetrator)): (usize, &(&str, &str, &str))| {
        let json = serde_json::json!({
            "article_id": format!("a{}", i / 2), "language": "und", "text": text, "incident": incident,
            "perpetrator": perpetrator, "split": "train"
        });
        format!("{json}\n")
    };
    let path = folder.join("labels.jsonl");
    fs::write(&path, SENTENCES.iter().enumerate().map(line).collect::<String>()).unwrap();
    read_examples(&[path], &SCHEMA).unwrap()
}

fn recipe(settings: &[&str]) -> Recipe {
    let small = [
        "model.lexicon=false",
        "model.ngrams=false",
        "model.weights_dtype=f32",
        "input.max_tokens=32",
        "training.epochs=3",
        "training.batch_size=4",
        "training.learning_rate=2e-3",
        "training.token_dropout=0",
    ];
    let settings: Vec<String> = small.iter().chain(settings).map(|s| s.to_string()).collect();
    Recipe::resolve(None, &settings).unwrap()
}

fn base(family: &str, recipe: &mut Recipe) -> Base {
    let folder = Path::new("tests/fixtures/families").join(family);
    let (base, lacking) = from_directory(&folder, recipe, None).unwrap();
    assert!(lacking.is_empty(), "{lacking:?}");
    base
}

/// A run in a folder of its own.
struct Run {
    root: tempfile::TempDir,
    /// Mean loss of each epoch.
    losses: Vec<f64>,
}

impl Run {
    fn new() -> Run {
        Run { root: tempfile::tempdir().unwrap(), losses: Vec::new() }
    }

    fn model(&self) -> PathBuf {
        self.root.path().join("m")
    }

    /// Trains; Ctrl-C comes while step `last_step` is under way.
    fn go(&mut self, family: &str, settings: &[&str], resume: bool, last_step: u64) -> Result<Trained> {
        let mut recipe = recipe(settings);
        let (base, examples) = (base(family, &mut recipe), examples(self.root.path()));
        let output = self.model();
        let options = Options {
            schema: &SCHEMA,
            recipe,
            base,
            examples: &examples,
            soft: &[],
            rules: None,
            output,
            resume,
            workers: 1,
        };
        let stop = AtomicBool::new(false);
        train(&options, &stop, &mut |event| match event {
            Event::Step { step, .. } => stop.store(*step >= last_step, Ordering::Relaxed),
            Event::Epoch { report, .. } => self.losses.push(report.loss),
        })
    }

    fn whole(family: &str, settings: &[&str]) -> Run {
        let mut run = Run::new();
        run.go(family, settings, false, u64::MAX).unwrap();
        run
    }

    fn weights(&self) -> Weights {
        model_dir::open_base(&self.model()).unwrap().weights
    }

    fn logits(&self) -> Vec<f32> {
        let model = model_dir::open(&self.model(), NumberFormat::F32).unwrap();
        let examples = examples(self.root.path());
        let encoded = model.encode(&examples.iter().map(Example::input).collect::<Vec<_>>()).unwrap();
        model.logits(&encoded).unwrap().into_iter().flatten().flatten().collect()
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest distance of two lists, relative to the largest value of the first.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (x, y)| m.max((x - y).abs())) / largest
}

#[test]
fn every_family_learns_by_heart_and_with_all_its_weights() {
    for family in FAMILIES {
        let mut run = Run::new();
        let settings = [
            "training.epochs=150",
            "training.learning_rate=2e-3",
            "training.dropout=0",
            "training.label_smoothing=0",
            "training.patience=0",
        ];
        let trained = run.go(family, &settings, false, u64::MAX).unwrap();
        let (first, last) = (run.losses[0], run.losses[run.losses.len() - 1]);
        assert!(last < 0.5 * first, "{family}: {first} to {last}");

        let examples = examples(run.root.path());
        let predictions = trained.model.classify(&examples.iter().map(Example::input).collect::<Vec<_>>()).unwrap();
        for (example, prediction) in examples.iter().zip(&predictions) {
            let labels: Vec<_> = prediction.tags.iter().map(|tag| Some(tag.label)).collect();
            assert_eq!(labels, example.labels, "{family}: {}", example.text);
        }
        let before = base(family, &mut recipe(&[])).weights;
        for (name, after) in &run.weights().0 {
            let Some(before) = before.0.get(name) else { continue };
            assert_ne!(numbers(before), numbers(after), "{family}: {name} is as it was");
        }
    }
}

#[test]
fn what_is_written_has_the_familys_names_and_goes_on_as_a_base() {
    for (family, name) in [
        ("bert", "bert.encoder.layer.2.attention.self.key.weight"),
        ("xlm-roberta", "roberta.embeddings.word_embeddings.weight"),
        ("distilbert", "pre_classifier.weight"),
        ("modernbert", "model.layers.1.attn_norm.weight"),
        ("deberta-v2", "deberta.encoder.rel_embeddings.weight"),
    ] {
        let run = Run::whole(family, &["training.epochs=1", "model.weights_dtype=int8"]);
        let bytes = fs::read(run.model().join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        // Whole numbers would be read by nobody else.
        assert_eq!(file.tensor(name).unwrap().dtype(), safetensors::Dtype::F16, "{family}");
        assert!(file.tensor("classifier.perpetrator.weight").is_ok());
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(run.model().join("config.json")).unwrap()).unwrap();
        assert_eq!((&config["model_type"], &config["dtype"]), (&family.into(), &"float16".into()));
        assert_eq!(config["id2label"].as_object().unwrap().len(), 11);
        assert!(config.get("problem_type").is_none());

        let mut again = recipe(&[]);
        let (base, lacking) = from_directory(&run.model(), &mut again, None).unwrap();
        assert!(lacking.is_empty() && base.family.0 == family);
        assert!(base.weights.0.contains_key("classifier.incident.weight"), "{family}: heads are known again");
    }
}

#[test]
fn interrupted_and_resumed_is_uninterrupted() {
    for family in ["bert", "deberta-v2"] {
        for settings in [&["training.lora_rank=2"][..], &["training.gradient_checkpointing=true"]] {
            let whole = Run::whole(family, settings);
            let mut cut = Run::new();
            assert!(cut.go(family, settings, false, 3).is_err());
            assert!(!cut.model().exists() && training_folder(&cut.model()).exists());
            cut.go(family, settings, true, u64::MAX).unwrap();
            let file = |run: &Run| fs::read(run.model().join("model.safetensors")).unwrap();
            assert!(file(&whole) == file(&cut), "{family} {settings:?}");
        }
    }
}

#[test]
fn adapters_leave_all_else_and_are_part_of_the_weights_in_the_end() {
    let settings = ["training.lora_rank=4", "training.lora_targets=[\"attn.Wqkv\", \"mlp.Wo\"]", "training.epochs=8"];
    for family in FAMILIES {
        let run = Run::whole(family, &settings);
        let (before, after) = (base(family, &mut recipe(&[])).weights, run.weights());
        assert!(after.0.keys().all(|name| !name.contains("lora")));
        for (name, before) in &before.0 {
            let is_target = name.ends_with("attn.Wqkv.weight") || name.ends_with("mlp.Wo.weight");
            let learns = is_target || name.starts_with("head.");
            assert_eq!(numbers(before) != numbers(&after.0[name]), learns, "{family}: {name}");
        }
        // What was added to a weight is of the adapters' rank.
        let name = "layers.1.attn.Wqkv.weight";
        let added = (&after.0[name] - &before.0[name]).unwrap();
        let gram: Vec<Vec<f32>> = added.matmul(&added.t().unwrap()).unwrap().to_vec2().unwrap();
        assert_eq!(rank(gram), 4, "{family}");
        assert!(run.losses[7] < run.losses[0], "{family}: {:?}", run.losses);
    }
}

#[test]
fn frozen_layers_stay_as_they_were() {
    for family in FAMILIES {
        let run = Run::whole(family, &["training.frozen_layers=2"]);
        let (before, after) = (base(family, &mut recipe(&[])).weights, run.weights());
        for (name, before) in &before.0 {
            let is_frozen = name.starts_with("embeddings.") || name.starts_with("layers.0.");
            assert_eq!(numbers(before) == numbers(&after.0[name]), is_frozen, "{family}: {name}");
        }
    }
}

#[test]
fn the_familys_head_can_be_left_out() {
    for family in FAMILIES {
        let settings =
            ["model.family_head=false", "training.epochs=60", "training.dropout=0", "training.label_smoothing=0"];
        let run = Run::whole(family, &settings);
        assert!(run.weights().0.keys().all(|name| !name.starts_with("head.")), "{family}");
        assert!(run.losses[59] < 0.7 * run.losses[0], "{family}: {:?}", run.losses);
        let text = fs::read_to_string(run.model().join("config.json")).unwrap();
        assert!(text.contains("\"rasid_pooling\": \"mean\""), "{family}: {text}");
        assert!(run.logits().iter().all(|logit| logit.is_finite()), "{family}");
        // In Python the classifier would be another one; what goes on from it here stays as it is.
        let refused = model_dir::export::to_transformers(&run.model(), &run.root.path().join("exported"))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("model.family_head = true"), "{family}: {refused}");
        let (base, lacking) = from_directory(&run.model(), &mut recipe(&[]), None).unwrap();
        assert!(lacking.is_empty() && base.config.architecture.dense.is_none(), "{family}: {lacking:?}");
    }
}

/// Rank of a symmetric matrix, by elimination with pivots; values below a thousandth of the largest are rounding.
fn rank(mut m: Vec<Vec<f32>>) -> usize {
    let largest = m.iter().flatten().fold(0.0f32, |a, x| a.max(x.abs()));
    let mut rank = 0;
    while let Some(pivot) = (rank..m.len()).max_by(|a, b| m[*a][*a].abs().total_cmp(&m[*b][*b].abs())) {
        if m[pivot][pivot].abs() < largest * 1e-4 {
            return rank;
        }
        m.swap(rank, pivot);
        m.iter_mut().for_each(|row| row.swap(rank, pivot));
        let (top, rest) = m.split_at_mut(rank + 1);
        let top = &top[rank];
        for row in rest {
            let factor = row[rank] / top[rank];
            row.iter_mut().zip(top).for_each(|(x, t)| *x -= factor * t);
        }
        rank += 1;
    }
    rank
}

#[test]
fn layers_computed_again_learn_the_same() {
    for family in FAMILIES {
        let plain = Run::whole(family, &["training.dropout=0"]);
        let again = Run::whole(family, &["training.dropout=0", "training.gradient_checkpointing=true"]);
        let distance = distance(&plain.logits(), &again.logits());
        assert!(distance < 1e-4, "{family}: {distance:e}");
        // With dropout both passes of a layer must draw the same, or nothing would be learned.
        let settings = [
            "training.dropout=0.2",
            "training.gradient_checkpointing=true",
            "training.epochs=60",
            "training.learning_rate=2e-3",
            "training.label_smoothing=0",
        ];
        let dropped = Run::whole(family, &settings);
        assert!(dropped.losses[59] < 0.8 * dropped.losses[0], "{family}: {:?}", dropped.losses);
    }
}

#[test]
fn two_small_batches_are_one_large_one() {
    let common = ["training.dropout=0", "training.class_weights=none", "training.epochs=5"];
    let large = Run::whole("bert", &[&common[..], &["training.batch_size=8"]].concat());
    let small = ["training.batch_size=4", "training.gradient_accumulation_steps=2"];
    let small = Run::whole("bert", &[&common[..], &small].concat());
    let distance = distance(&large.logits(), &small.logits());
    assert!(distance < 1e-3, "{distance:e}");
    assert!((large.losses[4] - small.losses[4]).abs() < 1e-4, "{:?} {:?}", large.losses, small.losses);
}
