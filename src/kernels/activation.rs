//! GELU (the exact one, by the error function) and GeGLU.

use super::math::{erf, erf_by, exp, half_normal};
use super::simd::dispatch;

/// Values that the compiler is shown at once.
const LANES: usize = 16;

const INVERSE_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
const INVERSE_SQRT_2_PI: f32 = 0.398_942_3;

/// `x * Φ(x)` with Φ the normal distribution (Hendrycks and Gimpel, 2016).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    x * (0.5 + half_normal(x))
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
                // Whole arrays: with five slices in one loop, the compiler would leave it scalar.
                let (xs, x_rest) = input.as_chunks::<LANES>();
                let (gates, gate_rest) = gate.as_chunks::<LANES>();
                let (grads, grad_rest) = grad.as_chunks::<LANES>();
                let (dinputs, dinput_rest) = dinput.as_chunks_mut::<LANES>();
                let (dgates, dgate_rest) = dgate.as_chunks_mut::<LANES>();
                for ((((di, dg), x), gate), g) in dinputs.iter_mut().zip(dgates).zip(xs).zip(gates).zip(grads) {
                    for l in 0..LANES {
                        di[l] = g[l] * gate[l] * gelu_derivative(x[l]);
                        dg[l] = g[l] * gelu(x[l]);
                    }
                }
                let rest = dinput_rest.iter_mut().zip(dgate_rest).zip(x_rest).zip(gate_rest).zip(grad_rest);
                for ((((di, dg), x), gate), g) in rest {
                    *di = g * gate * gelu_derivative(*x);
                    *dg = g * gelu(*x);
                }
            }
        },
    );
}

/// [`geglu`] and its gradient in one pass, which share the exponential; differs from the two in the last bits.
pub fn geglu_recomputed(x: &[f32], f: usize, grad: &[f32], dx: &mut [f32], out: &mut [f32]) {
    dispatch(
        #[inline(always)]
        || {
            let rows = x.chunks_exact(2 * f).zip(grad.chunks_exact(f));
            for (((x, grad), dx), out) in rows.zip(dx.chunks_exact_mut(2 * f)).zip(out.chunks_exact_mut(f)) {
                let ((input, gate), (dinput, dgate)) = (x.split_at(f), dx.split_at_mut(f));
                for from in (0..f).step_by(LANES) {
                    // A short rest is computed in whole arrays too.
                    let n = LANES.min(f - from);
                    let mut lanes = [[0.0f32; LANES]; 3];
                    for (lane, values) in lanes.iter_mut().zip([input, gate, grad]) {
                        lane[..n].copy_from_slice(&values[from..from + n]);
                    }
                    let [x, gate, g] = lanes;
                    let [mut di, mut dg, mut o] = [[0.0f32; LANES]; 3];
                    for l in 0..LANES {
                        let (phi, density) = normal(x[l]);
                        o[l] = x[l] * phi * gate[l];
                        dg[l] = g[l] * x[l] * phi;
                        di[l] = g[l] * gate[l] * (phi + x[l] * density);
                    }
                    dinput[from..from + n].copy_from_slice(&di[..n]);
                    dgate[from..from + n].copy_from_slice(&dg[..n]);
                    out[from..from + n].copy_from_slice(&o[..n]);
                }
            }
        },
    );
}

/// The normal distribution and its density; the former as in [`erf`].
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let bell = exp(-0.5 * x * x);
    (0.5 * (1.0 + erf_by(x * INVERSE_SQRT_2, bell)), INVERSE_SQRT_2_PI * bell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geglu_computed_again_is_geglu_and_its_gradient() {
        let (t, f) = (3, 21);
        let x: Vec<f32> = (0..2 * t * f).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
        let grad: Vec<f32> = (0..t * f).map(|i| (i as f32 * 1.3).cos()).collect();
        let (mut out, mut dx) = (vec![0.0; t * f], vec![0.0; 2 * t * f]);
        geglu_recomputed(&x, f, &grad, &mut dx, &mut out);
        let (mut exact_out, mut exact_dx) = (vec![0.0; t * f], vec![0.0; 2 * t * f]);
        geglu(&x, f, &mut exact_out);
        geglu_backward(&x, f, &grad, &mut exact_dx);
        for (a, b) in out.iter().zip(&exact_out).chain(dx.iter().zip(&exact_dx)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

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
