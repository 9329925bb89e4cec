//! The training loop, top to bottom, in the order things happen.

use super::batches::{Hiding, Item, class_weights, epoch_order, mix};
use super::checkpoint::{Checkpoint, Exact};
use super::counterfactual::Rules;
use super::optimizer::is_frozen;
use super::recipe::{ClassWeights, Recipe};
use super::soft::SoftExample;
use super::step::{Objective, recycle};
use super::typos::mistyped_items;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::kernels::cross_entropy::CrossEntropy;
use crate::metrics::counts::{Confusion, Over, mean_defined};
use crate::model::{Classifier, Config, Engine, NumberFormat, StoredWeights, Weights, Workspace};
use crate::model_dir::Model;
use crate::schema::Schema;
use crate::tokens::Tokenizer;
use serde::Serialize;
use std::borrow::Borrow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What one epoch did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over the steps of the epoch.
    pub loss: f64,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Macro F1 of each head on the dev set, over classes that occur there; none without a dev set.
    pub dev_macro_f1: Vec<Option<f64>>,
    /// Mean of these: what the best epoch is chosen by.
    pub dev_score: Option<f64>,
}

impl EpochReport {
    /// Its line of metrics.jsonl.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }
}

/// What the loop tells while it runs.
pub enum Event<'a> {
    /// A step is done.
    Step {
        /// Epoch under way, from 1.
        epoch: usize,
        /// Steps taken so far in all.
        step: u64,
        /// Steps of the whole run.
        n_steps: u64,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Norm of the gradient before clipping.
        gradient_norm: f64,
        /// Learning rate of this step.
        learning_rate: f64,
        /// Tokens of this step.
        n_tokens: usize,
    },
    /// An epoch is done.
    Epoch {
        /// What it did.
        report: &'a EpochReport,
        /// No epoch before reached as high a score.
        is_best: bool,
    },
}

/// Everything a run needs, checked.
pub struct Run<'a> {
    /// Hyperparameters.
    pub recipe: &'a Recipe,
    /// The questions.
    pub schema: &'a Schema,
    /// Splits text into ids.
    pub tokenizer: &'a Arc<Tokenizer>,
    /// Sizes of the network.
    pub config: &'a crate::model::Config,
    /// Sentences that other models have tagged, to learn from beside the labelled ones.
    pub soft: &'a [SoftExample],
    /// How sentences with other actors are made; none for none.
    pub rules: Option<&'a Rules>,
    /// Threads; changes the time only.
    pub workers: usize,
    /// Where checkpoints go, with the run's fingerprint; none keeps everything in memory.
    pub checkpoint: Option<(PathBuf, String)>,
    /// Set from outside to stop after the step under way.
    pub stop: &'a AtomicBool,
}

/// The network that a run ended with.
pub struct Fitted {
    /// Weights of the best epoch on dev, or of the last where there is no dev set.
    pub best: Weights,
    /// Weights of the last epoch.
    pub last: Weights,
    /// The epoch `best` comes from, from 1.
    pub best_epoch: usize,
    /// One report an epoch, as lines of JSON.
    pub history: Vec<String>,
}

