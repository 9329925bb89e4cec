//! Model → folders that transformers opens.

mod families;
mod own;

use super::config_json::{ConfigJson, HeadRange};
use super::open::not_read;
use super::write::staging;
use super::{BaseFiles, CONFIG, open_base, replace};
use crate::error::{Error, Place, Result};
use crate::model::Weights;
use crate::tokens::Context;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// One folder a head.
    pub folders: Vec<PathBuf>,
    /// In what the folders differ from the model, in words.
    pub notes: Vec<String>,
}

/// Writes, for each head, a folder in `to` that transformers' `AutoModelForSequenceClassification` opens and that gives the network's
/// logits divided by the head's temperature, so that their softmax is the probabilities of `rasid classify`. In f32.
///
/// A model of another program's family opens as one of that family. One of our own architecture, which transformers does not have,
/// brings its Python files and its lexicon, and opens with `trust_remote_code=True`.
///
/// # Errors
/// The model is of another family and reads the lexicon, or its classifiers stand elsewhere than the family's; it has no heads of
/// `rasid train`; it cannot be opened; `to` cannot be written.
pub fn to_transformers(from: &Path, to: &Path) -> Result<Exported> {
    let path = from.join(CONFIG);
    let config = ConfigJson::parse(&fs::read(&path).map_err(not_read(&path))?, &path)?;
    refuse(&config, from)?;
    let base = open_base(from)?;
    let staging = staging(to)?;
    for head in &config.heads {
        let folder = staging.path().join(&head.name);
        for (name, bytes) in files(&config, &base, head, from)? {
            let file = folder.join(&name);
            let parent = file.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            fs::write(&file, bytes).map_err(Error::io("write", to.join(&head.name).join(&name)))?;
        }
    }
    replace(&staging.keep(), to)?;
    let folders = config.heads.iter().map(|head| to.join(&head.name)).collect();
    Ok(Exported { folders, notes: notes(&config) })
}

/// A file's name in the folder of a head, and what is in it.
type File = (String, Vec<u8>);

fn files(config: &ConfigJson, base: &BaseFiles, head: &HeadRange, from: &Path) -> Result<Vec<File>> {
    let labels: Vec<&str> = (head.start..head.end)
        .filter_map(|id| config.id2label.get(&id.to_string()))
        .map(|label| label.split_once('.').map_or(label.as_str(), |(_, name)| name))
        .collect();
    match (config.family(), &config.theirs) {
        (Some(family), Some(theirs)) => families::files(config, (family, theirs), base, head, &labels),
        _ => own::files(config, base, head, &labels, from),
    }
}

/// What the folders could not say the same as `rasid classify`.
fn refuse(config: &ConfigJson, from: &Path) -> Result<()> {
    let bad = |found: &str, expected: &str, hint: &str| Err(Error::bad(Place::file(from), found, expected).hint(hint));
    let is_of_family = config.family().is_some();
    if is_of_family && !config.encoder.lexicon_types.is_empty() {
        return bad(
            "a network that reads the lexicon, which transformers does not know",
            "a model trained with model.lexicon = false, or from an encoder of our own",
            "train it again with --set model.lexicon=false --set model.ngrams=false, and with model.family_head = true",
        );
    }
    if is_of_family && config.encoder.architecture.dense.is_none() {
        return bad(
            "a network whose classifiers stand on the pooled tokens, which the family's classifier in transformers does not",
            "a model trained with model.family_head = true",
            "train it again without --set model.family_head=false; AutoModel opens the encoder as it is",
        );
    }
    if !config.is_ours() {
        return bad("no model that `rasid train` wrote", "one", "what another program wrote opens there as it is");
    }
    if config.heads.is_empty() {
        return bad("a base, without classifiers", "a model that `rasid train` wrote", "train one from it with --base");
    }
    Ok(())
}

fn notes(config: &ConfigJson) -> Vec<String> {
    let mut notes = Vec::new();
    if config.ngrams.is_some() {
        notes.push("left out: the linear classifier on n-grams beside the network".to_string());
    }
    if config.input.context != Context::None {
        let way = match config.family() {
            Some(_) => "give the tokenizer pairs",
            None => "the tokenizer reads sentences alone; give the network its parts",
        };
        notes.push(format!(
            "this model reads a sentence with its context: {way}, or train with --set input.context=none"
        ));
    }
    notes
}

/// The weights for one head, its classifier under the name `classifier` and divided by its temperature.
fn weights(all: &Weights, head: &HeadRange, classifier: &str) -> Result<Weights> {
    let mut weights = Weights::default();
    let own = format!("classifier.{}.", head.name);
    for (name, tensor) in &all.0 {
        if let Some(ending) = name.strip_prefix(&own) {
            weights.0.insert(format!("{classifier}.{ending}"), (tensor * (1.0 / f64::from(head.temperature)))?);
        } else if !name.starts_with("classifier.") {
            weights.0.insert(name.clone(), tensor.clone());
        }
    }
    Ok(weights)
}

/// Sets what both kinds of config.json say of a head, and takes out what is ours alone.
fn set_labels(json: &mut Map<String, Value>, class: &str, labels: &[&str]) {
    for key in ["name", "rasid_version", "input", "ngrams", "heads", "num_labels", "torch_dtype"] {
        json.remove(key);
    }
    let by_id: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (i.to_string(), (*l).into())).collect();
    let by_label: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (l.to_string(), i.into())).collect();
    json.insert("architectures".into(), json!([class]));
    json.insert("problem_type".into(), "single_label_classification".into());
    json.insert("dtype".into(), "float32".into());
    json.insert("id2label".into(), Value::Object(by_id));
    json.insert("label2id".into(), Value::Object(by_label));
}

/// What Python needs beside tokenizer.json, for a tokenizer of this class that gives the network `inputs`.
fn tokenizer_settings(config: &ConfigJson, base: &BaseFiles, class: &str, inputs: &[&str]) -> Map<String, Value> {
    let special = base.tokenizer.special();
    let token = |id: u32| base.tokenizer.token(id).into();
    [
        ("tokenizer_class", class.into()),
        // Sentences alone: no kinds of token are told.
        ("model_input_names", inputs.into()),
        ("model_max_length", config.input.max_tokens.into()),
        ("pad_token", token(special.pad)),
        ("unk_token", token(special.unknown)),
        ("cls_token", token(special.cls)),
        ("sep_token", token(special.sep)),
        ("mask_token", token(special.mask)),
    ]
    .map(|(key, value)| (key.to_string(), value))
    .into_iter()
    .collect()
}

fn text(json: Map<String, Value>) -> Vec<u8> {
    format!("{}\n", serde_json::to_string_pretty(&json).expect("plain data")).into_bytes()
}
