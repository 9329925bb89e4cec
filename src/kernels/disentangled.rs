//! Disentangled self-attention over packed sequences (He et al., 2021): a score is the sum of content to content, content to
//! distance and distance to content, where distances are binned, finely near and coarsely far.

use super::attention::{Heads, sentences, softmax_rows};
use super::matmul::{View, matmul};
use super::simd::{dispatch, sum2};

/// Bins of the distances between two tokens of a sentence.
#[derive(Debug, Clone)]
pub struct Distances {
    /// The row of the table for each distance, from `1 - n` to `n - 1`.
    rows: Vec<usize>,
    n_positions: usize,
    n_rows: usize,
}

impl Distances {
    /// Bins for sentences of up to `n_positions` tokens. With `buckets` of 0 each distance up to `max_distance` has a row of its own;
    /// else those up to half of `buckets` have, and the further ones share the rest by their logarithm up to `max_distance`
    /// (as transformers' `make_log_bucket_position`).
    pub fn new(n_positions: usize, buckets: usize, max_distance: usize) -> Distances {
        let span = Distances::span(buckets, max_distance);
        let middle = (buckets / 2) as f32;
        let bin = |distance: i64| -> i64 {
            let far = distance.unsigned_abs() as f32;
            if buckets == 0 || far <= middle {
                return distance;
            }
            // In f32, as the reference: a ceiling is sensitive to the last bit.
            let log = (far / middle).ln() / ((max_distance as f32 - 1.0) / middle).ln() * (middle - 1.0);
            (log.ceil() as i64 + buckets as i64 / 2) * distance.signum()
        };
        let n = n_positions as i64;
        let row = |distance| (bin(distance) + span as i64).clamp(0, 2 * span as i64 - 1) as usize;
        Distances { rows: (1 - n..n).map(row).collect(), n_positions, n_rows: 2 * span }
    }

    /// Half the number of rows of the table of distances.
    pub fn span(buckets: usize, max_distance: usize) -> usize {
        if buckets > 0 { buckets } else { max_distance }
    }

    /// How long a sentence may be.
    pub fn n_positions(&self) -> usize {
        self.n_positions
    }

    /// Rows of the table of distances.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The row for the distance from token j to token i.
    fn row(&self, i: usize, j: usize) -> usize {
        self.rows[i + self.n_positions - 1 - j]
    }
}

/// A score is divided by the root of the channels times the number of its parts.
fn scale(heads: Heads) -> f32 {
    1.0 / (3.0 * heads.head_dim as f32).sqrt()
}

/// Attention of every sentence to itself.
///
/// `qkv` (T, 3D) holds queries, keys and values of the tokens, `relative` (rows, 3D) those of the distances, of which the values are
/// not used; `starts` (S + 1); `out` (T, D).
pub fn attention(
    qkv: &[f32],
    relative: &[f32],
    starts: &[usize],
    heads: Heads,
    distances: &Distances,
    out: &mut [f32],
) {
    let mut scratch = Scratch::default();
    for (first, n) in sentences(starts) {
        for head in 0..heads.n_heads {
            let at = At { first, n, head, heads, rows: distances.n_rows };
            scratch.probabilities(qkv, relative, at, distances);
            matmul((out, at.out()), (&scratch.p, View::dense(n, n)), (qkv, at.tokens(2)), 1.0, false);
        }
    }
}

/// Gradients of [`attention`]: writes `dqkv` (T, 3D) and adds to `drelative` (rows, 3D), from `grad` (T, D).
pub fn attention_backward(
    (qkv, relative): (&[f32], &[f32]),
    starts: &[usize],
    heads: Heads,
    distances: &Distances,
    grad: &[f32],
    (dqkv, drelative): (&mut [f32], &mut [f32]),
) {
    let mut scratch = Scratch::default();
    let (mut ds, mut by_distance) = (Vec::new(), Vec::new());
    let rows = distances.n_rows;
    for (first, n) in sentences(starts) {
        for head in 0..heads.n_heads {
            let at = At { first, n, head, heads, rows };
            scratch.probabilities(qkv, relative, at, distances);
            let (square, wide) = (View::dense(n, n), View::dense(n, rows));
            matmul((dqkv, at.tokens(2)), (&scratch.p, square.t()), (grad, at.out()), 1.0, false);
            ds.resize(n * n, 0.0);
            matmul((&mut ds, square), (grad, at.out()), (qkv, at.tokens(2).t()), 1.0, false);
            dispatch(
                #[inline(always)]
                || {
                    for (ds, p) in ds.chunks_exact_mut(n).zip(scratch.p.chunks_exact(n)) {
                        let dot = sum2(ds, p, |ds, p| ds * p);
                        ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = p * (*ds - dot));
                    }
                },
            );
            let scale = scale(heads);
            matmul((dqkv, at.tokens(0)), (&ds, square), (qkv, at.tokens(1)), scale, false);
            matmul((dqkv, at.tokens(1)), (&ds, square.t()), (qkv, at.tokens(0)), scale, false);
            // Content to distance: the query of token i with the key of each distance from it.
            by_distance.clear();
            by_distance.resize(n * rows, 0.0);
            for i in 0..n {
                (0..n).for_each(|j| by_distance[i * rows + distances.row(i, j)] += ds[i * n + j]);
            }
            matmul((dqkv, at.tokens(0)), (&by_distance, wide), (relative, at.distances(1)), scale, true);
            matmul((drelative, at.distances(1)), (&by_distance, wide.t()), (qkv, at.tokens(0)), scale, true);
            // Distance to content: the key of token j with the query of each distance to it.
            by_distance.fill(0.0);
            for j in 0..n {
                (0..n).for_each(|i| by_distance[j * rows + distances.row(i, j)] += ds[i * n + j]);
            }
            matmul((dqkv, at.tokens(1)), (&by_distance, wide), (relative, at.distances(0)), scale, true);
            matmul((drelative, at.distances(0)), (&by_distance, wide.t()), (qkv, at.tokens(1)), scale, true);
        }
    }
}

