//! How sure is a figure: percentile intervals by resampling whole articles with replacement, because the sentences of an
//! article are not independent. Efron & Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13.

use rayon::prelude::*;
use serde::Serialize;

/// Lower and upper end of a 95 % interval; `[lo, hi]` in JSON.
pub type Interval = [f64; 2];

/// How intervals are made. The same values give the same intervals on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// Number of resamples; 0 leaves every interval undefined.
    pub resamples: usize,
    /// Seed of the random draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 2,000 resamples: the ends of a 95 % interval then rest on 50 values each.
    fn default() -> Self {
        Bootstrap { resamples: 2000, seed: 0 }
    }
}

/// The generator splitmix64 (Steele, Lea & Flood 2014): small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator whose sequence is decided by `seed`.
    pub fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`, for `n` > 0. The bias of the multiplication is below n / 2⁶⁴.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

impl Bootstrap {
    /// Calls `figures` once a resample of `n_units` articles with how often each was drawn. Returns, figure by figure, its
    /// values over the resamples where it was defined, in rising order. Empty for fewer than two units: one article says
    /// nothing about the spread between articles.
    pub fn distributions<F>(&self, n_units: usize, figures: F) -> Vec<Vec<f64>>
    where
        F: Fn(&[u32]) -> Vec<Option<f64>> + Sync,
    {
        if n_units < 2 || self.resamples == 0 {
            return Vec::new();
        }
        // Each resample has a generator of its own, so that the result does not depend on the number of threads.
        let mut seeds = SplitMix64::new(self.seed);
        let seeds: Vec<u64> = (0..self.resamples).map(|_| seeds.next_u64()).collect();
        let resample = |seed: &u64| {
            let mut random = SplitMix64::new(*seed);
            let mut weights = vec![0; n_units];
            (0..n_units).for_each(|_| weights[random.below(n_units)] += 1);
            figures(&weights)
        };
        let rows: Vec<Vec<Option<f64>>> = seeds.par_iter().map(resample).collect();
        let n_figures = rows.first().map_or(0, Vec::len);
        let column = |i: usize| {
            let mut values: Vec<f64> = rows.iter().filter_map(|row| row[i]).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        (0..n_figures).map(column).collect()
    }
}

/// The middle 95 % of values in rising order, interpolated linearly; undefined if more than half of the `resamples` were.
pub fn interval(sorted: &[f64], resamples: usize) -> Option<Interval> {
    (!sorted.is_empty() && sorted.len() * 2 >= resamples).then(|| [quantile(sorted, 0.025), quantile(sorted, 0.975)])
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (position - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // First outputs for seed 1234567: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
        let mut random = SplitMix64::new(1234567);
        assert_eq!([random.next_u64(), random.next_u64()], [6457827717110365317, 3203168211198807973]);
    }

    #[test]
    fn draws_are_even_and_stay_below() {
        let mut random = SplitMix64::new(7);
        let mut counts = [0usize; 5];
        (0..50_000).for_each(|_| counts[random.below(5)] += 1);
        assert!(counts.iter().all(|c| (9_600..10_400).contains(c)), "{counts:?}");
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() {
        // 200 articles, half of them 1 and half 0: standard error sqrt(.25 / 200) = .0354, 95 % = ± .0693.
        let mean = |w: &[u32]| vec![Some(w.iter().step_by(2).sum::<u32>() as f64 / 200.0)];
        let bootstrap = Bootstrap::default();
        let values = bootstrap.distributions(200, mean).remove(0);
        let [low, high] = interval(&values, bootstrap.resamples).unwrap();
        assert!((low - 0.431).abs() < 0.012 && (high - 0.569).abs() < 0.012, "{low} {high}");
        assert_eq!(bootstrap.distributions(200, mean).remove(0), values);
    }

    #[test]
    fn one_article_has_no_interval_and_rare_figures_neither() {
        assert!(Bootstrap::default().distributions(1, |_| vec![Some(1.0)]).is_empty());
        assert_eq!(interval(&[0.5], 3), None);
        assert_eq!(interval(&[1.0, 2.0], 2), Some([1.025, 1.975]));
    }
}
