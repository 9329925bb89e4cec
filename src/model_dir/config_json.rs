//! `config.json`: sizes of the network and how its logits are to be read.

use super::families::{self, Family, ONE_HEAD, Parsed};
use super::hub_cache;
use crate::baseline::Kinds;
use crate::error::{Error, Place, Result};
use crate::model::{Config, Pooling};
use crate::schema::{Class, Head, Schema};
use crate::tokens::{Context, InputConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
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
    /// `rasid`: ModernBERT with token types and several heads; or the family of an encoder that another program made.
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
    /// Of an encoder that another program made: its config.json, whose settings go on into every file written from it.
    #[serde(skip)]
    pub theirs: Option<Map<String, Value>>,
    /// Of a classifier that another program made: a sentence may have several of its labels.
    #[serde(skip)]
    pub is_multi_label: bool,
}

/// What is read of a config.json that we wrote for an encoder of another program, beside that program's own settings.
#[derive(Deserialize)]
struct Ours {
    name: String,
    rasid_version: String,
    input: InputConfig,
    #[serde(default)]
    ngrams: Option<NgramKinds>,
    heads: Vec<HeadRange>,
    id2label: BTreeMap<String, String>,
    label2id: BTreeMap<String, usize>,
    #[serde(default)]
    lexicon_types: Vec<String>,
    /// How the tokens become one vector where the family's own way is not taken.
    #[serde(default)]
    rasid_pooling: Option<Pooling>,
}

/// The keys of [`Ours`], and what an encoder of another program is called by us.
const OUR_KEYS: [&str; 9] =
    ["architectures", "name", "rasid_version", "input", "ngrams", "heads", "id2label", "label2id", "lexicon_types"];

/// Of [`Ours`], and only where no layer of the family stands between the pooled vector and the classifiers.
const POOLING: &str = "rasid_pooling";

/// Keys of a classifier of another program that do not hold for ours.
const NOT_OURS: [&str; 3] = ["problem_type", "num_labels", "torch_dtype"];

/// `model_type` of our own networks.
const RASID: &str = "rasid";

