//! A linear layer of a network in use, in the number format that was asked for.

use super::stored::Stored;
use crate::kernels::int8::rows::QuantizedRows;
use crate::kernels::matmul::View;
use crate::kernels::panels::{self, Panels};
use crate::kernels::split;
use crate::kernels::{bf16, int8};

/// Number format of the factors of matrix products in a network in use; all else is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberFormat {
    /// 24 bits: the reference.
    #[default]
    F32,
    /// 8 bits, as [`kernels::bf16`](crate::kernels::bf16) says.
    Bf16,
    /// Whole numbers of 8 bits with a scale a row, as [`kernels::int8`](crate::kernels::int8) says.
    Int8,
}

impl NumberFormat {
    /// Int8 where the processor multiplies bytes faster than anything else, f32 elsewhere.
    pub fn fastest() -> NumberFormat {
        match int8::Instructions::detected() {
            int8::Instructions::Portable | int8::Instructions::Neon | int8::Instructions::Avx2 => NumberFormat::F32,
            _ => NumberFormat::Int8,
        }
    }

    /// Tokens that a network takes at once, at least and at most: enough to keep its products busy, few enough to stay in the cache.
    pub fn tokens_at_once(self) -> (usize, usize) {
        match self {
            // Weights are three times as large as in bf16, and blocks of 32 rows best whole.
            NumberFormat::F32 if split::is_fast() => (128, 512),
            _ => (128, 128),
        }
    }

    /// `f32`, `bf16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            NumberFormat::F32 => "f32",
            NumberFormat::Bf16 => "bf16",
            NumberFormat::Int8 => "int8",
        }
    }
}

/// A weight (N, K), laid out once.
#[derive(Debug)]
pub enum Linear {
    /// In f32.
    F32(Panels),
    /// In f32, by products of bf16.
    Split(split::Weight),
    /// In bf16.
    Bf16(bf16::Weight),
    /// In whole numbers.
    Int8(int8::Weight),
}

impl Linear {
    /// Lays out a weight (N, K).
    pub fn new(weight: &Stored, format: NumberFormat) -> Linear {
        let [n, k] = *weight.shape() else { panic!("a linear layer's weight has two axes") };
        match format {
            // The few columns of a head would leave most of a panel empty.
            NumberFormat::F32 if split::is_fast() && n >= split::BLOCK => {
                Linear::Split(split::Weight::new(&weight.to_f32(), n, k))
            }
            NumberFormat::F32 => Linear::F32(Panels::new(&weight.to_f32(), n, k)),
            NumberFormat::Bf16 => Linear::Bf16(bf16::Weight::new(&weight.to_f32(), n, k)),
            NumberFormat::Int8 => Linear::Int8(match weight.whole_numbers() {
                Some((values, scales)) => int8::Weight::new(&values, scales, k),
                None => int8::Weight::quantized(&weight.to_f32(), n, k),
            }),
        }
    }

    /// N and K.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Linear::F32(w) => w.shape(),
            Linear::Split(w) => w.shape(),
            Linear::Bf16(w) => w.shape(),
            Linear::Int8(w) => w.shape(),
        }
    }

    /// `out = x @ wᵀ`, or `out += x @ wᵀ` if `accumulate`, for the rows of x (T, K); out is (T, N).
    pub fn apply(&self, x: &[f32], out: &mut [f32], accumulate: bool, rounded: &mut QuantizedRows) {
        let (n, k) = self.shape();
        let t = x.len() / k;
        let (xv, ov) = (View::dense(t, k), View::dense(t, n));
        match self {
            Linear::F32(w) => panels::product((out, ov), (x, xv), w, 1.0, accumulate),
            Linear::Split(w) => split::product((out, ov), (x, xv), w, accumulate),
            Linear::Bf16(w) => bf16::product((out, ov), (x, xv), w, accumulate),
            Linear::Int8(w) => {
                rounded.fill(x, t, k);
                int8::product((out, ov), rounded, w, accumulate);
            }
        }
    }
}
