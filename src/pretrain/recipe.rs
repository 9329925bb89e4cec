//! The recipe of a pre-training.

use crate::error::{Place, Result};
use crate::model::mode::Precision;
use crate::train::optimizer::AdamW;
use crate::train::recipe::{ModelRecipe, Schedule, resolve};
use crate::train::schedule::Course;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The shipped recipe, with its comments.
pub const DEFAULT: &str = include_str!("../../models/recipes/pretrain.toml");

/// Everything that decides what a pre-training gives, beside the text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainRecipe {
    /// Sizes of the network.
    pub model: ModelRecipe,
    /// How text becomes sequences.
    pub data: DataRecipe,
    /// How it learns.
    pub training: PretrainTraining,
}

/// Table `[data]`; meanings in models/recipes/pretrain.toml.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    pub max_tokens: usize,
    pub language_exponent: f64,
    pub previous_line: f64,
    pub held_out_lines: usize,
    pub parallel: Vec<String>,
    pub parallel_share: f64,
}

/// Table `[training]`; meanings in models/recipes/pretrain.toml.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainTraining {
    pub seed: u64,
    pub steps: u64,
    pub batch_tokens: usize,
    pub learning_rate: f64,
    pub min_learning_rate: f64,
    pub warmup_ratio: f64,
    pub schedule: Schedule,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub max_grad_norm: f64,
    pub mask_rate: f64,
    pub dropout: f32,
    pub precision: Precision,
    pub shards: usize,
    pub evaluate_every: u64,
}

impl PretrainRecipe {
    /// The default recipe, then the values of `file`, then `overrides` like `training.steps=100`.
    ///
    /// # Errors
    /// As [`resolve`]; a size that cannot be.
    pub fn resolve(file: Option<&Path>, overrides: &[String]) -> Result<PretrainRecipe> {
        let recipe: PretrainRecipe = resolve(DEFAULT, file, overrides)?;
        let place = file.map_or(Place::file("the recipe"), Place::file);
        let t = &recipe.training;
        crate::train::recipe::check_shares(
            &place,
            &[
                ("training.mask_rate", t.mask_rate),
                ("training.dropout", f64::from(t.dropout)),
                ("training.beta1", t.beta1),
                ("training.beta2", t.beta2),
                ("data.parallel_share", recipe.data.parallel_share),
            ],
        )?;
        crate::train::recipe::check_positive(
            &place,
            &[
                ("training.steps", t.steps as usize),
                ("training.batch_tokens", t.batch_tokens),
                ("training.shards", t.shards),
                ("training.evaluate_every", t.evaluate_every as usize),
                ("data.max_tokens", recipe.data.max_tokens / 8),
            ],
        )?;
        recipe.model.check(&place)?;
        Ok(recipe)
    }

    /// The optimiser's settings.
    pub fn adamw(&self) -> AdamW {
        let t = &self.training;
        AdamW {
            weight_decay: t.weight_decay,
            beta1: t.beta1,
            beta2: t.beta2,
            eps: t.eps,
            max_grad_norm: t.max_grad_norm,
            layer_decay: 1.0,
            precision: t.precision,
        }
    }

    /// The course of the learning rate.
    pub fn course(&self) -> Course {
        let t = &self.training;
        Course {
            peak: t.learning_rate,
            minimum: t.min_learning_rate,
            warmup_ratio: t.warmup_ratio,
            schedule: t.schedule,
        }
    }

    /// The recipe as TOML text.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_of_the_last_part_fits() {
        let last = PretrainRecipe::resolve(Some(Path::new("models/recipes/pretrain_last.toml")), &[]).unwrap();
        let whole = PretrainRecipe::resolve(None, &[]).unwrap();
        assert_eq!(crate::pretrain::grow::fault(&whole.model.encoder(1), &last.model.encoder(1)), None);
        assert_eq!(last.data, whole.data);
        assert!(last.training.learning_rate < whole.training.learning_rate);
    }
}
