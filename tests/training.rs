//! Training as a whole, on a network so small that a run takes a fraction of a second: it learns, it repeats itself byte for
//! byte, it goes on where it stopped, and what it leaves on disk is what it trained.

use candle_core::Tensor;
use rasid::article::{Classify, Prediction, SentenceInput};
use rasid::dataset::{Example, Split, read_examples};
use rasid::error::{Error, Place, Result};
use rasid::kernels::cross_entropy::CrossEntropy;
use rasid::lexicon::Lexicon;
use rasid::model::{Engine, NumberFormat, StoredWeights};
use rasid::model_dir::{self, Model};
use rasid::schema::Schema;
use rasid::tokens::Tokenizer;
use rasid::train::counterfactual::Rules;
use rasid::train::fit::heads;
use rasid::train::run::{Base, Options, Trained, from_directory, from_nothing, start_weights, train, training_folder};
use rasid::train::soft::{SoftExample, read_tags};
use rasid::train::{Event, Recipe};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// The shipped tokenizer, without a lexicon.
fn tokenizer() -> Tokenizer {
    Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).unwrap()
}

static TOKENIZER: LazyLock<Arc<Tokenizer>> =
    LazyLock::new(|| Arc::new(Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).unwrap()));
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(Path::new("labels/schema.toml")).unwrap());

const SENTENCES: [(&str, &str, &str); 8] = [
    ("هاجم مسلحو داعش نقطة للجيش غربي الحويجة.", "is_attack", "islamic_state"),
    ("Suspected ISIS gunmen killed two shepherds near Daquq.", "is_attack", "islamic_state"),
    ("سقطت طائرة مسيرة على قاعدة حرير.", "militia_attack", "unidentified"),
    ("Saraya Awliya al-Dam fired rockets at the consulate.", "militia_attack", "militia"),
    ("دعا رئيس الوزراء إلى انسحاب القوات الأجنبية.", "policy_statement", "other_actor"),
    ("The Revolutionary Guard said it would stay for a year.", "policy_statement", "iran"),
    ("يبلغ عدد سكان القضاء أربعين ألف نسمة.", "other", "none"),
    ("Subscribe to our newsletter.", "other", "none"),
];

/// The eight sentences, two an article.
fn examples(split: Split, schema: &Schema) -> Vec<Example> {
    let example = |(i, (text, incident, perpetrator)): (usize, &(&str, &str, &str))| {
        let label = |head: usize, name: &str| schema.heads[head].classes.iter().position(|c| c.name == name);
        Example {
            id: None,
            article_id: format!("{}-{}", split.name(), i / 2),
            language: if text.is_ascii() { "en" } else { "ar" }.into(),
            title: Some("العراق وسوريا".into()),
            previous: (i % 2 == 1).then(|| SENTENCES[i - 1].0.to_string()),
            text: text.to_string(),
            start: None,
            end: None,
            labels: vec![label(0, incident), label(1, perpetrator)],
            split: Some(split),
            source: None,
            annotator: None,
            place: Place::line("labels.jsonl", i as u64 + 1),
        }
    };
    SENTENCES.iter().enumerate().map(example).collect()
}

/// Eight sentences to learn from, and again as dev: of other articles, in other words than their context's.
fn train_and_dev() -> Vec<Example> {
    let mut all = examples(Split::Train, &SCHEMA);
    all.extend(examples(Split::Dev, &SCHEMA).into_iter().map(|e| Example { title: None, previous: None, ..e }));
    all
}

/// The default recipe at the smallest sizes that still have all parts: two layers, context, dropout, shards.
fn recipe(settings: &[&str]) -> Recipe {
    let small = [
        "model.hidden_size=16",
        "model.intermediate_size=16",
        "model.num_attention_heads=2",
        "model.max_position_embeddings=48",
        "input.max_tokens=32",
        "training.epochs=3",
        "training.batch_size=2",
        "training.learning_rate=3e-3",
    ];
    let settings: Vec<String> = small.iter().chain(settings).map(|s| s.to_string()).collect();
    Recipe::resolve(None, &settings).unwrap()
}

