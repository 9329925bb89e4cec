//! config.json of another program → sizes of our network, or a refusal that names what is not known here.

use super::{FAMILIES, Family};
use crate::error::{Error, Place, Result};
use crate::model::{Activation, Architecture, Config, Dense, Pooling, Positions};
use serde_json::{Map, Value};
use std::path::Path;

/// What a config.json says.
#[derive(Debug)]
pub struct Parsed {
    /// Its family.
    pub family: &'static Family,
    /// Sizes of the encoder.
    pub encoder: Config,
    /// The names of a classifier's classes, in the order of the logits; none where the file tells of no classifier.
    pub labels: Option<Vec<String>>,
    /// A sentence may have several of the classes: each logit is a question of its own.
    pub is_multi_label: bool,
}

/// Reads the configuration of any family; `path` is for messages.
///
/// # Errors
/// An unknown family, a key that is missing or of another kind, a setting that the encoder here cannot follow.
pub fn parse(json: &Map<String, Value>, path: &Path) -> Result<Parsed> {
    let keys = Keys { json, path };
    let model_type = keys.text("model_type", "")?;
    let Some(family) = Family::of(&model_type) else {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
        let found = match model_type.as_str() {
            "" => "no model_type".to_string(),
            name => format!("an encoder of the family \"{name}\""),
        };
        let error = Error::bad(Place::file(path), found, format!("rasid or one of {}", known.join(", ")));
        return Err(error.hint("choose a base of one of these families"));
    };
    let encoder = match family.model_type {
        "distilbert" => distilbert(&keys)?,
        "modernbert" => modernbert(&keys)?,
        "deberta-v2" => deberta(&keys)?,
        "bert" => bert(&keys, 0)?,
        // Positions count from behind the padding token's id (fairseq's habit).
        _ => bert(&keys, keys.number("pad_token_id", Some(1))? + 1)?,
    };
    if let Some(fault) = encoder.fault() {
        return Err(keys.bad(fault, "sizes that a network can have"));
    }
    let is_classifier = json.get("architectures").and_then(Value::as_array).is_some_and(|all| {
        all.iter().filter_map(Value::as_str).any(|class| class.ends_with("ForSequenceClassification"))
    });
    let labels = if is_classifier { Some(labels(&keys)?) } else { None };
    let problem = keys.text("problem_type", "single_label_classification")?;
    if problem == "regression" && labels.is_some() {
        return Err(keys.bad("a model for regression", "a classifier"));
    }
    Ok(Parsed { family, encoder, labels, is_multi_label: problem == "multi_label_classification" })
}

/// The classes of a classifier: `id2label`, or `num_labels` of them, as transformers calls them then.
fn labels(keys: &Keys) -> Result<Vec<String>> {
    let Some(by_id) = keys.json.get("id2label").and_then(Value::as_object) else {
        let n = keys.number("num_labels", Some(2))?;
        return Ok((0..n).map(|i| format!("LABEL_{i}")).collect());
    };
    let label = |i: usize| {
        let name = by_id.get(&i.to_string()).and_then(Value::as_str);
        name.map(String::from).ok_or_else(|| keys.bad(format!("id2label without {i}"), "ids from 0 without a gap"))
    };
    (0..by_id.len()).map(label).collect()
}

/// The keys of the file, with messages.
struct Keys<'j> {
    json: &'j Map<String, Value>,
    path: &'j Path,
}

