//! Sentences → ids: the subword tokenizer, the layout of an input, packing, and how the tokenizer is trained and measured.
//!
//! ```text
//! [CLS] sentence [SEP] [TITLE] headline [SEP] [PREV] previous sentence [SEP]
//!   0      0       0      1       1       1     2           2            2     type
//! ```
//!
//! Special tokens, context and truncation happen here and nowhere else. All foldings of script variants (alef, ya, kaf, heh,
//! digits, ZWNJ, …) are stored inside tokenizer.json as normalizers of the `tokenizers` library, so that every tool that opens
//! the file gets the same ids.

pub mod corpus;
pub mod fertility;
mod input;
mod normalizer;
mod packed;
mod tokenizer;
pub mod train;

pub use input::{Context, Encoded, InputConfig};
pub use packed::Packed;
pub use tokenizer::{Special, Tokenizer};
