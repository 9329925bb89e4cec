//! From options to a model directory: what `rasid train` does, as a function.

use super::batches::items;
use super::calibrate::{mixture, temperature};
use super::card::Card;
use super::checkpoint::Checkpoint;
use super::counterfactual::{Rules, counterfactuals};
use super::fit::{Event, Run, engine, heads};
use super::journal::Journal;
use super::preflight::{check_data, check_gradients, check_tags};
use super::recipe::Recipe;
use super::soft::SoftExample;
use crate::article::Classify;
use crate::baseline::{Kinds, Tfidf};
use crate::dataset::{Example, Split, write_examples};
use crate::error::{Error, Place, Result};
use crate::lexicon::{Lexicon, LexiconFiles};
use crate::metrics::evaluation::Evaluation;
use crate::model::weights::{LEXICON_EMBEDDINGS, LORA_A, LORA_B, encoder_table, head_table};
use crate::model::{Config, NumberFormat, Weights};
use crate::model_dir::{self, BaseFiles, ConfigJson, Contents, Model};
use crate::schema::Schema;
use crate::tokens::Tokenizer;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a run starts from.
pub struct Base {
    /// How it is called in the card; none for a network from nothing.
    pub name: Option<String>,
    /// Sizes.
    pub config: Config,
    /// Its family, and the config.json of the program that made it where that is another.
    pub family: (String, Option<Map<String, Value>>),
    /// Weights of the base; empty for a network from nothing.
    pub weights: Weights,
    /// Tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// What is known of words beside what is learned.
    pub lexicon: Option<Arc<Lexicon>>,
}

/// What to train and where to put it.
pub struct Options<'a> {
    /// The questions.
    pub schema: &'a Schema,
    /// The resolved recipe.
    pub recipe: Recipe,
    /// What to start from.
    pub base: Base,
    /// All labelled sentences; those of split test are not looked at.
    pub examples: &'a [Example],
    /// Sentences that other models have tagged.
    pub soft: &'a [SoftExample],
    /// How sentences with other actors are made; none for none.
    pub rules: Option<&'a Rules>,
    /// The model directory to write.
    pub output: PathBuf,
    /// Go on where an earlier run with the same options stopped.
    pub resume: bool,
    /// Threads; changes the time only.
    pub workers: usize,
}

/// What came of it.
pub struct Trained {
    /// The model as stored, calibrated.
    pub model: Model,
    /// Its scores on dev, where there is a dev set.
    pub evaluation: Option<Evaluation>,
    /// The epoch chosen, from 1.
    pub best_epoch: usize,
}

/// A network and the epoch it was taken from, without files.
pub struct Prepared {
    /// The model, calibrated on dev.
    pub model: Model,
    /// Its weights as stored.
    pub weights: Weights,
    /// The weights of the last epoch.
    pub last: Weights,
    /// The epoch chosen, from 1.
    pub best_epoch: usize,
    /// Sentences that were made from those of train, with other actors.
    pub counterfactuals: Vec<Example>,
}

/// The base for `--base none`: sizes from the recipe, the tokenizer given.
pub fn from_nothing(recipe: &Recipe, tokenizer: Tokenizer, lexicon: Option<Arc<Lexicon>>) -> Base {
    let config = recipe.model.encoder(tokenizer.vocab_size());
    let family = ("rasid".into(), None);
    Base::new(None, config, family, Weights::default(), tokenizer, lexicon.filter(|_| recipe.model.lexicon))
}

impl Base {
    fn new(
        name: Option<String>,
        mut config: Config,
        family: (String, Option<Map<String, Value>>),
        weights: Weights,
        tokenizer: Tokenizer,
        lexicon: Option<Arc<Lexicon>>,
    ) -> Base {
        config.lexicon_types = lexicon.iter().flat_map(|l| l.types()).map(|t| t.name.clone()).collect();
        let tokenizer = Arc::new(tokenizer.with_lexicon(lexicon.clone()));
        Base { name, config, family, weights, tokenizer, lexicon }
    }
}

