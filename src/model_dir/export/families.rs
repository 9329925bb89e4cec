//! A model of another program's family → the files of a folder that transformers opens by itself.

use super::{File, set_labels, text, tokenizer_settings, weights};
use crate::error::Result;
use crate::model::StorageFormat;
use crate::model_dir::config_json::{ConfigJson, HeadRange};
use crate::model_dir::families::{Family, ONE_HEAD};
use crate::model_dir::write::serialize;
use crate::model_dir::{BaseFiles, CONFIG, TOKENIZER, WEIGHTS};
use serde_json::{Map, Value};

pub(super) fn files(
    config: &ConfigJson,
    (family, theirs): (&Family, &Map<String, Value>),
    base: &BaseFiles,
    head: &HeadRange,
    labels: &[&str],
) -> Result<Vec<File>> {
    let mut json = theirs.clone();
    json.remove("lexicon_types");
    set_labels(&mut json, family.classifier_class, labels);
    let weights = family.to_theirs(&weights(&base.weights, head, &format!("classifier.{ONE_HEAD}"))?)?;
    let tokenizer = tokenizer_settings(config, base, "PreTrainedTokenizerFast", &["input_ids", "attention_mask"]);
    Ok(vec![
        (CONFIG.into(), text(json)),
        (WEIGHTS.into(), serialize(StorageFormat::F32.lay_out(&weights)?)?),
        (TOKENIZER.into(), base.tokenizer.bytes().to_vec()),
        ("tokenizer_config.json".into(), text(tokenizer)),
    ])
}
