//! A block of rows times a panel by AVX2: bytes are widened to 16 bits, whose products add up exactly.

use super::portable::write;
use super::{COLUMNS, Panel, ROWS, Rows, Step, Target, check};
use std::arch::x86_64::*;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    assert!(is_available(), "no AVX2");
    check(target, &rows, &panel, ROWS);
    for i in 0..rows.scales.len() {
        let mut sums = [0i32; COLUMNS];
        // SAFETY: the instructions were found above.
        unsafe { multiply(&mut sums, &rows.words[i * rows.stride..][..rows.stride], panel.steps) };
        write(target, &rows, &panel, i, &sums);
    }
}

/// A row by a panel; four columns a register, in each two halves of a sum.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx2")]
unsafe fn multiply(sums: &mut [i32; COLUMNS], row: &[[i8; 4]], steps: &[Step]) {
    const QUARTER: usize = 4; // columns in a register of sixteen numbers
    let mut registers = [_mm256_setzero_si256(); COLUMNS / QUARTER];
    for (x, step) in row.iter().zip(steps) {
        let x = _mm256_cvtepi8_epi16(_mm_set1_epi32(i32::from_ne_bytes(x.map(|x| x as u8))));
        for (register, w) in registers.iter_mut().zip(step.0.as_chunks::<QUARTER>().0) {
            // SAFETY: four columns of four bytes.
            let w = unsafe { _mm_loadu_si128(w.as_ptr().cast()) };
            *register = _mm256_add_epi32(*register, _mm256_madd_epi16(_mm256_cvtepu8_epi16(w), x));
        }
    }
    for (sums, register) in sums.chunks_exact_mut(QUARTER).zip(registers) {
        let mut halves = [0i32; 2 * QUARTER];
        // SAFETY: eight numbers.
        unsafe { _mm256_storeu_si256(halves.as_mut_ptr().cast(), register) };
        for (sum, halves) in sums.iter_mut().zip(halves.chunks_exact(2)) {
            *sum = halves[0].wrapping_add(halves[1]); // whole again once the offset is taken off
        }
    }
}
