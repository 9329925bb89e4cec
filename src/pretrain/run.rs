//! The pre-training loop, and the base it leaves.

use super::corpus::{Corpus, Cursor, Sampler, sequence};
use super::masking::Words;
use super::objective::{MaskedLanguageModel, gradients, perplexity, weight_table};
use super::recipe::PretrainRecipe;
use crate::error::{Error, Result};
use crate::model::{Config, Weights, Workspace};
use crate::model_dir::{self, ConfigJson, Contents};
use crate::schema::Schema;
use crate::tokens::{Context, Encoded, InputConfig, Tokenizer};
use crate::train::batches::mix;
use crate::train::checkpoint::Checkpoint;
use crate::train::recipe::WeightsDtype;
use crate::train::step::recycle;
use candle_core::{DType, Var};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a pre-training stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainProgress {
    /// Where the drawing of sequences stands.
    pub cursor: Cursor,
    /// Tokens seen.
    pub n_tokens: u64,
    /// One entry a measurement.
    pub history: Vec<Measurement>,
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
    /// Names of the sources with their numbers of bytes, for the card.
    pub sources: &'a [String],
    /// The base's folder.
    pub output: PathBuf,
    /// Go on where an earlier run with the same recipe stopped; the number of steps may be another.
    pub resume: bool,
    /// Threads; changes the time only.
    pub workers: usize,
}

/// Trains and writes the base; the checkpoint lies in `OUTPUT.training` beside it.
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
            let weights = Weights::fresh(&weight_table(&config), t.seed)?;
            let cursor = Cursor { state: mix(&[t.seed, 3]), drawn: BTreeMap::new() };
            let progress = PretrainProgress { cursor, ..Default::default() };
            Checkpoint { fingerprint, progress, weights, optimizer: Default::default(), best: None }
        }
    };
    let weights = variables(&state.weights)?;
    let network = MaskedLanguageModel::new(&config, &weights)?;
    let words = Words::new(tokenizer);
    let held_out = held_out(options);
    let (course, adamw) = (recipe.course(), recipe.adamw());
    let mut sampler = Sampler::new(options.corpus, &recipe.data, t.seed, state.progress.cursor.clone());
    let workspaces = Workspace::for_workers(t.precision, t.shards);
    let (mut loss_sum, mut n_losses) = (0.0, 0u64);
    while state.optimizer.step < t.steps {
        let step = state.optimizer.step;
        let batch = sampler.batch(t.batch_tokens, tokenizer);
        let settings = (t.mask_rate, t.dropout, workspaces.as_slice());
        let (loss, gradients) =
            gradients(&network, &weights, &words, &batch, settings, mix(&[t.seed, 4, step]), options.workers)?;
        if !loss.is_finite() {
            return Err(Error::Usage(format!("the loss became {loss} at step {step}; lower training.learning_rate")));
        }
        state.optimizer.step(
            &weights,
            &gradients,
            course.learning_rate(step, t.steps),
            config.num_hidden_layers,
            &adamw,
            options.workers,
        )?;
        recycle(gradients, &workspaces);
        let n_tokens = batch.iter().map(|e| e.ids.len()).sum();
        state.progress.n_tokens += n_tokens as u64;
        (loss_sum, n_losses) = (loss_sum + loss, n_losses + 1);
        on_event(PretrainEvent::Step { step: step + 1, n_steps: t.steps, loss, n_tokens });
        let stopping = stop.load(Ordering::Relaxed);
        let measuring = (step + 1).is_multiple_of(t.evaluate_every) || step + 1 == t.steps;
        if measuring {
            let mut by_language = BTreeMap::new();
            for (language, sequences) in &held_out {
                if let Some(value) = perplexity(&network, &words, sequences, t.mask_rate, options.workers)? {
                    by_language.insert(language.clone(), value);
                }
            }
            let loss = loss_sum / n_losses as f64;
            let measurement =
                Measurement { step: step + 1, n_tokens: state.progress.n_tokens, loss, perplexity: by_language };
            (loss_sum, n_losses) = (0.0, 0);
            state.progress.history.push(measurement);
        }
        if measuring || stopping {
            state.progress.cursor = sampler.cursor.clone();
            state.weights = weights.clone();
            state.save(&path)?;
        }
        if measuring {
            on_event(PretrainEvent::Measured(&state.progress.history[state.progress.history.len() - 1]));
            write_base(options, &config, &weights, &state.progress)?;
        }
        if stopping {
            return Err(Error::Interrupted);
        }
    }
    Ok(())
}

/// Writes the base as it stands: it can be fine-tuned while the training goes on.
fn write_base(
    options: &PretrainOptions<'_>,
    config: &Config,
    weights: &Weights,
    progress: &PretrainProgress,
) -> Result<()> {
    let name = options.output.file_name().map_or("base".into(), |n| n.to_string_lossy().into_owned());
    let no_heads = Schema { version: 1, heads: Vec::new() };
    let input = InputConfig { max_tokens: options.recipe.data.max_tokens, context: Context::Previous };
    let config = ConfigJson::new(&name, config.clone(), input, &no_heads, &[]);
    let metrics = serde_json::to_string_pretty(&progress.history).expect("measurements are plain data");
    let texts = vec![
        ("pretrain.toml", options.recipe.to_toml()),
        ("metrics.json", format!("{metrics}\n")),
        ("README.md", card(&name, options, weights, progress)),
    ];
    let dtype = match options.recipe.model.weights_dtype {
        WeightsDtype::F16 => DType::F16,
        WeightsDtype::F32 => DType::F32,
    };
    let contents = Contents { config: &config, weights, dtype, tokenizer: options.tokenizer.bytes(), texts };
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
    for (language, lines) in &options.corpus.train {
        hash.update(format!("{language} {} {}", lines.len(), lines.n_tokens()));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Where the token cache of a base lies unless told otherwise.
pub fn default_cache(output: &Path) -> PathBuf {
    crate::train::run::training_folder(output).join("tokens")
}
