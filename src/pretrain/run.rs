//! The pre-training loop, and the base it leaves.

use super::corpus::Corpus;
use super::masking::Words;
use super::objective::{MaskedLanguageModel, gradients, perplexity, weight_table};
use super::recipe::PretrainRecipe;
use super::sampler::{Cursor, Sampler, sequence};
use crate::error::{Error, Result};
use crate::model::{Config, Replica, Weights, Workspace, plain};
use crate::model_dir::{self, ConfigJson, Contents};
use crate::schema::Schema;
use crate::tokens::{Context, Encoded, InputConfig, Tokenizer};
use crate::train::batches::mix;
use crate::train::checkpoint::{Checkpoint, Exact};
use crate::train::journal::{Journal, STEPS_A_POINT};
use crate::train::run::hash_weights;
use crate::train::step::recycle;
use candle_core::{Device, Var};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where a pre-training stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainProgress {
    /// Where the drawing of sequences stands.
    pub cursor: Cursor,
    /// Tokens seen.
    pub n_tokens: u64,
    /// Sum of the losses since the last measurement.
    #[serde(default)]
    pub loss_sum: Exact,
    /// How many they are.
    #[serde(default)]
    pub n_losses: u64,
    /// One entry a measurement.
    pub history: Vec<Measurement>,
    /// Tokens a second before each measurement: apart, because it is the only thing that is not the same in every run.
    #[serde(default)]
    pub tokens_per_second: Vec<Option<f64>>,
}

/// Loss and perplexity at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Steps taken.
    pub step: u64,
    /// Tokens seen.
    pub n_tokens: u64,
    /// Mean loss since the measurement before, in nats a hidden token.
    pub loss: f64,
    /// Learning rate of the last step.
    #[serde(default)]
    pub learning_rate: f64,
    /// Perplexity on held-out lines by language.
    pub perplexity: BTreeMap<String, f64>,
}

/// What the loop tells while it runs.
pub enum PretrainEvent<'a> {
    /// A step is done.
    Step {
        /// Steps taken.
        step: u64,
        /// Steps of the whole run.
        n_steps: u64,
        /// Loss of this step.
        loss: f64,
        /// Tokens of this step.
        n_tokens: usize,
        /// Tokens a second since the start or the last measurement, without the time that measuring takes.
        tokens_per_second: f64,
    },
    /// Perplexity was measured and a checkpoint written.
    Measured(&'a Measurement),
}

/// What to train on and where to put it.
pub struct PretrainOptions<'a> {
    /// The recipe.
    pub recipe: &'a PretrainRecipe,
    /// The text.
    pub corpus: &'a Corpus,
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Names of the sources, for the card.
    pub sources: &'a [String],
    /// What the weights to go on from are called, for the card.
    pub start_name: Option<String>,
    /// The base's folder.
    pub output: PathBuf,
    /// Weights to go on from, such as a base's that shall learn other text; empty to start from nothing.
    pub start: Weights,
    /// Go on where an earlier run with the same recipe stopped; the number of steps may be another.
    pub resume: bool,
    /// Threads; changes the time only.
    pub workers: usize,
    /// Where the network computes; on another device than the CPU sums may be added in another order from run to run.
    pub device: Device,
}

