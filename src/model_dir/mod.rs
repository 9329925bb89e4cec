//! The contract on disk: a folder that holds everything a classification needs.
//!
//! | file | what |
//! |---|---|
//! | `config.json` | sizes under Hugging Face's names, `id2label`, heads, what is read beside the sentence, temperatures |
//! | `model.safetensors` | the weights, f16 or f32 |
//! | `tokenizer.json` | the tokenizer, normaliser included, as the `tokenizers` library reads it |
//! | `lexicon/` | the lexicon, if it is not the one compiled in |
//! | `schema.toml` | heads and classes with their definitions |
//! | `train.toml` | the recipe as it was resolved |
//! | `metrics.json` | scores on the dev set |
//! | `README.md` | the model card |
//!
//! A folder is written under a temporary name and renamed, so there is never half a model under its own name.

mod config_json;
pub mod export;
pub mod families;
mod info;
mod model;
mod open;
mod summary;
mod tokenizer_files;
mod weight_files;
mod write;

#[cfg(feature = "hub")]
pub mod hub;
pub mod hub_cache;

pub use config_json::{ConfigJson, HeadRange, NgramKinds};
pub use info::{FileSize, HeadInfo, HeadScore, Info, Scores, embedded_info, info};
pub use model::Model;
pub use open::{BaseFiles, embedded, open, open_base, read_weights};
pub use summary::{Summary, VerifiedFile, summary, verify};
pub use write::{Contents, replace, staging, storage, write};

/// Name of the weights' file.
pub const WEIGHTS: &str = "model.safetensors";
/// Name of the configuration.
pub const CONFIG: &str = "config.json";
/// Name of the folder of a lexicon of its own.
pub const LEXICON: &str = "lexicon";
/// Name of the tokenizer's file.
pub const TOKENIZER: &str = "tokenizer.json";
/// Name of the schema's file.
pub const SCHEMA: &str = "schema.toml";
