//! The loss of a language model over a large vocabulary a stretch of the vocabulary at a time: neither
//! the (M, V) matrix of logits nor that of probabilities is ever held.

use super::Products;
use crate::kernels::linear_cross_entropy::Gradients;
use crate::kernels::math::exp;
use crate::kernels::matmul::View;
use crate::kernels::simd::{self, dispatch};

/// Entries of the vocabulary whose logits are held at once.
const STRETCH: usize = 512;

/// As [`linear_cross_entropy`](crate::kernels::linear_cross_entropy::linear_cross_entropy), but `gradients.table` is
/// overwritten. The logits are computed twice, first for the sum of their exponentials, then for the gradients: twice the
/// product costs less than writing them down.
pub fn linear_cross_entropy(
    by: Products,
    hidden: &[f32],
    table: &[f32],
    d: usize,
    targets: &[u32],
    scale: f32,
    gradients: Option<Gradients<'_>>,
) -> f64 {
    let (v, m) = (table.len() / d, targets.len());
    let rows = View::dense(m, d);
    let mut logits = vec![0.0; m * STRETCH.min(v)];
    // Of each row: the largest logit so far, the sum of the exponentials of all less this one, and the target's logit.
    let mut sums = vec![(f32::NEG_INFINITY, 0.0f32, 0.0f32); m];
    for first in (0..v).step_by(STRETCH) {
        let n = STRETCH.min(v - first);
        let entries = &table[first * d..(first + n) * d];
        by.matmul((&mut logits, View::dense(m, n)), (hidden, rows), (entries, View::dense(n, d).t()), false);
        dispatch(
            #[inline(always)]
            || {
                for ((row, (max, sum, own)), target) in logits.chunks_exact(n).zip(&mut sums).zip(targets) {
                    let larger = max.max(simd::max(row));
                    *sum = *sum * exp(*max - larger) + simd::sum(row, |x| exp(x - larger));
                    *max = larger;
                    if let Some(logit) = (*target as usize).checked_sub(first).and_then(|i| row.get(i)) {
                        *own = *logit;
                    }
                }
            },
        );
    }
    let loss = sums.iter().map(|(max, sum, own)| f64::from(max + sum.ln() - own)).sum();
    let Some(gradients) = gradients else { return loss };
    let log_sums: Vec<f32> = sums.iter().map(|(max, sum, _)| max + sum.ln()).collect();
    for first in (0..v).step_by(STRETCH) {
        let n = STRETCH.min(v - first);
        let (entries, dentries) =
            (&table[first * d..(first + n) * d], &mut gradients.table[first * d..(first + n) * d]);
        let (square, all) = (View::dense(m, n), View::dense(n, d));
        by.matmul((&mut logits, square), (hidden, rows), (entries, all.t()), false);
        dispatch(
            #[inline(always)]
            || {
                for ((row, log_sum), target) in logits.chunks_exact_mut(n).zip(&log_sums).zip(targets) {
                    for x in row.iter_mut() {
                        *x = exp(*x - log_sum) * scale;
                    }
                    if let Some(x) = (*target as usize).checked_sub(first).and_then(|i| row.get_mut(i)) {
                        *x -= scale;
                    }
                }
            },
        );
        by.matmul((gradients.hidden, rows), (&logits, square), (entries, all), first > 0);
        by.matmul((dentries, all), (&logits, square.t()), (hidden, rows), false);
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::linear_cross_entropy::linear_cross_entropy as in_f32;

    type Loss<'l> = &'l dyn Fn(&[f32], &[f32], usize, &[u32], f32, Option<Gradients<'_>>) -> f64;

    #[test]
    fn equals_the_plain_loss_and_gradients_up_to_rounding() {
        let (m, d, v) = (70, 24, 2 * STRETCH + 100);
        let hidden: Vec<f32> = (0..m * d).map(|i| (i as f32 * 0.71).sin()).collect();
        let table: Vec<f32> = (0..v * d).map(|i| (i as f32 * 1.37).cos()).collect();
        let targets: Vec<u32> = (0..m as u32).map(|i| i * 701 % v as u32).collect();
        let all = |f: Loss<'_>| {
            let (mut dhidden, mut dtable) = (vec![0.0; m * d], vec![0.0; v * d]);
            let loss =
                f(&hidden, &table, d, &targets, 0.5, Some(Gradients { hidden: &mut dhidden, table: &mut dtable }));
            assert_eq!(f(&hidden, &table, d, &targets, 0.5, None), loss);
            (loss, dhidden, dtable)
        };
        let exact = all(&in_f32);
        for (by, allowed) in [(Products::F32, 1e-6), (Products::Bf16, 1e-3)] {
            let found =
                all(&|h, w, d, targets, scale, gradients| linear_cross_entropy(by, h, w, d, targets, scale, gradients));
            assert!((found.0 / exact.0 - 1.0).abs() < allowed, "{by:?}: {} {}", found.0, exact.0);
            for (found, exact) in [(&found.1, &exact.1), (&found.2, &exact.2)] {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let cosine = dot(found, exact) / (dot(found, found) * dot(exact, exact)).sqrt();
                assert!(cosine > 1.0 - allowed / 10.0, "{by:?}: {cosine}");
            }
        }
    }
}
