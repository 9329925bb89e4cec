//! Cross-entropy with class weights and label smoothing, or against shares of the classes, from logits, without ever forming log(0).

use super::math::{exp, softmax_in_place};
use super::simd;

/// The loss's settings for one head.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    /// One weight a class, L in all.
    pub class_weights: Vec<f32>,
    /// Share of the target spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
}

/// What one row of logits should say.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Target {
    /// Nothing: the row does not count.
    #[default]
    None,
    /// This class.
    Class(usize),
    /// Each class with this probability, L in all, as another model says (Hinton, Vinyals and Dean, 2015).
    Shares(Vec<f32>),
}

impl From<Option<usize>> for Target {
    fn from(class: Option<usize>) -> Target {
        class.map_or(Target::None, Target::Class)
    }
}

impl CrossEntropy {
    /// Mean loss over the rows of `logits` (N, L) that have a target, and its gradient (N, L).
    ///
    /// As PyTorch's `CrossEntropyLoss`: row n with target y adds
    /// `(1 - ε) w[y] (-log p[y]) + ε/L Σ_c w[c] (-log p[c])`, and the sum is divided by `Σ_n w[y_n]`. A row with shares q as target
    /// adds `Σ_c q[c] (-log p[c])` and 1 to the divisor: class weights are 1 on average.
    /// Without a single target the loss is 0.
    pub fn loss_and_gradient(&self, logits: &[f32], targets: &[Target]) -> (f32, Vec<f32>) {
        let l = self.class_weights.len();
        let (terms, total_weight) = self.terms(targets);
        let mut gradient = vec![0.0; logits.len()];
        if total_weight == 0.0 {
            return (0.0, gradient);
        }
        let (mut loss, mut p) = (0.0f64, vec![0.0; l]);
        let rows = logits.chunks_exact(l).zip(gradient.chunks_exact_mut(l)).zip(terms.chunks_exact(l)).zip(targets);
        for (((logits, gradient), terms), target) in rows {
            if *target == Target::None {
                continue;
            }
            p.copy_from_slice(logits);
            let log_sum = log_sum_exp(logits);
            softmax_in_place(&mut p);
            // the gradient of all terms is (Σ t) p - t
            let sum: f32 = terms.iter().sum();
            for c in 0..l {
                loss += f64::from(terms[c] * (log_sum - logits[c]));
                gradient[c] = (sum * p[c] - terms[c]) / total_weight;
            }
        }
        (loss as f32 / total_weight, gradient)
    }

    /// What `-log p` of each class is multiplied by, (N, L), all zeros in a row without a target; and what the sum is divided by.
    pub fn terms(&self, targets: &[Target]) -> (Vec<f32>, f32) {
        let l = self.class_weights.len();
        let weight = |target: &Target| match target {
            Target::None => 0.0,
            Target::Class(y) => self.class_weights[*y],
            Target::Shares(_) => 1.0,
        };
        let term = |target: &Target, c: usize| match target {
            Target::None => 0.0,
            Target::Class(y) => {
                let smooth = self.label_smoothing / l as f32 * self.class_weights[c];
                if c == *y { smooth + (1.0 - self.label_smoothing) * self.class_weights[*y] } else { smooth }
            }
            Target::Shares(shares) => shares[c],
        };
        let terms = targets.iter().flat_map(|target| (0..l).map(move |c| term(target, c))).collect();
        (terms, targets.iter().map(weight).sum())
    }
}

/// `log Σ exp(x)`, without overflow.
#[inline(always)]
pub fn log_sum_exp(row: &[f32]) -> f32 {
    let max = simd::max(row);
    max + simd::sum(row, |x| exp(x - max)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_pytorch() {
        // import torch; x = torch.tensor([[1.,2.,-1.],[0.5,0.,3.]], requires_grad=True)
        // l = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.,2.,.5]), label_smoothing=.1)(x, torch.tensor([1,0]))
        // by hand: see `by_the_formula`; here the two rows' weights are 2 and 1
        let loss = CrossEntropy { class_weights: vec![1.0, 2.0, 0.5], label_smoothing: 0.1 };
        let x = [[1.0f32, 2.0, -1.0], [0.5, 0.0, 3.0]];
        let (value, _) = loss.loss_and_gradient(x.as_flattened(), &[Target::Class(1), Target::Class(0)]);
        let by_the_formula: f64 = [(0usize, 1usize), (1, 0)]
            .iter()
            .map(|&(n, y)| {
                let z: f64 = x[n].iter().map(|v| f64::from(*v).exp()).sum();
                let nll = |c: usize| -(f64::from(x[n][c]).exp() / z).ln();
                let w = [1.0, 2.0, 0.5];
                0.9 * w[y] * nll(y) + 0.1 / 3.0 * (0..3).map(|c| w[c] * nll(c)).sum::<f64>()
            })
            .sum::<f64>()
            / 3.0;
        assert!((f64::from(value) - by_the_formula).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_slope_and_unlabelled_rows_have_none() {
        let loss = CrossEntropy { class_weights: vec![1.0, 3.0, 0.5], label_smoothing: 0.2 };
        let targets = [Target::Class(2), Target::None, Target::Class(0), Target::Shares(vec![0.2, 0.7, 0.1])];
        let x = [0.3f32, -0.2, 1.0, 5.0, 5.0, 5.0, -1.0, 0.5, 0.1, 0.9, -0.4, 0.2];
        let (_, gradient) = loss.loss_and_gradient(&x, &targets);
        for i in 0..x.len() {
            let at = |delta: f32| {
                let mut y = x;
                y[i] += delta;
                f64::from(loss.loss_and_gradient(&y, &targets).0)
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((slope as f32 - gradient[i]).abs() < 1e-4, "{i}: {slope} and {}", gradient[i]);
        }
        assert_eq!(gradient[3..6], [0.0; 3]);
    }

    #[test]
    fn shares_are_met_where_the_softmax_equals_them_and_a_whole_share_is_a_class() {
        let loss = CrossEntropy { class_weights: vec![1.0, 3.0, 0.5], label_smoothing: 0.0 };
        let shares = [0.2f32, 0.7, 0.1];
        let (_, gradient) = loss.loss_and_gradient(&shares.map(f32::ln), &[Target::Shares(shares.to_vec())]);
        assert!(gradient.iter().all(|g| g.abs() < 1e-6), "{gradient:?}");
        let plain = CrossEntropy { class_weights: vec![1.0; 3], label_smoothing: 0.0 };
        let x = [0.3f32, -0.2, 1.0];
        assert_eq!(
            loss.loss_and_gradient(&x, &[Target::Shares(vec![0.0, 1.0, 0.0])]),
            plain.loss_and_gradient(&x, &[Target::Class(1)])
        );
    }

    #[test]
    fn huge_logits_of_the_right_label_cost_nothing_and_of_a_wrong_one_stay_finite() {
        let loss = CrossEntropy { class_weights: vec![1.0; 2], label_smoothing: 0.0 };
        assert_eq!(loss.loss_and_gradient(&[500.0, -500.0], &[Target::Class(0)]).0, 0.0);
        assert_eq!(loss.loss_and_gradient(&[500.0, -500.0], &[Target::Class(1)]).0, 1000.0);
        assert_eq!(loss.loss_and_gradient(&[1.0, 2.0], &[Target::None]).0, 0.0);
    }
}
