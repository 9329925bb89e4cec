//! Loops compiled for the vector units that the processor turns out to have, with the same result on all of them.

/// Runs `f` compiled for the best instruction set at hand; `f` and all that it calls must be `#[inline(always)]` to profit.
///
/// Results do not depend on the instruction set: the compiler neither reorders nor contracts floating-point operations.
#[inline(always)]
pub fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
    {
        // SAFETY: the instructions were found on the line above.
        return unsafe { with_avx512(f) };
    }
    pulp::Arch::new().dispatch(f)
}

/// `f`, compiled for registers of sixteen numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq")]
fn with_avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Partial sums kept side by side; a fixed number, so that the order of additions is the same everywhere.
const LANES: usize = 16;

/// `Σ f(x)` over the values of a row, added up in sixteen interleaved partial sums.
#[inline(always)]
pub fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(x, x, |x, _| f(x))
}

/// `Σ f(x, y)` over two rows of one length, as [`sum`].
#[inline(always)]
pub fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    sum3(x, y, y, |x, y, _| f(x, y))
}

/// `Σ f(x, y, z)` over three rows of one length, as [`sum`].
#[inline(always)]
pub fn sum3(x: &[f32], y: &[f32], z: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (xs, ys, zs) = (x.chunks_exact(LANES), y.chunks_exact(LANES), z.chunks_exact(LANES));
    let rest = (xs.remainder(), ys.remainder(), zs.remainder());
    for ((x, y), z) in xs.zip(ys).zip(zs) {
        // Whole arrays: with an index that might lie outside, the compiler would leave the loop scalar.
        for l in 0..LANES {
            lanes[l] += f(x[l], y[l], z[l]);
        }
    }
    let mut tail = 0.0;
    for ((x, y), z) in rest.0.iter().zip(rest.1).zip(rest.2) {
        tail += f(*x, *y, *z);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0] + tail
}

/// The largest of the values, or minus infinity for none.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sum_and_max_equal_the_plain_ones(values in prop::collection::vec(-100f32..100.0, 0..100)) {
            let plain: f64 = values.iter().map(|x| f64::from(*x)).sum();
            prop_assert!((f64::from(sum(&values, |x| x)) - plain).abs() < 1e-2);
            prop_assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            prop_assert_eq!(dispatch(|| sum(&values, |x| x)), sum(&values, |x| x));
        }
    }
}
