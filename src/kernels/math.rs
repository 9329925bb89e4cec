//! Elementary functions that the compiler can turn into vector code (the standard library's are calls, one value each).

use super::simd;

/// `e^x` with a relative error below 2e-7; inputs are clamped to the range in which the result is a normal number.
///
/// Cody-Waite reduction and the degree-5 polynomial of Cephes `expf` (Moshier, 1989).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a call.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // The integer stands in the low bits of the sum; a cast that saturates would be computed one number at a time.
    y * f32::from_bits((rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23)
}

/// `gelu` by the hyperbolic tangent, as BERT's `gelu_new` and candle's own: `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
pub fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_BY_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + (SQRT_2_BY_PI * x * (1.0 + 0.044_715 * x * x)).tanh())
}

/// The error function, absolute error below 3e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    erf_by(x, exp(-a * a))
}

/// [`erf`] where `e^(-x²)` is known.
#[inline(always)]
pub fn erf_by(x: f32, bell: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - p * bell).copysign(x)
}

/// The normal distribution less one half, odd in x; absolute error below 4e-7, and that of x times it below 2e-6.
///
/// A polynomial in x² of degree 13, the nearest up to 5 in Chebyshev's basis: half the work of [`erf`], which needs an exponential
/// and a division. Beyond 5 the rest, 3e-7, is left out.
#[inline(always)]
pub fn half_normal(x: f32) -> f32 {
    const P: [f32; 14] = [
        0.141_363_8,
        -0.070_296_764,
        0.051_518_954,
        -0.040_428_102,
        0.031_462_483,
        -0.023_392_372,
        0.016_307_613,
        -0.010_715_522,
        0.006_607_012_4,
        -0.003_472_009_7,
        0.001_536_515_7,
        -0.000_955_43,
        0.000_674_393_7,
        -0.000_210_639_67,
    ];
    let outside = x.abs() > 5.0;
    let u = x * x * (2.0 / 25.0) - 1.0;
    let mut p = P[P.len() - 1];
    for c in P[..P.len() - 1].iter().rev() {
        p = p * u + c;
    }
    if outside { 0.5f32.copysign(x) } else { p * x }
}

/// Replaces a row of scores by its softmax; an empty row stays empty.
#[inline(always)]
pub fn softmax_in_place(row: &mut [f32]) {
    let max = simd::max(row);
    for x in row.iter_mut() {
        *x = exp(*x - max);
    }
    let scale = 1.0 / simd::sum(row, |x| x);
    for x in row.iter_mut() {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_erf_are_near_the_exact_values() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!(((f64::from(exp(x)) - exact) / exact).abs() < 3e-7, "exp({x})");
        }
        // erf at 0.1, 0.5, 1, 2, 3 from tables of the error function
        for (x, exact) in
            [(0.1, 0.112_462_9), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (3.0, 0.999_977_9)]
        {
            assert!((erf(x) - exact).abs() < 4e-7, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + exact).abs() < 4e-7);
        }
    }

    #[test]
    fn half_normal_is_half_of_erf() {
        // erf by its series, summed in double precision.
        let erf = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        };
        for i in -700..=700 {
            let x = i as f32 / 100.0;
            let exact = if x.abs() > 5.5 { 0.5 * f64::from(x.signum()) } else { 0.5 * erf(f64::from(x) / 2f64.sqrt()) };
            let error = (f64::from(half_normal(x)) - exact).abs();
            assert!(error < 4e-7 && error * f64::from(x.abs()) < 2e-6, "at {x}: {error:e}");
        }
        assert_eq!(half_normal(f32::INFINITY), 0.5);
    }

    #[test]
    fn softmax_sums_to_one_also_for_huge_scores() {
        let mut row = [1000.0, 1000.0, -1000.0];
        softmax_in_place(&mut row);
        assert!((row[0] - 0.5).abs() < 1e-6 && (row[1] - 0.5).abs() < 1e-6 && row[2] < 1e-30);
        softmax_in_place(&mut []);
    }
}
