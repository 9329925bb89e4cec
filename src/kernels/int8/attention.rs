//! Multi-head self-attention over packed sentences in whole numbers, for a network in use whose products are: as
//! [`attention`](crate::kernels::attention), with queries, keys and probabilities rounded row by row and values channel by channel.
//!
//! The sums are exact and the softmax between them is in f32, so that all instructions give the same bits.

use super::rows::{QuantizedRows, ROUND};
use super::{COLUMNS, DEPTH, OFFSET, Step, Weight, product};
use crate::kernels::attention::{Heads, sentences};
use crate::kernels::matmul::View;
use crate::kernels::rotary::Rotary;
use crate::kernels::simd::dispatch;

/// Buffers of one head of one sentence, used again from call to call.
#[derive(Debug, Default)]
pub struct Scratch {
    turned: Vec<f32>,             // (n, head_dim), queries, then keys
    queries: QuantizedRows,       // (n, head_dim)
    keys: QuantizedRows,          // (n, head_dim)
    key_panels: Weight,           // (n, head_dim)
    value_panels: Weight,         // (head_dim, n)
    p: Vec<f32>,                  // (n, n)
    probabilities: QuantizedRows, // (n, n)
}

/// Attention of every sentence to itself.
///
/// `qkv` (T, 3D), `starts` (S + 1) and `out` (T, D) as for [`attention`](crate::kernels::attention::attention).
pub fn attention(qkv: &[f32], starts: &[usize], heads: Heads, rotary: &Rotary, scratch: &mut Scratch, out: &mut [f32]) {
    let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
    let scale = 1.0 / (hd as f32).sqrt();
    let Scratch { turned, queries, keys, key_panels, value_panels, p, probabilities } = scratch;
    for (first, n) in sentences(starts) {
        p.resize(n * n, 0.0);
        turned.resize(n * hd, 0.0);
        for head in 0..heads.n_heads {
            let part = |i: usize, part: usize| &qkv[(first + i) * 3 * d + part * d + head * hd..][..hd];
            for (which, rounded) in [(0, &mut *queries), (1, &mut *keys)] {
                dispatch(
                    #[inline(always)]
                    || {
                        turned
                            .chunks_exact_mut(hd)
                            .enumerate()
                            .for_each(|(i, x)| rotary.turn(i, 1.0, part(i, which), x))
                    },
                );
                rounded.fill(turned, n, hd);
            }
            key_panels.lay_out_rows(keys, scale);
            product((p, View::dense(n, n)), queries, key_panels, false);
            probabilities.fill_softmax(p, n, heads.window.unwrap_or(n));
            value_panels.lay_out_columns(n, hd, |i| part(i, 2));
            let to = View::rows_of(n, hd, first * d + head * hd, d);
            product((out, to), probabilities, value_panels, false);
        }
    }
}

impl Weight {
    /// Takes the sizes (N, K); what stands in the panels is left to be written. Gives the number of steps of a panel.
    fn reshape(&mut self, n: usize, k: usize) -> usize {
        let depth = k.div_ceil(DEPTH);
        (self.n, self.k) = (n, k);
        self.steps.resize(n.div_ceil(COLUMNS) * depth, Step::ZERO);
        self.scales.resize(n.div_ceil(COLUMNS), [0.0; COLUMNS]);
        depth
    }

    /// Lays out rounded rows (N, K), each value times `factor`.
    fn lay_out_rows(&mut self, rows: &QuantizedRows, factor: f32) {
        let (n, k) = rows.shape();
        let depth = self.reshape(n, k);
        for column in 0..n {
            let (words, scale) = rows.row(column);
            self.scales[column / COLUMNS][column % COLUMNS] = scale * factor;
            let steps = &mut self.steps[column / COLUMNS * depth..][..depth];
            for (step, word) in steps.iter_mut().zip(words) {
                step.0[column % COLUMNS] = word.map(with_offset);
            }
        }
    }

