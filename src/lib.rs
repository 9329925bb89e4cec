//! Rasid reads news articles and tags every sentence: what happened, and who did it.
//!
//! ```text
//! article text → sentences → tokens → encoder → heads → tags → report
//! labels → dataset → training → model directory → evaluation → report
//!
//! 12  cli                                         flags, files, terminal, exit codes
//! 11  pretrain                                    raw text → base model directory
//! 10  train                                       recipe + data → model directory; the same over folds, for cross-validation
//!  9  evaluate                                    classifier × examples → predictions (also the dev set during training)
//!  8  tagger                                      article → tagged article
//!  7  model_dir | report                          the contract on disk | what is shown
//!  6  metrics | gazetteer | baseline              gold × predicted → scores | names → groups with spans | simple classifiers
//!  5  model                                       packed tokens → logits
//!  4  read | sentences | language | tokens | dataset
//!                                                 files → articles | text → spans | text → language | spans → ids | labels → examples
//!  3  lexicon                                     text → terms with types
//!  2  article                                     words of the domain
//!  1  schema | letters                            heads and classes (from labels/schema.toml) | spelling variants → one form
//!  0  kernels | error | memo                      fused maths with forward and backward | what can go wrong | what was found lately
//! ```
//!
//! A module imports only lower rungs, never sideways or up; `tests/architecture.rs` holds the ladder, and that this picture
//! is true.

pub mod error;
pub mod kernels;
pub mod memo;

pub mod letters;
pub mod schema;

pub mod article;

pub mod lexicon;

pub mod dataset;
pub mod language;
pub mod read;
pub mod sentences;
pub mod tokens;

pub mod model;

pub mod baseline;
pub mod gazetteer;
pub mod metrics;

pub mod model_dir;
pub mod report;

pub mod tagger;

pub mod evaluate;

pub mod train;

pub mod pretrain;

pub mod cli;