/// Time between two checkpoints inside an epoch.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Trains from `start` (or from `resumed`) and returns the weights of the best epoch.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` is set, after a checkpoint was written; a loss that is no number; failing
    /// tensors; a checkpoint that cannot be written.
    pub fn fit<E: Borrow<Example> + Sync>(
        &self,
        start: Weights,
        resumed: Option<Checkpoint>,
        train: &[E],
        dev: &[E],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Fitted> {
        let recipe = &self.recipe.training;
        let (course, adamw) = (recipe.course(), recipe.adamw());
        let (tokenizer, input) = (self.tokenizer.as_ref(), &self.recipe.input);
        let mut items = super::batches::items(train, tokenizer, input)?;
        items.extend(super::batches::soft_items(self.soft, tokenizer, input)?);
        let objective = self.objective(train);
        let fingerprint = self.checkpoint.as_ref().map(|(_, f)| f.clone()).unwrap_or_default();
        let (mut state, weights) = match resumed {
            Some(checkpoint) => {
                let weights = as_variables(&checkpoint.weights, self.recipe, self.config.num_hidden_layers)?;
                (checkpoint, weights)
            }
            None => {
                let weights = as_variables(&start, self.recipe, self.config.num_hidden_layers)?;
                let (progress, optimizer) = (Default::default(), Default::default());
                (Checkpoint { fingerprint, progress, weights: Weights::default(), optimizer, best: None }, weights)
            }
        };
        let network = Classifier::new(self.config, &heads(self.schema), &weights, "the network in training".as_ref())?;
        let of_a_step = recipe.batch_size * recipe.gradient_accumulation_steps;
        let steps_per_epoch = items.len().div_ceil(of_a_step);
        let n_steps = (steps_per_epoch * recipe.epochs) as u64;
        let save = |state: &mut Checkpoint| -> Result<()> {
            let Some((path, _)) = &self.checkpoint else { return Ok(()) };
            state.weights = weights.clone();
            state.save(path)
        };
        let mut saved = Instant::now();

        while state.progress.epoch < recipe.epochs && !self.out_of_patience(&state) {
            let epoch = state.progress.epoch + 1;
            if recipe.typo_rate > 0.0 {
                let draw = (recipe.seed, epoch);
                let mistyped = mistyped_items(train, recipe.typo_rate, draw, (tokenizer, input), self.workers)?;
                items.splice(..train.len(), mistyped);
            }
            let order = epoch_order(items.len(), recipe.seed, epoch);
            // ---- the steps of the epoch
            for indices in order.chunks(of_a_step).skip(state.progress.step_in_epoch) {
                let batch: Vec<&Item> = indices.iter().map(|i| &items[*i]).collect();
                let step = state.optimizer.step;
                let lr = course.learning_rate(step, n_steps);
                let seed = mix(&[recipe.seed, 2, step]);
                let batches: Vec<&[&Item]> = batch.chunks(recipe.batch_size).collect();
                let (loss, gradients) = objective.accumulated(&network, &weights, &batches, seed, self.workers)?;
                if !loss.is_finite() {
                    return Err(Error::Usage(format!(
                        "the loss became {loss} at step {step}; lower training.learning_rate ({})",
                        recipe.learning_rate
                    )));
                }
                let n_layers = self.config.num_hidden_layers;
                let gradient_norm = state.optimizer.step(&weights, &gradients, lr, n_layers, &adamw, self.workers)?;
                recycle(gradients, &objective.workspaces);
                state.progress.step_in_epoch += 1;
                state.progress.loss_sum.0 += loss;
                let mean_loss = state.progress.loss_sum.0 / state.progress.step_in_epoch as f64;
                let n_tokens = batch.iter().map(|item| item.encoded.ids.len()).sum();
                on_event(Event::Step {
                    epoch,
                    step: step + 1,
                    n_steps,
                    loss: mean_loss,
                    gradient_norm,
                    learning_rate: lr,
                    n_tokens,
                });
                // ---- once in a while
                if self.stop.load(Ordering::Relaxed) {
                    save(&mut state)?;
                    return Err(Error::Interrupted);
                }
                if saved.elapsed() > BETWEEN_CHECKPOINTS {
                    save(&mut state)?;
                    saved = Instant::now();
                }
            }
            // ---- the end of the epoch: score, keep the best, save
            let (dev_macro_f1, dev_score) = self.score(&weights, dev)?;
            let loss = state.progress.loss_sum.0 / state.progress.step_in_epoch.max(1) as f64;
            // Not from the loop: a run resumed at the end of an epoch takes no step in it.
            let learning_rate = course.learning_rate(state.optimizer.step.saturating_sub(1), n_steps);
            let report = EpochReport { epoch, loss, learning_rate, dev_macro_f1, dev_score };
            let is_best = match (dev_score, state.progress.best_score) {
                (Some(score), Some(Exact(best))) => score > best,
                _ => true,
            };
            if is_best {
                (state.progress.best_score, state.progress.best_epoch) = (dev_score.map(Exact), epoch);
                state.best = Some(copy(&weights)?);
            }
            state.progress.history.push(report.to_json());
            (state.progress.epoch, state.progress.step_in_epoch, state.progress.loss_sum) = (epoch, 0, Exact(0.0));
            save(&mut state)?;
            saved = Instant::now();
            on_event(Event::Epoch { report: &report, is_best });
        }
        let last = copy(&weights)?;
        let best = state.best.unwrap_or_else(|| last.clone());
        Ok(Fitted { best, last, best_epoch: state.progress.best_epoch, history: state.progress.history })
    }

    /// The loss of every head for this train split, and what is hidden while training.
    pub fn objective<E: Borrow<Example>>(&self, train: &[E]) -> Objective {
        let recipe = &self.recipe.training;
        let exponent = match recipe.class_weights {
            ClassWeights::None => 0.0,
            ClassWeights::Sqrt => 0.5,
            ClassWeights::Inverse => 1.0,
        };
        let loss = |class_weights| CrossEntropy { class_weights, label_smoothing: recipe.label_smoothing };
        let special = self.tokenizer.special();
        let workspace = |_| Some(Arc::new(Workspace::new(recipe.precision).recomputing(recipe.gradient_checkpointing)));
        Objective {
            losses: class_weights(self.schema, train, exponent).into_iter().map(loss).collect(),
            dropout: recipe.dropout,
            hiding: Hiding { token_rate: recipe.token_dropout, term_rate: recipe.term_dropout },
            mask: special.mask,
            specials: special.marks(),
            workspaces: (0..recipe.shards).map(workspace).collect(),
        }
    }

    fn out_of_patience(&self, state: &Checkpoint) -> bool {
        let (progress, patience) = (&state.progress, self.recipe.training.patience);
        patience > 0 && progress.best_score.is_some() && progress.epoch >= progress.best_epoch + patience
    }

    /// Macro F1 of each head on the dev set, and their mean.
    fn score<E: Borrow<Example>>(&self, weights: &Weights, dev: &[E]) -> Result<(Vec<Option<f64>>, Option<f64>)> {
        if dev.is_empty() {
            return Ok((vec![None; self.schema.heads.len()], None));
        }
        let (schema, tokenizer) = (self.schema.clone(), self.tokenizer.clone());
        let mut model =
            Model::new("", schema, tokenizer, self.recipe.input, engine(self.config, self.schema, weights)?);
        model.workers = self.workers;
        let inputs: Vec<_> = dev.iter().map(|e| e.borrow().input()).collect();
        let predictions = crate::article::Classify::classify(&model, &inputs)?;
        let macro_f1 = self.schema.heads.iter().enumerate().map(|(h, head)| {
            let mut confusion = Confusion::new(head.classes.len());
            for (example, prediction) in dev.iter().zip(&predictions) {
                if let Some(gold) = example.borrow().labels[h] {
                    confusion.add(gold, prediction.tags[h].label, 1);
                }
            }
            confusion.macro_average(Over::Supported).f1
        });
        let macro_f1: Vec<Option<f64>> = macro_f1.collect();
        let mean = mean_defined(macro_f1.iter().copied());
        Ok((macro_f1, mean))
    }
}

