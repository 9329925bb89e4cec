//! The operations of [`ops`](super::ops) composed of candle's own, for a device on which we have no kernels: the same values and
//! gradients, slower. A test holds the two together, on the CPU. Shapes and errors are those of the operation of the same name there.

use crate::kernels::attention::{Heads, sentences};
use crate::kernels::cross_entropy::{CrossEntropy, Target};
use crate::kernels::rotary::Rotary;
use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::ops::{log_softmax, softmax};
use std::cell::Cell;
use std::ops::Range;

thread_local! {
    static EVERYWHERE: Cell<bool> = const { Cell::new(false) };
}

/// What is added to a score that does not count; twice that is still a number.
const NEVER: f32 = -1e30;

/// Runs `f` with these operations on the CPU too, where the kernels would be taken: to compare the two.
pub fn everywhere<R>(f: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            EVERYWHERE.set(self.0);
        }
    }
    let _before = Before(EVERYWHERE.replace(true));
    f()
}

/// Whether operations on a device are these.
pub fn is_meant_on(device: &Device) -> bool {
    !device.is_cpu() || EVERYWHERE.get()
}

pub(super) fn is_meant(x: &Tensor) -> bool {
    is_meant_on(x.device())
}

pub(super) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    x.matmul(&w.t()?)
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(weight)
}

pub(super) fn geglu(x: &Tensor) -> Result<Tensor> {
    let f = x.dim(1)? / 2;
    x.narrow(1, 0, f)?.gelu_erf()? * x.narrow(1, f, f)?
}

pub(super) fn embedding(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let v = table.dim(0)?;
    if let Some(id) = ids.iter().find(|id| **id as usize >= v) {
        bail!("token id {id} in a vocabulary of {v}");
    }
    table.index_select(&Tensor::new(ids, table.device())?, 0)
}

pub(super) fn embedding_bag(table: &Tensor, bits: &[u64]) -> Result<Tensor> {
    let n = table.dim(0)?;
    let is_set = |bits: &u64, row: usize| if row < 64 && bits >> row & 1 == 1 { 1.0 } else { 0.0 };
    let chosen: Vec<f32> = bits.iter().flat_map(|bits| (0..n).map(move |row| is_set(bits, row))).collect();
    Tensor::from_vec(chosen, (bits.len(), n), table.device())?.matmul(table)
}

pub(super) fn linear_cross_entropy(hidden: &Tensor, table: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let m = hidden.dim(0)?;
    if m == 0 {
        return hidden.sum_all();
    }
    let p = log_softmax(&linear(hidden, table)?, 1)?;
    let targets = Tensor::from_slice(targets, (m, 1), hidden.device())?;
    p.gather(&targets, 1)?.sum_all()? * (-1.0 / m as f64)
}

pub(super) fn mean_of_rows(x: &Tensor, ranges: &[Range<usize>]) -> Result<Tensor> {
    let t = x.dim(0)?;
    let mut shares = vec![0.0f32; ranges.len() * t];
    for (range, row) in ranges.iter().zip(shares.chunks_exact_mut(t.max(1))) {
        row[range.clone()].fill(1.0 / range.len().max(1) as f32);
    }
    Tensor::from_vec(shares, (ranges.len(), t), x.device())?.matmul(x)
}

pub(super) fn cross_entropy(logits: &Tensor, targets: &[Target], settings: &CrossEntropy) -> Result<Tensor> {
    let (terms, total_weight) = settings.terms(targets);
    let terms = Tensor::from_vec(terms, logits.shape(), logits.device())?;
    // Without a single target the sum is 0, and so is the loss.
    (log_softmax(logits, 1)? * terms)?.sum_all()? * f64::from(-1.0 / total_weight.max(f32::MIN_POSITIVE))
}

/// As [`ops::packed_attention`](super::ops::packed_attention); sentences are padded to the longest for the time being.
pub(super) fn packed_attention(qkv: &Tensor, starts: &[usize], heads: Heads, rotary: &Rotary) -> Result<Tensor> {
    let (Heads { n_heads: h, head_dim: hd, window }, device) = (heads, qkv.device());
    let spans: Vec<(usize, usize)> = sentences(starts).collect();
    let (s, n) = (spans.len(), spans.iter().map(|(_, n)| *n).max().unwrap_or(0));
    if n == 0 {
        return qkv.narrow(1, 0, h * hd);
    }
    // Where each place of the padded sentences comes from (the first token where there is none), and where each token went.
    let (mut from, mut to, mut never) = (vec![0u32; s * n], Vec::new(), vec![NEVER; s * n]);
    for (i, (first, length)) in spans.iter().enumerate() {
        for j in 0..*length {
            (from[i * n + j], never[i * n + j]) = ((first + j) as u32, 0.0);
            to.push((i * n + j) as u32);
        }
    }
    let parts =
        qkv.index_select(&Tensor::new(from, device)?, 0)?.reshape((s, n, 3, h, hd))?.permute((2, 0, 3, 1, 4))?;
    let part = |i: usize| parts.get(i)?.contiguous(); // (S, H, n, hd)
    let (cos, sin) = rotary.tables(n);
    let table = |values: &[f32]| Tensor::from_slice(values, (n, hd / 2), device);
    let (cos, sin) = (table(cos)?, table(sin)?);
    let turned = |x: Tensor| {
        let (a, b) = (x.narrow(3, 0, hd / 2)?, x.narrow(3, hd / 2, hd / 2)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], 3)
    };
    let keys = turned(part(1)?)?.transpose(2, 3)?.contiguous()?;
    let mut scores = (turned(part(0)?)?.contiguous()?.matmul(&keys)? * (1.0 / (hd as f64).sqrt()))?;
    scores = scores.broadcast_add(&Tensor::from_vec(never, (s, 1, 1, n), device)?)?;
    if let Some(window) = window {
        let far = |i: usize, j: usize| if i.abs_diff(j) > window { NEVER } else { 0.0 };
        let far: Vec<f32> = (0..n).flat_map(|i| (0..n).map(move |j| far(i, j))).collect();
        scores = scores.broadcast_add(&Tensor::from_vec(far, (n, n), device)?)?;
    }
    let attended = softmax(&scores, 3)?.matmul(&part(2)?)?.permute((0, 2, 1, 3))?; // (S, n, H, hd)
    attended.contiguous()?.reshape((s * n, h * hd))?.index_select(&Tensor::new(to, device)?, 0)
}
