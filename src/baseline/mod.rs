//! Simple classifiers beside the transformer, trained on the same examples: what a score is worth shows against them.

pub mod majority;

mod features;
mod optimise;
mod regression;
pub mod store;
pub mod tfidf;

pub use features::Kinds;
pub use majority::Majority;
pub use tfidf::Tfidf;

use crate::dataset::Example;
use crate::schema::Schema;

/// How often each class of each head is gold among the examples; one list a head, one count a class.
fn gold_counts(schema: &Schema, examples: &[&Example]) -> Vec<Vec<u64>> {
    let mut counts: Vec<Vec<u64>> = schema.heads.iter().map(|h| vec![0; h.classes.len()]).collect();
    for example in examples {
        for (counts, gold) in counts.iter_mut().zip(&example.labels) {
            if let Some(gold) = gold {
                counts[*gold] += 1;
            }
        }
    }
    counts
}

/// Shares that sum to 1; all equal where nothing was counted.
fn shares(counts: &[u64]) -> Vec<f32> {
    let total: u64 = counts.iter().sum();
    let share = |n: &u64| if total == 0 { 1.0 / counts.len() as f64 } else { *n as f64 / total as f64 };
    counts.iter().map(|n| share(n) as f32).collect()
}
