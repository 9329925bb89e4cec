//! The loss of a language model over a large vocabulary: product with the embedding table and cross-entropy in one pass, a
//! block of rows at a time, so that the (M, V) matrix of probabilities is never held.

use super::cross_entropy::log_sum_exp;
use super::math::softmax_in_place;
use super::matmul::{View, matmul};
use super::simd::dispatch;

/// Rows whose logits are held at once.
const BLOCK: usize = 64;

/// Where the gradients of [`linear_cross_entropy`] go.
pub struct Gradients<'g> {
    /// (M, D), overwritten.
    pub hidden: &'g mut [f32],
    /// (V, D), added to.
    pub table: &'g mut [f32],
}

/// Sum over M rows of `-log softmax(hidden @ tableᵀ)[target]`; with `gradients`, also its gradients times `scale`.
///
/// `hidden` is (M, D), `table` (V, D), `targets` M class ids below V.
pub fn linear_cross_entropy(
    hidden: &[f32],
    table: &[f32],
    d: usize,
    targets: &[u32],
    scale: f32,
    mut gradients: Option<Gradients<'_>>,
) -> f64 {
    let v = table.len() / d;
    let mut logits = vec![0.0; BLOCK * v];
    let mut loss = 0.0;
    for (block, targets) in targets.chunks(BLOCK).enumerate() {
        let (m, first) = (targets.len(), block * BLOCK * d);
        let (square, rows, all) = (View::dense(m, v), View::dense(m, d), View::dense(v, d));
        let hidden = &hidden[first..first + m * d];
        matmul((&mut logits, square), (hidden, rows), (table, all.t()), 1.0, false);
        dispatch(
            #[inline(always)]
            || {
                for (row, target) in logits.chunks_exact_mut(v).zip(targets) {
                    loss += f64::from(log_sum_exp(row) - row[*target as usize]);
                    if gradients.is_some() {
                        softmax_in_place(row);
                        row[*target as usize] -= 1.0;
                    }
                }
            },
        );
        if let Some(gradients) = &mut gradients {
            let dhidden = &mut gradients.hidden[first..first + m * d];
            matmul((dhidden, rows), (&logits, square), (table, all), scale, false);
            matmul((gradients.table, all), (&logits, square.t()), (hidden, rows), scale, true);
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cross_entropy::{CrossEntropy, Target};

    #[test]
    fn equals_product_and_cross_entropy_and_its_gradients_are_the_slopes() {
        let (m, d, v) = (70, 3, 11);
        let hidden: Vec<f32> = (0..m * d).map(|i| (i as f32 * 0.71).sin()).collect();
        let table: Vec<f32> = (0..v * d).map(|i| (i as f32 * 1.37).cos()).collect();
        let targets: Vec<u32> = (0..m as u32).map(|i| i * 7 % v as u32).collect();
        let loss = |hidden: &[f32], table: &[f32]| linear_cross_entropy(hidden, table, d, &targets, 1.0, None);
        let mut logits = vec![0.0; m * v];
        matmul(
            (&mut logits, View::dense(m, v)),
            (&hidden, View::dense(m, d)),
            (&table, View::dense(v, d).t()),
            1.0,
            false,
        );
        let plain = CrossEntropy { class_weights: vec![1.0; v], label_smoothing: 0.0 };
        let classes: Vec<Target> = targets.iter().map(|t| Target::Class(*t as usize)).collect();
        let mean = plain.loss_and_gradient(&logits, &classes).0;
        assert!((loss(&hidden, &table) / m as f64 - f64::from(mean)).abs() < 1e-5);

        let (mut dhidden, mut dtable) = (vec![0.0; m * d], vec![0.0; v * d]);
        let gradients = Gradients { hidden: &mut dhidden, table: &mut dtable };
        linear_cross_entropy(&hidden, &table, d, &targets, 2.0, Some(gradients));
        for i in (0..v * d).step_by(5) {
            let at = |delta: f32| {
                let mut t = table.clone();
                t[i] += delta;
                loss(&hidden, &t)
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2 * 2.0;
            assert!((slope - f64::from(dtable[i])).abs() < 2e-2, "{slope} {}", dtable[i]);
        }
        for i in (0..m * d).step_by(17) {
            let at = |delta: f32| {
                let mut h = hidden.clone();
                h[i] += delta;
                loss(&h, &table)
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2 * 2.0;
            assert!((slope - f64::from(dhidden[i])).abs() < 2e-3, "{slope} {}", dhidden[i]);
        }
    }
}
