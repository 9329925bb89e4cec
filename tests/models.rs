//! `rasid models` from outside, with a tiny model and a cache as other tools leave it; fetching is in `tests/hub.rs`.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use rasid::lexicon::Lexicon;
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Config, NumberFormat, Pooling, StorageFormat, Weights};
use rasid::model_dir::{self, ConfigJson, Contents};
use rasid::schema::Schema;
use rasid::tokens::{Context, InputConfig};
use serde_json::Value;
use sha2::Digest;
use std::fs;
use std::path::Path;

const METRICS: &str = r#"{"best_epoch": 1, "dev": {"heads": {"incident": {"sentences": 40, "macro_f1": 0.5,
    "macro_f1_ci": [0.25, 0.75], "accuracy": 0.625}}, "by": {"language": {"ckb": {"heads": {"incident":
    {"sentences": 4, "macro_f1": null, "macro_f1_ci": null, "accuracy": 1.0}}}}}}}"#;

fn tiny_encoder() -> Config {
    Config {
        vocab_size: 16384,
        hidden_size: 4,
        intermediate_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        max_position_embeddings: 64,
        type_vocab_size: 3,
        lexicon_types: Vec::new(),
        norm_eps: 1e-5,
        global_rope_theta: 10_000.0,
        local_rope_theta: 10_000.0,
        global_attn_every_n_layers: 1,
        local_attention: 64,
        classifier_pooling: Pooling::Mean,
        architecture: Default::default(),
    }
}

/// Writes a model with untrained weights; a schema without heads makes it a base.
fn write_tiny(folder: &Path, schema: &Schema, texts: Vec<(&str, String)>) {
    write_of(tiny_encoder(), folder, schema, texts);
}

fn write_of(encoder: Config, folder: &Path, schema: &Schema, texts: Vec<(&str, String)>) {
    let temperatures = [1.5, 2.0];
    let heads: Vec<_> = schema.heads.iter().map(|h| (h.name.clone(), h.classes.len())).collect();
    let table = [encoder_table(&encoder), head_table(&encoder, &heads)].concat();
    let input = InputConfig { max_tokens: 64, context: Context::Both };
    let contents = Contents {
        config: &ConfigJson::new("tiny", encoder, input, schema, &temperatures[..heads.len()]),
        weights: &Weights::fresh(&table, 1).unwrap(),
        ngrams: None,
        storage: StorageFormat::F16,
        tokenizer: &fs::read("models/tokenizer/tokenizer.json").unwrap(),
        texts: texts.into_iter().map(|(name, text)| (name.to_string(), text)).collect(),
    };
    model_dir::write(folder, &contents).unwrap();
}

fn write_tiny_model(folder: &Path) {
    let schema = Schema::read(Path::new("labels/schema.toml")).unwrap();
    write_tiny(folder, &schema, vec![(model_dir::SCHEMA, schema.to_toml()), ("metrics.json", METRICS.into())]);
}

