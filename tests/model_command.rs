//! `rasid model info` and `rasid model pull` from outside, with a tiny model and a hub on the loopback.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Config, NumberFormat, Pooling, StorageFormat, Weights};
use rasid::model_dir::{self, ConfigJson, Contents};
use rasid::schema::Schema;
use rasid::tokens::{Context, InputConfig};
use serde_json::Value;
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
    let (encoder, temperatures) = (tiny_encoder(), [1.5, 2.0]);
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

    let assert = rasid(&["model", "info", folder.to_str().unwrap()], data.path()).assert().success().stderr("");
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
    let assert = rasid(&["model", "info", "tiny", "--format", "json"], data.path()).assert().success().stderr("");
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
    let no_heads = Schema { version: 1, heads: Vec::new() };
    // The folder of a base holds a recipe and measurements, and no schema.
    write_tiny(&folder, &no_heads, vec![("metrics.json", history.into())]);
    let told = contains("none: a base for `rasid train --base`").and(contains("  ar   40.5\n  ckb  80.5\n"));
    rasid(&["model", "info", folder.to_str().unwrap()], data.path()).assert().success().stderr("").stdout(told);
}

#[test]
fn info_of_what_is_no_model_says_so() {
    let data = tempfile::tempdir().unwrap();
    let tell = |told: &str| {
        rasid(&["model", "info", "tiny"], data.path()).assert().code(2).stdout("").stderr(contains(told));
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
fn what_would_be_lost_or_lead_elsewhere_is_refused_before_anything_is_fetched() {
    let data = tempfile::tempdir().unwrap();
    let work = data.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("thesis.txt"), "years").unwrap();
    let output = work.to_str().unwrap();
    for more in [&[][..], &["--overwrite"]] {
        let arguments = [&["model", "pull", "some-one/tiny", "--output", output], more].concat();
        rasid(&arguments, data.path()).assert().code(2).stderr(contains("something that is no model directory"));
    }
    let model = data.path().join("model");
    write_tiny_model(&model);
    let arguments = ["model", "pull", "some-one/tiny", "--output", model.to_str().unwrap()];
    rasid(&arguments, data.path()).assert().code(2).stderr(contains("there already").and(contains("--overwrite")));
    let arguments = ["model", "pull", "some-one/.."];
    rasid(&arguments, data.path()).assert().code(2).stderr(contains("expected OWNER/NAME"));
    assert_eq!(fs::read_to_string(work.join("thesis.txt")).unwrap(), "years");
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_pull_says_how_to_build_with_it() {
    let data = tempfile::tempdir().unwrap();
    let way_out = contains("cargo build --release --features hub").and(contains("rasid/models/tiny"));
    rasid(&["model", "pull", "some-one/tiny"], data.path()).assert().code(2).stdout("").stderr(way_out);
    assert_eq!(names(data.path()), [""; 0]);
}

#[cfg(feature = "hub")]
mod hub {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A hub with one repository, `some-one/tiny`, whose branches are `main` and `next`.
    struct Hub {
        endpoint: String,
        requests: Arc<Mutex<Vec<String>>>,
    }

    impl Hub {
        fn start(folder: PathBuf) -> Hub {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&requests);
            // Ends with the test's process.
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let request = answer(stream, &folder).unwrap_or_default();
                    seen.lock().unwrap().push(request);
                }
            });
            Hub { endpoint, requests }
        }

        fn pull(&self, more: &[&str], data: &Path) -> Command {
            let mut command = rasid(&[&["model", "pull"], more].concat(), data);
            command.env("HF_ENDPOINT", &self.endpoint);
            command
        }
    }

    /// Answers one request and returns its first line.
    fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<String> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let (method, path) = request.split_once(' ').unwrap_or_default();
        let path = path.trim_end_matches(" HTTP/1.1");
        let about = format!(r#"{{"id": "some-one/tiny", "sha": "{COMMIT}"}}"#).into_bytes();
        let missing = |code: &'static str| ("404 Not Found", code, Vec::new());
        let (status, code, body) = match path.strip_prefix(&format!("/some-one/tiny/resolve/{COMMIT}/")) {
            Some(file) => fs::read(folder.join(file)).map_or(missing("EntryNotFound"), |body| ("200 OK", "", body)),
            None => match path.strip_prefix("/api/models/some-one/tiny") {
                Some("" | "/revision/next") => ("200 OK", "", about),
                Some(_) => missing("RevisionNotFound"),
                None => missing("RepoNotFound"),
            },
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nX-Error-Code: {code}\r\nConnection: close\r\n\r\n"
        )?;
        if method == "GET" {
            stream.write_all(&body)?;
        }
        Ok(request)
    }

    #[test]
    fn a_model_is_pulled_into_the_users_data_and_found_there_by_name() {
        let (data, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = remote.path().join("tiny");
        write_tiny_model(&source);
        fs::write(source.join("install.sh"), "not asked for").unwrap();
        let hub = Hub::start(source.clone());
        let folder = data.path().join("rasid/models/tiny");

        let assert = hub.pull(&["some-one/tiny"], data.path()).assert().success();
        assert.stdout(format!("{}\n", folder.display())).stderr(format!("some-one/tiny at commit {COMMIT}\n"));
        let expected = ["config.json", "metrics.json", "model.safetensors", "schema.toml", "tokenizer.json"];
        assert_eq!(names(&folder), expected);
        for file in expected {
            assert_eq!(fs::read(folder.join(file)).unwrap(), fs::read(source.join(file)).unwrap(), "{file}");
        }
        assert_eq!(names(folder.parent().unwrap()), ["tiny"], "nothing half-fetched is left");
        rasid(&["model", "info", "tiny"], data.path()).assert().success().stdout(contains("0.250 to 0.750"));

        // Once more: only when asked to replace it.
        hub.pull(&["some-one/tiny"], data.path()).assert().code(2).stderr(contains("there already"));
        fs::remove_file(source.join("metrics.json")).unwrap();
        let again = ["some-one/tiny", "--revision", "next", "--overwrite", "--quiet"];
        hub.pull(&again, data.path()).assert().success().stderr("");
        assert!(!folder.join("metrics.json").exists());
        assert_eq!(names(folder.parent().unwrap()), ["tiny"]);
    }

    #[test]
    fn what_is_not_there_is_told_by_name_and_nothing_is_left() {
        let (data, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = remote.path().join("tiny");
        write_tiny_model(&source);
        let hub = Hub::start(source.clone());
        let output = data.path().join("out/new");
        let fails = |more: &[&str], told: &[&str]| {
            let arguments = [more, &["--output", output.to_str().unwrap()]].concat();
            let assert = hub.pull(&arguments, data.path()).assert().code(2).stdout("");
            let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
            told.iter().for_each(|told| assert!(stderr.contains(told), "{told} is not in\n{stderr}"));
            assert_eq!(names(output.parent().unwrap()), [""; 0]);
        };
        fails(&["some-one/else"], &["error: some-one/else: no such model on http://127.0.0.1", "HF_TOKEN"]);
        fails(&["some-one/tiny", "--revision", "v9"], &["error: some-one/tiny: no revision \"v9\"", "branch"]);

        let weights = fs::read(source.join("model.safetensors")).unwrap();
        fs::write(source.join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
        fails(
            &["some-one/tiny"],
            &["error: some-one/tiny/model.safetensors: ", "no whole Rasid model", "nothing was kept"],
        );

        fs::remove_file(source.join("schema.toml")).unwrap();
        fails(&["some-one/tiny"], &["error: some-one/tiny: no file schema.toml, so this is no Rasid model"]);

        hub.requests.lock().unwrap().clear();
        fs::write(source.join("config.json"), r#"{"model_type": "bert", "vocab_size": 30522}"#).unwrap();
        fails(&["some-one/tiny"], &["error: some-one/tiny/config.json line 1: missing field"]);
        let requests = hub.requests.lock().unwrap().join("\n");
        assert!(requests.contains("config.json") && !requests.contains("safetensors"), "{requests}");
    }

    #[test]
    fn without_a_network_or_offline_the_reason_is_told() {
        let data = tempfile::tempdir().unwrap();
        let arguments = ["model", "pull", "some-one/tiny"];
        let nobody =
            contains("http://127.0.0.1:1: no answer (").and(contains("refused")).and(contains("check the network"));
        rasid(&arguments, data.path()).assert().code(2).stdout("").stderr(nobody);
        let mut offline = rasid(&arguments, data.path());
        offline.env("HF_HUB_OFFLINE", "1");
        offline.assert().code(2).stdout("").stderr(contains("HF_HUB_OFFLINE: set, so nothing is fetched"));
        assert_eq!(names(&data.path().join("rasid/models")), [""; 0]);
    }
}
