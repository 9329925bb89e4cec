//! Multi-head self-attention over packed sequences, forward and backward; softmax and all sums in f32.
//!
//! Queries, keys and values of a head are copied to scratch memory whose rows are a multiple of the tiles', so that the products
//! have no edges.

use super::Products;
use crate::kernels::attention::{Heads, sentences};
use crate::kernels::bf16::tile::BLOCK;
use crate::kernels::math::softmax_in_place;
use crate::kernels::matmul::View;
use crate::kernels::rotary::Rotary;
use crate::kernels::simd::{dispatch, sum2};

/// As [`attention`](crate::kernels::attention::attention).
pub fn attention(by: Products, qkv: &[f32], starts: &[usize], heads: Heads, rotary: &Rotary, out: &mut [f32]) {
    let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
    let mut s = Scratch::default();
    for (first, n) in sentences(starts) {
        for head in 0..heads.n_heads {
            s.probabilities(by, qkv, (first, n), head, heads, rotary);
            let rows = n.next_multiple_of(BLOCK);
            let values = View::rows_of(n, hd, first * 3 * d + 2 * d + head * hd, 3 * d);
            s.out.resize(rows * hd, 0.0);
            by.matmul(
                (&mut s.out, View::dense(rows, hd)),
                (&s.p, View::rows_of(rows, n, 0, rows)),
                (qkv, values),
                false,
            );
            for (i, row) in s.out.chunks_exact(hd).take(n).enumerate() {
                out[(first + i) * d + head * hd..][..hd].copy_from_slice(row);
            }
        }
    }
}

/// As [`attention_backward`](crate::kernels::attention::attention_backward).
pub fn attention_backward(
    by: Products,
    qkv: &[f32],
    starts: &[usize],
    heads: Heads,
    rotary: &Rotary,
    grad: &[f32],
    dqkv: &mut [f32],
) {
    let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
    let scale = 1.0 / (hd as f32).sqrt();
    let mut s = Scratch::default();
    let (mut dp, mut g, mut v) = (Vec::new(), Vec::new(), Vec::new());
    for (first, n) in sentences(starts) {
        let rows = n.next_multiple_of(BLOCK);
        let (square, block) = (View::dense(rows, rows), View::dense(rows, hd));
        // What is summed over are the tokens of the sentence, not the rows behind them.
        let (square_n, turned_n, block_n) = (
            View::rows_of(rows, n, 0, rows),
            View { rows, columns: n, offset: 0, row_stride: 1, column_stride: rows },
            View::dense(n, hd),
        );
        for head in 0..heads.n_heads {
            s.probabilities(by, qkv, (first, n), head, heads, rotary);
            copy_rows(&mut g, grad, (first, n, rows), (d, head * hd, hd));
            copy_rows(&mut v, qkv, (first, n, rows), (3 * d, 2 * d + head * hd, hd));
            s.out.resize(rows * hd, 0.0);
            let mut write = |rows: &[f32], part: usize| {
                for (i, row) in rows.chunks_exact(hd).take(n).enumerate() {
                    dqkv[(first + i) * 3 * d + part * d + head * hd..][..hd].copy_from_slice(row);
                }
            };
            // dV = Pᵀ dO
            by.matmul((&mut s.out, block), (&s.p, turned_n), (&g, block_n), false);
            write(&s.out, 2);
            // dP = dO Vᵀ, then through the softmax: dS = P * (dP - Σ P dP) / sqrt(d)
            dp.resize(rows * rows, 0.0);
            by.matmul((&mut dp, square), (&g, block), (&v, block.t()), false);
            dispatch(
                #[inline(always)]
                || {
                    for (dp, p) in dp.chunks_exact_mut(rows).zip(s.p.chunks_exact(rows)).take(n) {
                        let dot = sum2(&dp[..n], &p[..n], |dp, p| dp * p);
                        for (dp, p) in dp[..n].iter_mut().zip(&p[..n]) {
                            *dp = p * (*dp - dot) * scale;
                        }
                    }
                },
            );
            // dQ = dS K, dK = dSᵀ Q, both still turned
            for (part, of, with) in [(0, square_n, &s.k), (1, turned_n, &s.q)] {
                by.matmul((&mut s.out, block), (&dp, of), (with, block_n), false);
                dispatch(
                    #[inline(always)]
                    || {
                        for (i, row) in s.out.chunks_exact(hd).take(n).enumerate() {
                            rotary.turn(i, -1.0, row, &mut dqkv[(first + i) * 3 * d + part * d + head * hd..][..hd]);
                        }
                    },
                );
            }
        }
    }
}

