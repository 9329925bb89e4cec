//! Model → folders that transformers opens.

use super::config_json::ConfigJson;
use super::open::not_read;
use super::write::{serialize, staging};
use super::{CONFIG, TOKENIZER, WEIGHTS, open_base, replace};
use crate::error::{Error, Place, Result};
use crate::model::{StorageFormat, Weights};
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
/// # Errors
/// The model is of an architecture that transformers does not have, or reads the lexicon; it cannot be opened; `to` cannot be written.
pub fn to_transformers(from: &Path, to: &Path) -> Result<Exported> {
    let path = from.join(CONFIG);
    let config = ConfigJson::parse(&fs::read(&path).map_err(not_read(&path))?, &path)?;
    let bad = |found: &str, expected: &str, hint: &str| Err(Error::bad(Place::file(from), found, expected).hint(hint));
    let (Some(family), Some(theirs)) = (config.family(), &config.theirs) else {
        return bad(
            "an encoder of our own, with kinds of token and terms that transformers does not know",
            "a model trained from an encoder of another family",
            "train one with --base hub:OWNER/NAME --set model.lexicon=false",
        );
    };
    if !config.encoder.lexicon_types.is_empty() {
        return bad(
            "a network that reads the lexicon, which transformers does not know",
            "a model trained with model.lexicon = false",
            "train it again with --set model.lexicon=false --set model.ngrams=false",
        );
    }
    if config.encoder.architecture.dense.is_none() {
        return bad(
            "a network whose classifiers stand on the pooled tokens, which the family's classifier in transformers does not",
            "a model trained with model.family_head = true",
            "train it again without --set model.family_head=false; AutoModel opens the encoder as it is",
        );
    }
    if config.heads.is_empty() || !config.is_ours() {
        return bad("no model that `rasid train` wrote", "one", "what another program wrote opens there as it is");
    }
    let base = open_base(from)?;
    let mut notes = Vec::new();
    if config.ngrams.is_some() {
        notes.push("left out: the linear classifier on n-grams beside the network".to_string());
    }
    if config.input.context != Context::None {
        notes.push(
            "this model reads a sentence with its context: give the tokenizer pairs, or train with --set input.context=none"
                .to_string(),
        );
    }
    let staging = staging(to)?;
    for head in &config.heads {
        let mut weights = Weights::default();
        for (name, tensor) in &base.weights.0 {
            if name.starts_with("classifier.") {
                let ending = name.strip_prefix(&format!("classifier.{}.", head.name));
                if let Some(ending) = ending {
                    let scaled = (tensor * (1.0 / f64::from(head.temperature)))?;
                    weights.0.insert(format!("classifier.{}.{ending}", super::families::ONE_HEAD), scaled);
                }
            } else {
                weights.0.insert(name.clone(), tensor.clone());
            }
        }
        let labels: Vec<&str> = (head.start..head.end)
            .filter_map(|id| config.id2label.get(&id.to_string()))
            .map(|label| label.split_once('.').map_or(label.as_str(), |(_, name)| name))
            .collect();
        let folder = staging.path().join(&head.name);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let put = |name: &str, bytes: &[u8]| {
            fs::write(folder.join(name), bytes).map_err(Error::io("write", to.join(&head.name).join(name)))
        };
        let text = |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).expect("plain data"));
        put(CONFIG, text(&Value::Object(settings(theirs, family.classifier_class, &labels))).as_bytes())?;
        put(WEIGHTS, &serialize(StorageFormat::F32.lay_out(&family.to_theirs(&weights)?)?)?)?;
        put(TOKENIZER, base.tokenizer.bytes())?;
        put("tokenizer_config.json", text(&tokenizer_settings(&config, &base.tokenizer)).as_bytes())?;
    }
    replace(&staging.keep(), to)?;
    let folders = config.heads.iter().map(|head| to.join(&head.name)).collect();
    Ok(Exported { folders, notes })
}

/// Their config.json for one head.
fn settings(theirs: &Map<String, Value>, class: &str, labels: &[&str]) -> Map<String, Value> {
    let mut json = theirs.clone();
    for key in ["name", "rasid_version", "input", "ngrams", "heads", "lexicon_types", "num_labels", "torch_dtype"] {
        json.remove(key);
    }
    let by_id: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (i.to_string(), (*l).into())).collect();
    let by_label: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (l.to_string(), i.into())).collect();
    json.insert("architectures".into(), json!([class]));
    json.insert("problem_type".into(), "single_label_classification".into());
    json.insert("dtype".into(), "float32".into());
    json.insert("id2label".into(), Value::Object(by_id));
    json.insert("label2id".into(), Value::Object(by_label));
    json
}

/// What Python needs beside tokenizer.json.
fn tokenizer_settings(config: &ConfigJson, tokenizer: &crate::tokens::Tokenizer) -> Value {
    let special = tokenizer.special();
    let token = |id: u32| tokenizer.token(id);
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        // Sentences alone: no kinds of token are told.
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": config.input.max_tokens,
        "pad_token": token(special.pad),
        "unk_token": token(special.unknown),
        "cls_token": token(special.cls),
        "sep_token": token(special.sep),
        "mask_token": token(special.mask),
    })
}
