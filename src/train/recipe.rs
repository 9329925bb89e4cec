//! The recipe: every hyperparameter, from a commented file; the file is the default.

use super::optimizer::AdamW;
use super::schedule::Course;
use crate::error::{Error, Place, Result, nearest};
use crate::model::architecture::PRODUCTS;
use crate::model::mode::Precision;
use crate::model::{Config, Pooling};
use crate::model::{Lora, StorageFormat};
use crate::tokens::InputConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// The shipped recipe, with its comments.
pub const DEFAULT: &str = include_str!("../../models/recipes/default.toml");

/// Everything that decides what training gives, beside the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Sizes of a network that starts from nothing.
    pub model: ModelRecipe,
    /// What is read beside the sentence.
    pub input: InputConfig,
    /// How it learns.
    pub training: TrainingRecipe,
}

/// Table `[model]`; names as in [`Config`].
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub norm_eps: f64,
    pub global_attn_every_n_layers: usize,
    pub local_attention: usize,
    pub global_rope_theta: f64,
    pub local_rope_theta: f64,
    pub classifier_pooling: Pooling,
    /// From an encoder of another family, what stands between it and the classifiers is that family's own.
    #[serde(default = "yes")]
    pub family_head: bool,
    /// Tokens are told the types of the lexicon's terms that they lie in.
    pub lexicon: bool,
    /// A linear classifier on n-grams stands beside the network.
    pub ngrams: bool,
    /// How the trained weights are stored.
    pub weights_dtype: StorageFormat,
}

/// Table `[training]`; meanings in models/recipes/default.toml.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecipe {
    pub seed: u64,
    pub epochs: usize,
    pub batch_size: usize,
    pub learning_rate: f64,
    pub min_learning_rate: f64,
    pub warmup_ratio: f64,
    pub schedule: Schedule,
    pub layer_decay: f64,
    pub frozen_layers: usize,
    pub lora_rank: usize,
    pub lora_alpha: f32,
    pub lora_targets: Vec<String>,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub max_grad_norm: f64,
    pub dropout: f32,
    pub token_dropout: f64,
    pub term_dropout: f64,
    pub typo_rate: f64,
    #[serde(default)]
    pub counterfactuals: usize,
    pub label_smoothing: f32,
    pub class_weights: ClassWeights,
    pub patience: usize,
    pub precision: Precision,
    pub shards: usize,
    pub gradient_accumulation_steps: usize,
    pub gradient_checkpointing: bool,
}

/// Course of the learning rate after the warm-up.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Linear,
    Cosine,
    Constant,
}

/// How rare classes are weighed in the loss.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    None,
    Inverse,
    Sqrt,
}

impl Recipe {
    /// The default recipe, then the values of `file`, then `overrides` like `training.seed=3`.
    ///
    /// # Errors
    /// As [`resolve`]; a value out of range.
    pub fn resolve(file: Option<&Path>, overrides: &[String]) -> Result<Recipe> {
        let recipe: Recipe = resolve(DEFAULT, file, overrides)?;
        recipe.check(&file.map_or(Place::file("the recipe"), Place::file))?;
        Ok(recipe)
    }

    fn check(&self, place: &Place) -> Result<()> {
        let t = &self.training;
        let shares = [
            ("training.dropout", f64::from(t.dropout)),
            ("training.token_dropout", t.token_dropout),
            ("training.term_dropout", t.term_dropout),
            ("training.typo_rate", t.typo_rate),
            ("training.label_smoothing", f64::from(t.label_smoothing)),
            ("training.beta1", t.beta1),
            ("training.beta2", t.beta2),
        ];
        check_shares(place, &shares)?;
        let counts = [
            ("training.epochs", t.epochs),
            ("training.batch_size", t.batch_size),
            ("training.shards", t.shards),
            ("training.gradient_accumulation_steps", t.gradient_accumulation_steps),
        ];
        check_positive(place, &counts)?;
        if let Some(unknown) = t.lora_targets.iter().find(|name| !PRODUCTS.contains(&name.as_str())) {
            let found = format!("training.lora_targets with \"{unknown}\"");
            return Err(Error::bad(place.clone(), found, format!("some of {}", PRODUCTS.join(", "))));
        }
        if t.lora_rank > 0 && t.lora_targets.is_empty() {
            let found = format!("training.lora_rank = {} without training.lora_targets", t.lora_rank);
            return Err(Error::bad(place.clone(), found, format!("some of {}", PRODUCTS.join(", "))));
        }
        if t.term_dropout > 0.0 && !self.model.lexicon {
            let found = format!("training.term_dropout = {} with model.lexicon = false", t.term_dropout);
            return Err(Error::bad(place.clone(), found, "0, since no term is known"));
        }
        let (max_tokens, longest) = (self.input.max_tokens, self.model.max_position_embeddings);
        if max_tokens < 8 || max_tokens > longest {
            let found = format!("input.max_tokens = {max_tokens}");
            return Err(Error::bad(place.clone(), found, format!("8 to model.max_position_embeddings ({longest})")));
        }
        if t.learning_rate.is_nan() || t.learning_rate <= 0.0 {
            return Err(Error::bad(
                place.clone(),
                format!("training.learning_rate = {}", t.learning_rate),
                "more than 0",
            ));
        }
        self.model.check(place)
    }