/// `n` rows of `values` from row `first`, of each `width` values from `column`; rows behind them, to `rows`, are zero.
fn copy_rows(
    to: &mut Vec<f32>,
    values: &[f32],
    (first, n, rows): (usize, usize, usize),
    (stride, column, width): (usize, usize, usize),
) {
    to.clear();
    for i in 0..n {
        to.extend_from_slice(&values[(first + i) * stride + column..][..width]);
    }
    to.resize(rows * width, 0.0);
}

/// Buffers of one head of one sentence, reused over all.
#[derive(Default)]
struct Scratch {
    q: Vec<f32>,
    k: Vec<f32>,
    p: Vec<f32>,
    out: Vec<f32>,
}

impl Scratch {
    /// Fills `q` and `k` with the turned queries and keys and `p` with the probabilities, all with rows of zeros or of no
    /// meaning up to whole tiles.
    fn probabilities(
        &mut self,
        by: Products,
        qkv: &[f32],
        (first, n): (usize, usize),
        head: usize,
        heads: Heads,
        rotary: &Rotary,
    ) {
        let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
        let rows = n.next_multiple_of(BLOCK);
        self.p.resize(rows * rows, 0.0);
        for x in [&mut self.q, &mut self.k] {
            x.resize(rows * hd, 0.0);
            x[n * hd..].fill(0.0);
        }
        dispatch(
            #[inline(always)]
            || {
                for i in 0..n {
                    let row = (first + i) * 3 * d + head * hd;
                    rotary.turn(i, 1.0, &qkv[row..][..hd], &mut self.q[i * hd..][..hd]);
                    rotary.turn(i, 1.0, &qkv[row + d..][..hd], &mut self.k[i * hd..][..hd]);
                }
            },
        );
        let block = View::dense(rows, hd);
        by.matmul((&mut self.p, View::dense(rows, rows)), (&self.q, block), (&self.k, block.t()), false);
        let scale = 1.0 / (hd as f32).sqrt();
        let window = heads.window.unwrap_or(n);
        dispatch(
            #[inline(always)]
            || {
                for (i, row) in self.p.chunks_exact_mut(rows).take(n).enumerate() {
                    let (low, high) = (i.saturating_sub(window), (i + window + 1).min(n));
                    row[..low].fill(0.0);
                    row[high..].fill(0.0);
                    row[low..high].iter_mut().for_each(|x| *x *= scale);
                    softmax_in_place(&mut row[low..high]);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention as in_f32;

    #[test]
    fn equals_plain_attention_up_to_rounding() {
        let starts = [0, 3, 3, 43, 107, 140];
        let t = 140;
        for (n_heads, head_dim, window) in [(2, 16, None), (1, 40, None), (2, 6, Some(5))] {
            let heads = Heads { n_heads, head_dim, window };
            let d = n_heads * head_dim;
            let numbers = |n: usize, seed: f32| (0..n).map(|i| ((i as f32 + seed) * 0.37).sin()).collect::<Vec<f32>>();
            let (qkv, grad, rotary) = (numbers(t * 3 * d, 0.0), numbers(t * d, 9.0), Rotary::new(64, head_dim, 100.0));
            for (by, allowed) in [(Products::F32, 1e-5), (Products::Bf16, 0.01)] {
                let (mut out, mut exact) = (vec![9.0; t * d], vec![0.0; t * d]);
                attention(by, &qkv, &starts, heads, &rotary, &mut out);
                in_f32::attention(&qkv, &starts, heads, &rotary, &mut exact);
                let (mut dqkv, mut dexact) = (vec![9.0; t * 3 * d], vec![0.0; t * 3 * d]);
                attention_backward(by, &qkv, &starts, heads, &rotary, &grad, &mut dqkv);
                in_f32::attention_backward(&qkv, &starts, heads, &rotary, &grad, &mut dexact);
                for (rounded, exact) in [(out, exact), (dqkv, dexact)] {
                    let distance = rounded.iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                    let size = exact.iter().map(|x| x * x).sum::<f32>().sqrt();
                    assert!(distance < allowed * size, "{by:?} {heads:?}: {distance} of {size}");
                }
            }
        }
    }
}