/// A run in a folder of its own; every model is called `m`, so that two runs may be compared file by file.
struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    fn new() -> Folder {
        Folder { root: tempfile::tempdir().unwrap() }
    }

    fn model(&self) -> std::path::PathBuf {
        self.root.path().join("m")
    }

    fn go<'a>(
        &self,
        recipe: &Recipe,
        examples: &'a [Example],
        change: impl FnOnce(&mut Options<'a>),
    ) -> Result<Trained> {
        self.go_until(recipe, examples, u64::MAX, change)
    }

    /// Trains, and presses Ctrl-C while step `last_step` is under way.
    fn go_until<'a>(
        &self,
        recipe: &Recipe,
        examples: &'a [Example],
        last_step: u64,
        change: impl FnOnce(&mut Options<'a>),
    ) -> Result<Trained> {
        let mut options = Options {
            schema: &SCHEMA,
            base: from_nothing(recipe, tokenizer(), None),
            recipe: recipe.clone(),
            examples,
            soft: &[],
            rules: None,
            output: self.model(),
            resume: false,
            workers: 1,
        };
        change(&mut options);
        let stop = AtomicBool::new(false);
        train(&options, &stop, &mut |event| {
            if let Event::Step { step, .. } = event {
                stop.store(*step >= last_step, Ordering::Relaxed);
            }
        })
    }

    /// Everything that a run leaves and that must repeat itself: the model, the last epoch's, the metrics.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in [self.model(), training_folder(&self.model()).join("last")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.root.path()).unwrap().display().to_string();
                files.insert(name, fs::read(path).unwrap());
            }
        }
        let metrics = training_folder(&self.model()).join("metrics.jsonl");
        files.insert("metrics.jsonl".into(), fs::read(metrics).unwrap());
        files
    }
}

