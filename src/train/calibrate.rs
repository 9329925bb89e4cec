//! Temperature scaling (Guo et al., 2017): one number a head that makes its confidence honest.

/// The temperature in .25 to 8 that minimises the mean negative log-likelihood of `gold` under `softmax(logits / T)`.
///
/// `logits` holds one row a sentence, `gold` its class or none. The objective is convex in 1/T; a golden-section search
/// on log T finds the minimum. Without a labelled row the temperature is 1.
pub fn temperature(logits: &[Vec<f32>], gold: &[Option<usize>]) -> f32 {
    let rows: Vec<(&[f32], usize)> =
        logits.iter().zip(gold).filter_map(|(row, y)| Some((row.as_slice(), (*y)?))).collect();
    if rows.is_empty() {
        return 1.0;
    }
    let loss = |log_t: f64| {
        let t = log_t.exp();
        rows.iter().map(|(row, y)| negative_log_likelihood(row, *y, t)).sum::<f64>() / rows.len() as f64
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.25f64.ln(), 8f64.ln());
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    for _ in 0..60 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = loss(b);
        }
    }
    ((low + high) / 2.0).exp() as f32
}

/// The weight in 0 to 10 and the temperature with which `softmax((network + weight * ngrams) / T)` makes `gold` most likely.
///
/// Tried in steps of .2; without a labelled row (.5, 1).
pub fn mixture(network: &[Vec<f32>], ngrams: &[Vec<f32>], gold: &[Option<usize>]) -> (f32, f32) {
    if gold.iter().all(Option::is_none) {
        return (0.5, 1.0);
    }
    let mixed = |weight: f32| -> Vec<Vec<f32>> {
        let row = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(x, y)| x + weight * y).collect();
        network.iter().zip(ngrams).map(row).collect()
    };
    let tried = (0..=50).map(|step| {
        let weight = step as f32 / 5.0;
        let rows = mixed(weight);
        let t = temperature(&rows, gold);
        let labelled = rows.iter().zip(gold).filter_map(|(row, y)| Some((row, (*y)?)));
        let loss: f64 = labelled.map(|(row, y)| negative_log_likelihood(row, y, f64::from(t))).sum();
        (loss, weight, t)
    });
    let best = tried.min_by(|a, b| a.0.total_cmp(&b.0)).expect("several weights are tried");
    (best.1, best.2)
}

fn negative_log_likelihood(row: &[f32], y: usize, t: f64) -> f64 {
    let scaled = row.iter().map(|x| f64::from(*x) / t);
    let max = scaled.clone().fold(f64::NEG_INFINITY, f64::max);
    max + scaled.map(|x| (x - max).exp()).sum::<f64>().ln() - f64::from(row[y]) / t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_temperature_that_was_put_in() {
        // Of sentences with logits (t * ln 3, 0), three in four have class 0: at temperature t the softmax says just that.
        for t in [0.5f32, 1.0, 2.5] {
            let logits = vec![vec![t * 3f32.ln(), 0.0]; 4];
            let found = temperature(&logits, &[Some(0), Some(0), Some(0), Some(1)]);
            assert!((found - t).abs() < 1e-3, "{found} for {t}");
        }
    }

    #[test]
    fn the_weight_goes_to_the_one_that_knows() {
        let (good, bad) = (vec![vec![2.0, 0.0], vec![0.0, 2.0]], vec![vec![0.0, 1.0], vec![0.0, 1.0]]);
        let gold = [Some(0), Some(1)];
        assert_eq!(mixture(&good, &bad, &gold).0, 0.0);
        assert!(mixture(&bad, &good, &gold).0 > 2.0);
        assert_eq!(mixture(&good, &bad, &[None, None]), (0.5, 1.0));
    }

    #[test]
    fn stays_in_its_bounds_and_is_one_without_labels() {
        assert_eq!(temperature(&[vec![1.0, 0.0]], &[None]), 1.0);
        let always_right = temperature(&[vec![1.0, 0.0]], &[Some(0)]);
        assert!((0.25..0.26).contains(&always_right));
    }
}
