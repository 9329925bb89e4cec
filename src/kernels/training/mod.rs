//! The kernels of a training step that are made of products, in f32 or with factors rounded to bf16.

pub mod attention;
pub mod cross_entropy;

use super::matmul::View;
use super::{bf16, panels};

/// Number format of the factors of matrix products; sums are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// 24 bits, as [`panels`] computes them.
    F32,
    /// 8 bits, as [`bf16`] does.
    Bf16,
}

impl Products {
    /// `out = a @ b`, or `out += a @ b` if `accumulate`: as [`panels::matmul`] and [`bf16::matmul`].
    pub fn matmul(self, out: (&mut [f32], View), a: (&[f32], View), b: (&[f32], View), accumulate: bool) {
        match self {
            Products::F32 => panels::matmul(out, a, b, accumulate),
            Products::Bf16 => bf16::matmul(out, a, b, accumulate),
        }
    }
}
