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
    fn softmax_sums_to_one_also_for_huge_scores() {
        let mut row = [1000.0, 1000.0, -1000.0];
        softmax_in_place(&mut row);
        assert!((row[0] - 0.5).abs() < 1e-6 && (row[1] - 0.5).abs() < 1e-6 && row[2] < 1e-30);
        softmax_in_place(&mut []);
    }
}
