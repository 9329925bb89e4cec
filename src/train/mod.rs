//! Recipe + labels → model directory.

pub mod batches;
pub mod calibrate;
pub mod card;
pub mod checkpoint;
pub mod counterfactual;
pub mod cross_validate;
pub mod events;
pub mod fit;
pub mod journal;
pub mod optimizer;
pub mod preflight;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod soft;
pub mod step;
pub mod typos;

pub use fit::{Event, Fitted, Run};
pub use recipe::Recipe;
