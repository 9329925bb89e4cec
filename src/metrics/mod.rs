//! Gold × predicted → scores. Knows labels, counts and probabilities; no model, no files, no formatting.
//!
//! Everything is counted first and divided last, so that counts of parts add up to the counts of the whole. What has no
//! denominator is `None` (`null` in JSON), never 0. A sentence without a gold label for a head is not counted for it.
//!
//! `gold` comes before `predicted` everywhere. Figures lie in 0..=1 (kappa from -1, Brier loss to 2); higher is better unless
//! the name says `error` or `loss`.

pub mod counts;

pub mod calibration;
pub mod ranking;

pub mod bootstrap;

pub mod evaluation;
pub mod head;

pub mod compare;
pub mod cross_validation;
pub mod threshold;

mod ordered;
