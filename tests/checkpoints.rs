//! The forms in which checkpoints lie in folders, and what is wrong with folders: from outside, with tiny checkpoints of
//! `tests/fixtures/families`.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use rasid::article::{Classify, SentenceInput};
use rasid::model::NumberFormat;
use rasid::model_dir;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/families");
const TEXT: &str = "قتل ثلاثة جنود near the base";

/// A copy of the checkpoint of a family.
fn copy(family: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("m");
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(Path::new(FIXTURES).join(family).join(name), folder.join(name)).unwrap();
    }
    (root, folder)
}

fn probabilities(folder: &Path) -> Vec<f32> {
    let model = model_dir::open(folder, NumberFormat::F32).unwrap();
    model.classify(&[SentenceInput::of("und", TEXT, &None, &None)]).unwrap()[0].tags[0].probabilities.clone()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Rewrites weights; `change` may leave one out, or give it another name, shape or kind of numbers.
type Weight = (String, Dtype, Vec<usize>, Vec<u8>);
fn rewrite(file: &Path, to: &Path, change: impl Fn(Weight) -> Option<Weight>) {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let all: Vec<Weight> = tensors
        .iter()
        .filter_map(|(name, t)| change((name.to_string(), t.dtype(), t.shape().to_vec(), t.data().to_vec())))
        .collect();
    let views = all
        .iter()
        .map(|(name, dtype, shape, data)| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    fs::write(to, safetensors::tensor::serialize(views, None::<HashMap<String, String>>).unwrap()).unwrap();
}

fn values(data: &[u8]) -> impl Iterator<Item = f32> + '_ {
    data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()))
}

// ---- forms

#[test]
fn half_precision_of_both_kinds_is_read() {
    let (_root, folder) = copy("bert");
    let whole = probabilities(&folder);
    let file = folder.join("model.safetensors");
    for (dtype, allowed) in [(Dtype::F16, 3e-3), (Dtype::BF16, 3e-2)] {
        rewrite(&Path::new(FIXTURES).join("bert/model.safetensors"), &file, |(name, _, shape, data)| {
            let narrow = values(&data).flat_map(|x| match dtype {
                Dtype::F16 => half::f16::from_f32(x).to_le_bytes(),
                _ => half::bf16::from_f32(x).to_le_bytes(),
            });
            Some((name, dtype, shape, narrow.collect()))
        });
        let distance = distance(&probabilities(&folder), &whole);
        assert!(distance > 0.0 && distance < allowed, "{dtype:?}: {distance:e}");
    }
}

