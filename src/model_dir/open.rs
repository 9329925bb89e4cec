//! Folder → model, with every fault told by file.

use super::config_json::ConfigJson;
use super::model::Model;
use super::weight_files::WeightFiles;
use super::{CONFIG, LEXICON, SCHEMA, TOKENIZER, WEIGHTS, tokenizer_files};
use crate::baseline::store::PREFIX;
use crate::baseline::{Kinds, Tfidf};
use crate::error::{Error, Place, Result};
use crate::lexicon::{Lexicon, LexiconFiles};
use crate::model::weights::{Start, encoder_table, head_table};
use crate::model::{Bytes, Engine, NumberFormat, StoredWeights, Weights};
use crate::schema::Schema;
use crate::tokens::Tokenizer;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

/// Opens a model directory, for products in the given format. The weights' file is mapped: embeddings are read where they
/// lie, so nobody may write into it meanwhile (a new model replaces the folder, which does no harm).
///
/// # Errors
/// The folder or one of its files is missing, cut short, not of this schema, or a weight has the wrong shape.
pub fn open(path: &Path, format: NumberFormat) -> Result<Model> {
    check_folder(path)?;
    let config = ConfigJson::parse(&read_file(&path.join(CONFIG))?, &path.join(CONFIG))?;
    let schema = match config.is_ours() {
        true => parse_schema(&read_file(&path.join(SCHEMA))?, &path.join(SCHEMA))?,
        false if config.heads.is_empty() => {
            let error = Error::bad(Place::file(path), "an encoder without a classifier", "a model that tags sentences");
            return Err(error.hint("train one from it: rasid train --labels … --base DIR --output DIR"));
        }
        false => config.schema(),
    };
    assemble(config, schema, &tokenizer_files::read(path)?, WeightFiles::find(path)?, format, path)
}

/// Opens a model, or a base that has no heads, and lets it go.
///
/// # Errors
/// As [`open`] and [`open_base`].
pub(super) fn check(path: &Path, config: &ConfigJson) -> Result<()> {
    match config.heads.is_empty() {
        true => open_base(path).map(drop),
        false => open(path, NumberFormat::F32).map(drop),
    }
}

pub(super) fn check_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let found = if path.exists() { "a file" } else { "nothing" };
    let error = Error::bad(Place::file(path), found, "a model directory (config.json, model.safetensors, …)");
    Err(error.hint("`rasid train` writes one; without --model the shipped model is used"))
}

/// The model that was compiled into the program.
///
/// # Errors
/// As [`open`], which would be a fault of the build; or the program was built without the feature `embedded`.
pub fn embedded(format: NumberFormat) -> Result<Model> {
    let ([config, schema, tokenizer, weights], path) = (shipped_files()?, Path::new(EMBEDDED));
    let (config, schema) = (ConfigJson::parse(config, &path.join(CONFIG))?, parse_schema(schema, &path.join(SCHEMA))?);
    let weights = WeightFiles::of(Bytes::Static(weights), path.join(WEIGHTS))?;
    assemble(config, schema, tokenizer, weights, format, path)
}

/// What stands for a path where the model is in the program.
pub(super) const EMBEDDED: &str = "the model in the program";

/// Configuration, schema, tokenizer and weights of the shipped model.
///
/// # Errors
/// The program was built without the feature `embedded`.
pub(super) fn shipped_files() -> Result<[&'static [u8]; 4]> {
    #[cfg(not(feature = "embedded"))]
    return Err(Error::Usage("this program was built without a model in it".into()));
    #[cfg(feature = "embedded")]
    Ok([
        include_bytes!("../../models/default/config.json"),
        include_bytes!("../../models/default/schema.toml"),
        include_bytes!("../../models/default/tokenizer.json"),
        include_bytes!("../../models/default/model.safetensors"),
    ])
}