/// The network in use, in f32, with the weights as they stand.
///
/// # Errors
/// A weight is missing or has another shape than the configuration says.
pub fn engine(config: &Config, schema: &Schema, weights: &Weights) -> Result<Engine> {
    let weights = StoredWeights::from_tensors(&weights.merged(config.architecture.lora)?)?;
    Engine::new(config, &heads(schema), &weights, NumberFormat::F32, "the trained network".as_ref())
}

/// Names and sizes of the heads.
pub fn heads(schema: &Schema) -> Vec<(String, usize)> {
    schema.heads.iter().map(|h| (h.name.clone(), h.classes.len())).collect()
}

/// Fresh variables with the values of `weights`; frozen ones are plain tensors, which receive no gradient.
pub fn as_variables(weights: &Weights, recipe: &Recipe, n_layers: usize) -> Result<Weights> {
    let variable = |(name, tensor): (&String, &candle_core::Tensor)| {
        let training = &recipe.training;
        if is_frozen(name, n_layers, training.frozen_layers, training.lora_rank > 0) {
            return Ok((name.clone(), tensor.detach())); // shared: a large base is held once
        }
        Ok((name.clone(), candle_core::Var::from_tensor(&tensor.detach().copy()?)?.into_inner()))
    };
    Ok(Weights(weights.0.iter().map(variable).collect::<Result<_>>()?))
}

/// The weights as they stand; what does not learn is shared.
fn copy(weights: &Weights) -> Result<Weights> {
    let copy = |t: &candle_core::Tensor| if t.is_variable() { t.detach().copy() } else { Ok(t.clone()) };
    let copies = weights.0.iter().map(|(name, t)| Ok((name.clone(), copy(t)?)));
    Ok(Weights(copies.collect::<Result<_>>()?))
}