    /// Takes over the sizes of a base that training starts from, so that the stored recipe tells the truth.
    pub fn adopt(&mut self, base: &Config) {
        self.model.adopt(base);
    }

    /// The recipe as TOML text.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is plain data")
    }
}

/// Of keys that recipes of earlier versions do not name.
fn yes() -> bool {
    true
}

impl TrainingRecipe {
    /// The optimiser's settings.
    pub fn adamw(&self) -> AdamW {
        AdamW {
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            max_grad_norm: self.max_grad_norm,
            layer_decay: self.layer_decay,
            precision: self.precision,
        }
    }

    /// The adapters, if there are to be any.
    pub fn lora(&self) -> Option<Lora> {
        let targets = PRODUCTS.map(|product| self.lora_targets.iter().any(|name| name == product));
        (self.lora_rank > 0).then_some(Lora { rank: self.lora_rank, alpha: self.lora_alpha, targets })
    }

    /// The course of the learning rate.
    pub fn course(&self) -> Course {
        Course {
            peak: self.learning_rate,
            minimum: self.min_learning_rate,
            warmup_ratio: self.warmup_ratio,
            schedule: self.schedule,
        }
    }
}

impl ModelRecipe {
    /// Takes over the sizes of a base.
    pub fn adopt(&mut self, base: &Config) {
        (self.hidden_size, self.intermediate_size) = (base.hidden_size, base.intermediate_size);
        (self.num_hidden_layers, self.num_attention_heads) = (base.num_hidden_layers, base.num_attention_heads);
        self.max_position_embeddings = base.max_position_embeddings;
        (self.global_attn_every_n_layers, self.local_attention) =
            (base.global_attn_every_n_layers, base.local_attention);
        (self.global_rope_theta, self.local_rope_theta) = (base.global_rope_theta, base.local_rope_theta);
        self.norm_eps = base.norm_eps;
    }

    /// Takes over the sizes of another recipe, and nothing else.
    pub fn resize(&mut self, other: &ModelRecipe) {
        (self.hidden_size, self.intermediate_size) = (other.hidden_size, other.intermediate_size);
        (self.num_hidden_layers, self.num_attention_heads) = (other.num_hidden_layers, other.num_attention_heads);
    }

    /// The encoder for a tokenizer of this size.
    pub fn encoder(&self, vocab_size: usize) -> Config {
        Config {
            lexicon_types: Vec::new(),
            vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            max_position_embeddings: self.max_position_embeddings,
            type_vocab_size: 3,
            norm_eps: self.norm_eps,
            global_rope_theta: self.global_rope_theta,
            local_rope_theta: self.local_rope_theta,
            global_attn_every_n_layers: self.global_attn_every_n_layers,
            local_attention: self.local_attention,
            classifier_pooling: self.classifier_pooling,
            architecture: Default::default(),
        }
    }

    /// Checks that the sizes fit together.
    ///
    /// # Errors
    /// They do not; the message names the key.
    pub fn check(&self, place: &Place) -> Result<()> {
        match self.encoder(1).fault() {
            Some(fault) => Err(Error::bad(place.clone(), format!("model.{fault}"), "sizes that fit together")),
            None => Ok(()),
        }
    }
}

