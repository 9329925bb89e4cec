//! Multi-head self-attention over packed sequences: each sentence attends to itself only, so there is no mask and no padding.

use super::math::softmax_in_place;
use super::matmul::{View, matmul};
use super::rotary::Rotary;
use super::simd::{dispatch, sum2};

/// Sizes of an attention layer.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Number of heads, H.
    pub n_heads: usize,
    /// Channels of a head; D = H * head_dim.
    pub head_dim: usize,
    /// A token sees tokens at most this far away; none means the whole sentence.
    pub window: Option<usize>,
}

/// Attention of every sentence to itself.
///
/// `qkv` (T, 3D) holds queries, keys and values side by side, heads within each; `starts` (S + 1) the first token of each
/// sentence and T at the end; `out` is (T, D). Scores are scaled by 1/sqrt(head_dim); queries and keys are turned by `rotary`.
pub fn attention(qkv: &[f32], starts: &[usize], heads: Heads, rotary: &Rotary, out: &mut [f32]) {
    let d = heads.n_heads * heads.head_dim;
    let mut scratch = Scratch::default();
    for (first, n) in sentences(starts) {
        for head in 0..heads.n_heads {
            scratch.probabilities(qkv, first, n, head, heads, rotary);
            let values = View::rows_of(n, heads.head_dim, first * 3 * d + 2 * d + head * heads.head_dim, 3 * d);
            let to = View::rows_of(n, heads.head_dim, first * d + head * heads.head_dim, d);
            matmul((out, to), (&scratch.p, View::dense(n, n)), (qkv, values), 1.0, false);
        }
    }
}

/// Gradient of [`attention`] with respect to `qkv`: writes `dqkv` (T, 3D) from `grad` (T, D). The probabilities are
/// computed again rather than kept: they are cheap, and keeping them would cost n² values a head.
pub fn attention_backward(
    qkv: &[f32],
    starts: &[usize],
    heads: Heads,
    rotary: &Rotary,
    grad: &[f32],
    dqkv: &mut [f32],
) {
    let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
    let scale = 1.0 / (hd as f32).sqrt();
    let mut scratch = Scratch::default();
    let (mut dp, mut dq, mut dk) = (Vec::new(), Vec::new(), Vec::new());
    for (first, n) in sentences(starts) {
        for head in 0..heads.n_heads {
            scratch.probabilities(qkv, first, n, head, heads, rotary);
            let square = View::dense(n, n);
            let values = View::rows_of(n, hd, first * 3 * d + 2 * d + head * hd, 3 * d);
            let g = View::rows_of(n, hd, first * d + head * hd, d);
            // dV = Pᵀ dO
            matmul((dqkv, values), (&scratch.p, square.t()), (grad, g), 1.0, false);
            // dP = dO Vᵀ, then through the softmax: dS = P * (dP - Σ P dP)
            dp.resize(n * n, 0.0);
            matmul((&mut dp, square), (grad, g), (qkv, values.t()), 1.0, false);
            dispatch(
                #[inline(always)]
                || {
                    for (dp, p) in dp.chunks_exact_mut(n).zip(scratch.p.chunks_exact(n)) {
                        let dot = sum2(dp, p, |dp, p| dp * p);
                        for (dp, p) in dp.iter_mut().zip(p) {
                            *dp = p * (*dp - dot);
                        }
                    }
                },
            );
            // dQ = dS K / sqrt(d), dK = dSᵀ Q / sqrt(d), both still turned
            let block = View::dense(n, hd);
            dq.resize(n * hd, 0.0);
            dk.resize(n * hd, 0.0);
            matmul((&mut dq, block), (&dp, square), (&scratch.k, block), scale, false);
            matmul((&mut dk, block), (&dp, square.t()), (&scratch.q, block), scale, false);
            for i in 0..n {
                let row = (first + i) * 3 * d + head * hd;
                rotary.turn(i, -1.0, &dq[i * hd..][..hd], &mut dqkv[row..][..hd]);
                rotary.turn(i, -1.0, &dk[i * hd..][..hd], &mut dqkv[row + d..][..hd]);
            }
        }
    }
}

/// First token and length of each sentence; empty ones are skipped.
pub fn sentences(starts: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    starts.windows(2).map(|w| (w[0], w[1] - w[0])).filter(|(_, n)| *n > 0)
}