    /// Rounds and lays out the transpose (N, K) of K rows of N values, with a scale a column of these.
    fn lay_out_columns<'r>(&mut self, k: usize, n: usize, row: impl Fn(usize) -> &'r [f32]) {
        let depth = self.reshape(n, k);
        dispatch(
            #[inline(always)]
            || {
                for (j, scales) in self.scales.iter_mut().enumerate() {
                    let columns = COLUMNS.min(n - j * COLUMNS);
                    let values = |i: usize| {
                        let mut values = [0.0f32; COLUMNS];
                        values[..columns].copy_from_slice(&row(i)[j * COLUMNS..][..columns]);
                        values
                    };
                    let mut largest = [0.0f32; COLUMNS];
                    for i in 0..k {
                        let values = values(i);
                        for c in 0..COLUMNS {
                            largest[c] = if values[c].abs() > largest[c] { values[c].abs() } else { largest[c] };
                        }
                    }
                    let mut inverse = [0.0f32; COLUMNS];
                    for c in 0..COLUMNS {
                        inverse[c] = if largest[c] > 0.0 { 127.0 / largest[c] } else { 0.0 };
                        scales[c] = largest[c] / 127.0;
                    }
                    for (s, step) in self.steps[j * depth..][..depth].iter_mut().enumerate() {
                        let mut words = [0u32; COLUMNS];
                        for (d, i) in (s * DEPTH..k.min((s + 1) * DEPTH)).enumerate() {
                            let values = values(i);
                            for c in 0..COLUMNS {
                                let rounded = (values[c] * inverse[c] + ROUND).to_bits();
                                words[c] |= (rounded & 0xFF) << (8 * d);
                            }
                        }
                        // 128 more in each byte, which is its highest bit turned; where no row is, the other operand is zero.
                        for (bytes, word) in step.0.iter_mut().zip(words) {
                            *bytes = (word ^ 0x8080_8080).to_le_bytes();
                        }
                    }
                }
            },
        );
    }
}

fn with_offset(value: i8) -> u8 {
    (i32::from(value) + OFFSET) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_near_the_attention_of_training(
            lengths in prop::collection::vec(0usize..50, 0..4), n_heads in 1usize..3,
            half in prop::sample::select(&[1usize, 3, 4, 16, 24]), window in prop::option::of(0usize..9),
        ) {
            let heads = Heads { n_heads, head_dim: 2 * half, window };
            let starts: Vec<usize> =
                std::iter::once(0).chain(lengths.iter().scan(0, |sum, n| { *sum += n; Some(*sum) })).collect();
            let (t, d) = (starts[starts.len() - 1], n_heads * 2 * half);
            let qkv: Vec<f32> = (0..t * 3 * d).map(|i| (i as f32 * 0.37).sin()).collect();
            let rotary = Rotary::new(50, 2 * half, 10_000.0);
            let (mut expected, mut out) = (vec![0.0; t * d], vec![0.0; t * d]);
            crate::kernels::attention::attention(&qkv, &starts, heads, &rotary, &mut expected);
            let mut scratch = Scratch::default();
            for _ in 0..2 {
                attention(&qkv, &starts, heads, &rotary, &mut scratch, &mut out);
                for (a, b) in out.iter().zip(&expected) {
                    prop_assert!((a - b).abs() < 0.03, "{a} {b}");
                }
            }
        }

        #[test]
        fn columns_are_those_of_the_transposed_weight(k in 0usize..40, n in 1usize..70) {
            let x: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.73).sin() * 3.0).collect();
            let transposed: Vec<f32> = (0..n * k).map(|i| x[i % k * n + i / k]).collect();
            let expected = Weight::quantized(&transposed, n, k);
            let mut found = Weight::default();
            found.lay_out_columns(k, n, |i| &x[i * n..][..n]);
            for j in 0..n.div_ceil(COLUMNS) {
                let ((a, columns), (b, _)) = (expected.panel(j), found.panel(j));
                prop_assert_eq!(&a.scales[..columns], &b.scales[..columns]);
                for (a, b) in a.steps.iter().zip(b.steps) {
                    prop_assert_eq!(&a.0[..columns], &b.0[..columns]);
                }
            }
        }
    }
}
