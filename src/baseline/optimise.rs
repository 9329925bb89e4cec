//! L-BFGS: minimises a smooth function from its gradient. Nocedal & Wright 2006, "Numerical Optimization", algorithms 7.4
//! and 7.5, with a backtracking line search (algorithm 3.1). One thread and no chance: the same input gives the same bytes.

use std::collections::VecDeque;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 6;

/// Share of the decrease that the slope promises which a step must reach.
const SUFFICIENT_DECREASE: f64 = 1e-4;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// Largest number of steps.
    pub max_steps: usize,
    /// Stops once the gradient is this much shorter than at the start.
    pub gradient_share: f64,
}

struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    /// 1 / (step · change)
    rho: f64,
}

/// Starts at `x` and returns the minimum found. `objective(x, gradient)` returns the value at `x` and fills the gradient.
pub fn minimise(mut x: Vec<f32>, stop: Stop, objective: impl Fn(&[f32], &mut [f32]) -> f64) -> Vec<f32> {
    let mut gradient = vec![0.0; x.len()];
    let mut value = objective(&x, &mut gradient);
    let small = dot(&gradient, &gradient).sqrt() * stop.gradient_share;
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    for _ in 0..stop.max_steps {
        if dot(&gradient, &gradient).sqrt() <= small {
            break;
        }
        let direction = descent(&gradient, &memory);
        let slope = dot(&gradient, &direction);
        // Without a curvature the length of the first step is unknown: begin with one of length 1.
        let mut length = if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; x.len()];
        let next = loop {
            let next: Vec<f32> = x.iter().zip(&direction).map(|(x, d)| x + length as f32 * d).collect();
            let next_value = objective(&next, &mut next_gradient);
            if next_value <= value + SUFFICIENT_DECREASE * length * slope {
                value = next_value;
                break Some(next);
            }
            length *= 0.5;
            if length < 1e-8 {
                break None;
            }
        };
        // No step goes down: the minimum, as far as 32 bits can tell.
        let Some(next) = next else { break };
        remember(&mut memory, subtract(&next, &x), subtract(&next_gradient, &gradient));
        (x, gradient) = (next, next_gradient);
    }
    x
}

/// −H·gradient, H being the inverse Hessian as the memory has it (two-loop recursion, algorithm 7.4).
fn descent(gradient: &[f32], memory: &VecDeque<Pair>) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let alpha = pair.rho * dot(&pair.step, &direction);
        add(&mut direction, -alpha, &pair.change);
        alphas.push(alpha);
    }
    if let Some(last) = memory.back() {
        let scale = (1.0 / (last.rho * dot(&last.change, &last.change))) as f32;
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &direction);
        add(&mut direction, alpha - beta, &pair.step);
    }
    direction
}

fn remember(memory: &mut VecDeque<Pair>, step: Vec<f32>, change: Vec<f32>) {
    let curvature = dot(&step, &change);
    // A pair without positive curvature would make the direction go up.
    if curvature > 1e-12 {
        if memory.len() == MEMORY {
            memory.pop_front();
        }
        memory.push_back(Pair { step, change, rho: 1.0 / curvature });
    }
}

/// Σ aᵢ·bᵢ, summed in 64 bits.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn add(to: &mut [f32], factor: f64, what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(t, w)| *t += factor as f32 * w);
}

fn subtract(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_a_narrow_valley() {
        // Rosenbrock: minimum at (1, 1).
        let rosenbrock = |x: &[f32], gradient: &mut [f32]| {
            let (a, b) = (f64::from(x[0]), f64::from(x[1]));
            gradient[0] = (-2.0 * (1.0 - a) - 400.0 * a * (b - a * a)) as f32;
            gradient[1] = (200.0 * (b - a * a)) as f32;
            (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2)
        };
        let x = minimise(vec![-1.2, 1.0], Stop { max_steps: 200, gradient_share: 1e-6 }, rosenbrock);
        assert!((x[0] - 1.0).abs() < 1e-2 && (x[1] - 1.0).abs() < 1e-2, "{x:?}");
    }
}
