//! Packed tokens → logits: an encoder of the ModernBERT shape (Warner et al., 2024) and one linear head a question.
//!
//! Axes, in every comment below: T tokens of all sentences of a batch end to end, S sentences, D hidden size, H attention
//! heads, F intermediate size, L labels of a head. There is no padding anywhere, in training or in classification.

pub mod architecture;
pub mod blocks;
pub mod classifier;
pub mod config;
pub mod embedding;
pub mod embedding_bag;
pub mod encoder;
pub mod engine;
pub mod layer;
pub mod laying;
pub mod linear;
pub mod mode;
pub mod ops;
pub mod plain;
pub mod recompute;
pub mod relative;
pub mod replica;
pub mod stored;
pub mod weights;
pub mod workspace;

pub use architecture::{Activation, Architecture, Dense, Lora, Positions};
pub use classifier::Classifier;
pub use config::{Config, Pooling};
pub use encoder::Encoder;
pub use engine::Engine;
pub use laying::StorageFormat;
pub use linear::NumberFormat;
pub use mode::Mode;
pub use replica::Replica;
pub use stored::{Bytes, Stored, StoredWeights};
pub use weights::Weights;
pub use workspace::Workspace;