/// The base for `--base DIR`; the recipe takes over its sizes. Beside it, the weights behind the encoder that it does not have and
/// that are made anew.
///
/// # Errors
/// As [`model_dir::open_base`]; the recipe wants longer inputs than the base reads.
pub fn from_directory(path: &Path, recipe: &mut Recipe, lexicon: Option<Arc<Lexicon>>) -> Result<(Base, Vec<String>)> {
    let BaseFiles { config, weights, tokenizer, mut lacking } = model_dir::open_base(path)?;
    recipe.adopt(&config.encoder);
    let mut encoder = config.encoder;
    match config.theirs {
        None => encoder.classifier_pooling = recipe.model.classifier_pooling,
        // Each family of other programs has its own way, which those programs take too.
        Some(_) if recipe.model.family_head => recipe.model.classifier_pooling = encoder.classifier_pooling,
        Some(_) => {
            encoder = encoder.with_pooling(recipe.model.classifier_pooling);
            lacking.clear(); // all that may lack is of the layer that is left out
        }
    }
    let (max_tokens, longest) = (recipe.input.max_tokens, encoder.max_position_embeddings);
    if max_tokens > longest {
        let found = format!("a base that reads {longest} tokens, with input.max_tokens = {max_tokens}");
        let error = Error::bad(Place::file(path), found, format!("input.max_tokens of at most {longest}"));
        return Err(error.hint(format!("--set input.max_tokens={longest}")));
    }
    let (family, lexicon) = ((config.model_type, config.theirs), lexicon.filter(|_| recipe.model.lexicon));
    Ok((Base::new(Some(config.name), encoder, family, weights, tokenizer, lexicon), lacking))
}

/// The weights that training starts with: the base's where it has one of that name and shape, fresh ones elsewhere. `config` is the
/// base's, perhaps with adapters.
///
/// # Errors
/// The base lacks a weight of the encoder or has one of another shape.
pub fn start_weights(base: &Base, config: &Config, schema: &Schema, seed: u64) -> Result<Weights> {
    let (encoder, classifier) = (encoder_table(config), head_table(config, &heads(schema)));
    let mut weights = Weights::fresh(&encoder, seed)?;
    weights.0.extend(Weights::fresh(&classifier, seed)?.0);
    if base.name.is_some() {
        let path = Path::new(model_dir::WEIGHTS);
        for (name, shape, _) in &encoder {
            // A base need not know the lexicon; the embeddings of its types are then learned from the labels.
            if name.ends_with(LORA_A) || name.ends_with(LORA_B) {
                continue;
            }
            if name == LEXICON_EMBEDDINGS && base.weights.0.get(name).is_none_or(|t| t.dims() != shape.as_slice()) {
                continue;
            }
            weights.0.insert(name.clone(), base.weights.get(name, shape, path)?);
        }
        for (name, shape, _) in &classifier {
            if let Some(known) = base.weights.0.get(name).filter(|t| t.dims() == shape.as_slice()) {
                weights.0.insert(name.clone(), known.clone());
            }
        }
    }
    Ok(weights)
}

/// The network in training: the base's, with the adapters that the recipe wants.
pub fn with_adapters(config: &Config, recipe: &Recipe) -> Config {
    let mut config = config.clone();
    config.architecture.lora = recipe.training.lora();
    config
}