impl Keys<'_> {
    fn bad(&self, found: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::bad(Place::file(self.path), found, expected)
    }

    fn given(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn of_kind<T>(&self, key: &str, default: Option<T>, kind: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T> {
        match (self.given(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => {
                Err(self.bad(format!("no \"{key}\""), kind).hint("the file was cut or is of another program"))
            }
            (Some(value), _) => read(value).ok_or_else(|| self.bad(format!("{key} = {value}"), kind)),
        }
    }

    fn number(&self, key: &str, default: Option<usize>) -> Result<usize> {
        self.of_kind(key, default, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn real(&self, key: &str, default: f64) -> Result<f64> {
        self.of_kind(key, Some(default), "a number", Value::as_f64)
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        self.of_kind(key, Some(default), "true or false", Value::as_bool)
    }

    fn text(&self, key: &str, default: &str) -> Result<String> {
        self.of_kind(key, Some(default.to_string()), "a word", |value| value.as_str().map(String::from))
    }

    /// A setting of which we know one value only.
    fn only<T: PartialEq + std::fmt::Display>(&self, key: &str, found: T, known: T) -> Result<()> {
        if found == known {
            return Ok(());
        }
        let error = self.bad(format!("{key} = {found}"), format!("{known}, the only one that is known here"));
        Err(error.hint("choose another base"))
    }

    fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        match self.text(key, default)?.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            "tanh" => Ok(Activation::Tanh),
            other => Err(self.bad(format!("{key} = {other}"), "gelu, gelu_new, gelu_pytorch_tanh, relu or tanh")),
        }
    }
}

/// What all families after BERT's pattern share: norms behind, biases everywhere, one kind of layer, the first token's vector.
fn after_bert(architecture: Architecture) -> Config {
    Config {
        vocab_size: 0,
        hidden_size: 0,
        intermediate_size: 0,
        num_hidden_layers: 0,
        num_attention_heads: 0,
        max_position_embeddings: 0,
        type_vocab_size: 0,
        lexicon_types: Vec::new(),
        norm_eps: 0.0,
        global_rope_theta: 0.0,
        local_rope_theta: 0.0,
        global_attn_every_n_layers: 1,
        local_attention: 0,
        classifier_pooling: Pooling::Cls,
        architecture: Architecture {
            post_norm: true,
            norm_bias: true,
            attention_bias: true,
            mlp_bias: true,
            gated: false,
            ..architecture
        },
    }
}

/// The keys that BERT, RoBERTa and DeBERTa share.
fn sizes(keys: &Keys, config: Config) -> Result<Config> {
    Ok(Config {
        vocab_size: keys.number("vocab_size", None)?,
        hidden_size: keys.number("hidden_size", None)?,
        intermediate_size: keys.number("intermediate_size", None)?,
        num_hidden_layers: keys.number("num_hidden_layers", None)?,
        num_attention_heads: keys.number("num_attention_heads", None)?,
        ..config
    })
}

/// `offset`: rows of the table of positions before the first.
fn bert(keys: &Keys, offset: usize) -> Result<Config> {
    keys.only("position_embedding_type", keys.text("position_embedding_type", "absolute")?.as_str(), "absolute")?;
    keys.only("is_decoder", keys.flag("is_decoder", false)?, false)?;
    let config = after_bert(Architecture {
        positions: Positions::Learned { offset },
        activation: keys.activation("hidden_act", "gelu")?,
        dense: Some(Dense { bias: true, activation: Activation::Tanh, norm: false }),
        ..Architecture::default()
    });
    let rows = keys.number("max_position_embeddings", None)?;
    if rows <= offset {
        return Err(keys.bad(format!("max_position_embeddings = {rows}"), format!("more than {offset}")));
    }
    Ok(Config {
        max_position_embeddings: rows - offset,
        type_vocab_size: keys.number("type_vocab_size", Some(2))?,
        norm_eps: keys.real("layer_norm_eps", 1e-12)?,
        ..sizes(keys, config)?
    })
}

fn distilbert(keys: &Keys) -> Result<Config> {
    let config = after_bert(Architecture {
        positions: Positions::Learned { offset: 0 },
        activation: keys.activation("activation", "gelu")?,
        dense: Some(Dense { bias: true, activation: Activation::Relu, norm: false }),
        ..Architecture::default()
    });
    Ok(Config {
        vocab_size: keys.number("vocab_size", None)?,
        hidden_size: keys.number("dim", None)?,
        intermediate_size: keys.number("hidden_dim", None)?,
        num_hidden_layers: keys.number("n_layers", None)?,
        num_attention_heads: keys.number("n_heads", None)?,
        max_position_embeddings: keys.number("max_position_embeddings", None)?,
        norm_eps: 1e-12,
        ..config
    })
}

fn deberta(keys: &Keys) -> Result<Config> {
    keys.only("relative_attention", keys.flag("relative_attention", false)?, true)?;
    keys.only("share_att_key", keys.flag("share_att_key", false)?, true)?;
    keys.only("position_biased_input", keys.flag("position_biased_input", true)?, false)?;
    keys.only("conv_kernel_size", keys.number("conv_kernel_size", Some(0))?, 0)?;
    let hidden_size = keys.number("hidden_size", None)?;
    keys.only("embedding_size", keys.number("embedding_size", Some(hidden_size))?, hidden_size)?;
    // A list, or words with a stroke between them.
    let parts = keys.given("pos_att_type").map(ToString::to_string).unwrap_or_default();
    if !(parts.contains("c2p") && parts.contains("p2c")) {
        return Err(keys.bad(format!("pos_att_type = {parts}"), "both c2p and p2c").hint("choose another base"));
    }
    let max_positions = keys.number("max_position_embeddings", None)?;
    let max_distance = match keys.given("max_relative_positions").and_then(Value::as_i64) {
        Some(n) if n > 0 => n as usize,
        _ => max_positions,
    };
    let buckets = match keys.given("position_buckets").and_then(Value::as_i64) {
        Some(n) if n > 0 => n as usize,
        _ => 0,
    };
    let norm = keys.text("norm_rel_ebd", "none")?.contains("layer_norm");
    let config = after_bert(Architecture {
        positions: Positions::Relative { buckets, max_distance, norm },
        activation: keys.activation("hidden_act", "gelu")?,
        dense: Some(Dense { bias: true, activation: keys.activation("pooler_hidden_act", "gelu")?, norm: false }),
        ..Architecture::default()
    });
    Ok(Config {
        max_position_embeddings: max_positions,
        type_vocab_size: keys.number("type_vocab_size", Some(0))?,
        norm_eps: keys.real("layer_norm_eps", 1e-7)?,
        ..sizes(keys, config)?
    })
}

fn modernbert(keys: &Keys) -> Result<Config> {
    // Angles stand by themselves, or by kind of layer since transformers 5.
    let theta = |kind: &str, key: &str, default: f64| -> Result<f64> {
        let by_kind = keys.given("rope_parameters").and_then(|all| all.get(kind));
        match by_kind {
            None => keys.real(key, default),
            Some(of_kind) => {
                let rope_type = of_kind.get("rope_type").and_then(Value::as_str).unwrap_or("default");
                keys.only(&format!("rope_parameters.{kind}.rope_type"), rope_type, "default")?;
                let theta = of_kind.get("rope_theta").and_then(Value::as_f64);
                theta.ok_or_else(|| keys.bad(format!("rope_parameters.{kind} without rope_theta"), "a number"))
            }
        }
    };
    let pooling = match keys.text("classifier_pooling", "cls")?.as_str() {
        "cls" => Pooling::Cls,
        "mean" => Pooling::Mean,
        other => return Err(keys.bad(format!("classifier_pooling = {other}"), "cls or mean")),
    };
    let activation = keys.activation("hidden_activation", "gelu")?;
    if activation != Activation::Gelu {
        return Err(keys.bad("hidden_activation that is not gelu", "gelu").hint("choose another base"));
    }
    let config = Config {
        max_position_embeddings: keys.number("max_position_embeddings", None)?,
        norm_eps: keys.real("norm_eps", 1e-5)?,
        global_rope_theta: theta("full_attention", "global_rope_theta", 160_000.0)?,
        local_rope_theta: theta("sliding_attention", "local_rope_theta", 10_000.0)?,
        global_attn_every_n_layers: keys.number("global_attn_every_n_layers", Some(3))?,
        local_attention: keys.number("local_attention", Some(128))?,
        classifier_pooling: pooling,
        architecture: Architecture {
            norm_bias: keys.flag("norm_bias", false)?,
            attention_bias: keys.flag("attention_bias", false)?,
            mlp_bias: keys.flag("mlp_bias", false)?,
            dense: Some(Dense {
                bias: keys.flag("classifier_bias", false)?,
                activation: keys.activation("classifier_activation", "gelu")?,
                norm: true,
            }),
            ..Architecture::default()
        },
        ..sizes(keys, after_bert(Architecture::default()))?
    };
    if let Some(kinds) = keys.given("layer_types").and_then(Value::as_array) {
        let is_as_said = |(i, kind): (usize, &Value)| (kind == "full_attention") == config.is_global(i);
        if kinds.len() != config.num_hidden_layers || !kinds.iter().enumerate().all(is_as_said) {
            let n = config.global_attn_every_n_layers;
            return Err(keys.bad("layer_types of another order", format!("every {n}th layer with full_attention")));
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(json: Value) -> Result<Parsed> {
        parse(json.as_object().unwrap(), Path::new("base/config.json"))
    }

    fn bert_with(key: &str, value: Value) -> Value {
        let mut json = json!({
            "model_type": "bert", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 16
        });
        match value.is_null() {
            true => _ = json.as_object_mut().unwrap().remove(key),
            false => json[key] = value,
        }
        json
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let message = |key: &str, value: Value| parsed(bert_with(key, value)).unwrap_err().to_string();
        let cases = [
            ("model_type", json!("t5"), "an encoder of the family \"t5\"; expected rasid or one of bert, xlm-roberta"),
            ("model_type", Value::Null, "no model_type"),
            ("hidden_size", Value::Null, "no \"hidden_size\"; expected a whole number"),
            ("hidden_size", json!("8"), "hidden_size = \"8\"; expected a whole number"),
            ("num_attention_heads", json!(3), "hidden_size = 8 with num_attention_heads = 3"),
            ("hidden_act", json!("mish"), "hidden_act = mish; expected gelu"),
            (
                "position_embedding_type",
                json!("relative_key"),
                "position_embedding_type = relative_key; expected absolute",
            ),
        ];
        for (key, value, expected) in cases {
            let message = message(key, value);
            assert!(message.starts_with("base/config.json: ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn positions_count_from_behind_the_padding_in_robertas_line() {
        let mut json = bert_with("model_type", json!("xlm-roberta"));
        json["pad_token_id"] = json!(1);
        let encoder = parsed(json).unwrap().encoder;
        assert_eq!(encoder.max_position_embeddings, 14);
        assert_eq!(encoder.architecture.positions, Positions::Learned { offset: 2 });
    }

    #[test]
    fn a_classifier_tells_its_labels() {
        let mut json = bert_with("architectures", json!(["BertForSequenceClassification"]));
        assert_eq!(parsed(json.clone()).unwrap().labels.unwrap(), ["LABEL_0", "LABEL_1"]);
        json["id2label"] = json!({"0": "a", "1": "b", "2": "c"});
        assert_eq!(parsed(json.clone()).unwrap().labels.unwrap(), ["a", "b", "c"]);
        json["id2label"] = json!({"0": "a", "2": "c"});
        assert!(parsed(json).unwrap_err().to_string().contains("id2label without 1"));
    }
}
