//! AdamW (Loshchilov and Hutter, 2019) in one pass over parameters, gradients and moments.

use super::simd::dispatch;

/// What one step does to every parameter of a group.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Learning rate of the group at this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, times the learning rate.
    pub weight_decay: f64,
    /// The gradient is multiplied by this first: 1, or less where its norm was clipped.
    pub gradient_scale: f64,
    /// Number of this step, from 1, for the correction of the moments' bias.
    pub step: u64,
}

impl AdamWStep {
    /// Updates `parameters` and the moments `m` and `v`, all of one length with `gradient`.
    pub fn apply(&self, parameters: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32]) {
        let exponent = i32::try_from(self.step).unwrap_or(i32::MAX);
        let step_size = (self.lr / (1.0 - self.beta1.powi(exponent))) as f32;
        let v_correction = (1.0 / (1.0 - self.beta2.powi(exponent))) as f32;
        let keep = (1.0 - self.lr * self.weight_decay) as f32;
        let (b1, b2, eps, scale) = (self.beta1 as f32, self.beta2 as f32, self.eps as f32, self.gradient_scale as f32);
        dispatch(
            #[inline(always)]
            || {
                for (((p, g), m), v) in parameters.iter_mut().zip(gradient).zip(m).zip(v) {
                    let g = g * scale;
                    *m = b1 * *m + (1.0 - b1) * g;
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    *p = *p * keep - step_size * *m / ((*v * v_correction).sqrt() + eps);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The update as written in the paper, in double precision.
    fn naive(steps: &[f64], lr: f64, wd: f64) -> f64 {
        let (mut p, mut m, mut v) = (1.0f64, 0.0, 0.0);
        for (t, g) in steps.iter().enumerate() {
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let t = t as i32 + 1;
            let (mh, vh) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            p -= lr * (mh / (vh.sqrt() + 1e-8) + wd * p);
        }
        p
    }

    #[test]
    fn equals_the_update_of_the_paper() {
        let gradients = [0.5, -0.25, 2.0, 0.0, 1e-3];
        let (mut p, mut m, mut v) = ([1.0f32], [0.0f32], [0.0f32]);
        for (i, g) in gradients.iter().enumerate() {
            let step = AdamWStep {
                lr: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.1,
                gradient_scale: 0.5,
                step: i as u64 + 1,
            };
            step.apply(&mut p, &[*g as f32 * 2.0], &mut m, &mut v);
        }
        assert!((f64::from(p[0]) - naive(&gradients, 0.01, 0.1)).abs() < 1e-6);
    }
}