/// Trains and calibrates without writing a file: one fold of a cross-validation, or the heart of [`train`].
///
/// # Errors
/// As [`Run::fit`] and the checks before it.
pub fn prepare(
    run: &Run<'_>,
    base: &Base,
    name: &str,
    resumed: Option<Checkpoint>,
    (train, dev): (&[&Example], &[&Example]),
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Prepared> {
    let start = start_weights(base, run.config, run.schema, run.recipe.training.seed)?;
    check_data(run, train, dev)?;
    let draw = (run.recipe.training.seed, run.workers);
    let made = run.rules.map_or(Vec::new(), |r| counterfactuals(train, run.recipe.training.counterfactuals, r, draw));
    let train: &[&Example] = &train.iter().copied().chain(&made).collect::<Vec<_>>();
    check_gradients(run, &start, train)?;
    let fitted = run.fit(start, resumed, train, dev, on_event)?;
    // What is calibrated and scored is what is stored: rounded first.
    let storage = model_dir::storage(run.recipe.model.weights_dtype, &base.family.0);
    let merged = |weights: &Weights| storage.rounded(&weights.merged(run.config.architecture.lora)?);
    let (weights, config) = (merged(&fitted.best)?, &base.config);
    let mut model = Model::new(
        name,
        run.schema.clone(),
        run.tokenizer.clone(),
        run.recipe.input,
        engine(config, run.schema, &weights)?,
    );
    model.workers = run.workers;
    if run.recipe.model.ngrams {
        let kinds = Kinds { letters: true, lexicon: base.lexicon.clone() };
        model.ngrams = Some(Tfidf::train(run.schema, kinds, train).as_stored()?);
    }
    calibrate(&mut model, dev)?;
    Ok(Prepared { model, weights, last: merged(&fitted.last)?, best_epoch: fitted.best_epoch, counterfactuals: made })
}

/// Trains a model and writes its directory; checkpoints, metrics and TensorBoard events lie in `OUTPUT.training` beside it.
///
/// # Errors
/// Data or options that cannot work, told before the first epoch; [`Error::Interrupted`]; files that cannot be written.
pub fn train(options: &Options<'_>, stop: &AtomicBool, on_event: &mut dyn FnMut(&Event<'_>)) -> Result<Trained> {
    let (schema, recipe, output) = (options.schema, &options.recipe, &options.output);
    let of = |split: &[Option<Split>]| options.examples.iter().filter(|e| split.contains(&e.split)).collect::<Vec<_>>();
    let (train, dev) = (of(&[Some(Split::Train), None]), of(&[Some(Split::Dev)]));
    let folder = training_folder(output);
    let path = folder.join("checkpoint.safetensors");
    let fingerprint = fingerprint(options, &train, &dev);
    let network = with_adapters(&options.base.config, recipe);
    let run = Run {
        recipe,
        schema,
        tokenizer: &options.base.tokenizer,
        config: &network,
        soft: options.soft,
        rules: options.rules,
        workers: options.workers,
        checkpoint: Some((path.clone(), fingerprint.clone())),
        stop,
    };
    // Refused labels leave no folder behind.
    check_data(&run, &train, &dev)?;
    check_tags(options.soft, &dev)?;
    let resumed: Option<Checkpoint> = if options.resume { Checkpoint::load(&path, &fingerprint)? } else { None };
    let mut history = resumed.as_ref().map(|c| c.progress.history.clone()).unwrap_or_default();
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let mut journal = Journal::open(&folder, schema)?;
    journal.metrics(&history)?; // a kill may have come between the checkpoint and its line
    let mut journal_fault = None;
    let mut note = |event: Event<'_>| {
        let written = match &event {
            Event::Step { step, loss, gradient_norm, learning_rate, .. } => {
                journal.step(*step, *loss, *gradient_norm, *learning_rate)
            }
            Event::Epoch { report, .. } => {
                history.push(report.to_json());
                journal.epoch(report, &history)
            }
        };
        journal_fault = written.err().or(journal_fault.take());
        on_event(&event);
    };
    let name = output.file_name().map_or("model".into(), |n| n.to_string_lossy().into_owned());
    let prepared = prepare(&run, &options.base, &name, resumed, (&train, &dev), &mut note)?;
    if let Some(fault) = journal_fault {
        return Err(fault);
    }
    let mut model = prepared.model;
    let evaluation = if dev.is_empty() {
        None
    } else {
        let inputs: Vec<_> = dev.iter().map(|e| e.input()).collect();
        Some(Evaluation::from_predictions(schema, &dev, &model.classify(&inputs)?))
    };
    let card = Card {
        name: &name,
        schema,
        recipe,
        base: options.base.name.as_deref(),
        train: &train,
        n_soft: options.soft.len(),
        n_counterfactuals: prepared.counterfactuals.len(),
        dev: &dev,
        weights: &prepared.weights,
        evaluation: evaluation.as_ref(),
        best_epoch: prepared.best_epoch,
    };
    let (model_type, theirs) = &options.base.family;
    let config = ConfigJson::new(&name, options.base.config.clone(), recipe.input, schema, &model.temperatures);
    let mut config = config.of_family(model_type, theirs.clone());
    config.set_ngrams(model.ngrams.as_ref().map(|n| n.kinds()), &model.ngram_weights);
    let metrics = serde_json::json!({ "best_epoch": prepared.best_epoch, "dev": evaluation });
    let metrics = format!("{}\n", serde_json::to_string_pretty(&metrics).expect("scores are plain data"));
    let texts = vec![
        (model_dir::SCHEMA.to_string(), schema.to_toml()),
        ("train.toml".into(), recipe.to_toml()),
        ("metrics.json".into(), metrics),
        ("README.md".into(), card.markdown()),
    ];
    let texts = texts.into_iter().chain(own_lexicon(options.base.lexicon.as_deref())).collect();
    let mut contents = Contents {
        config: &config,
        weights: &prepared.last,
        ngrams: model.ngrams.as_ref(),
        storage: recipe.model.weights_dtype,
        tokenizer: options.base.tokenizer.bytes(),
        texts,
    };
    model_dir::write(&folder.join("last"), &contents)?;
    if !prepared.counterfactuals.is_empty() {
        write_examples(&folder.join("counterfactuals.jsonl"), schema, &prepared.counterfactuals)?;
    }
    contents.weights = &prepared.weights;
    model_dir::write(output, &contents)?;
    std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    model.sha256 = model_dir::open(output, NumberFormat::F32)?.sha256;
    Ok(Trained { model, evaluation, best_epoch: prepared.best_epoch })
}

