//! Layer normalisation without bias: `y = (x - mean) / sqrt(variance + eps) * weight`, row by row.

use super::simd::{dispatch, sum, sum2, sum3};

/// Normalises each row of `x` (T, D) with `weight` (D) into `out` (T, D).
pub fn layer_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let d = weight.len();
    dispatch(
        #[inline(always)]
        || {
            for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
                let (mean, inverse_deviation) = moments(x, eps);
                for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
                    *o = (x - mean) * inverse_deviation * w;
                }
            }
        },
    );
}

/// Adds the same row (D) to each row of `x` (T, D): the bias of a norm or of a product.
pub fn add_to_rows(x: &mut [f32], row: &[f32]) {
    dispatch(
        #[inline(always)]
        || x.chunks_exact_mut(row.len()).for_each(|x| x.iter_mut().zip(row).for_each(|(x, b)| *x += b)),
    );
}

/// Gradients of [`layer_norm`]: writes `dx` (T, D), adds to `dweight` (D); `grad` (T, D) is the gradient of the output.
///
/// With x̂ the normalised row and g = grad * weight: `dx = (g - mean(g) - x̂ * mean(g * x̂)) / deviation`
/// (Ba, Kiros and Hinton, 2016, differentiated).
pub fn layer_norm_backward(x: &[f32], weight: &[f32], eps: f32, grad: &[f32], dx: &mut [f32], dweight: &mut [f32]) {
    let d = weight.len();
    dispatch(
        #[inline(always)]
        || {
            for ((x, grad), dx) in x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
                let (mean, inverse_deviation) = moments(x, eps);
                for (((dx, x), g), dw) in dx.iter_mut().zip(x).zip(grad).zip(dweight.iter_mut()) {
                    *dx = (x - mean) * inverse_deviation; // x̂, for the moment
                    *dw += g * *dx;
                }
                let mean_g = sum2(grad, weight, |g, w| g * w) / d as f32;
                let mean_gx = sum3(grad, weight, dx, |g, w, normalised| g * w * normalised) / d as f32;
                for ((dx, g), w) in dx.iter_mut().zip(grad).zip(weight) {
                    *dx = (g * w - mean_g - *dx * mean_gx) * inverse_deviation;
                }
            }
        },
    );
}

/// [`layer_norm_backward`] that adds to `dx`, where the gradient of a residual stream already stands.
pub fn layer_norm_backward_added(
    x: &[f32],
    weight: &[f32],
    eps: f32,
    grad: &[f32],
    dx: &mut [f32],
    dweight: &mut [f32],
) {
    let d = weight.len();
    let mut normalised = vec![0.0; d];
    dispatch(
        #[inline(always)]
        || {
            for ((x, grad), dx) in x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
                let (mean, inverse_deviation) = moments(x, eps);
                for (((n, x), g), dw) in normalised.iter_mut().zip(x).zip(grad).zip(dweight.iter_mut()) {
                    *n = (x - mean) * inverse_deviation;
                    *dw += g * *n;
                }
                let mean_g = sum2(grad, weight, |g, w| g * w) / d as f32;
                let mean_gx = sum3(grad, weight, &normalised, |g, w, n| g * w * n) / d as f32;
                for (((dx, n), g), w) in dx.iter_mut().zip(&normalised).zip(grad).zip(weight) {
                    *dx += (g * w - mean_g - n * mean_gx) * inverse_deviation;
                }
            }
        },
    );
}

/// Mean and 1 / sqrt(variance + eps) of a row.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = sum(row, |x| x) / n;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_out_with_mean_zero_and_variance_one() {
        let x = [1.0, 2.0, 3.0, 4.0, -5.0, 0.0, 5.0, 10.0];
        let mut out = [0.0; 8];
        layer_norm(&x, &[1.0; 4], 0.0, &mut out);
        for row in out.chunks(4) {
            let mean = row.iter().sum::<f32>() / 4.0;
            let variance = row.iter().map(|v| v * v).sum::<f32>() / 4.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5);
        }
    }
}
