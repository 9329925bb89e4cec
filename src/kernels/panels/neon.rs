//! A block of rows times a panel by NEON: six rows of sixteen columns in registers at a time.

use super::portable::write;
use super::{COLUMNS, Rows, Step, Target, check};
use std::arch::aarch64::*;

/// Values in a register.
const LANES: usize = 4;

/// Registers of half a panel.
const REGISTERS: usize = COLUMNS / 2 / LANES;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
    assert!(is_available(), "no NEON");
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
#[target_feature(enable = "neon")]
unsafe fn multiply<const R: usize>(
    sums: &mut [[f32; COLUMNS]],
    half: usize,
    values: &[f32],
    (stride, step): (usize, usize),
    panel: &[Step],
) {
    let mut registers = [[vdupq_n_f32(0.0); REGISTERS]; R];
    let x = values.as_ptr();
    for (k, weights) in panel.iter().enumerate() {
        let columns = &weights.0[half * REGISTERS * LANES..][..REGISTERS * LANES];
        // SAFETY: sixteen values, of which each load takes four; row r < R has a value at step k.
        unsafe {
            let columns: [_; REGISTERS] = std::array::from_fn(|j| vld1q_f32(columns.as_ptr().add(j * LANES)));
            for (r, sums) in registers.iter_mut().enumerate() {
                let x = vld1q_dup_f32(x.add(r * stride + k * step));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = vfmaq_f32(*sum, column, x);
                }
            }
        }
    }
    for (sums, registers) in sums.iter_mut().zip(registers) {
        for (j, register) in registers.into_iter().enumerate() {
            let to = &mut sums[(REGISTERS * half + j) * LANES..][..LANES];
            // SAFETY: four values.
            unsafe { vst1q_f32(to.as_mut_ptr(), register) };
        }
    }
}