/// Trains and writes the base; checkpoint, metrics.jsonl and TensorBoard events lie in `OUTPUT.training` beside it.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` is set, after a checkpoint; failing tensors; files that cannot be written.
pub fn pretrain(
    options: &PretrainOptions<'_>,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(PretrainEvent<'_>),
) -> Result<()> {
    let (recipe, tokenizer) = (options.recipe, options.tokenizer);
    let t = &recipe.training;
    let config = recipe.model.encoder(tokenizer.vocab_size());
    let folder = crate::train::run::training_folder(&options.output);
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let path = folder.join("checkpoint.safetensors");
    let fingerprint = fingerprint(options);
    let resumed: Option<Checkpoint<PretrainProgress>> =
        if options.resume { Checkpoint::load(&path, &fingerprint)? } else { None };
    let mut state = match resumed {
        Some(checkpoint) => checkpoint,
        None => {
            let mut weights = Weights::fresh(&weight_table(&config), t.seed)?;
            for (name, fresh) in &mut weights.0 {
                // A base without a language model's head learns one anew.
                if options.start.0.contains_key(name) {
                    *fresh = options.start.get(name, fresh.dims(), Path::new(model_dir::WEIGHTS))?;
                }
            }
            let cursor = Cursor { state: mix(&[t.seed, 3]), ..Default::default() };
            let progress = PretrainProgress { cursor, ..Default::default() };
            Checkpoint { fingerprint, progress, weights, optimizer: Default::default(), best: None }
        }
    };
    let weights = variables(&state.weights)?;
    let is_here = !plain::is_meant_on(&options.device);
    let replica = if is_here { None } else { Some(Replica::new(&weights, &options.device)?) };
    let trained = replica.as_ref().map_or_else(|| weights.clone(), Replica::weights);
    let network = MaskedLanguageModel::new(&config, &trained)?;
    let words = Words::new(tokenizer);
    let held_out = held_out(options);
    let (course, adamw) = (recipe.course(), recipe.adamw());
    let mut sampler = Sampler::new(options.corpus, &recipe.data, t.seed, state.progress.cursor.clone());
    let mut journal = Journal::open(&folder, &NO_HEADS)?;
    journal.metrics(&metrics_lines(&state.progress))?; // a kill may have come between the checkpoint and its line
    let mut clock = (Instant::now(), 0u64);
    let workspaces = if is_here { Workspace::for_workers(t.precision, t.shards) } else { vec![None] };
    let network_workers = if is_here { options.workers } else { 1 };
    if state.optimizer.step >= t.steps {
        // A kill may have come between the last checkpoint and the base.
        write_base(options, &config, &weights, &state.progress)?;
    }
    while state.optimizer.step < t.steps {
        let step = state.optimizer.step;
        let batch = sampler.batch(t.batch_tokens, tokenizer);
        let settings = (t.mask_rate, t.dropout, workspaces.as_slice());
        let (loss, gradients) =
            gradients(&network, &trained, &words, &batch, settings, mix(&[t.seed, 4, step]), network_workers)?;
        if !loss.is_finite() {
            return Err(Error::Usage(format!("the loss became {loss} at step {step}; lower training.learning_rate")));
        }
        let learning_rate = course.learning_rate(step, t.steps);
        state.optimizer.step(&weights, &gradients, learning_rate, config.num_hidden_layers, &adamw, options.workers)?;
        replica.as_ref().map_or(Ok(()), |replica| replica.refresh(&weights))?;
        recycle(gradients, &workspaces);
        let n_tokens = batch.iter().map(|e| e.ids.len()).sum();
        let progress = &mut state.progress;
        (progress.n_tokens, clock.1) = (progress.n_tokens + n_tokens as u64, clock.1 + n_tokens as u64);
        (progress.loss_sum, progress.n_losses) = (Exact(progress.loss_sum.0 + loss), progress.n_losses + 1);
        let tokens_per_second = clock.1 as f64 / clock.0.elapsed().as_secs_f64();
        on_event(PretrainEvent::Step { step: step + 1, n_steps: t.steps, loss, n_tokens, tokens_per_second });
        if (step + 1).is_multiple_of(STEPS_A_POINT) {
            let rates = [("train/learning_rate", learning_rate), ("train/tokens_per_second", tokens_per_second)];
            journal.scalars(step + 1, &[&[("train/loss", loss)][..], &rates].concat())?;
        }
        let stopping = stop.load(Ordering::Relaxed);
        let measuring = (step + 1).is_multiple_of(t.evaluate_every) || step + 1 == t.steps;
        if measuring {
            let mut by_language = BTreeMap::new();
            for (language, sequences) in &held_out {
                if let Some(value) = perplexity(&network, &words, sequences, t.mask_rate, network_workers)? {
                    by_language.insert(language.clone(), value);
                }
            }
            let tag = |(language, value): (&String, &f64)| (format!("perplexity/{language}"), *value);
            let points: Vec<(String, f64)> = by_language.iter().map(tag).collect();
            let progress = &mut state.progress;
            let loss = progress.loss_sum.0 / progress.n_losses as f64;
            let (n_tokens, perplexity) = (progress.n_tokens, by_language);
            progress.history.push(Measurement { step: step + 1, n_tokens, loss, learning_rate, perplexity });
            progress.tokens_per_second.resize(progress.history.len() - 1, None);
            progress.tokens_per_second.push(Some(tokens_per_second.round()));
            (progress.loss_sum, progress.n_losses) = (Exact(0.0), 0);
            journal.scalars(step + 1, &points)?;
        }
        if measuring || stopping {
            state.progress.cursor = sampler.cursor.clone();
            state.weights = weights.clone();
            state.save(&path)?;
        }
        if measuring {
            journal.metrics(&metrics_lines(&state.progress))?;
            on_event(PretrainEvent::Measured(&state.progress.history[state.progress.history.len() - 1]));
            write_base(options, &config, &weights, &state.progress)?;
            clock = (Instant::now(), 0);
        }
        if stopping {
            return Err(Error::Interrupted);
        }
    }
    Ok(())
}

