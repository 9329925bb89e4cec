//! A block of rows times a panel by NEON: bytes are multiplied to 16 bits, and their pairs added up in 32.

use super::portable::write;
use super::{COLUMNS, Panel, ROWS, Rows, Step, Target, check};
use std::arch::aarch64::*;

/// Columns in a register of sixteen bytes.
const QUARTER: usize = 4;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    assert!(is_available(), "no NEON");
    check(target, &rows, &panel, ROWS);
    for i in 0..rows.scales.len() {
        // Weights are multiplied without their offset, which is taken off later: so the sums start with it.
        let mut sums = [rows.offsets[i]; COLUMNS];
        // SAFETY: the instructions were found above.
        unsafe { multiply(&mut sums, &rows.words[i * rows.stride..][..rows.stride], panel.steps) };
        write(target, &rows, &panel, i, &sums);
    }
}

/// A row by a panel, added to `sums`; four columns a register of weights, in each two halves of a sum.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "neon")]
unsafe fn multiply(sums: &mut [i32; COLUMNS], row: &[[i8; 4]], steps: &[Step]) {
    let mut registers = [[vdupq_n_s32(0); 2]; COLUMNS / QUARTER];
    for (x, step) in row.iter().zip(steps) {
        let x = vreinterpret_s8_s32(vdup_n_s32(i32::from_ne_bytes(x.map(|x| x as u8))));
        for (halves, w) in registers.iter_mut().zip(step.0.as_chunks::<QUARTER>().0) {
            // SAFETY: four columns of four bytes.
            let w = unsafe { vld1q_u8(w.as_ptr().cast()) };
            let w = signed(w);
            halves[0] = vpadalq_s16(halves[0], vmull_s8(vget_low_s8(w), x));
            halves[1] = vpadalq_s16(halves[1], vmull_s8(vget_high_s8(w), x));
        }
    }
    for (sums, [low, high]) in sums.as_chunks_mut::<QUARTER>().0.iter_mut().zip(registers) {
        // SAFETY: four numbers.
        unsafe { vst1q_s32(sums.as_mut_ptr(), vaddq_s32(vld1q_s32(sums.as_ptr()), vpaddq_s32(low, high))) };
    }
}

/// Weights without their offset of 128: the uppermost bit turned over.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn signed(weights: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(veorq_u8(weights, vdupq_n_u8(0x80)))
}
