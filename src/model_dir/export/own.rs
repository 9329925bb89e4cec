//! A model of our own architecture → the files of a folder that transformers opens with `trust_remote_code=True`.

use super::{File, set_labels, text, tokenizer_settings, weights};
use crate::error::Result;
use crate::model::{StorageFormat, Weights};
use crate::model_dir::config_json::{ConfigJson, HeadRange};
use crate::model_dir::open::lexicon;
use crate::model_dir::write::serialize;
use crate::model_dir::{BaseFiles, CONFIG, LEXICON, TOKENIZER, WEIGHTS};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What transformers runs in the place of a class of its own.
const PYTHON: [(&str, &str); 4] = [
    ("configuration_rasid.py", include_str!("../../../models/python/configuration_rasid.py")),
    ("modeling_rasid.py", include_str!("../../../models/python/modeling_rasid.py")),
    ("lexicon_rasid.py", include_str!("../../../models/python/lexicon_rasid.py")),
    ("tokenization_rasid.py", include_str!("../../../models/python/tokenization_rasid.py")),
];

/// `from` is the model's directory, which may bring a lexicon of its own.
pub(super) fn files(
    config: &ConfigJson,
    base: &BaseFiles,
    head: &HeadRange,
    labels: &[&str],
    from: &Path,
) -> Result<Vec<File>> {
    let terms = match config.encoder.lexicon_types.is_empty() {
        true => None,
        false => lexicon(config, from)?,
    };
    let terms: Vec<(&str, &str)> =
        terms.iter().flat_map(|lexicon| &lexicon.files().0).map(|(name, text)| (&**name, &**text)).collect();
    let names: Vec<&str> = terms.iter().map(|(name, _)| *name).collect();
    let weights = under_model(weights(&base.weights, head, "classifier")?);
    let mut files = vec![
        (CONFIG.into(), text(settings(config, base, labels))),
        (WEIGHTS.into(), serialize(StorageFormat::F32.lay_out(&weights)?)?),
        (TOKENIZER.into(), base.tokenizer.bytes().to_vec()),
        ("tokenizer_config.json".into(), text(of_tokenizer(config, base, &names))),
    ];
    files.extend(PYTHON.map(|(name, text)| (name.into(), text.into())));
    files.extend(terms.iter().map(|(name, text)| (format!("{LEXICON}/{name}"), (*text).into())));
    Ok(files)
}

/// The names that the classifier in Python has: the encoder is a part of it.
fn under_model(weights: Weights) -> Weights {
    let name = |name: String| if name.starts_with("classifier.") { name } else { format!("model.{name}") };
    Weights(weights.0.into_iter().map(|(own, tensor)| (name(own), tensor)).collect())
}

fn settings(config: &ConfigJson, base: &BaseFiles, labels: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut json)) = serde_json::to_value(config) else {
        unreachable!("a configuration is an object")
    };
    set_labels(&mut json, "RasidForSequenceClassification", labels);
    let special = base.tokenizer.special();
    json.extend([
        ("pad_token_id".into(), special.pad.into()),
        ("cls_token_id".into(), special.cls.into()),
        ("sep_token_id".into(), special.sep.into()),
        (
            "auto_map".into(),
            json!({
                "AutoConfig": "configuration_rasid.RasidConfig",
                "AutoModel": "modeling_rasid.RasidModel",
                "AutoModelForSequenceClassification": "modeling_rasid.RasidForSequenceClassification",
            }),
        ),
    ]);
    json
}

fn of_tokenizer(config: &ConfigJson, base: &BaseFiles, terms: &[&str]) -> Map<String, Value> {
    let inputs = ["input_ids", "attention_mask", "term_types"];
    let n_inputs = if terms.is_empty() { 2 } else { 3 };
    let mut json = tokenizer_settings(config, base, "RasidTokenizer", &inputs[..n_inputs]);
    json.extend([
        ("lexicon_files".into(), terms.into()),
        // A text that holds the letters "[SEP]" is text.
        ("split_special_tokens".into(), true.into()),
        ("auto_map".into(), json!({ "AutoTokenizer": [null, "tokenization_rasid.RasidTokenizer"] })),
    ]);
    json
}
