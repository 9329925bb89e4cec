//! Training or not: in training values are dropped, which cannot be written without a seed, and products may be rounded.

use super::workspace::Workspace;
use crate::error::Result;
use crate::kernels::training::Products;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a forward pass is run.
pub enum Mode<'r> {
    /// Nothing is dropped.
    Eval,
    /// Values are dropped by masks drawn from this generator; with a workspace, layers are fused and products are as it says.
    Train(&'r mut Dropout, Option<Arc<Workspace>>),
}

/// Number format of the factors of matrix products in training; sums, weights and all else are f32 in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits.
    #[default]
    F32,
    /// 8 bits, as [`kernels::bf16`](crate::kernels::bf16) says.
    Bf16,
}

/// Seeded dropout; a copy draws the same. The generator is splitmix64 (Steele, Lea and Flood, 2014), so a seed gives the same masks everywhere.
#[derive(Debug, Clone)]
pub struct Dropout {
    state: u64,
    rate: f32,
}

impl Dropout {
    /// Drops each value with probability `rate`; `seed` should differ from step to step and replica to replica.
    pub fn new(seed: u64, rate: f32) -> Dropout {
        Dropout { state: seed, rate }
    }
}

/// The next number of a splitmix64 generator.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number in 0..1 from the generator of [`splitmix64`].
pub fn uniform(state: &mut u64) -> f64 {
    (splitmix64(state) >> 11) as f64 / (1u64 << 53) as f64
}

impl Mode<'_> {
    /// The precision of products; that of a network in use is f32.
    pub fn precision(&self) -> Precision {
        match self {
            Mode::Train(_, Some(workspace)) if workspace.products() == Products::Bf16 => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    /// The workspace of training.
    pub fn workspace(&self) -> Option<Arc<Workspace>> {
        match self {
            Mode::Train(_, workspace) => workspace.clone(),
            Mode::Eval => None,
        }
    }

    /// Dropout of its own for a part of the network, drawn from this one.
    pub fn child(&mut self) -> Dropout {
        match self {
            Mode::Eval => Dropout::new(0, 0.0),
            Mode::Train(dropout, _) => Dropout::new(splitmix64(&mut dropout.state), dropout.rate),
        }
    }

    /// Drops values of `x` and scales the others by 1 / (1 - rate) when training; `x` itself otherwise.
    ///
    /// # Errors
    /// Fails if the product of `x` and the mask cannot be formed.
    pub fn dropout(&mut self, x: Tensor) -> Result<Tensor> {
        let Some(mask) = self.dropout_factors(x.elem_count()) else { return Ok(x) };
        let mask = Tensor::from_vec(mask, x.shape(), x.device())?;
        Ok((x * mask)?)
    }

    /// What dropout multiplies `n` values by: 0 or 1 / (1 - rate). None when nothing is dropped.
    pub fn dropout_factors(&mut self, n: usize) -> Option<Vec<f32>> {
        let Mode::Train(dropout, _) = self else { return None };
        if dropout.rate <= 0.0 {
            return None;
        }
        let kept = 1.0 / (1.0 - dropout.rate);
        let threshold = (f64::from(dropout.rate) * 2f64.powi(32)) as u64;
        let mut mask = Vec::with_capacity(n + 1);
        while mask.len() < n {
            let bits = splitmix64(&mut dropout.state);
            for half in [bits & 0xFFFF_FFFF, bits >> 32] {
                mask.push(if half < threshold { 0.0 } else { kept });
            }
        }
        mask.truncate(n);
        Some(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn drops_the_asked_share_keeps_the_mean_and_repeats_itself() {
        let ones = Tensor::ones(10_001, candle_core::DType::F32, &Device::Cpu).unwrap();
        let draw = |seed| {
            let mut dropout = Dropout::new(seed, 0.25);
            Mode::Train(&mut dropout, None).dropout(ones.clone()).unwrap().to_vec1::<f32>().unwrap()
        };
        let a = draw(7);
        let dropped = a.iter().filter(|x| **x == 0.0).count();
        assert!((2300..2700).contains(&dropped), "{dropped}");
        assert!((a.iter().sum::<f32>() / 10_001.0 - 1.0).abs() < 0.03);
        assert_eq!(a, draw(7));
        assert_ne!(a, draw(8));
    }
}
