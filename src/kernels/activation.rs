//! GELU (the exact one, by the error function) and GeGLU.

use super::math::{erf, exp};
use super::simd::dispatch;

const INVERSE_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
const INVERSE_SQRT_2_PI: f32 = 0.398_942_3;

/// `x * Φ(x)` with Φ the normal distribution (Hendrycks and Gimpel, 2016).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * INVERSE_SQRT_2))
}

/// Derivative of [`gelu`]: `Φ(x) + x φ(x)`.
#[inline(always)]
pub fn gelu_derivative(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * INVERSE_SQRT_2)) + x * INVERSE_SQRT_2_PI * exp(-0.5 * x * x)
}

/// [`gelu`] of every value.
pub fn gelu_all(x: &[f32], out: &mut [f32]) {
    dispatch(
        #[inline(always)]
        || out.iter_mut().zip(x).for_each(|(o, x)| *o = gelu(*x)),
    );
}

/// Gradient of [`gelu_all`]: writes `dx` from `grad`.
pub fn gelu_all_backward(x: &[f32], grad: &[f32], dx: &mut [f32]) {
    dispatch(
        #[inline(always)]
        || dx.iter_mut().zip(x).zip(grad).for_each(|((d, x), g)| *d = g * gelu_derivative(*x)),
    );
}

/// `gelu(input) * gate` (Shazeer, 2020), `x` (T, 2F) holding input and gate side by side, as ModernBERT does; `out` is (T, F).
pub fn geglu(x: &[f32], f: usize, out: &mut [f32]) {
    dispatch(
        #[inline(always)]
        || {
            for (x, out) in x.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
                let (input, gate) = x.split_at(f);
                for ((o, x), g) in out.iter_mut().zip(input).zip(gate) {
                    *o = gelu(*x) * g;
                }
            }
        },
    );
}

/// Gradient of [`geglu`] with respect to `x`: writes `dx` (T, 2F) from `grad` (T, F).
pub fn geglu_backward(x: &[f32], f: usize, grad: &[f32], dx: &mut [f32]) {
    dispatch(
        #[inline(always)]
        || {
            for ((x, grad), dx) in x.chunks_exact(2 * f).zip(grad.chunks_exact(f)).zip(dx.chunks_exact_mut(2 * f)) {
                let (input, gate) = x.split_at(f);
                let (dinput, dgate) = dx.split_at_mut(f);
                for ((((di, dg), x), gate), g) in dinput.iter_mut().zip(dgate).zip(input).zip(gate).zip(grad) {
                    *di = g * gate * gelu_derivative(*x);
                    *dg = g * gelu(*x);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_has_its_known_values_and_its_derivative_is_the_slope() {
        assert!((gelu(1.0) - 0.841_344_7).abs() < 1e-6);
        assert!((gelu(-1.0) + 0.158_655_3).abs() < 1e-6);
        for i in -40..40 {
            let x = i as f32 / 10.0;
            let slope = (f64::from(gelu(x + 1e-2)) - f64::from(gelu(x - 1e-2))) / 2e-2;
            assert!((slope as f32 - gelu_derivative(x)).abs() < 2e-4, "at {x}");
        }
    }
}