/// The program, with `data` as the user's data folder and no way to a real hub or a token.
fn rasid(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::cargo_bin("rasid").unwrap();
    let unset = ["RASID_MODEL", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH"];
    for name in unset {
        command.env_remove(name);
    }
    command.args(arguments).env("XDG_DATA_HOME", data).env("HOME", data).env("HF_HOME", data);
    command
        .env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        .env("NO_PROXY", "127.0.0.1")
        .env("HF_ENDPOINT", "http://127.0.0.1:1");
    command
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn info_tells_labels_sizes_scores_and_checksum() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("rasid/models/tiny");
    write_tiny_model(&folder);
    let sha256 = model_dir::open(&folder, NumberFormat::F32).unwrap().sha256;

    let assert = rasid(&["models", "info", folder.to_str().unwrap()], data.path()).assert().success().stderr("");
    let table = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let told = [
        &sha256,
        "1 layers of 4",
        "the sentence with its headline and the one before, 64 tokens at most",
        "4 labels  temperature 1.500  is_attack, militia_attack, policy_statement, other",
        "dev  all       incident  0.500     0.250 to 0.750  0.625     40",
        "dev  ckb       incident  —         —               1.000     4",
    ];
    for told in told {
        assert!(table.contains(told), "{told} is not in\n{table}");
    }

    // By name, from the user's data folder.
    let assert = rasid(&["models", "info", "tiny", "--format", "json"], data.path()).assert().success().stderr("");
    let info: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!((&info["name"], &info["sha256"]), (&"tiny".into(), &sha256.into()));
    assert_eq!(info["heads"][1]["classes"][6], "none");
    assert_eq!(info["weights_dtype"], "F16");
    assert_eq!(info["scores"][1]["language"], "ckb");
    let weights = info["files"].as_array().unwrap().iter().find(|f| f["name"] == "model.safetensors").unwrap();
    assert_eq!(weights["bytes"], fs::metadata(folder.join("model.safetensors")).unwrap().len());
    // Two bytes a parameter, and the header.
    assert!(weights["bytes"].as_u64().unwrap() > 2 * info["parameters"].as_u64().unwrap());
}

#[test]
fn a_base_to_train_from_has_no_heads_and_its_perplexity() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("base");
    let history =
        r#"[{"step": 10, "perplexity": {"ar": 90.0}}, {"step": 20, "perplexity": {"ar": 40.5, "ckb": 80.5}}]"#;
    let no_heads = Schema { version: 1, heads: Vec::new(), never: Vec::new() };
    // The folder of a base holds a recipe and measurements, and no schema.
    write_tiny(&folder, &no_heads, vec![("metrics.json", history.into())]);
    let told = contains("none: a base for `rasid train --base`").and(contains("  ar   40.5\n  ckb  80.5\n"));
    rasid(&["models", "info", folder.to_str().unwrap()], data.path()).assert().success().stderr("").stdout(told);
}

#[test]
fn info_of_what_is_no_model_says_so() {
    let data = tempfile::tempdir().unwrap();
    let tell = |told: &str| {
        rasid(&["models", "info", "tiny"], data.path()).assert().code(2).stdout("").stderr(contains(told));
    };
    tell("tiny: nothing; expected a model directory");
    let folder = data.path().join("rasid/models/tiny");
    write_tiny_model(&folder);
    fs::write(folder.join("metrics.json"), "{\n\"dev\":").unwrap();
    tell("metrics.json line 2");
    fs::remove_file(folder.join("metrics.json")).unwrap();
    fs::remove_file(folder.join("schema.toml")).unwrap();
    tell("schema.toml");
}

