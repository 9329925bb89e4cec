//! Folder → model, with every fault told by file.

use super::config_json::ConfigJson;
use super::model::Model;
use super::{CONFIG, LEXICON, SCHEMA, TOKENIZER, WEIGHTS};
use crate::baseline::store::PREFIX;
use crate::baseline::{Kinds, Tfidf};
use crate::error::{Error, Place, Result};
use crate::kernels::mapping;
use crate::lexicon::{Lexicon, LexiconFiles};
use crate::model::{Bytes, Engine, NumberFormat, StoredWeights, Weights};
use crate::schema::Schema;
use crate::tokens::Tokenizer;
use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};
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
    let read = |name: &str| read_file(&path.join(name));
    let files = [read(CONFIG)?, read(SCHEMA)?, read(TOKENIZER)?];
    assemble([&files[0], &files[1], &files[2]], map_file(&path.join(WEIGHTS))?, format, path)
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
    let [config, schema, tokenizer, weights] = shipped_files()?;
    assemble([config, schema, tokenizer], Bytes::Static(weights), format, Path::new(EMBEDDED))
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

/// What fine-tuning starts from: configuration, weights (f32) and tokenizer of a model directory, whatever its heads.
///
/// # Errors
/// As [`open`], less the schema.
pub fn open_base(path: &Path) -> Result<(ConfigJson, Weights, Tokenizer)> {
    let read = |name: &str| {
        let file = path.join(name);
        Ok::<_, Error>((read_file(&file)?, file))
    };
    let (config, config_path) = read(CONFIG)?;
    let (tokenizer, tokenizer_path) = read(TOKENIZER)?;
    let (weights, weights_path) = read(WEIGHTS)?;
    let config = ConfigJson::parse(&config, &config_path)?;
    Ok((config, read_weights(&weights, &weights_path)?, Tokenizer::parse(&tokenizer, &tokenizer_path)?))
}

/// A file of a model directory; a folder without it is no model.
fn read_file(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(not_read(file))
}

/// As [`read_file`], by way of the system's memory mapping.
fn map_file(file: &Path) -> Result<Bytes> {
    let map = std::fs::File::open(file).and_then(|open| mapping::map(&open)).map_err(not_read(file))?;
    Ok(Bytes::Shared(Arc::new(map)))
}

fn not_read(file: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
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
fn lexicon(config: &ConfigJson, path: &Path) -> Result<Option<Arc<Lexicon>>> {
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
    [config, schema, tokenizer]: [&[u8]; 3],
    weights: Bytes,
    format: NumberFormat,
    path: &Path,
) -> Result<Model> {
    let config_path = path.join(CONFIG);
    let config = ConfigJson::parse(config, &config_path)?;
    let schema_path = path.join(SCHEMA);
    let schema_text = std::str::from_utf8(schema).map_err(|e| {
        Error::bad(Place::offset(&schema_path, e.valid_up_to() as u64), "bytes that are not UTF-8", "TOML text")
    })?;
    let schema = Schema::parse(schema_text, &schema_path)?;
    config.check_labels(&schema, &config_path)?;
    let weights_path = path.join(WEIGHTS);
    let stored = StoredWeights::find(weights.clone(), &weights_path)?;
    let lexicon = lexicon(&config, path)?;
    let heads: Vec<(String, usize)> = schema.heads.iter().map(|h| (h.name.clone(), h.classes.len())).collect();
    let ngrams = || {
        let Some(kinds) = config.ngrams else { return Ok(None) };
        let kinds = Kinds { letters: kinds.letters, lexicon: lexicon.clone().filter(|_| kinds.lexicon) };
        Tfidf::from_tensors(&schema, kinds, &ngram_tensors(weights.as_ref(), &weights_path)?, &weights_path).map(Some)
    };
    // The parts do not need each other, and on a cold start each takes its time.
    let (tokenizer, sha256, ngrams, engine) = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::parse(tokenizer, &path.join(TOKENIZER)));
        let sha256 = scope.spawn(|| Sha256::digest(weights.as_ref()).iter().map(|b| format!("{b:02x}")).collect());
        let ngrams = scope.spawn(ngrams);
        let engine = Engine::new(&config.encoder, &heads, &stored, format, &weights_path);
        (joined(tokenizer), joined(sha256), joined(ngrams), engine)
    });
    let (tokenizer, ngrams, engine) = (tokenizer?, ngrams?, engine?);
    if tokenizer.vocab_size() > config.encoder.vocab_size {
        let found = format!("{} entries", tokenizer.vocab_size());
        let expected = format!("at most {}, as config.json says", config.encoder.vocab_size);
        return Err(Error::bad(Place::file(path.join(TOKENIZER)), found, expected));
    }
    let tokenizer = tokenizer.with_lexicon(lexicon.filter(|_| !config.encoder.lexicon_types.is_empty()));
    let mut model = Model::new(&config.name, schema, Arc::new(tokenizer), config.input, engine);
    model.ngrams = ngrams;
    model.ngram_weights = config.heads.iter().map(|h| h.ngram_weight).collect();
    model.temperatures = config.heads.iter().map(|h| h.temperature).collect();
    model.sha256 = sha256;
    Ok(model)
}
