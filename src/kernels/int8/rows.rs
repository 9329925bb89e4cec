//! Rows of values as whole numbers, each with the scale that makes its largest 127.

use super::{DEPTH, OFFSET, Rows};
use crate::kernels::math::exp;
use crate::kernels::simd::{self, dispatch};

/// Adding it, 1.5 * 2^23, leaves the nearest whole number in the low bits of the sum.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Words of a line of the cache.
const LINE: usize = 16;

/// Rows (M, K), laid out in words of four; the memory is used again from one filling to the next.
#[derive(Debug, Clone, Default)]
pub struct QuantizedRows {
    k: usize,
    words: Vec<[i8; DEPTH]>,
    first: usize, // word that the rows start with, so that registers are read from whole lines of the cache
    scales: Vec<f32>,
    offsets: Vec<i32>,
}

impl QuantizedRows {
    /// Rounds the rows of `x` (M, K).
    pub fn fill(&mut self, x: &[f32], m: usize, k: usize) {
        assert_eq!(x.len(), m * k, "rows of other sizes");
        let depth = self.reshape(m, k);
        let (words, scales, offsets) = (&mut self.words[self.first..], &mut self.scales, &mut self.offsets);
        dispatch(
            #[inline(always)]
            || {
                for i in 0..m {
                    let row = words[i * depth..][..depth].as_flattened_mut();
                    let (values, padding) = row.split_at_mut(k);
                    padding.fill(0);
                    scales[i] = round_row(&x[i * k..][..k], values);
                    offsets[i] = OFFSET * sum(values);
                }
            },
        );
    }

    /// Rounds the softmax of rows of scores (n, n), in which a token sees those at most `window` tokens away. Each row of what is left
    /// adds up to one. The scores are overwritten.
    pub fn fill_softmax(&mut self, scores: &mut [f32], n: usize, window: usize) {
        assert_eq!(scores.len(), n * n, "scores of other sizes");
        let depth = self.reshape(n, n);
        let (words, scales, offsets) = (&mut self.words[self.first..], &mut self.scales, &mut self.offsets);
        dispatch(
            #[inline(always)]
            || {
                for (i, scores) in scores.chunks_exact_mut(n.max(1)).enumerate() {
                    let row = words[i * depth..][..depth].as_flattened_mut();
                    let (low, high) = (i.saturating_sub(window), (i + window + 1).min(n));
                    row[..low].fill(0);
                    row[high..].fill(0);
                    let (seen, rounded) = (&mut scores[low..high], &mut row[low..high]);
                    let max = simd::max(seen);
                    // The largest is e^0, which becomes 127.
                    seen.iter_mut().for_each(|x| *x = exp(*x - max) * 127.0 + ROUND);
                    rounded.iter_mut().zip(seen).for_each(|(out, x)| *out = x.to_bits() as i8);
                    let sum = sum(row);
                    (scales[i], offsets[i]) = (1.0 / sum as f32, OFFSET * sum);
                }
            },
        );
    }

    /// Takes the sizes (M, K); what stands in the rows is left to be written. Gives the number of words of a row.
    fn reshape(&mut self, m: usize, k: usize) -> usize {
        let depth = k.div_ceil(DEPTH);
        self.k = k;
        self.words.resize(m * depth + LINE - 1, [0; DEPTH]);
        self.first = self.words.as_ptr().align_offset(LINE * DEPTH).min(LINE - 1);
        self.scales.resize(m, 0.0);
        self.offsets.resize(m, 0);
        depth
    }

    /// The words of row `i`, K values and zeros behind them, and its scale.
    pub(super) fn row(&self, i: usize) -> (&[[i8; DEPTH]], f32) {
        let depth = self.k.div_ceil(DEPTH);
        (&self.words[self.first + i * depth..][..depth], self.scales[i])
    }

    /// M and K.
    pub fn shape(&self) -> (usize, usize) {
        (self.scales.len(), self.k)
    }

    /// `n` rows from `first`.
    pub(super) fn block(&self, first: usize, n: usize) -> Rows<'_> {
        let (stride, rows) = (self.k.div_ceil(DEPTH), first..first + n);
        Rows {
            words: &self.words[self.first + first * stride..][..n * stride],
            stride,
            scales: &self.scales[rows.clone()],
            offsets: &self.offsets[rows],
        }
    }
}

/// The nearest whole numbers (-127 to 127) of a row over its scale, which is given back: a row's value is number times scale.
/// Halves go to the even number. A row of zeros has the scale 0; one with values that are no numbers is nobody's.
pub fn quantize(x: &[f32], out: &mut [i8]) -> f32 {
    dispatch(
        #[inline(always)]
        || round_row(x, out),
    )
}

#[inline(always)]
fn round_row(x: &[f32], out: &mut [i8]) -> f32 {
    let largest = largest(x);
    if largest == 0.0 || largest.is_nan() {
        out.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (out, x) in out.iter_mut().zip(x) {
        *out = (x * inverse + ROUND).to_bits() as i8;
    }
    largest / 127.0
}

/// The largest absolute value.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if x.abs() > *lane { x.abs() } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(0.0, |largest, x| if x.abs() > largest { x.abs() } else { largest })
}

#[inline(always)]
fn sum(values: &[i8]) -> i32 {
    values.iter().map(|v| i32::from(*v)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_becomes_127_and_halves_the_even_number() {
        let mut out = [0; 5];
        assert_eq!(quantize(&[254.0, -254.0, 1.0, 3.0, -5.0], &mut out), 2.0);
        assert_eq!(out, [127, -127, 0, 2, -2]);
        assert_eq!(quantize(&[0.0, -0.0], &mut out[..2]), 0.0);
        assert_eq!(out[..2], [0, 0]);
        assert_eq!(quantize(&[], &mut []), 0.0);
    }

    #[test]
    fn no_value_is_farther_from_its_number_than_half_a_step() {
        for n in 1..70 {
            let x: Vec<f32> = (0..n).map(|i| ((i * i) as f32 * 0.37).sin() * 1e-3).collect();
            let mut out = vec![0; n];
            let scale = quantize(&x, &mut out);
            for (x, q) in x.iter().zip(&out) {
                assert!((x - f32::from(*q) * scale).abs() <= scale * 0.5001, "{x} as {q} times {scale}");
            }
        }
    }
}
