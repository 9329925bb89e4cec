//! A block of rows times a panel by NEON's dot products: six rows of sixteen columns in registers at a time.

use super::neon::signed;
use super::portable::write;
use super::{COLUMNS, DEPTH, Panel, ROWS, Rows, Step, Target, check};
use std::arch::{aarch64::*, asm};

/// Sums in a register.
const LANES: usize = 4;

/// Registers of half a panel.
const REGISTERS: usize = COLUMNS / 2 / LANES;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    assert!(is_available(), "no dot products");
    check(target, &rows, &panel, ROWS);
    let n = rows.scales.len();
    // Weights are multiplied without their offset, which is taken off later: so the sums start with it.
    let mut sums = [[0i32; COLUMNS]; ROWS];
    sums.iter_mut().zip(rows.offsets).for_each(|(sums, offset)| sums.fill(*offset));
    for first in (0..n).step_by(6) {
        let words = &rows.words[first * rows.stride..];
        let sums = &mut sums[first..];
        for half in 0..2 {
            // SAFETY: the instructions were found above, and `check` saw that each row holds a word for each step.
            unsafe {
                match n - first {
                    1 => multiply::<1>(sums, half, words, panel.steps),
                    2 => multiply::<2>(sums, half, words, panel.steps),
                    3 => multiply::<3>(sums, half, words, panel.steps),
                    4 => multiply::<4>(sums, half, words, panel.steps),
                    5 => multiply::<5>(sums, half, words, panel.steps),
                    _ => multiply::<6>(sums, half, words, panel.steps),
                }
            }
        }
    }
    (0..n).for_each(|i| write(target, &rows, &panel, i, &sums[i]));
}

/// `R` rows by half a panel, added to `sums`.
///
/// # Safety
/// `words` holds `R` rows of as many words as there are steps; the processor has the instructions.
#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply<const R: usize>(sums: &mut [[i32; COLUMNS]], half: usize, words: &[[i8; DEPTH]], steps: &[Step]) {
    let mut registers = [[vdupq_n_s32(0); REGISTERS]; R];
    let x: *const i32 = words.as_ptr().cast();
    for (k, step) in steps.iter().enumerate() {
        let columns = &step.0[half * REGISTERS * LANES..][..REGISTERS * LANES];
        // SAFETY: sixteen words, of which each load takes four; row r < R has a word at step k, at any address.
        unsafe {
            let columns: [_; REGISTERS] =
                std::array::from_fn(|j| signed(vld1q_u8(columns.as_ptr().add(j * LANES).cast())));
            for (r, sums) in registers.iter_mut().enumerate() {
                let x = vreinterpretq_s8_s32(vdupq_n_s32(x.add(r * steps.len() + k).read_unaligned()));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = dot(*sum, column, x);
                }
            }
        }
    }
    for (sums, registers) in sums.iter_mut().zip(registers) {
        for (j, register) in registers.into_iter().enumerate() {
            let to = &mut sums[(REGISTERS * half + j) * LANES..][..LANES];
            // SAFETY: four numbers.
            unsafe { vst1q_s32(to.as_mut_ptr(), vaddq_s32(vld1q_s32(to.as_ptr()), register)) };
        }
    }
}

/// Each sum plus the four products of its bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(mut sums: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // The compiler's own function for it, `vdotq_s32`, is not stable yet.
    // SAFETY: one instruction on registers, which the processor has.
    unsafe {
        asm!("sdot {sums:v}.4s, {weights:v}.16b, {x:v}.16b", sums = inout(vreg) sums, weights = in(vreg) weights,
             x = in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    }
    sums
}