/// A base tags nothing.
const NO_HEADS: Schema = Schema { version: 1, heads: Vec::new(), never: Vec::new() };

/// The lines of metrics.jsonl: a measurement each, and how fast it went.
fn metrics_lines(progress: &PretrainProgress) -> Vec<String> {
    let line = |(i, measurement): (usize, &Measurement)| {
        let mut line = serde_json::to_value(measurement).expect("measurements are plain data");
        line["tokens_per_second"] = progress.tokens_per_second.get(i).copied().flatten().into();
        line.to_string()
    };
    progress.history.iter().enumerate().map(line).collect()
}

/// Writes the base as it stands: it can be fine-tuned while the training goes on.
fn write_base(
    options: &PretrainOptions<'_>,
    config: &Config,
    weights: &Weights,
    progress: &PretrainProgress,
) -> Result<()> {
    let name = options.output.file_name().map_or("base".into(), |n| n.to_string_lossy().into_owned());
    let input = InputConfig { max_tokens: options.recipe.data.max_tokens, context: Context::Previous };
    let config = ConfigJson::new(&name, config.clone(), input, &NO_HEADS, &[]);
    let metrics = serde_json::to_string_pretty(&progress.history).expect("measurements are plain data");
    let texts = vec![
        ("pretrain.toml".to_string(), options.recipe.to_toml()),
        ("metrics.json".into(), format!("{metrics}\n")),
        ("README.md".into(), card(&name, options, weights, progress)),
    ];
    let storage = options.recipe.model.weights_dtype;
    let contents =
        Contents { config: &config, weights, ngrams: None, storage, tokenizer: options.tokenizer.bytes(), texts };
    model_dir::write(&options.output, &contents)
}

fn card(name: &str, options: &PretrainOptions<'_>, weights: &Weights, progress: &PretrainProgress) -> String {
    let (m, t) = (&options.recipe.model, &options.recipe.training);
    let mut card = format!(
        "# {name}\n\nAn encoder of {} layers of {} ({} parameters with embeddings and head), pre-trained to fill in hidden words \
         ({} % of the words) on {} tokens. It tags nothing by itself; `rasid train --base` starts from it. Recipe: `pretrain.toml`.\n\n\
         | language | held-out perplexity |\n|---|---|\n",
        m.num_hidden_layers,
        m.hidden_size,
        weights.n_parameters(),
        t.mask_rate * 100.0,
        progress.n_tokens
    );
    for (language, value) in progress.history.last().map(|m| &m.perplexity).into_iter().flatten() {
        card.push_str(&format!("| {language} | {value:.1} |\n"));
    }
    if let Some(start) = &options.start_name {
        card.push_str(&format!("\nIt went on from `{start}`, whose own tokens are not among these.\n"));
    }
    card.push_str("\nText: ");
    card.push_str(&options.sources.join(", "));
    card.push_str(".\n");
    card
}

fn held_out(options: &PretrainOptions<'_>) -> BTreeMap<String, Vec<Encoded>> {
    let max_tokens = options.recipe.data.max_tokens;
    let sequences = |lines: &super::corpus::Lines| {
        (0..lines.len()).map(|i| sequence(lines.line(i), None, max_tokens, options.tokenizer)).collect()
    };
    options.corpus.held_out.iter().map(|(language, lines)| (language.clone(), sequences(lines))).collect()
}

fn variables(weights: &Weights) -> Result<Weights> {
    let variable = |(name, t): (&String, &candle_core::Tensor)| {
        Ok((name.clone(), Var::from_tensor(&t.detach().copy()?)?.into_inner()))
    };
    Ok(Weights(weights.0.iter().map(variable).collect::<Result<_>>()?))
}

fn fingerprint(options: &PretrainOptions<'_>) -> String {
    // A run may be prolonged or cut short: the number of steps changes the learning rate from here on, nothing before.
    let mut recipe = options.recipe.clone();
    recipe.training.steps = 0;
    let mut hash = Sha256::new();
    hash.update(recipe.to_toml());
    hash.update(options.tokenizer.bytes());
    hash_weights(&mut hash, &options.start);
    for (language, lines) in &options.corpus.train {
        hash.update(format!("{language} {} {}", lines.len(), lines.n_tokens()));
    }
    let parallel = &options.corpus.parallel;
    let n_versions: usize = (0..parallel.len()).map(|i| parallel.n_versions(i)).sum();
    hash.update(format!("{} {n_versions}", parallel.len()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Where the token cache of a base lies unless told otherwise.
pub fn default_cache(output: &Path) -> PathBuf {
    crate::train::run::training_folder(output).join("tokens")
}
