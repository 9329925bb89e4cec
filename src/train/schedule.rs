//! The learning rate as a pure function of the step.

use super::recipe::Schedule;

/// The course of the learning rate over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// The highest rate.
    pub peak: f64,
    /// Where the decay ends, as a share of the peak.
    pub minimum: f64,
    /// Share of all steps in which the rate rises.
    pub warmup_ratio: f64,
    /// How it falls.
    pub schedule: Schedule,
}

impl Course {
    /// The learning rate of step `step` (from 0) of `n_steps`: a straight warm-up, then the decay, never below the minimum.
    pub fn learning_rate(&self, step: u64, n_steps: u64) -> f64 {
        let warmup_steps = (self.warmup_ratio * n_steps as f64).round();
        let at = step as f64;
        // 1. warm-up: the first step already learns
        if at < warmup_steps {
            return self.peak * (at + 1.0) / (warmup_steps + 1.0);
        }
        // 2. decay over what is left; 3. the minimum from there on
        let progress = ((at - warmup_steps) / (n_steps as f64 - warmup_steps).max(1.0)).min(1.0);
        let share = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - progress,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.peak * (self.minimum + (1.0 - self.minimum) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rises_then_falls_and_stays_between_minimum_and_peak(n_steps in 1u64..500, warmup in 0.0f64..0.9, minimum in 0.0f64..0.5, which in 0usize..3) {
            let schedule = [Schedule::Linear, Schedule::Cosine, Schedule::Constant][which];
            let course = Course { peak: 3e-4, minimum, warmup_ratio: warmup, schedule };
            let rates: Vec<f64> = (0..n_steps + 5).map(|step| course.learning_rate(step, n_steps)).collect();
            let warmup_steps = (warmup * n_steps as f64).round() as usize;
            for (i, pair) in rates.windows(2).enumerate() {
                if i + 1 < warmup_steps { prop_assert!(pair[0] < pair[1]); }
                if i >= warmup_steps { prop_assert!(pair[0] >= pair[1] - 1e-15); }
            }
            prop_assert!(rates.iter().all(|r| *r > 0.0 || minimum == 0.0));
            prop_assert!(rates.iter().all(|r| *r <= course.peak * (1.0 + 1e-12)));
        }
    }
}