#[test]
fn a_network_of_our_own_is_exported_with_the_python_that_opens_it() {
    let data = tempfile::tempdir().unwrap();
    let schema = Schema::read(Path::new("labels/schema.toml")).unwrap();
    let types: Vec<String> = Lexicon::shipped().unwrap().types().iter().map(|t| t.name.clone()).collect();
    let always =
        ["config.json", "configuration_rasid.py", "lexicon_rasid.py", "model.safetensors", "modeling_rasid.py"];
    let tokenizer = ["tokenization_rasid.py", "tokenizer.json", "tokenizer_config.json"];
    for lexicon_types in [types, Vec::new()] {
        let (model, output) = (data.path().join("model"), data.path().join("out"));
        let config = Config { lexicon_types: lexicon_types.clone(), ..tiny_encoder() };
        write_of(config, &model, &schema, vec![(model_dir::SCHEMA, schema.to_toml())]);
        let [from, to] = [&model, &output].map(|folder| folder.to_str().unwrap());
        let arguments = ["models", "export", from, "--to", "transformers", "--output", to, "--overwrite"];
        rasid(&arguments, data.path()).assert().success().stderr(contains("the tokenizer reads sentences alone"));

        let head = output.join("perpetrator");
        let folders: &[&str] = if lexicon_types.is_empty() { &[] } else { &["lexicon"] };
        let mut expected = [&always[..], &tokenizer[..], folders].concat();
        expected.sort_unstable();
        assert_eq!(names(&head), expected);
        let json = |name: &str| -> Value { serde_json::from_slice(&fs::read(head.join(name)).unwrap()).unwrap() };
        let config = json("config.json");
        assert_eq!(config["auto_map"]["AutoModel"], "modeling_rasid.RasidModel");
        let class = "modeling_rasid.RasidForSequenceClassification";
        assert_eq!(config["auto_map"]["AutoModelForSequenceClassification"], class);
        assert_eq!((&config["model_type"], &config["label2id"]["none"]), (&"rasid".into(), &6.into()));
        assert!(config.get("rasid_version").is_none() && config.get("heads").is_none());
        let tokenizer = json("tokenizer_config.json");
        assert_eq!(tokenizer["auto_map"]["AutoTokenizer"][1], "tokenization_rasid.RasidTokenizer");
        assert_eq!(tokenizer["lexicon_files"].as_array().unwrap().is_empty(), lexicon_types.is_empty());
        if !lexicon_types.is_empty() {
            assert_eq!(names(&head.join("lexicon")).len(), tokenizer["lexicon_files"].as_array().unwrap().len());
        }

        let read = |file: &Path| model_dir::read_weights(&fs::read(file).unwrap(), file).unwrap().0;
        let (ours, exported) = (read(&model.join("model.safetensors")), read(&head.join("model.safetensors")));
        let numbers = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (trained, scaled) =
            (numbers(&ours["classifier.perpetrator.weight"]), numbers(&exported["classifier.weight"]));
        assert!(trained.iter().zip(&scaled).all(|(t, s)| (t / 2.0 - s).abs() < 1e-6), "divided by the temperature");
        let network = |name: &&String| !name.starts_with("classifier.");
        let wanted: Vec<String> = ours.keys().filter(network).map(|name| format!("model.{name}")).collect();
        assert_eq!(exported.keys().filter(network).cloned().collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn what_would_be_lost_or_lead_elsewhere_is_refused_before_anything_is_fetched() {
    let data = tempfile::tempdir().unwrap();
    let work = data.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("thesis.txt"), "years").unwrap();
    let output = work.to_str().unwrap();
    for more in [&[][..], &["--overwrite"]] {
        let arguments = [&["models", "pull", "some-one/tiny", "--output", output], more].concat();
        rasid(&arguments, data.path()).assert().code(2).stderr(contains("something that is no model directory"));
    }
    let model = data.path().join("model");
    write_tiny_model(&model);
    let arguments = ["models", "pull", "some-one/tiny", "--output", model.to_str().unwrap()];
    rasid(&arguments, data.path()).assert().code(2).stderr(contains("there already").and(contains("--overwrite")));
    for command in [&["models", "pull", "some-one/.."][..], &["models", "info", "hub:some-one/../x"]] {
        rasid(command, data.path()).assert().code(2).stderr(contains("expected OWNER/NAME"));
    }
    assert_eq!(fs::read_to_string(work.join("thesis.txt")).unwrap(), "years");
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_what_is_not_in_the_cache_says_the_ways_out() {
    let data = tempfile::tempdir().unwrap();
    for command in [
        &["models", "pull", "some-one/tiny"][..],
        &["models", "info", "hub:some-one/tiny"],
        &["train", "--base", "hub:some-one/tiny", "--labels", "labels/seeds.jsonl", "--output", "never"],
    ] {
        let ways_out = contains("error: some-one/tiny: not in ")
            .and(contains("cargo build --release --features hub"))
            .and(contains("hf download some-one/tiny"))
            .and(contains("config.json, tokenizer.json, model.safetensors"));
        rasid(command, data.path()).assert().code(2).stdout("").stderr(ways_out);
    }
    assert_eq!(names(data.path()), [""; 0]);
}

/// Puts a folder into the cache of the hub as Python's tools do, and returns the snapshot.
fn cached(folder: &Path, repository: &str, data: &Path) -> std::path::PathBuf {
    let root = data.join("hub").join(format!("models--{}", repository.replace('/', "--")));
    let snapshot = root.join("snapshots/0123456789abcdef0123456789abcdef01234567");
    for folder in [root.join("refs"), root.join("blobs"), snapshot.clone()] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(root.join("refs/main"), "0123456789abcdef0123456789abcdef01234567").unwrap();
    for entry in fs::read_dir(folder).unwrap().flatten().filter(|e| e.path().is_file()) {
        let bytes = fs::read(entry.path()).unwrap();
        let blob: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        fs::write(root.join("blobs").join(&blob), bytes).unwrap();
        std::os::unix::fs::symlink(Path::new("../../blobs").join(blob), snapshot.join(entry.file_name())).unwrap();
    }
    snapshot
}

#[test]
fn what_another_tool_fetched_is_listed_used_verified_and_removed_without_a_network() {
    let data = tempfile::tempdir().unwrap();
    let fixture = Path::new("tests/fixtures/families/bert");
    let snapshot = cached(fixture, "some-one/tiny-bert", data.path());
    fs::write(snapshot.join("README.md"), "---\nlanguage: [ar, en]\nlicense: mit\n---\n# Tiny\n").unwrap();
    fs::write(data.path().join("a.txt"), "Three rockets fell near the base.\n").unwrap();
    let run = |arguments: &[&str]| rasid(arguments, data.path()).assert().success().stderr("");
    let text = |assert: &assert_cmd::assert::Assert| String::from_utf8(assert.get_output().stdout.clone()).unwrap();

    let list: Value = serde_json::from_str(&text(&run(&["models", "list", "--format", "json"]))).unwrap();
    let row = list.as_array().unwrap().iter().find(|r| r["family"] == "bert").unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(row["model"], format!("hub:some-one/tiny-bert@{commit}"));
    assert_eq!(
        (&row["license"], &row["languages"][0], &row["labels"][0]),
        (&"mit".into(), &"ar".into(), &"label: 3 labels".into())
    );
    assert_eq!(row["parameters"], 19011);
    assert!(text(&run(&["models", "list"])).contains("default"), "the shipped model is there too");

    let info = text(&run(&["models", "info", "hub:some-one/tiny-bert"]));
    assert!(info.starts_with("some-one/tiny-bert\n") && info.contains("attack, statement, nothing"), "{info}");

    let article = data.path().join("a.txt");
    let tags =
        text(&run(&["classify", article.to_str().unwrap(), "--model", "hub:some-one/tiny-bert", "--format", "jsonl"]));
    let tag: Value = serde_json::from_str(tags.lines().next().unwrap()).unwrap();
    assert!(["attack", "statement", "nothing"].contains(&tag["label"]["label"].as_str().unwrap()), "{tag}");

    let verified = text(&run(&["models", "verify", "hub:some-one/tiny-bert"]));
    assert_eq!(verified.matches("as its checksum says").count(), 4, "{verified}");
    let weights = fs::read_link(snapshot.join("model.safetensors")).unwrap();
    let blob = snapshot.join(weights);
    let mut bytes = fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    let told =
        contains("model.safetensors: ").and(contains("expected checksum")).and(contains("hint: the file was damaged"));
    rasid(&["models", "verify", "hub:some-one/tiny-bert"], data.path()).assert().code(2).stdout("").stderr(told);
    bytes[last - 3..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&blob, &bytes).unwrap();
    let told = contains("is no number; expected numbers");
    rasid(&["models", "verify", "hub:some-one/tiny-bert"], data.path()).assert().code(2).stdout("").stderr(told);

    let removed = text(&run(&["models", "remove", "hub:some-one/tiny-bert"]));
    assert!(removed.starts_with("deleted some-one/tiny-bert with all its revisions: "), "{removed}");
    assert_eq!(names(&data.path().join("hub")), [""; 0]);
    rasid(&["models", "remove", "hub:some-one/tiny-bert"], data.path())
        .assert()
        .code(2)
        .stderr(contains("models list"));
    rasid(&["models", "remove", "default"], data.path()).assert().code(2).stderr(contains("no model that was fetched"));
}

#[test]
fn a_list_of_checksums_beside_a_model_is_compared() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("tiny");
    write_tiny_model(&folder);
    let verify = || rasid(&["models", "verify", folder.to_str().unwrap()], data.path());
    verify().assert().success().stdout(contains("no checksum beside it"));
    let sum: String = sha2::Sha256::digest(fs::read(folder.join("schema.toml")).unwrap())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    fs::write(folder.join("SHA256SUMS"), format!("{sum}  schema.toml\n")).unwrap();
    verify().assert().success().stdout(contains("schema.toml").and(contains("as its checksum says")));
    fs::write(folder.join("SHA256SUMS"), format!("{}  schema.toml\n", sum.replace('a', "b"))).unwrap();
    verify().assert().code(2).stderr(contains("schema.toml: ").and(contains("expected checksum")));
    fs::write(folder.join("SHA256SUMS"), "what is this\n").unwrap();
    verify().assert().code(2).stderr(contains("SHA256SUMS line 1"));
}