/// What fine-tuning starts from.
pub struct BaseFiles {
    /// Its configuration.
    pub config: ConfigJson,
    /// Its weights under our names, in f32.
    pub weights: Weights,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Weights behind the encoder that it does not have, as its family calls them: they are made anew.
    pub lacking: Vec<String>,
}

/// What fine-tuning starts from: configuration, weights and tokenizer of a model directory, or of a folder that another program
/// wrote, whatever its heads.
///
/// # Errors
/// As [`open`], less the schema.
pub fn open_base(path: &Path) -> Result<BaseFiles> {
    check_folder(path)?;
    let config = ConfigJson::parse(&read_file(&path.join(CONFIG))?, &path.join(CONFIG))?;
    let tokenizer = Tokenizer::parse(&tokenizer_files::read(path)?, &path.join(TOKENIZER))?;
    check_vocabulary(&tokenizer, &config, path)?;
    let files = WeightFiles::find(path)?;
    let (weights, lacking) = match config.family() {
        None => (files.stored.without(PREFIX), Vec::new()),
        Some(family) => {
            let heads = if config.is_ours() { heads(&config.schema()) } else { Vec::new() };
            let of_encoder = wanted(encoder_table(&config.encoder));
            let all = [of_encoder, wanted(head_table(&config.encoder, &heads))].concat();
            family.to_ours(&files.stored, &all, |name| name.starts_with("head."), &files.path)?
        }
    };
    Ok(BaseFiles { config, weights: weights.to_tensors()?, tokenizer, lacking })
}

/// Names and shapes of a table of weights.
fn wanted(table: Vec<(String, Vec<usize>, Start)>) -> Vec<(String, Vec<usize>)> {
    table.into_iter().map(|(name, shape, _)| (name, shape)).collect()
}

fn heads(schema: &Schema) -> Vec<(String, usize)> {
    schema.heads.iter().map(|h| (h.name.clone(), h.classes.len())).collect()
}

fn check_vocabulary(tokenizer: &Tokenizer, config: &ConfigJson, path: &Path) -> Result<()> {
    if tokenizer.vocab_size() <= config.encoder.vocab_size {
        return Ok(());
    }
    let found = format!("{} entries", tokenizer.vocab_size());
    let expected = format!("at most {}, as config.json says", config.encoder.vocab_size);
    let error = Error::bad(Place::file(path.join(TOKENIZER)), found, expected);
    Err(error.hint("tokenizer and network are of two models; fetch the folder again"))
}

fn parse_schema(bytes: &[u8], path: &Path) -> Result<Schema> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::bad(Place::offset(path, e.valid_up_to() as u64), "bytes that are not UTF-8", "TOML text")
    })?;
    Schema::parse(text, path)
}

/// A file of a model directory; a folder without it is no model.
fn read_file(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(not_read(file))
}

pub(super) fn not_read(file: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |fault| match fault.kind() {
        std::io::ErrorKind::NotFound => {
            let error = Error::bad(Place::file(file), "no such file", "a file that every model directory has");
            error.hint("the folder is no model or was copied in part; fetch it again, or `rasid train` writes one")
        }
        _ => Error::io("read", file)(fault),
    }
}

/// Parses a safetensors file; all weights come out as f32.
///
/// # Errors
/// The file is not safetensors or was cut short.
pub fn read_weights(bytes: &[u8], path: &Path) -> Result<Weights> {
    let network = StoredWeights::find(Bytes::Shared(Arc::new(bytes.to_vec())), path)?;
    network.without(PREFIX).to_tensors()
}

/// The tensors of the n-grams beside the network, as they are; none in most files.
fn ngram_tensors(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let file = candle_core::safetensors::SliceSafetensors::new(bytes)?;
    let names = file.tensors().into_iter().map(|(name, _)| name).filter(|name| name.starts_with(PREFIX));
    let load = |name: String| match file.load(&name, &Device::Cpu) {
        Ok(tensor) => Ok((name, tensor)),
        Err(e) => Err(Error::bad(Place::file(path), format!("weight \"{name}\": {e}"), "a readable one")),
    };
    names.map(load).collect()
}