#[test]
fn weights_in_several_files_are_found_by_their_index() {
    let (_root, folder) = copy("xlm-roberta");
    let (whole, file) = (probabilities(&folder), folder.join("model.safetensors"));
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let is_first = |name: &str| name.contains("layer.0") || name.contains("embeddings");
    rewrite(&file, &folder.join(first), |w| is_first(&w.0).then_some(w));
    rewrite(&file, &folder.join(second), |w| (!is_first(&w.0)).then_some(w));
    let bytes = fs::read(&file).unwrap();
    let map: serde_json::Map<String, Value> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .names()
        .into_iter()
        .map(|name| (name.to_string(), if is_first(name) { first } else { second }.into()))
        .collect();
    fs::remove_file(&file).unwrap();
    let index = folder.join("model.safetensors.index.json");
    fs::write(&index, serde_json::json!({ "metadata": {}, "weight_map": map }).to_string()).unwrap();
    assert_eq!(probabilities(&folder), whole);

    fs::remove_file(folder.join(second)).unwrap();
    fails(&folder, &["model-00002-of-00002.safetensors: no such file", "copied in part"]);
    fs::write(&index, r#"{"weight_map": {"a": "../../etc/passwd"}}"#).unwrap();
    fails(&folder, &["model.safetensors.index.json: weight_map with \"../../etc/passwd\"; expected an index"]);
}

#[test]
fn pytorchs_own_file_is_read_and_nothing_in_it_is_run() {
    let (_root, folder) = copy("bert");
    let whole = probabilities(&folder);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    fs::copy(format!("{FIXTURES}/pickle/pytorch_model.bin"), folder.join("pytorch_model.bin")).unwrap();
    let distance = distance(&probabilities(&folder), &whole);
    assert!(distance < 3e-3, "in half precision: {distance:e}");

    fs::copy(format!("{FIXTURES}/pickle/evil.bin"), folder.join("pytorch_model.bin")).unwrap();
    rasid(&["models", "info", folder.to_str().unwrap()]).assert().code(2).stdout("");
    assert!(!Path::new("/tmp/rasid-was-run").exists());
    fs::write(folder.join("pytorch_model.bin"), "no pickle at all").unwrap();
    fails(&folder, &["pytorch_model.bin: a pickle that is more than tensors, or broken", "save_pretrained"]);
}

#[test]
fn berts_list_of_pieces_becomes_the_same_tokenizer() {
    let (_root, folder) = copy("bert");
    let whole = probabilities(&folder);
    let tokenizer: Value = serde_json::from_slice(&fs::read(folder.join("tokenizer.json")).unwrap()).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut pieces: Vec<(&String, u64)> = vocabulary.iter().map(|(piece, id)| (piece, id.as_u64().unwrap())).collect();
    pieces.sort_by_key(|(_, id)| *id);
    let text: String = pieces.iter().map(|(piece, _)| format!("{piece}\n")).collect();
    fs::write(folder.join("vocab.txt"), &text).unwrap();
    fs::write(folder.join("tokenizer_config.json"), r#"{"do_lower_case": false, "strip_accents": false}"#).unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    assert_eq!(probabilities(&folder), whole);

    fs::write(folder.join("vocab.txt"), text.replace("[MASK]", "[HIDE]")).unwrap();
    fails(&folder, &["vocab.txt: no [MASK]; expected BERT's pieces"]);
    fs::remove_file(folder.join("vocab.txt")).unwrap();
    fs::write(folder.join("sentencepiece.bpe.model"), "").unwrap();
    fails(
        &folder,
        &["sentencepiece.bpe.model without tokenizer.json", "AutoTokenizer.from_pretrained(DIR).save_pretrained"],
    );
}

#[test]
fn names_of_the_first_bert_and_names_without_a_prefix_are_known() {
    let (_root, folder) = copy("bert");
    let whole = probabilities(&folder);
    let source = Path::new(FIXTURES).join("bert/model.safetensors");
    rewrite(&source, &folder.join("model.safetensors"), |(name, dtype, shape, data)| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        Some((name, dtype, shape, data))
    });
    assert_eq!(probabilities(&folder), whole);
    rewrite(&source, &folder.join("model.safetensors"), |(name, dtype, shape, data)| {
        Some((name.trim_start_matches("bert.").to_string(), dtype, shape, data))
    });
    assert_eq!(probabilities(&folder), whole);
}

#[test]
fn anyones_classifier_is_scored_on_labels_of_its_own() {
    let (root, folder) = copy("distilbert");
    let labels = root.path().join("mine.csv");
    fs::write(
        &labels,
        "article_id,language,text,label\na,en,Three rockets fell,attack\na,en,The ministry said,statement\nb,ar,داعش,nothing\n",
    )
    .unwrap();
    let arguments =
        ["evaluate", "--model", folder.to_str().unwrap(), "--labels", labels.to_str().unwrap(), "--format", "json"];
    let assert = rasid(&arguments).assert().success();
    let scores: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(scores["heads"]["label"]["sentences"], 3);
    fs::write(&labels, "article_id,language,text,label\na,en,Three rockets fell,atack\n").unwrap();
    let told = contains("label \"atack\" is not in the label set").and(contains("did you mean \"attack\"?"));
    rasid(&arguments).assert().code(2).stderr(told);
}

// ---- faults

fn rasid(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rasid").unwrap();
    command.env_remove("RASID_MODEL").args(arguments);
    command
}

/// Opening it fails, with these words among what is told.
fn fails(folder: &Path, told: &[&str]) {
    let assert = rasid(&["models", "info", folder.to_str().unwrap()]).assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(stderr.starts_with("error: ") && stderr.contains("\nhint: "), "{stderr}");
    told.iter().for_each(|told| assert!(stderr.contains(told), "{told}\nis not in\n{stderr}"));
}

fn change_config(folder: &Path, change: impl Fn(&mut serde_json::Map<String, Value>)) {
    let path = folder.join("config.json");
    let mut json: serde_json::Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, serde_json::to_string(&json).unwrap()).unwrap();
}

