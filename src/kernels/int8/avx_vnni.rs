//! A block of rows times a panel by AVX-VNNI: six rows of sixteen columns in registers at a time.

use super::portable::write;
use super::{COLUMNS, DEPTH, Panel, ROWS, Rows, Step, Target, check};
use std::arch::x86_64::*;

/// Sums in a register.
const LANES: usize = 8;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    assert!(is_available(), "no AVX-VNNI");
    check(target, &rows, &panel, ROWS);
    let (n, mut sums) = (rows.scales.len(), [[0i32; COLUMNS]; ROWS]);
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

/// `R` rows by half a panel, into `sums`.
///
/// # Safety
/// `words` holds `R` rows of as many words as there are steps; the processor has the instructions.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn multiply<const R: usize>(sums: &mut [[i32; COLUMNS]], half: usize, words: &[[i8; DEPTH]], steps: &[Step]) {
    let mut registers = [[_mm256_setzero_si256(); 2]; R];
    let x: *const i32 = words.as_ptr().cast();
    for (k, step) in steps.iter().enumerate() {
        let columns = &step.0[half * 2 * LANES..][..2 * LANES];
        // SAFETY: sixteen words, of which each load takes eight; row r < R has a word at step k, at any address.
        unsafe {
            let low = _mm256_loadu_si256(columns.as_ptr().cast());
            let high = _mm256_loadu_si256(columns.as_ptr().add(LANES).cast());
            for (r, sums) in registers.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(x.add(r * steps.len() + k).read_unaligned());
                sums[0] = _mm256_dpbusd_avx_epi32(sums[0], low, x);
                sums[1] = _mm256_dpbusd_avx_epi32(sums[1], high, x);
            }
        }
    }
    for (sums, registers) in sums.iter_mut().zip(registers) {
        for (j, register) in registers.into_iter().enumerate() {
            let to = &mut sums[(2 * half + j) * LANES..][..LANES];
            // SAFETY: eight numbers.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), register) };
        }
    }
}
