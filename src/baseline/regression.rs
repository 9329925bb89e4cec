//! Multinomial logistic regression on sparse vectors: p = softmax(W·x + b).

use super::features::SparseVector;
use super::optimise::{Stop, minimise};

/// Weights of one head.
#[derive(Debug, Clone)]
pub struct Regression {
    n_classes: usize,
    /// (n_features, n_classes), row by row; after them the n_classes intercepts.
    weights: Vec<f32>,
}

/// Steps beyond this no longer change a decision.
const STOP: Stop = Stop { max_steps: 200, gradient_share: 1e-3 };

impl Regression {
    /// Minimises the mean over the n sentences of wₛ·cross-entropy, plus ‖W‖² / (2·n·`inverse_penalty`), the intercepts free.
    /// The weight wₛ of a sentence is n / (classes seen · sentences of its class), so that every class pulls alike
    /// (scikit-learn's C and "balanced").
    pub fn fit(
        sentences: &[(&SparseVector, usize)],
        n_features: usize,
        n_classes: usize,
        inverse_penalty: f32,
    ) -> Self {
        let weight = balanced_weights(sentences, n_classes);
        let n_penalised = n_features * n_classes;
        let share = 1.0 / sentences.len() as f32;
        let penalty = share / inverse_penalty;
        let objective = |w: &[f32], gradient: &mut [f32]| {
            let penalised = &w[..n_penalised];
            let mut loss = 0.5 * f64::from(penalty) * penalised.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
            gradient[n_penalised..].fill(0.0);
            gradient.iter_mut().zip(penalised).for_each(|(g, w)| *g = w * penalty);
            let mut p = vec![0.0; n_classes];
            for (vector, gold) in sentences {
                probabilities(w, n_features, vector, &mut p);
                loss -= f64::from(share * weight[*gold]) * f64::from(p[*gold].max(f32::MIN_POSITIVE)).ln();
                p[*gold] -= 1.0;
                p.iter_mut().for_each(|p| *p *= share * weight[*gold]); // ∂loss / ∂logits
                for (feature, x) in vector.iter() {
                    let row = &mut gradient[*feature as usize * n_classes..][..n_classes];
                    row.iter_mut().zip(&p).for_each(|(g, p)| *g += x * p);
                }
                gradient[n_penalised..].iter_mut().zip(&p).for_each(|(g, p)| *g += p);
            }
            loss
        };
        Regression { n_classes, weights: minimise(vec![0.0; n_penalised + n_classes], STOP, objective) }
    }

    /// A regression with these weights: (n_features, n_classes) row by row, then the intercepts.
    pub fn from_weights(n_classes: usize, weights: Vec<f32>) -> Self {
        Regression { n_classes, weights }
    }

    /// Weights of a feature, one a class.
    pub fn row(&self, feature: usize) -> &[f32] {
        &self.weights[feature * self.n_classes..][..self.n_classes]
    }

    /// The intercepts.
    pub fn bias(&self) -> &[f32] {
        &self.weights[self.weights.len() - self.n_classes..]
    }

    /// One probability a class.
    pub fn probabilities(&self, vector: &SparseVector) -> Vec<f32> {
        let mut p = vec![0.0; self.n_classes];
        probabilities(&self.weights, self.weights.len() / self.n_classes - 1, vector, &mut p);
        p
    }
}

fn probabilities(weights: &[f32], n_features: usize, vector: &SparseVector, out: &mut [f32]) {
    let n_classes = out.len();
    out.copy_from_slice(&weights[n_features * n_classes..]);
    for (feature, x) in vector {
        let row = &weights[*feature as usize * n_classes..][..n_classes];
        out.iter_mut().zip(row).for_each(|(logit, w)| *logit += x * w);
    }
    let highest = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    out.iter_mut().for_each(|logit| *logit = (*logit - highest).exp());
    let sum: f32 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= sum);
}

fn balanced_weights(sentences: &[(&SparseVector, usize)], n_classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; n_classes];
    sentences.iter().for_each(|(_, gold)| counts[*gold] += 1);
    let n_seen = counts.iter().filter(|n| **n > 0).count();
    let weight = |n: &usize| if *n == 0 { 0.0 } else { sentences.len() as f32 / (n_seen * n) as f32 };
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_what_can_be_told_apart() {
        let vectors: Vec<SparseVector> = vec![vec![(0, 1.0)], vec![(1, 1.0)], vec![(2, 1.0)], vec![(0, 0.7), (2, 0.7)]];
        let sentences: Vec<_> = vectors.iter().zip([0, 1, 2, 0]).collect();
        let regression = Regression::fit(&sentences, 3, 4, 10.0);
        for (vector, gold) in sentences {
            let p = regression.probabilities(vector);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(p[gold] > 0.5 && p[3] < 0.1, "{p:?}"); // no sentence of class 3 was seen
        }
    }

    #[test]
    fn the_known_solution_of_one_feature() {
        // Two classes, x = ±1, always right, inverse penalty 5, weights 1: with W = (w, −w) the gradient of the mean loss,
        // −2·σ(−2w) + w / 5, vanishes where w = 10·σ(−2w).
        let vectors: Vec<SparseVector> = vec![vec![(0, 1.0)], vec![(0, -1.0)]];
        let sentences: Vec<_> = vectors.iter().zip([0, 1]).collect();
        let regression = Regression::fit(&sentences, 1, 2, 5.0);
        let w = f64::from(regression.weights[0]);
        assert!((w - 10.0 / (1.0 + (2.0 * w).exp())).abs() < 2e-3, "{w}");
        assert!((w + f64::from(regression.weights[1])).abs() < 1e-3);
    }
}
