//! `config.json`: sizes of the network and how its logits are to be read.

use crate::baseline::Kinds;
use crate::error::{Error, Place, Result};
use crate::model::Config;
use crate::schema::Schema;
use crate::tokens::InputConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Which of the labels in `id2label` belong to a head: `start..end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadRange {
    /// Name of the head in the schema.
    pub name: String,
    /// First id.
    pub start: usize,
    /// One past the last id.
    pub end: usize,
    /// The head's logits are divided by it before the softmax; fitted on the dev set.
    pub temperature: f32,
    /// What the n-grams' logarithms of probabilities are multiplied by before they are added to the network's logits; fitted on
    /// the dev set, 0 without n-grams.
    #[serde(default)]
    pub ngram_weight: f32,
}

/// What the linear classifier looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NgramKinds {
    /// N-grams of characters and words.
    pub letters: bool,
    /// N-grams of the types of the lexicon's terms.
    pub lexicon: bool,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigJson {
    /// `["RasidForSentenceClassification"]`.
    pub architectures: Vec<String>,
    /// `rasid`: ModernBERT with token types and several heads.
    pub model_type: String,
    /// Name of the model in outputs.
    pub name: String,
    /// Version of the program that wrote it.
    pub rasid_version: String,
    /// Sizes of the encoder.
    #[serde(flatten)]
    pub encoder: Config,
    /// Always `gelu`, the exact one.
    pub hidden_activation: String,
    /// What is read beside the sentence, and how much.
    pub input: InputConfig,
    /// What the linear classifier beside the network looks at; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ngrams: Option<NgramKinds>,
    /// The heads, in the schema's order.
    pub heads: Vec<HeadRange>,
    /// `{"0": "incident.is_attack", …}` over all heads.
    pub id2label: BTreeMap<String, String>,
    /// The other way round.
    pub label2id: BTreeMap<String, usize>,
}

impl ConfigJson {
    /// The file for a network with the heads of `schema`.
    pub fn new(name: &str, encoder: Config, input: InputConfig, schema: &Schema, temperatures: &[f32]) -> ConfigJson {
        let mut heads = Vec::new();
        let mut labels = Vec::new();
        for (head, temperature) in schema.heads.iter().zip(temperatures) {
            let start = labels.len();
            labels.extend(head.names().map(|label| format!("{}.{label}", head.name)));
            heads.push(HeadRange {
                name: head.name.clone(),
                start,
                end: labels.len(),
                temperature: *temperature,
                ngram_weight: 0.0,
            });
        }
        ConfigJson {
            architectures: vec!["RasidForSentenceClassification".into()],
            model_type: "rasid".into(),
            name: name.into(),
            rasid_version: env!("CARGO_PKG_VERSION").into(),
            encoder,
            hidden_activation: "gelu".into(),
            input,
            ngrams: None,
            heads,
            label2id: labels.iter().enumerate().map(|(i, l)| (l.clone(), i)).collect(),
            id2label: labels.into_iter().enumerate().map(|(i, l)| (i.to_string(), l)).collect(),
        }
    }

    /// Parses the file; `path` is for messages.
    ///
    /// # Errors
    /// Broken JSON, a missing key, sizes that no network can have.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<ConfigJson> {
        let expected = "the config.json of a model that `rasid train` wrote";
        let config: ConfigJson = serde_json::from_slice(bytes)
            .map_err(|e| Error::bad(Place::line(path, e.line() as u64), e.to_string(), expected))?;
        match config.encoder.fault() {
            Some(fault) => Err(Error::bad(Place::file(path), fault, expected)),
            None => Ok(config),
        }
    }

    /// Notes which n-grams stand beside the network, and with which weight in each head.
    pub fn set_ngrams(&mut self, kinds: Option<&Kinds>, weights: &[f32]) {
        self.ngrams = kinds.map(|k| NgramKinds { letters: k.letters, lexicon: k.lexicon.is_some() });
        self.heads.iter_mut().zip(weights).for_each(|(head, weight)| head.ngram_weight = *weight);
    }

    /// Checks that the labels are those of `schema`, in the same order: a shifted index would be a silent lie.
    ///
    /// # Errors
    /// They are not; the message names the first that differs.
    pub fn check_labels(&self, schema: &Schema, path: &Path) -> Result<()> {
        let temperatures: Vec<f32> = self.heads.iter().map(|h| h.temperature).collect();
        let expected = ConfigJson::new("", self.encoder.clone(), self.input, schema, &temperatures);
        let n = self.id2label.len().max(expected.id2label.len());
        for id in (0..n).map(|i| i.to_string()) {
            let (here, there) = (self.id2label.get(&id), expected.id2label.get(&id));
            if here != there {
                let show = |label: Option<&String>| label.map_or("nothing".to_string(), |l| format!("\"{l}\""));
                let found = format!("label {id} is {}", show(here));
                let error = Error::bad(Place::file(path), found, format!("{}, as the schema says", show(there)));
                return Err(
                    error.hint("the model was trained with another schema; train again or use its own schema.toml")
                );
            }
        }
        let ranges = |c: &ConfigJson| c.heads.iter().map(|h| (h.name.clone(), h.start, h.end)).collect::<Vec<_>>();
        if ranges(self) != ranges(&expected) {
            return Err(Error::bad(Place::file(path), "heads with other ranges", "the heads of schema.toml"));
        }
        Ok(())
    }
}
