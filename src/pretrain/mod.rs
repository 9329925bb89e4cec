//! Raw text → a base: an encoder that has learned to fill in hidden words (masked language modelling, Devlin et al., 2019),
//! which `rasid train` starts from.

pub mod align;
pub mod cache;
pub mod corpus;
pub mod grow;
pub mod masking;
pub mod objective;
pub mod parallel;
pub mod recipe;
pub mod run;
pub mod sampler;

pub use recipe::PretrainRecipe;