/// The lexicon of a model that wants one: its own, if it brings a folder, else the one compiled in.
pub(super) fn lexicon(config: &ConfigJson, path: &Path) -> Result<Option<Arc<Lexicon>>> {
    let wanted = &config.encoder.lexicon_types;
    if wanted.is_empty() && !config.ngrams.is_some_and(|n| n.lexicon) {
        return Ok(None);
    }
    let own = path.join(LEXICON);
    let lexicon = if own.is_dir() { Lexicon::new(LexiconFiles::read(&own)?, &own)? } else { Lexicon::shipped()? };
    check_types(wanted, &lexicon, &path.join(CONFIG))?;
    Ok(Some(Arc::new(lexicon)))
}

/// A shifted type would be a silent lie: the lexicon must begin with the types that the network learned, in their order.
fn check_types(wanted: &[String], lexicon: &Lexicon, path: &Path) -> Result<()> {
    for (i, name) in wanted.iter().enumerate() {
        let here = lexicon.types().get(i).map_or("nothing", |t| t.name.as_str());
        if here != name {
            let found = format!("type {i} of the lexicon is \"{name}\"");
            return Err(Error::bad(Place::file(path), found, format!("\"{here}\", as types.toml says"))
                .hint("the model was trained with another lexicon; train again or put its folder `lexicon` beside config.json"));
        }
    }
    Ok(())
}

fn joined<T>(part: ScopedJoinHandle<'_, T>) -> T {
    part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn assemble(
    config: ConfigJson,
    schema: Schema,
    tokenizer: &[u8],
    files: WeightFiles,
    format: NumberFormat,
    path: &Path,
) -> Result<Model> {
    config.check_labels(&schema, &path.join(CONFIG))?;
    let (heads, lexicon) = (heads(&schema), lexicon(&config, path)?);
    let of_family = match config.family() {
        None => None,
        Some(family) => {
            let all = [encoder_table(&config.encoder), head_table(&config.encoder, &heads)].concat();
            Some(family.to_ours(&files.stored, &wanted(all), |_| false, &files.path)?.0)
        }
    };
    let stored = of_family.as_ref().unwrap_or(&files.stored);
    let ngrams = || {
        let Some(kinds) = config.ngrams else { return Ok(None) };
        let kinds = Kinds { letters: kinds.letters, lexicon: lexicon.clone().filter(|_| kinds.lexicon) };
        let tensors = match &files.bytes[..] {
            [bytes] => ngram_tensors(bytes.as_ref(), &files.path)?,
            _ => BTreeMap::new(), // only other programs cut weights into several files
        };
        Tfidf::from_tensors(&schema, kinds, &tensors, &files.path).map(Some)
    };
    // The parts do not need each other, and on a cold start each takes its time.
    let (tokenizer, sha256, ngrams, engine) = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::parse(tokenizer, &path.join(TOKENIZER)));
        let sha256 = scope.spawn(|| files.sha256());
        let ngrams = scope.spawn(ngrams);
        let engine = Engine::new(&config.encoder, &heads, stored, format, &files.path);
        (joined(tokenizer), joined(sha256), joined(ngrams), engine)
    });
    let (tokenizer, ngrams, engine) = (tokenizer?, ngrams?, engine?);
    check_vocabulary(&tokenizer, &config, path)?;
    let tokenizer = tokenizer.with_lexicon(lexicon.filter(|_| !config.encoder.lexicon_types.is_empty()));
    let mut model = Model::new(&config.name, schema, Arc::new(tokenizer), config.input, engine);
    model.ngrams = ngrams;
    model.ngram_weights = config.heads.iter().map(|h| h.ngram_weight).collect();
    model.temperatures = config.heads.iter().map(|h| h.temperature).collect();
    model.is_multi_label = config.is_multi_label;
    model.sha256 = sha256;
    Ok(model)
}