/// Reads a recipe: `default` (with all keys), then the values of `file`, then `overrides` like `training.seed=3`.
///
/// # Errors
/// Unreadable file, an unknown key (with the nearest known one), a value of the wrong kind.
pub fn resolve<R: DeserializeOwned>(default: &str, file: Option<&Path>, overrides: &[String]) -> Result<R> {
    let mut table: Table = toml::from_str(default).expect("the default recipes are tested");
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let given: Table = toml::from_str(&text).map_err(|e| {
            let line = e.span().map(|s| 1 + text[..s.start].matches('\n').count() as u64);
            Error::bad(Place { path: path.into(), line, offset: None }, e.message().to_string(), "a recipe in TOML")
        })?;
        for (section, values) in given {
            let values = values.as_table().cloned().ok_or_else(|| {
                let known = table.keys().map(|k| format!("[{k}]")).collect::<Vec<_>>().join(", ");
                Error::bad(Place::file(path), format!("\"{section}\" outside a table"), format!("keys in {known}"))
            })?;
            for (key, value) in values {
                put(&mut table, &section, &key, value, &Place::file(path))?;
            }
        }
    }
    for setting in overrides {
        let place = Place::file(format!("--set {setting}"));
        let parts = setting.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
        let ((section, key), value) =
            parts.ok_or_else(|| Error::bad(place.clone(), "no value", "table.key=value, as training.seed=3"))?;
        // What TOML does not read as a value is a word: --set input.context=title needs no quotes.
        let value = toml::from_str::<Table>(&format!("v = {value}"))
            .ok()
            .and_then(|mut t| t.remove("v"))
            .unwrap_or_else(|| Value::String(value.trim().to_string()));
        put(&mut table, section.trim(), key.trim(), value, &place)?;
    }
    let place = file.map_or(Place::file("the recipe"), Place::file);
    let expected = "a value of the kind in the default recipe";
    table.try_into().map_err(|e: toml::de::Error| Error::bad(place, e.message().to_string(), expected))
}

/// Checks that values lie in 0..1.
///
/// # Errors
/// The first that does not.
pub fn check_shares(place: &Place, values: &[(&str, f64)]) -> Result<()> {
    match values.iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
        Some((name, value)) => Err(Error::bad(place.clone(), format!("{name} = {value}"), "0 or more and less than 1")),
        None => Ok(()),
    }
}

/// Checks that counts are not 0.
///
/// # Errors
/// The first that is.
pub fn check_positive(place: &Place, values: &[(&str, usize)]) -> Result<()> {
    match values.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::bad(place.clone(), format!("{name} is too small"), "1 or more")),
        None => Ok(()),
    }
}

/// Replaces a value that exists; a name that does not is an error with the nearest one that does.
fn put(table: &mut Table, section: &str, key: &str, value: Value, place: &Place) -> Result<()> {
    let unknown = |found: String, name: &str, known: Vec<&str>| {
        let error = Error::bad(place.clone(), found, format!("one of {}", known.join(", ")));
        match nearest(name, known) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    };
    let sections: Vec<String> = table.keys().cloned().collect();
    let Some(values) = table.get_mut(section).and_then(Value::as_table_mut) else {
        let known = sections.iter().map(String::as_str).collect();
        return Err(unknown(format!("unknown table \"{section}\""), section, known));
    };
    match values.get_mut(key) {
        Some(old) => {
            // 1 for 1.0 is what people write
            *old = match (&*old, value) {
                (Value::Float(_), Value::Integer(i)) => Value::Float(i as f64),
                (_, value) => value,
            };
            Ok(())
        }
        None => {
            Err(unknown(format!("unknown key \"{section}.{key}\""), key, values.keys().map(String::as_str).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str]) -> Result<Recipe> {
        Recipe::resolve(None, &settings.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_default_stands_and_single_values_can_be_changed() {
        let recipe =
            set(&["training.seed=3", "input.context=title", "training.learning_rate=2", "training.dropout=0"]).unwrap();
        assert_eq!(recipe.training.seed, 3);
        assert_eq!(recipe.input.context, crate::tokens::Context::Title);
        assert_eq!(recipe.training.learning_rate, 2.0);
        let again: Recipe = toml::from_str(&recipe.to_toml()).unwrap();
        assert_eq!(again, recipe);
    }

    #[test]
    fn unknown_and_impossible_values_are_refused_by_name() {
        let message = |setting: &str| set(&[setting]).unwrap_err().to_string();
        assert!(message("training.learningrate=1").contains("did you mean \"learning_rate\"?"));
        assert!(message("trainig.seed=1").contains("did you mean \"training\"?"));
        assert!(message("training.seed").contains("table.key=value"));
        assert!(message("training.dropout=1.5").contains("training.dropout = 1.5; expected 0 or more and less than 1"));
        assert!(
            set(&["training.term_dropout=0.1", "model.lexicon=false"]).is_err()
                && set(&["training.term_dropout=0.1"]).is_ok()
        );
        assert!(message("training.seed=many").contains("invalid type"), "{}", message("training.seed=many"));
        assert!(message("model.num_attention_heads=5").contains("hidden_size = 128 with num_attention_heads = 5"));
    }
}