/// Where checkpoints, metrics and the last epoch's model of a run lie: `OUTPUT.training`.
pub fn training_folder(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".training");
    PathBuf::from(name)
}

/// Fits weight of the n-grams and temperature of each head on dev.
fn calibrate(model: &mut Model, dev: &[&Example]) -> Result<()> {
    let encoded: Vec<_> = items(dev, &model.tokenizer, &model.input)?.into_iter().map(|i| i.encoded).collect();
    let logits = model.logits(&encoded)?;
    let ngrams = model.ngram_logits(&dev.iter().map(|e| e.input()).collect::<Vec<_>>());
    for h in 0..model.schema.heads.len() {
        let rows = |of: &[Vec<Vec<f32>>]| of.iter().map(|heads| heads[h].clone()).collect::<Vec<Vec<f32>>>();
        let gold: Vec<Option<usize>> = dev.iter().map(|e| e.labels[h]).collect();
        (model.ngram_weights[h], model.temperatures[h]) = match model.ngrams {
            Some(_) => mixture(&rows(&logits), &rows(&ngrams), &gold),
            None => (0.0, temperature(&rows(&logits), &gold)),
        };
    }
    Ok(())
}

/// The files of a lexicon that is not the one compiled in: a model brings its own.
fn own_lexicon(lexicon: Option<&Lexicon>) -> Vec<(String, String)> {
    let own = lexicon.map(Lexicon::files).filter(|files| **files != LexiconFiles::shipped());
    let file = |(name, text): (&String, &String)| (format!("{}/{name}", model_dir::LEXICON), text.clone());
    own.map(|files| files.0.iter().map(file).collect()).unwrap_or_default()
}

/// Adds names and values of weights to a hash.
pub fn hash_weights(hash: &mut Sha256, weights: &Weights) {
    for (name, tensor) in &weights.0 {
        hash.update(name);
        if let Ok(values) = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()) {
            values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
    }
}

/// SHA-256 over everything that decides the result.
fn fingerprint(options: &Options<'_>, train: &[&Example], dev: &[&Example]) -> String {
    let mut hash = Sha256::new();
    hash.update(options.recipe.to_toml());
    hash.update(options.schema.to_toml());
    hash.update(options.base.tokenizer.bytes());
    hash.update(format!("{:?}", options.base.lexicon.as_ref().map(|l| l.files())));
    hash_weights(&mut hash, &options.base.weights);
    for (split, examples) in [("train", train), ("dev", dev)] {
        for e in examples {
            hash.update(format!("{split}{:?}{:?}{:?}{:?}{:?}", e.language, e.text, e.title, e.previous, e.labels));
        }
    }
    if let Some(rules) = options.rules {
        hash.update(rules.text());
    }
    for e in options.soft {
        hash.update(format!("soft{:?}{:?}{:?}{:?}{:?}", e.language, e.text, e.title, e.previous, e.shares));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
