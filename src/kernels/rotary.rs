//! Rotary position embedding (Su et al., 2021) in the half-split form of Hugging Face: channel i turns with channel i + d/2.

/// Cosines and sines of the angles `position * theta^(-2i/d)`.
#[derive(Debug, Clone)]
pub struct Rotary {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotary {
    /// The table for `n_positions` positions and heads of `head_dim` channels (an even number).
    pub fn new(n_positions: usize, head_dim: usize, theta: f64) -> Rotary {
        let half = head_dim / 2;
        let angles = (0..n_positions).flat_map(|position| {
            (0..half).map(move |i| position as f64 * theta.powf(-2.0 * i as f64 / head_dim as f64))
        });
        let (sin, cos) = angles.map(|a| (a.sin() as f32, a.cos() as f32)).unzip();
        Rotary { half, cos, sin }
    }

    /// The table of a network without rotary positions: nothing turns.
    pub fn still(n_positions: usize, head_dim: usize) -> Rotary {
        let n = n_positions * (head_dim / 2);
        Rotary { half: head_dim / 2, cos: vec![1.0; n], sin: vec![0.0; n] }
    }

    /// How many positions the table holds.
    pub fn n_positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Cosines and sines of the first `n` positions, (n, head_dim / 2) each.
    pub fn tables(&self, n: usize) -> (&[f32], &[f32]) {
        (&self.cos[..n * self.half], &self.sin[..n * self.half])
    }

    /// Turns the channels of one head at `position` by the angle (`direction` 1) or back (`direction` -1), from `x` to `out`.
    #[inline(always)]
    pub fn turn(&self, position: usize, direction: f32, x: &[f32], out: &mut [f32]) {
        let h = self.half;
        let (cos, sin) = (&self.cos[position * h..][..h], &self.sin[position * h..][..h]);
        let ((a, b), (out_a, out_b)) = (x[..2 * h].split_at(h), out[..2 * h].split_at_mut(h));
        for i in 0..h {
            let s = sin[i] * direction;
            out_a[i] = a[i] * cos[i] - b[i] * s;
            out_b[i] = b[i] * cos[i] + a[i] * s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_there_and_back_changes_nothing_and_products_depend_on_distance_only() {
        let rotary = Rotary::new(16, 8, 10_000.0);
        let (q, k) = ([1.0, 2.0, -1.0, 0.5, 0.3, 0.1, 2.0, -2.0], [0.2, 1.0, 1.0, -0.5, 1.3, 0.7, -1.0, 2.0]);
        let turn = |x: &[f32], position| {
            let mut out = [0.0; 8];
            rotary.turn(position, 1.0, x, &mut out);
            out
        };
        let mut back = [0.0; 8];
        rotary.turn(7, -1.0, &turn(&q, 7), &mut back);
        assert!(q.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-5));
        let dot = |a: [f32; 8], b: [f32; 8]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(turn(&q, 3), turn(&k, 5)) - dot(turn(&q, 9), turn(&k, 11))).abs() < 1e-4);
    }
}
