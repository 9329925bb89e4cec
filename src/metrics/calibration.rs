//! Do the probabilities mean what they say: expected calibration error and Brier score.
//!
//! Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3 (equal widths); Nixon et al. 2019, "Measuring
//! Calibration in Deep Learning" (equal counts).

use serde::Serialize;

/// Number of bins of both calibration errors.
pub const N_BINS: usize = 15;

/// Sentences whose confidence falls into one interval; sums, so that bins of parts add up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// Sentences in the bin.
    pub n: u64,
    /// Of them, predicted right.
    pub right: u64,
    /// Sum of the confidences.
    pub confidence: f64,
}

/// A bin as it is shown: the point (confidence, accuracy) of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationPoint {
    /// Lowest confidence that falls into the bin.
    pub from: f64,
    /// Confidence at which the next bin begins (the last bin holds 1 too).
    pub to: f64,
    /// Sentences in the bin.
    pub sentences: u64,
    /// Their mean confidence.
    pub confidence: Option<f64>,
    /// The share of them predicted right.
    pub accuracy: Option<f64>,
}

impl Bin {
    /// Adds a prediction `times` times.
    pub fn add(&mut self, confidence: f64, right: bool, times: u64) {
        self.n += times;
        self.right += u64::from(right) * times;
        self.confidence += confidence * times as f64;
    }
}

/// Index of the equal-width bin of a confidence in 0..=1: bins are closed below, the last also above.
pub fn bin_of(confidence: f64) -> usize {
    ((confidence * N_BINS as f64) as usize).min(N_BINS - 1)
}

/// Mean over sentences of |accuracy − confidence| of their bin; 0 is perfect.
pub fn calibration_error(bins: &[Bin]) -> Option<f64> {
    let total: u64 = bins.iter().map(|b| b.n).sum();
    let gap: f64 = bins.iter().map(|b| (b.right as f64 - b.confidence).abs()).sum();
    (total > 0).then(|| gap / total as f64)
}

/// The bins of equal width, as points of a reliability diagram.
pub fn reliability(bins: &[Bin; N_BINS]) -> Vec<CalibrationPoint> {
    let border = |i: usize| i as f64 / N_BINS as f64;
    let mean = |sum: f64, n: u64| (n > 0).then(|| sum / n as f64);
    let point = |(i, b): (usize, &Bin)| CalibrationPoint {
        from: border(i),
        to: border(i + 1),
        sentences: b.n,
        confidence: mean(b.confidence, b.n),
        accuracy: mean(b.right as f64, b.n),
    };
    bins.iter().enumerate().map(point).collect()
}

/// Calibration error over bins of equal counts (adaptive): sorted by confidence and cut in 15 parts that differ by at most one
/// sentence, the larger parts first.
pub fn adaptive_calibration_error(mut predictions: Vec<(f64, bool)>) -> Option<f64> {
    predictions.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (whole, rest) = (predictions.len() / N_BINS, predictions.len() % N_BINS);
    let mut bins = [Bin::default(); N_BINS];
    let mut at = 0;
    for (i, bin) in bins.iter_mut().enumerate() {
        let end = at + whole + usize::from(i < rest);
        predictions[at..end].iter().for_each(|(confidence, right)| bin.add(*confidence, *right, 1));
        at = end;
    }
    calibration_error(&bins)
}

/// Squared distance of a distribution from the gold class, summed over classes: 0 (sure and right) to 2 (sure and wrong).
/// Brier 1950; scikit-learn's `brier_score_loss(…, scale_by_half=False)` is its mean over sentences.
pub fn brier(gold: usize, probabilities: &[f32]) -> f64 {
    let distance = |(class, p): (usize, &f32)| (f64::from(*p) - f64::from(u8::from(class == gold))).powi(2);
    probabilities.iter().enumerate().map(distance).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_belong_to_the_upper_bin_and_one_to_the_last() {
        assert_eq!([bin_of(0.0), bin_of(0.2), bin_of(0.999), bin_of(1.0)], [0, 3, 14, 14]);
    }

    #[test]
    fn half_sure_and_half_right_is_calibrated() {
        let mut bins = [Bin::default(); N_BINS];
        bins[bin_of(0.5)].add(0.5, true, 1);
        bins[bin_of(0.5)].add(0.5, false, 1);
        assert_eq!(calibration_error(&bins), Some(0.0));
        assert_eq!(calibration_error(&[Bin::default(); N_BINS]), None);
        assert_eq!(reliability(&bins)[7].accuracy, Some(0.5));
        assert_eq!(reliability(&bins)[0].accuracy, None);
    }

    #[test]
    fn brier_spans_zero_to_two() {
        assert_eq!(brier(0, &[1.0, 0.0]), 0.0);
        assert_eq!(brier(1, &[1.0, 0.0]), 2.0);
    }
}
