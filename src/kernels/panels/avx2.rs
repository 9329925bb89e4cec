//! A block of rows times a panel by AVX2 and FMA: six rows of sixteen columns in registers at a time.

use super::portable::write;
use super::{COLUMNS, Rows, Step, Target, check};
use std::arch::x86_64::*;

/// Values in a register.
const LANES: usize = 8;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
    assert!(is_available(), "no AVX2");
    check(target, &rows, panel);
    let mut sums = [[0.0f32; COLUMNS]; super::ROWS];
    for first in (0..rows.n).step_by(6) {
        let values = &rows.values[first * rows.stride..];
        let strides = (rows.stride, rows.step);
        let sums = &mut sums[first..];
        for half in 0..2 {
            // SAFETY: the instructions were found above, and `check` saw that each row holds a value for each step.
            unsafe {
                match rows.n - first {
                    1 => multiply::<1>(sums, half, values, strides, panel),
                    2 => multiply::<2>(sums, half, values, strides, panel),
                    3 => multiply::<3>(sums, half, values, strides, panel),
                    4 => multiply::<4>(sums, half, values, strides, panel),
                    5 => multiply::<5>(sums, half, values, strides, panel),
                    _ => multiply::<6>(sums, half, values, strides, panel),
                }
            }
        }
    }
    (0..rows.n).for_each(|i| write(target, i, &sums[i]));
}

/// `R` rows by half a panel, into `sums`.
///
/// # Safety
/// `values` holds `R` rows of as many values as the panel has steps, at these distances; the processor has the instructions.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<const R: usize>(
    sums: &mut [[f32; COLUMNS]],
    half: usize,
    values: &[f32],
    (stride, step): (usize, usize),
    panel: &[Step],
) {
    let mut registers = [[_mm256_setzero_ps(); 2]; R];
    let x = values.as_ptr();
    for (k, weights) in panel.iter().enumerate() {
        let columns = &weights.0[half * 2 * LANES..][..2 * LANES];
        // SAFETY: sixteen values, of which each load takes eight; row r < R has a value at step k.
        unsafe {
            let (low, high) = (_mm256_loadu_ps(columns.as_ptr()), _mm256_loadu_ps(columns.as_ptr().add(LANES)));
            for (r, sums) in registers.iter_mut().enumerate() {
                let x = _mm256_set1_ps(*x.add(r * stride + k * step));
                sums[0] = _mm256_fmadd_ps(x, low, sums[0]);
                sums[1] = _mm256_fmadd_ps(x, high, sums[1]);
            }
        }
    }
    for (sums, registers) in sums.iter_mut().zip(registers) {
        for (j, register) in registers.into_iter().enumerate() {
            let to = &mut sums[(2 * half + j) * LANES..][..LANES];
            // SAFETY: eight values.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), register) };
        }
    }
}