/// Buffers of one head of one sentence, reused over all.
#[derive(Default)]
struct Scratch {
    q: Vec<f32>,
    k: Vec<f32>,
    p: Vec<f32>,
}

impl Scratch {
    /// Fills `q` and `k` with the turned queries and keys (n, head_dim) and `p` with the probabilities (n, n).
    fn probabilities(&mut self, qkv: &[f32], first: usize, n: usize, head: usize, heads: Heads, rotary: &Rotary) {
        let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
        self.q.resize(n * hd, 0.0);
        self.k.resize(n * hd, 0.0);
        self.p.resize(n * n, 0.0);
        for i in 0..n {
            let row = (first + i) * 3 * d + head * hd;
            rotary.turn(i, 1.0, &qkv[row..][..hd], &mut self.q[i * hd..][..hd]);
            rotary.turn(i, 1.0, &qkv[row + d..][..hd], &mut self.k[i * hd..][..hd]);
        }
        let block = View::dense(n, hd);
        let scale = 1.0 / (hd as f32).sqrt();
        matmul((&mut self.p, View::dense(n, n)), (&self.q, block), (&self.k, block.t()), scale, false);
        softmax_rows(&mut self.p, n, heads.window.unwrap_or(n));
    }
}

/// Rows of scores (n, n) become probabilities; a token sees those at most `window` away.
pub fn softmax_rows(p: &mut [f32], n: usize, window: usize) {
    dispatch(
        #[inline(always)]
        || {
            for (i, row) in p.chunks_exact_mut(n).enumerate() {
                let (low, high) = (i.saturating_sub(window), (i + window + 1).min(n));
                row[..low].fill(0.0);
                row[high..].fill(0.0);
                softmax_in_place(&mut row[low..high]);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Attention by the book, one number at a time.
    fn naive(qkv: &[f32], starts: &[usize], heads: Heads, rotary: &Rotary) -> Vec<f32> {
        let (d, hd) = (heads.n_heads * heads.head_dim, heads.head_dim);
        let mut out = vec![0.0; qkv.len() / 3];
        let turned = |token: usize, position: usize, part: usize, head: usize| {
            let mut t = vec![0.0; hd];
            rotary.turn(position, 1.0, &qkv[token * 3 * d + part * d + head * hd..][..hd], &mut t);
            t
        };
        for w in starts.windows(2) {
            for i in w[0]..w[1] {
                for head in 0..heads.n_heads {
                    let q = turned(i, i - w[0], 0, head);
                    let seen: Vec<usize> =
                        (w[0]..w[1]).filter(|j| heads.window.is_none_or(|win| i.abs_diff(*j) <= win)).collect();
                    let scores = seen.iter().map(|&j| {
                        let k = turned(j, j - w[0], 1, head);
                        q.iter().zip(&k).map(|(a, b)| a * b).sum::<f32>() / (hd as f32).sqrt()
                    });
                    let scores: Vec<f32> = scores.map(f32::exp).collect();
                    let sum: f32 = scores.iter().sum();
                    for (&j, score) in seen.iter().zip(&scores) {
                        for c in 0..hd {
                            out[i * d + head * hd + c] += score / sum * qkv[j * 3 * d + 2 * d + head * hd + c];
                        }
                    }
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn equals_attention_by_the_book(
            lengths in prop::collection::vec(0usize..7, 1..5), n_heads in 1usize..4, window in prop::option::of(1usize..4), seed in 0u32..1000
        ) {
            let heads = Heads { n_heads, head_dim: 4, window };
            let mut starts = vec![0];
            for n in &lengths {
                starts.push(starts.last().unwrap() + n);
            }
            let t = *starts.last().unwrap();
            let qkv: Vec<f32> = (0..t * 3 * 4 * n_heads).map(|i| ((i as f32 + seed as f32) * 0.37).sin()).collect();
            let rotary = Rotary::new(8, 4, 100.0);
            let mut out = vec![0.0; t * 4 * n_heads];
            attention(&qkv, &starts, heads, &rotary, &mut out);
            for (a, b) in out.iter().zip(naive(&qkv, &starts, heads, &rotary)) {
                prop_assert!((a - b).abs() < 1e-5);
            }
        }
    }
}