/// Names of the files that differ.
fn differing(a: &Folder, b: &Folder) -> Vec<String> {
    let (a, b) = (a.files(), b.files());
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

const SAME: [String; 0] = [];

fn predictions(model: &Model, examples: &[Example]) -> Vec<Prediction> {
    model.classify(&examples.iter().map(Example::input).collect::<Vec<_>>()).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

// ---- it learns

#[test]
fn eight_sentences_are_learned_by_heart() {
    let still =
        ["dropout=0", "token_dropout=0", "label_smoothing=0", "class_weights=none", "epochs=60", "learning_rate=1e-2"];
    let still: Vec<String> = still.iter().map(|s| format!("training.{s}")).collect();
    let recipe = recipe(&still.iter().map(String::as_str).collect::<Vec<_>>());
    let (folder, examples) = (Folder::new(), examples(Split::Train, &SCHEMA));
    let trained = folder.go(&recipe, &examples, |_| ()).unwrap();
    for (example, prediction) in examples.iter().zip(predictions(&trained.model, &examples)) {
        let labels: Vec<_> = prediction.tags.iter().map(|tag| Some(tag.label)).collect();
        assert_eq!(labels, example.labels, "{}", example.text);
        assert!(prediction.tags.iter().all(|tag| tag.confidence() > 0.95), "{prediction:?}");
    }
    let metrics = fs::read_to_string(training_folder(&folder.model()).join("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert!(last["loss"].as_f64().unwrap() < 0.02, "{last}");
}

#[test]
fn class_weights_and_label_smoothing_reach_the_loss() {
    let examples: Vec<Example> = examples(Split::Train, &SCHEMA).into_iter().take(7).collect();
    let first_loss = |settings: &[&str]| {
        let still = ["training.dropout=0", "training.token_dropout=0", "training.shards=1", "training.batch_size=7"];
        let recipe = recipe(&[&still, settings].concat());
        let mut first = None;
        let base = from_nothing(&recipe, tokenizer(), None);
        let start = start_weights(&base, &base.config, &SCHEMA, recipe.training.seed).unwrap();
        let root = tempfile::tempdir().unwrap();
        let start = StoredWeights::from_tensors(&start).unwrap();
        let network =
            Engine::new(&base.config, &heads(&SCHEMA), &start, NumberFormat::F32, Path::new("start")).unwrap();
        let model = Model::new("start", SCHEMA.clone(), TOKENIZER.clone(), recipe.input, network);
        let inputs: Vec<_> = examples.iter().map(Example::input).collect();
        let logits = model.logits(&model.encode(&inputs).unwrap()).unwrap();
        let output = root.path().join("m");
        let soft = &[];
        let options = Options {
            schema: &SCHEMA,
            recipe,
            base,
            examples: &examples,
            soft,
            rules: None,
            output,
            resume: false,
            workers: 1,
        };
        train(&options, &AtomicBool::new(false), &mut |event| {
            if let Event::Step { loss, .. } = event {
                first.get_or_insert(*loss);
            }
        })
        .unwrap();
        (first.unwrap(), logits)
    };
    let by_hand = |logits: &[Vec<Vec<f32>>], exponent: f32, label_smoothing: f32| -> f32 {
        let of_head = |h: usize| {
            let n_classes = SCHEMA.heads[h].classes.len();
            let count = |c: usize| examples.iter().filter(|e| e.labels[h] == Some(c)).count().max(1) as f32;
            let class_weights = (0..n_classes).map(|c| count(c).powf(-exponent)).collect();
            let rows: Vec<f32> = logits.iter().flat_map(|heads| heads[h].clone()).collect();
            let gold: Vec<_> = examples.iter().map(|e| e.labels[h].into()).collect();
            CrossEntropy { class_weights, label_smoothing }.loss_and_gradient(&rows, &gold).0
        };
        (0..SCHEMA.heads.len()).map(of_head).sum()
    };
    let mut losses = Vec::new();
    for (name, exponent) in [("none", 0.0), ("sqrt", 0.5), ("inverse", 1.0)] {
        for smoothing in [0.0, 0.2] {
            let settings = [format!("training.class_weights={name}"), format!("training.label_smoothing={smoothing}")];
            let (loss, logits) = first_loss(&settings.each_ref().map(String::as_str));
            let expected = f64::from(by_hand(&logits, exponent, smoothing));
            assert!((loss - expected).abs() < 1e-5, "{name} {smoothing}: {loss}, by hand {expected}");
            losses.push(loss);
        }
    }
    losses.sort_by(f64::total_cmp);
    losses.dedup_by(|a, b| (*a - *b).abs() < 1e-7);
    assert_eq!(losses.len(), 6, "every setting gives a loss of its own: {losses:?}");
}

#[test]
fn tags_on_dev_sentences_are_refused() {
    let examples = train_and_dev();
    let dev = examples.iter().find(|e| e.split == Some(Split::Dev)).unwrap();
    let soft = vec![SoftExample {
        language: "en".into(),
        title: None,
        previous: None,
        text: dev.text.clone(),
        shares: vec![vec![0.25; 4], vec![1.0 / 7.0; 7]],
    }];
    let folder = Folder::new();
    let told = folder.go(&recipe(&[]), &examples, |options| options.soft = &soft).err().unwrap().to_string();
    assert!(told.contains("stands in --distill too"), "{told}");
}

#[test]
fn what_classify_writes_is_read_back_in_the_context_it_was_read_in() {
    // A plain text whose first line is its headline, one without, and an article whose title stands apart.
    let texts = [
        ("a", None, "Rockets hit a base\nTwo men were hurt. The group said nothing.\n"),
        ("b", None, "Rockets hit a base. Two men were hurt.\n"),
        ("c", Some("Quiet night"), "Nothing was heard. The market opened.\n"),
    ];
    let folder = Folder::new();
    let trained = folder.go(&recipe(&[]), &train_and_dev(), |_| ()).unwrap();
    let input = folder.root.path().join("news.jsonl");
    let line = |(id, title, text): &(&str, Option<&str>, &str)| {
        serde_json::json!({"id": id, "title": title, "text": text}).to_string()
    };
    fs::write(&input, texts.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let tags = folder.root.path().join("tags.jsonl");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rasid"));
    command
        .args(["classify", "--quiet", "--precision", "f32", "--format", "jsonl", "--output"])
        .arg(&tags)
        .arg("--model")
        .arg(folder.model());
    assert!(command.arg(&input).status().unwrap().success());
    let read = read_tags(&[tags], &SCHEMA).unwrap();
    let context: Vec<_> = read.iter().map(|e| (e.title.as_deref(), e.previous.as_deref(), e.text.as_str())).collect();
    let (headline, quiet) = ("Rockets hit a base", Some("Quiet night"));
    let expected = [
        (None, None, headline),
        (Some(headline), Some(headline), "Two men were hurt."),
        (Some(headline), Some("Two men were hurt."), "The group said nothing."),
        (None, None, "Rockets hit a base."),
        (None, Some("Rockets hit a base."), "Two men were hurt."),
        (None, None, "Quiet night"),
        (quiet, quiet, "Nothing was heard."),
        (quiet, Some("Nothing was heard."), "The market opened."),
    ];
    assert_eq!(context, expected);
    for example in &read {
        let tags = trained.model.classify(&[example.input()]).unwrap().remove(0).tags;
        for (tag, shares) in tags.iter().zip(&example.shares) {
            assert!(tag.probabilities.iter().zip(shares).all(|(a, b)| (a - b).abs() < 1e-5), "{tag:?} {shares:?}");
        }
    }
}

#[test]
fn tags_of_another_model_are_learned_from() {
    // Labels say nothing about these words; only the tags do.
    let text = "the market of the old town opened again";
    let soft: Vec<SoftExample> = (0..8)
        .map(|_| SoftExample {
            language: "en".into(),
            title: None,
            previous: None,
            text: text.into(),
            shares: vec![vec![0.0, 0.1, 0.9, 0.0], vec![0.0, 0.0, 0.0, 0.0, 0.8, 0.2, 0.0]],
        })
        .collect();
    let quick =
        recipe(&["training.epochs=40", "training.learning_rate=1e-2", "training.dropout=0", "training.patience=0"]);
    let examples = examples(Split::Train, &SCHEMA);
    let probabilities = |soft: &[SoftExample]| {
        let folder = Folder::new();
        let trained = folder.go(&quick, &examples, |options| options.soft = soft).unwrap();
        let input = SentenceInput { language: "en", text, title: None, previous: None };
        let tags = trained.model.classify(&[input]).unwrap().remove(0).tags;
        [tags[0].probabilities[2], tags[1].probabilities[4]]
    };
    let (with, without) = (probabilities(&soft), probabilities(&[]));
    assert!((with[0] - 0.9).abs() < 0.1 && (with[1] - 0.8).abs() < 0.1, "{with:?}");
    assert!(without[0] < 0.5 && without[1] < 0.5, "{without:?}");
}

#[test]
fn sentences_with_other_actors_are_learned_from_and_left_to_be_read() {
    let texts = [
        ("Islamic State attacked the Peshmerga near Makhmur.", "is_attack", "islamic_state"),
        ("American jets bombed Kataib Hezbollah.", "other", "coalition"),
        ("The minister spoke.", "policy_statement", "none"),
    ];
    let mut examples = train_and_dev();
    for (example, (text, incident, perpetrator)) in examples.iter_mut().zip(texts) {
        let label = |head: usize, name: &str| SCHEMA.heads[head].classes.iter().position(|c| c.name == name);
        example.text = text.into();
        example.language = "en".into();
        example.labels = vec![label(0, incident), label(1, perpetrator)];
    }
    let lexicon = Arc::new(Lexicon::shipped().unwrap());
    let rules = Rules::shipped(&SCHEMA, &lexicon).unwrap().unwrap();
    let run = |copies: usize| {
        let (folder, recipe) = (Folder::new(), recipe(&[&format!("training.counterfactuals={copies}")]));
        let base = from_nothing(&recipe, tokenizer(), Some(lexicon.clone()));
        folder.go(&recipe, &examples, |o| (o.base, o.rules) = (base, Some(&rules))).unwrap();
        folder
    };
    let (with, without) = (run(1), run(0));
    let made = |folder: &Folder| training_folder(&folder.model()).join("counterfactuals.jsonl");
    assert!(!made(&without).exists());
    assert_eq!(fs::read(made(&with)).unwrap(), fs::read(made(&run(1))).unwrap());
    let made = read_examples(&[made(&with)], &SCHEMA).unwrap();
    let told: Vec<_> = made.iter().map(|e| (e.text.as_str(), e.split, e.article_id.as_str())).collect();
    assert_eq!(
        told,
        [
            ("Peshmerga attacked the Islamic State near Makhmur.", Some(Split::Train), "train-0"),
            ("Kataib Hezbollah bombed American jets.", Some(Split::Train), "train-0"),
        ]
    );
    let card = |folder: &Folder| fs::read_to_string(folder.model().join("README.md")).unwrap();
    assert!(
        card(&with).contains("besides, 2 sentences made from those of train, with other actors"),
        "{}",
        card(&with)
    );
    assert!(!card(&without).contains("with other actors"));
    assert!(differing(&with, &without).iter().any(|file| file.ends_with("model.safetensors")));
}

#[test]
fn frozen_layers_stay_as_they_were() {
    for precision in ["f32", "bf16"] {
        frozen_layers_stay(&format!("training.precision={precision}"));
    }
}

fn frozen_layers_stay(precision: &str) {
    let recipe = recipe(&["training.frozen_layers=2", "model.weights_dtype=f32", precision]);
    let (folder, examples) = (Folder::new(), train_and_dev());
    let base = from_nothing(&recipe, tokenizer(), None);
    let start = start_weights(&base, &base.config, &SCHEMA, recipe.training.seed).unwrap();
    folder.go(&recipe, &examples, |_| ()).unwrap();
    let trained = model_dir::open_base(&folder.model()).unwrap().weights;
    assert_eq!(trained.0.keys().collect::<Vec<_>>(), start.0.keys().collect::<Vec<_>>());
    for (name, tensor) in &trained.0 {
        let frozen = name.starts_with("embeddings.") || name.starts_with("layers.0.");
        assert_eq!(numbers(tensor) == numbers(&start.0[name]), frozen, "{name}");
    }
}

#[test]
fn training_stops_when_the_dev_score_no_longer_rises() {
    // At such a rate no prediction changes, so that the first epoch remains the best.
    let still = recipe(&["training.learning_rate=1e-9", "training.patience=2", "training.epochs=20"]);
    let folder = Folder::new();
    let trained = folder.go(&still, &train_and_dev(), |_| ()).unwrap();
    assert_eq!(trained.best_epoch, 1);
    let metrics = |folder: &Folder| String::from_utf8(folder.files().remove("metrics.jsonl").unwrap()).unwrap();
    assert_eq!(metrics(&folder).lines().count(), 3);

    // Without a dev set there is nothing to be patient about: the last epoch is the model.
    let folder = Folder::new();
    let five = recipe(&["training.patience=2", "training.epochs=5"]);
    let trained = folder.go(&five, &examples(Split::Train, &SCHEMA), |_| ()).unwrap();
    assert_eq!((trained.best_epoch, metrics(&folder).lines().count()), (5, 5));
    assert!(trained.evaluation.is_none());
}

// ---- it repeats itself

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (examples, recipe_1, recipe_2) = (train_and_dev(), recipe(&[]), recipe(&["training.seed=2"]));
    let [first, again, other] = [&recipe_1, &recipe_1, &recipe_2].map(|recipe| {
        let folder = Folder::new();
        folder.go(recipe, &examples, |_| ()).unwrap();
        folder
    });
    assert_eq!(differing(&first, &again), SAME);
    assert!(differing(&first, &other).contains(&"m/model.safetensors".to_string()));
}

#[test]
fn the_number_of_workers_changes_no_byte() {
    let (examples, recipe) = (train_and_dev(), recipe(&["training.shards=3", "training.batch_size=5"]));
    let [one, two, four] = [1, 2, 4].map(|workers| {
        let folder = Folder::new();
        folder.go(&recipe, &examples, |options| options.workers = workers).unwrap();
        folder
    });
    assert_eq!(differing(&one, &two), SAME);
    assert_eq!(differing(&one, &four), SAME);
}

#[test]
fn sentences_of_the_test_split_are_never_touched() {
    let (recipe, known) = (recipe(&[]), train_and_dev());
    let test = |change: fn(Example) -> Example| -> Vec<Example> {
        known.iter().cloned().chain(examples(Split::Test, &SCHEMA).into_iter().map(change)).collect()
    };
    let changed = |e: Example| Example { text: format!("{} !", e.text), title: None, labels: vec![None, Some(0)], ..e };
    let [none, some, other] = [known.clone(), test(|e| e), test(changed)].map(|examples| {
        let folder = Folder::new();
        folder.go(&recipe, &examples, |_| ()).unwrap();
        folder
    });
    assert_eq!(differing(&none, &some), SAME);
    assert_eq!(differing(&some, &other), SAME);
}

// ---- it goes on where it stopped

/// Four steps an epoch: the stops lie in the middle of an epoch, on its last step, on the first of the next, in the last epoch.
#[test]
fn interrupted_and_resumed_is_uninterrupted_byte_for_byte() {
    let (examples, recipe) = (train_and_dev(), recipe(&[]));
    let whole = Folder::new();
    whole.go(&recipe, &examples, |_| ()).unwrap();
    let cut = Folder::new();
    for stop in [2, 4, 5, 11] {
        let resume = stop > 2;
        let stopped = cut.go_until(&recipe, &examples, stop, |options| options.resume = resume);
        assert!(matches!(stopped, Err(Error::Interrupted)), "step {stop}");
        assert!(!cut.model().exists(), "there is no model before it is whole");
    }
    cut.go(&recipe, &examples, |options| (options.resume, options.workers) = (true, 2)).unwrap();
    assert_eq!(differing(&whole, &cut), SAME);
    assert!(!training_folder(&cut.model()).join("checkpoint.safetensors").exists());
}

#[test]
fn a_run_goes_on_only_with_what_it_began_with() {
    let (examples, begun) = (train_and_dev(), recipe(&[]));
    let folder = Folder::new();
    assert!(matches!(folder.go_until(&begun, &examples, 3, |_| ()), Err(Error::Interrupted)));
    let checkpoint = training_folder(&folder.model()).join("checkpoint.safetensors");
    let before = fs::read(&checkpoint).unwrap();

    let mut relabelled = examples.clone();
    relabelled[0].labels[0] = Some(3);
    let other = recipe(&["training.learning_rate=1e-4"]);
    for (recipe, examples) in [(&other, &examples), (&begun, &relabelled)] {
        let error = folder.go(recipe, examples, |options| options.resume = true).err().unwrap().to_string();
        let told = "checkpoint.safetensors: a run with another recipe, schema, base or data; expected the run that --resume \
                    continues; repeat its options, or leave --resume out to start anew";
        assert!(error.ends_with(told), "{error}");
    }
    let soft = vec![SoftExample {
        language: "en".into(),
        title: None,
        previous: None,
        text: "more".into(),
        shares: vec![vec![0.25; 4], vec![1.0 / 7.0; 7]],
    }];
    let told = folder.go(&begun, &examples, |options| (options.resume, options.soft) = (true, &soft)).err();
    let error = told.unwrap().to_string();
    assert!(error.contains("another recipe, schema, base or data"), "{error}");
    assert_eq!(fs::read(&checkpoint).unwrap(), before);

    fs::write(&checkpoint, &before[..before.len() / 2]).unwrap();
    let error = folder.go(&begun, &examples, |options| options.resume = true).err().unwrap().to_string();
    assert!(error.contains("checkpoint.safetensors: ") && error.ends_with("delete it to start anew"), "{error}");
}

// ---- what it leaves is what it trained

#[test]
fn a_sentence_alone_is_a_sentence_in_a_batch_and_the_opened_folder_is_the_trained_model() {
    for dtype in ["f16", "f32", "int8"] {
        let setting = format!("model.weights_dtype={dtype}");
        let (folder, examples) = (Folder::new(), train_and_dev());
        let trained = folder.go(&recipe(&[&setting]), &examples, |_| ()).unwrap();
        let together = predictions(&trained.model, &examples);
        assert_ne!(trained.model.temperatures, [1.0, 1.0], "the temperatures are fitted on dev");
        let opened = model_dir::open(&folder.model(), NumberFormat::F32).unwrap();
        assert_eq!((&opened.sha256, &opened.name), (&trained.model.sha256, &trained.model.name));
        assert_eq!(predictions(&opened, &examples), together, "{dtype}: opened");
        for (example, prediction) in examples.iter().zip(&together) {
            let alone = opened.classify(&[example.input()]).unwrap();
            assert_eq!(alone, std::slice::from_ref(prediction), "{dtype}: {}", example.text);
        }
        let mut backwards = examples.clone();
        backwards.reverse();
        let mut other_order = predictions(&opened, &backwards);
        other_order.reverse();
        assert_eq!(other_order, together, "{dtype}: order");
    }
}

/// A class less, a class renamed, a head more: a change of the schema and of the labels, and of nothing else.
const OTHER_SCHEMA: &str = r#"
version = 1
[[head]]
name = "incident"
question = "What happened?"
class = [{ name = "violence", definition = "Violence." }, { name = "peace", definition = "No violence." }]
[[head]]
name = "perpetrator"
question = "Who did it?"
class = [
  { name = "islamic_state", definition = "." }, { name = "militia", definition = "." }, { name = "iran", definition = "." },
  { name = "coalition", definition = "." }, { name = "other_actor", definition = "." },
  { name = "unidentified", definition = "." }, { name = "none", definition = "." },
]
[[head]]
name = "weapon"
question = "With what?"
class = [
  { name = "drone", definition = "." }, { name = "firearm", definition = "." }, { name = "nothing", definition = "." },
]
"#;

#[test]
fn a_base_is_fine_tuned_to_other_heads_and_classes() {
    let base = Folder::new();
    let first = recipe(&["model.weights_dtype=f32"]);
    base.go(&first, &train_and_dev(), |_| ()).unwrap();

    let schema = Schema::parse(OTHER_SCHEMA, Path::new("other.toml")).unwrap();
    let relabel = |e: Example| {
        let weapon = if e.text.contains("مسيرة") {
            0
        } else if e.text.contains("gunmen") {
            1
        } else {
            2
        };
        let violence = usize::from(e.labels[0] > Some(1));
        Example { labels: vec![Some(violence), e.labels[1], Some(weapon)], ..e }
    };
    let examples: Vec<Example> = train_and_dev().into_iter().map(relabel).collect();

    // The start: the base's encoder and the head that stayed; the others are fresh, of the new size.
    let mut second = recipe(&["model.hidden_size=32", "training.epochs=2"]);
    let (opened, lacking): (Base, Vec<String>) = from_directory(&base.model(), &mut second, None).unwrap();
    assert!(lacking.is_empty());
    assert_eq!((opened.name.as_deref(), second.model.hidden_size), (Some("m"), 16), "the base's sizes hold");
    let start = start_weights(&opened, &opened.config, &schema, 1).unwrap();
    for (name, tensor) in &start.0 {
        let from_base = opened.weights.0.get(name).is_some_and(|known| numbers(known) == numbers(tensor));
        let new = name.starts_with("classifier.incident") || name.starts_with("classifier.weapon");
        assert_eq!(from_base, !new, "{name}");
    }

    let tuned = Folder::new();
    let trained = tuned.go(&second, &examples, |options| (options.schema, options.base) = (&schema, opened)).unwrap();
    let model = model_dir::open(&tuned.model(), NumberFormat::F32).unwrap();
    assert_eq!(predictions(&model, &examples), predictions(&trained.model, &examples));
    for prediction in predictions(&model, &examples) {
        assert_eq!(prediction.tags.iter().map(|tag| tag.probabilities.len()).collect::<Vec<_>>(), [2, 7, 3]);
    }
    let config = fs::read_to_string(tuned.model().join("config.json")).unwrap();
    assert!(config.contains("\"weapon.drone\"") && !config.contains("is_attack"), "{config}");
}

// ---- what it tells while it runs

/// The scalars of a TensorBoard event file, every checksum verified.
fn scalars(bytes: &[u8]) -> Vec<(String, u64, f32)> {
    let masked = |data: &[u8]| {
        let crc = !data.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
        });
        crc.rotate_right(15).wrapping_add(0xA282_EAD8)
    };
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let (mut rest, mut events) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(word(&rest[8..]), masked(&rest[..8]), "checksum of the length");
        let data = &rest[12..12 + length];
        assert_eq!(word(&rest[12 + length..]), masked(data), "checksum of the data");
        events.push(data);
        rest = &rest[12 + length + 4..];
    }
    let (version, values) = events.split_first().unwrap();
    assert!(fields(version).iter().any(|(field, value)| *field == 3 && value == b"brain.Event:2"));
    let scalar = |event: &&[u8]| {
        let [(1, _), (2, step), (5, summary)] = &fields(event)[..] else { panic!("wall time, step, summary") };
        let [(1, value)] = &fields(summary)[..] else { panic!("one value") };
        let [(1, tag), (2, number)] = &fields(value)[..] else { panic!("tag, simple value") };
        let step = u64::from_le_bytes(step[..].try_into().unwrap());
        (String::from_utf8(tag.clone()).unwrap(), step, f32::from_le_bytes(number[..].try_into().unwrap()))
    };
    values.iter().map(scalar).collect()
}

/// Field numbers and contents of a protocol buffer; a varint as eight bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while let Some((key, rest)) = bytes.split_first() {
        bytes = rest;
        let n = match key & 7 {
            0 => {
                fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, bytes[..n].to_vec()));
        bytes = &bytes[n..];
    }
    fields
}