/// One head of one sentence.
#[derive(Clone, Copy)]
struct At {
    first: usize,
    n: usize,
    head: usize,
    heads: Heads,
    rows: usize,
}

impl At {
    fn d(&self) -> usize {
        self.heads.n_heads * self.heads.head_dim
    }

    /// Queries (0), keys (1) or values (2) of the tokens, (n, head_dim).
    fn tokens(&self, part: usize) -> View {
        let d = self.d();
        let offset = self.first * 3 * d + part * d + self.head * self.heads.head_dim;
        View::rows_of(self.n, self.heads.head_dim, offset, 3 * d)
    }

    /// Queries (0) or keys (1) of the distances, (rows, head_dim).
    fn distances(&self, part: usize) -> View {
        let d = self.d();
        View::rows_of(self.rows, self.heads.head_dim, part * d + self.head * self.heads.head_dim, 3 * d)
    }

    /// The output, (n, head_dim).
    fn out(&self) -> View {
        let d = self.d();
        View::rows_of(self.n, self.heads.head_dim, self.first * d + self.head * self.heads.head_dim, d)
    }
}

/// Buffers of one head of one sentence, used again over all.
#[derive(Default)]
struct Scratch {
    p: Vec<f32>,           // (n, n)
    by_distance: Vec<f32>, // (n, rows)
}

impl Scratch {
    /// Fills `p` with the probabilities (n, n).
    fn probabilities(&mut self, qkv: &[f32], relative: &[f32], at: At, distances: &Distances) {
        let (n, rows, scale) = (at.n, at.rows, scale(at.heads));
        let Scratch { p, by_distance } = self;
        p.resize(n * n, 0.0);
        by_distance.resize(n * rows, 0.0);
        let wide = View::dense(n, rows);
        matmul((p, View::dense(n, n)), (qkv, at.tokens(0)), (qkv, at.tokens(1).t()), scale, false);
        matmul((by_distance, wide), (qkv, at.tokens(0)), (relative, at.distances(1).t()), scale, false);
        for i in 0..n {
            (0..n).for_each(|j| p[i * n + j] += by_distance[i * rows + distances.row(i, j)]);
        }
        matmul((by_distance, wide), (qkv, at.tokens(1)), (relative, at.distances(0).t()), scale, false);
        for j in 0..n {
            (0..n).for_each(|i| p[i * n + j] += by_distance[j * rows + distances.row(i, j)]);
        }
        softmax_rows(p, n, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_rows_of_their_own_and_far_ones_share() {
        // Half of 8 buckets fine, the rest up to 16 tokens by logarithm; the middle row is distance 0.
        let distances = Distances::new(16, 8, 16);
        assert_eq!((distances.n_rows(), distances.n_positions()), (16, 16));
        let rows: Vec<usize> = (0..16).map(|i| distances.row(i, 0)).collect();
        assert_eq!(rows[..5], [8, 9, 10, 11, 12]);
        assert!(rows.is_sorted() && rows[15] == 15, "{rows:?}");
        let back: Vec<usize> = (0..16).map(|j| distances.row(0, j)).collect();
        assert!(back.iter().zip(&rows).all(|(back, row)| back + row == 16), "{back:?}");
        // Without buckets, what is further than the table shares its ends.
        let plain = Distances::new(9, 0, 4);
        assert_eq!((0..9).map(|i| plain.row(i, 0)).collect::<Vec<_>>(), [4, 5, 6, 7, 7, 7, 7, 7, 7]);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let heads = Heads { n_heads: 2, head_dim: 3, window: None };
        let (starts, d) = (vec![0, 5, 6, 13], 6);
        let distances = Distances::new(8, 4, 8);
        let wave = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        let (mut qkv, mut relative, grad) =
            (wave(13 * 3 * d, 0.37), wave(distances.n_rows() * 3 * d, 0.23), wave(13 * d, 0.71));
        let value = |qkv: &[f32], relative: &[f32]| -> f64 {
            let mut out = vec![0.0; 13 * d];
            attention(qkv, relative, &starts, heads, &distances, &mut out);
            out.iter().zip(&grad).map(|(o, g)| f64::from(*o) * f64::from(*g)).sum()
        };
        let (mut dqkv, mut drelative) = (vec![0.0; qkv.len()], vec![0.0; relative.len()]);
        attention_backward((&qkv, &relative), &starts, heads, &distances, &grad, (&mut dqkv, &mut drelative));
        const STEP: f32 = 1e-2;
        for i in (0..qkv.len()).step_by(7) {
            let kept = qkv[i];
            qkv[i] = kept + STEP;
            let up = value(&qkv, &relative);
            qkv[i] = kept - STEP;
            let slope = (up - value(&qkv, &relative)) / f64::from(2.0 * STEP);
            qkv[i] = kept;
            assert!((slope - f64::from(dqkv[i])).abs() < 2e-3, "token value {i}: {slope} and {}", dqkv[i]);
        }
        for i in 0..relative.len() {
            let kept = relative[i];
            relative[i] = kept + STEP;
            let up = value(&qkv, &relative);
            relative[i] = kept - STEP;
            let slope = (up - value(&qkv, &relative)) / f64::from(2.0 * STEP);
            relative[i] = kept;
            assert!((slope - f64::from(drelative[i])).abs() < 2e-3, "distance value {i}: {slope} and {}", drelative[i]);
        }
    }
}
