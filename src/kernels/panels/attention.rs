//! Multi-head self-attention over packed sentences for a network in use: as [`attention`](crate::kernels::attention), with
//! keys and values laid out in panels.

use super::{COLUMNS, Panels, product};
use crate::kernels::attention::{Heads, sentences, softmax_rows};
use crate::kernels::matmul::View;
use crate::kernels::rotary::Rotary;
use crate::kernels::simd::dispatch;

/// Buffers of one head of one sentence, used again from call to call.
#[derive(Debug, Default)]
pub struct Scratch {
    queries: Vec<f32>, // (n, head_dim), turned
    key: Vec<f32>,     // (head_dim), turned
    keys: Panels,      // (n, head_dim)
    values: Panels,    // (head_dim, n)
    p: Vec<f32>,       // (n, n)
}

/// Attention of every sentence to itself.
///
/// `qkv` (T, 3D), `starts` (S + 1) and `out` (T, D) as for [`attention`](crate::kernels::attention::attention).
pub fn attention(qkv: &[f32], starts: &[usize], heads: Heads, rotary: &Rotary, scratch: &mut Scratch, out: &mut [f32]) {
    let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
    let scale = 1.0 / (hd as f32).sqrt();
    for (first, n) in sentences(starts) {
        for head in 0..heads.n_heads {
            let part = |i: usize, part: usize| &qkv[(first + i) * 3 * d + part * d + head * hd..][..hd];
            scratch.lay_out(n, hd, part, rotary);
            let Scratch { queries, keys, values, p, .. } = scratch;
            p.resize(n * n, 0.0);
            let (square, block) = (View::dense(n, n), View::dense(n, hd));
            product((p, square), (queries, block), keys, scale, false);
            softmax_rows(p, n, heads.window.unwrap_or(n));
            let to = View::rows_of(n, hd, first * d + head * hd, d);
            product((out, to), (p, square), values, 1.0, false);
        }
    }
}

impl Scratch {
    /// Turns queries and keys, and lays out keys and values; `part` gives token i's query (0), key (1) or value (2).
    fn lay_out<'q>(&mut self, n: usize, hd: usize, part: impl Fn(usize, usize) -> &'q [f32], rotary: &Rotary) {
        let Scratch { queries, key, keys, values, .. } = self;
        queries.resize(n * hd, 0.0);
        key.resize(hd, 0.0);
        dispatch(
            #[inline(always)]
            || {
                for (i, query) in queries.chunks_exact_mut(hd).enumerate() {
                    rotary.turn(i, 1.0, part(i, 0), query);
                }
                keys.lay_out(n, hd, |i, steps| {
                    rotary.turn(i, 1.0, part(i, 1), key);
                    steps.iter_mut().zip(key.iter()).for_each(|(step, value)| step.0[i % COLUMNS] = *value);
                });
                values.lay_out_steps(hd, n, |i| part(i, 2));
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_attention_of_training(
            lengths in prop::collection::vec(0usize..40, 0..4), n_heads in 1usize..3,
            half in prop::sample::select(&[1usize, 4, 16, 24]), window in prop::option::of(0usize..9),
        ) {
            let heads = Heads { n_heads, head_dim: 2 * half, window };
            let starts: Vec<usize> =
                std::iter::once(0).chain(lengths.iter().scan(0, |sum, n| { *sum += n; Some(*sum) })).collect();
            let (t, d) = (starts[starts.len() - 1], n_heads * 2 * half);
            let qkv: Vec<f32> = (0..t * 3 * d).map(|i| (i as f32 * 0.37).sin() * 2.0).collect();
            let rotary = Rotary::new(40, 2 * half, 10_000.0);
            let (mut expected, mut out) = (vec![0.0; t * d], vec![0.0; t * d]);
            crate::kernels::attention::attention(&qkv, &starts, heads, &rotary, &mut expected);
            let mut scratch = Scratch::default();
            for _ in 0..2 {
                attention(&qkv, &starts, heads, &rotary, &mut scratch, &mut out);
                for (a, b) in out.iter().zip(&expected) {
                    prop_assert!((a - b).abs() < 2e-5, "{a} {b}");
                }
            }
        }
    }
}