/// Most tokens that a classifier of another program is given.
const MAX_TOKENS: usize = 512;

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
            model_type: RASID.into(),
            name: name.into(),
            rasid_version: env!("CARGO_PKG_VERSION").into(),
            encoder,
            hidden_activation: "gelu".into(),
            input,
            ngrams: None,
            heads,
            label2id: labels.iter().enumerate().map(|(i, l)| (l.clone(), i)).collect(),
            id2label: labels.into_iter().enumerate().map(|(i, l)| (i.to_string(), l)).collect(),
            theirs: None,
            is_multi_label: false,
        }
    }

    /// The same for an encoder that goes on from another program's.
    pub fn of_family(mut self, model_type: &str, theirs: Option<Map<String, Value>>) -> ConfigJson {
        (self.model_type, self.theirs) = (model_type.into(), theirs);
        self
    }

    /// The family of the encoder if another program made it.
    pub fn family(&self) -> Option<&'static Family> {
        Family::of(&self.model_type)
    }

    /// Whether we wrote it: then a schema lies beside it.
    pub fn is_ours(&self) -> bool {
        !self.rasid_version.is_empty()
    }

    /// The text of the file; `dtype` is that of the weights beside it, as PyTorch calls it.
    pub fn to_json(&self, dtype: &str) -> String {
        let text = match &self.theirs {
            None => serde_json::to_string_pretty(self),
            Some(theirs) => {
                let own = serde_json::to_value(self).expect("a configuration is plain data");
                let mut json = theirs.clone();
                NOT_OURS.iter().for_each(|key| _ = json.remove(*key));
                for key in OUR_KEYS {
                    match own.get(key) {
                        Some(value) => _ = json.insert(key.into(), value.clone()),
                        None => _ = json.remove(key),
                    }
                }
                json.remove(POOLING);
                if self.encoder.architecture.dense.is_none() {
                    json.insert(POOLING.into(), own["classifier_pooling"].clone());
                }
                json.insert("dtype".into(), dtype.into());
                serde_json::to_string_pretty(&json)
            }
        };
        format!("{}\n", text.expect("a configuration is plain data"))
    }

    /// Parses the file; `path` is for messages.
    ///
    /// # Errors
    /// Broken JSON, a missing key, sizes that no network can have, a family that is not known here.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<ConfigJson> {
        let expected = "the config.json of a model that `rasid train` wrote, or of a known family";
        let broken = |e: serde_json::Error| Error::bad(Place::line(path, e.line() as u64), e.to_string(), expected);
        let json: Map<String, Value> = serde_json::from_slice(bytes).map_err(broken)?;
        if json.get("model_type").is_some_and(|name| name != RASID) {
            return ConfigJson::of_another_program(json, path);
        }
        let config: ConfigJson = serde_json::from_slice(bytes).map_err(broken)?;
        match config.encoder.fault() {
            Some(fault) => Err(Error::bad(Place::file(path), fault, expected)),
            None => Ok(config),
        }
    }

    fn of_another_program(json: Map<String, Value>, path: &Path) -> Result<ConfigJson> {
        let Parsed { family, mut encoder, labels, is_multi_label } = families::parse(&json, path)?;
        let ours = if json.contains_key("rasid_version") {
            let expected = "the config.json of a model that `rasid train` wrote";
            let broken = |e: serde_json::Error| Error::bad(Place::file(path), e.to_string(), expected);
            serde_json::from_value(Value::Object(json.clone())).map_err(broken)?
        } else {
            let labels = labels.unwrap_or_default();
            let names: Vec<String> = labels.iter().map(|label| format!("{ONE_HEAD}.{label}")).collect();
            let head =
                HeadRange { name: ONE_HEAD.into(), start: 0, end: names.len(), temperature: 1.0, ngram_weight: 0.0 };
            Ours {
                name: name_of(path),
                rasid_version: String::new(),
                input: InputConfig {
                    max_tokens: encoder.max_position_embeddings.min(MAX_TOKENS),
                    context: Context::None,
                },
                ngrams: None,
                heads: if names.is_empty() { Vec::new() } else { vec![head] },
                label2id: names.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect(),
                id2label: names.into_iter().enumerate().map(|(i, name)| (i.to_string(), name)).collect(),
                lexicon_types: Vec::new(),
                rasid_pooling: None,
            }
        };
        encoder.lexicon_types = ours.lexicon_types;
        if let Some(pooling) = ours.rasid_pooling {
            encoder = encoder.with_pooling(pooling);
        }
        Ok(ConfigJson {
            architectures: Vec::new(),
            model_type: family.model_type.into(),
            name: ours.name,
            rasid_version: ours.rasid_version,
            encoder,
            hidden_activation: String::new(),
            input: ours.input,
            ngrams: ours.ngrams,
            heads: ours.heads,
            id2label: ours.id2label,
            label2id: ours.label2id,
            theirs: Some(json),
            is_multi_label,
        })
    }

    /// The questions of a classifier of another program: one, with the labels that it names.
    pub fn schema(&self) -> Schema {
        let class = |label: &String| Class {
            name: label.split_once('.').map_or(label.as_str(), |(_, name)| name).to_string(),
            definition: String::new(),
            examples: Vec::new(),
            color: None,
        };
        let head = |head: &HeadRange| Head {
            name: head.name.clone(),
            question: "Which label?".into(),
            classes: (head.start..head.end).filter_map(|id| self.id2label.get(&id.to_string())).map(class).collect(),
        };
        Schema { version: 1, heads: self.heads.iter().map(head).collect(), never: Vec::new() }
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

/// How a model of another program is called: its folder, or in the cache of the hub its repository.
fn name_of(path: &Path) -> String {
    let folders = path.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
    let in_cache = folders.clone().find_map(hub_cache::repository_of);
    in_cache.or_else(|| folders.map(String::from).next()).unwrap_or_else(|| "model".into())
}