#[test]
fn the_event_file_tells_tensorboard_what_the_metrics_tell() {
    let folder = Folder::new();
    folder.go(&recipe(&[]), &train_and_dev(), |_| ()).unwrap();
    let is_events = |name: &std::ffi::OsStr| name.to_string_lossy().contains("tfevents");
    let mut names = fs::read_dir(training_folder(&folder.model())).unwrap().map(|entry| entry.unwrap());
    let events = names.find(|entry| is_events(&entry.file_name())).unwrap();
    let scalars = scalars(&fs::read(events.path()).unwrap());
    let of = |tag: &str| -> Vec<(u64, f32)> {
        scalars.iter().filter(|(t, ..)| t == tag).map(|(_, step, value)| (*step, *value)).collect()
    };
    // 12 steps: one point of the loss curve
    for tag in ["train/loss", "train/gradient_norm", "train/learning_rate"] {
        let points = of(tag);
        assert_eq!(points.len(), 1, "{tag}");
        assert!(points[0].0 == 10 && points[0].1 > 0.0, "{tag}: {points:?}");
    }
    let metrics = folder.files().remove("metrics.jsonl").unwrap();
    let metrics: Vec<serde_json::Value> =
        std::str::from_utf8(&metrics).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(metrics.len(), 3);
    let column = |pointer: &str| -> Vec<(u64, f32)> {
        let number = |m: &serde_json::Value, pointer: &str| m.pointer(pointer).unwrap().as_f64().unwrap();
        metrics.iter().map(|m| (number(m, "/epoch") as u64, number(m, pointer) as f32)).collect()
    };
    assert_eq!(of("epoch/loss"), column("/loss"));
    assert_eq!(of("dev/incident_macro_f1"), column("/dev_macro_f1/0"));
    assert_eq!(of("dev/perpetrator_macro_f1"), column("/dev_macro_f1/1"));
}