#[test]
fn a_family_or_a_setting_that_is_not_known_is_named_with_those_that_are() {
    let (_root, folder) = copy("bert");
    change_config(&folder, |json| _ = json.insert("model_type".into(), "llama".into()));
    let known = "family \"llama\"; expected rasid or one of bert, xlm-roberta, roberta, camembert, distilbert, modernbert, deberta-v2";
    fails(&folder, &["config.json: an encoder of the ", known]);
    let (_root, folder) = copy("bert");
    change_config(&folder, |json| _ = json.remove("intermediate_size"));
    fails(&folder, &["config.json: no \"intermediate_size\"; expected a whole number"]);
    let (_root, folder) = copy("deberta-v2");
    change_config(&folder, |json| _ = json.insert("share_att_key".into(), false.into()));
    fails(&folder, &["config.json: share_att_key = false; expected true, the only one that is known here"]);
}

#[test]
fn a_missing_an_unexpected_and_a_misshapen_weight_are_named() {
    let (_root, folder) = copy("bert");
    let (source, file) = (Path::new(FIXTURES).join("bert/model.safetensors"), folder.join("model.safetensors"));
    let key = "bert.encoder.layer.1.attention.self.key.weight";
    rewrite(&source, &file, |w| (w.0 != key).then_some(w));
    fails(&folder, &[&format!("model.safetensors: no weight \"{key}\"; expected one of shape [24, 24]")]);
    rewrite(&source, &file, |(name, dtype, shape, data)| {
        Some(if name == key { (name, dtype, vec![12, 48], data) } else { (name, dtype, shape, data) })
    });
    fails(&folder, &[&format!("weight \"{key}\" of shape [12, 48]; expected shape [24, 24], as config.json says")]);
    rewrite(&source, &file, Some);
    change_config(&folder, |json| _ = json.insert("num_hidden_layers".into(), 2.into()));
    fails(&folder, &["weight \"bert.encoder.layer.2.", "which a network of these sizes does not have"]);
}

#[test]
fn an_encoder_alone_tags_nothing_and_a_head_that_it_lacks_is_made_anew() {
    let (root, folder) = copy("bert");
    let (source, file) = (Path::new(FIXTURES).join("bert/model.safetensors"), folder.join("model.safetensors"));
    let is_encoder = |name: &str| name.starts_with("bert.") && !name.contains("pooler");
    rewrite(&source, &file, |w| is_encoder(&w.0).then_some(w));
    change_config(&folder, |json| _ = json.insert("architectures".into(), serde_json::json!(["BertForMaskedLM"])));
    let article = root.path().join("a.txt");
    fs::write(&article, TEXT).unwrap();
    let told =
        contains("an encoder without a classifier; expected a model that tags sentences").and(contains("rasid train"));
    let arguments = ["classify", article.to_str().unwrap(), "--model", folder.to_str().unwrap()];
    rasid(&arguments).assert().code(2).stdout("").stderr(told);

    let output = root.path().join("out");
    let arguments = [
        "train",
        "--labels",
        "labels/seeds.jsonl",
        "--base",
        folder.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
        "--set",
        "input.max_tokens=32",
        "--set",
        "training.epochs=1",
        "--set",
        "model.lexicon=false",
        "--set",
        "model.ngrams=false",
    ];
    let told =
        contains("has no bert.pooler.dense.weight, bert.pooler.dense.bias: made anew and learned from the labels");
    rasid(&arguments).assert().success().stderr(told);
}

#[test]
fn a_tokenizer_larger_than_the_embeddings_and_an_input_longer_than_the_base_are_refused() {
    let (root, folder) = copy("bert");
    let output = root.path().join("out");
    let arguments = [
        "train",
        "--labels",
        "labels/seeds.jsonl",
        "--base",
        folder.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let told = contains("a base that reads 40 tokens, with input.max_tokens = 160")
        .and(contains("hint: --set input.max_tokens=40"));
    rasid(&arguments).assert().code(2).stdout("").stderr(told);
    assert!(!output.exists());

    fs::copy("models/tokenizer/tokenizer.json", folder.join("tokenizer.json")).unwrap();
    fails(&folder, &["tokenizer.json: 16384 entries; expected at most 160, as config.json says"]);
    rasid(&arguments).assert().code(2).stdout("").stderr(contains("16384 entries"));
}

#[test]
fn our_own_pretraining_does_not_go_on_from_another_familys_encoder() {
    let (root, folder) = copy("bert");
    let corpus = root.path().join("corpus/en");
    fs::create_dir_all(&corpus).unwrap();
    fs::write(corpus.join("a.txt"), "a\n").unwrap();
    let output = root.path().join("out");
    let arguments = [
        "pretrain",
        "--corpus",
        corpus.parent().unwrap().to_str().unwrap(),
        "--base",
        folder.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    rasid(&arguments)
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("an encoder of the family bert; expected a base that"));
}
