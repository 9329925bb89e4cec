//! One class against the rest, ranked by its probability: precision-recall curve and average precision, as scikit-learn's
//! `precision_recall_curve` and `average_precision_score` (no interpolation; equal scores enter together).

use serde::Serialize;

/// Most points kept of a curve; a longer one is thinned evenly, its ends kept. The average precision uses every point.
pub const MAX_CURVE_POINTS: usize = 201;

/// What is caught, and at what purity, when the class is assigned from `threshold` upwards.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Lowest probability of the class that is taken for it.
    pub threshold: f64,
    /// Right among those taken.
    pub precision: f64,
    /// Taken among those of the class.
    pub recall: f64,
}

/// Sentences in falling order of one class's probability; made once, then read for every resample.
#[derive(Debug, Clone)]
pub struct Ranking {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    score: f32,
    unit: u32,
    positive: bool,
    // No entry of the same score follows: here a threshold can lie.
    last_of_tie: bool,
}

impl Ranking {
    /// Ranks `(probability, is of the class, bootstrap unit)`.
    pub fn new(sentences: impl IntoIterator<Item = (f32, bool, u32)>) -> Self {
        let entry = |(score, positive, unit)| Entry { score, unit, positive, last_of_tie: true };
        let mut entries: Vec<Entry> = sentences.into_iter().map(entry).collect();
        entries.sort_by(|a, b| b.score.total_cmp(&a.score));
        for i in 1..entries.len() {
            entries[i - 1].last_of_tie = entries[i - 1].score != entries[i].score;
        }
        Ranking { entries }
    }

    /// Σ (recallₙ − recallₙ₋₁) · precisionₙ over falling thresholds, each sentence counted `weights[its unit]` times.
    /// Undefined without a positive.
    pub fn average_precision(&self, weights: &[u32]) -> Option<f64> {
        let (mut taken, mut right, mut right_before, mut sum) = (0u64, 0u64, 0u64, 0.0);
        for entry in &self.entries {
            let weight = u64::from(weights[entry.unit as usize]);
            taken += weight;
            right += weight * u64::from(entry.positive);
            if entry.last_of_tie && right > right_before {
                sum += (right - right_before) as f64 * (right as f64 / taken as f64);
                right_before = right;
            }
        }
        (right > 0).then(|| sum / right as f64)
    }

    /// The points of the precision-recall curve from the highest threshold down; empty without a positive.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let positives = self.entries.iter().filter(|e| e.positive).count();
        if positives == 0 {
            return Vec::new();
        }
        let (mut right, mut points) = (0, Vec::new());
        for (i, entry) in self.entries.iter().enumerate() {
            right += usize::from(entry.positive);
            if entry.last_of_tie {
                points.push(CurvePoint {
                    threshold: f64::from(entry.score),
                    precision: right as f64 / (i + 1) as f64,
                    recall: right as f64 / positives as f64,
                });
            }
        }
        thin(points)
    }
}

fn thin(points: Vec<CurvePoint>) -> Vec<CurvePoint> {
    if points.len() <= MAX_CURVE_POINTS {
        return points;
    }
    let last = points.len() - 1;
    (0..MAX_CURVE_POINTS).map(|i| points[i * last / (MAX_CURVE_POINTS - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_enter_together() {
        let ranking = Ranking::new([(0.9, true, 0), (0.5, false, 0), (0.5, true, 0), (0.1, false, 0)]);
        assert_eq!(ranking.average_precision(&[1]), Some(0.5 + 0.5 * (2.0 / 3.0)));
        let points: Vec<_> = ranking.curve().iter().map(|p| (p.threshold, p.recall)).collect();
        assert_eq!(points, [(0.9f32 as f64, 0.5), (0.5, 1.0), (0.1f32 as f64, 1.0)]);
    }

    #[test]
    fn without_a_positive_there_is_no_precision() {
        let ranking = Ranking::new([(0.9, false, 0)]);
        assert_eq!(ranking.average_precision(&[1]), None);
        assert!(ranking.curve().is_empty());
    }

    #[test]
    fn a_weight_is_a_repetition() {
        let scores = [(0.9, false), (0.7, true), (0.7, false), (0.2, true)];
        let weighted = Ranking::new(scores.iter().zip(0..).map(|((s, p), unit)| (*s, *p, unit)));
        let weights = [0u32, 3, 1, 2];
        let repeated = scores.iter().zip(weights).flat_map(|(s, w)| vec![(s.0, s.1, 0); w as usize]);
        assert_eq!(weighted.average_precision(&weights), Ranking::new(repeated).average_precision(&[1]));
    }

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let ranking = Ranking::new((0..5000).map(|i| (i as f32, i % 3 == 0, 0)));
        let curve = ranking.curve();
        assert_eq!(curve.len(), MAX_CURVE_POINTS);
        assert_eq!((curve[0].threshold, curve[MAX_CURVE_POINTS - 1].threshold), (4999.0, 0.0));
    }
}
