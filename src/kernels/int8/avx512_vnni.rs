//! A block of rows times a panel by AVX512-VNNI: twelve rows of thirty-two columns in registers at a time.

use super::{DEPTH, Panel, ROWS, Rows, Target, check};
use std::arch::x86_64::*;

/// Sums in a register.
const LANES: usize = 16;

/// Whether the processor has the instructions and the system keeps their registers.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    assert!(is_available(), "no AVX512-VNNI");
    check(target, &rows, &panel);
    // SAFETY: the instructions were found above, and `check` saw that rows and output are long enough.
    unsafe {
        match rows.scales.len() {
            1 => multiply::<1>(target, rows, panel),
            2 => multiply::<2>(target, rows, panel),
            3 => multiply::<3>(target, rows, panel),
            4 => multiply::<4>(target, rows, panel),
            5 => multiply::<5>(target, rows, panel),
            6 => multiply::<6>(target, rows, panel),
            7 => multiply::<7>(target, rows, panel),
            8 => multiply::<8>(target, rows, panel),
            9 => multiply::<9>(target, rows, panel),
            10 => multiply::<10>(target, rows, panel),
            11 => multiply::<11>(target, rows, panel),
            _ => multiply::<ROWS>(target, rows, panel),
        }
    }
}

/// `R` rows by a panel.
///
/// # Safety
/// `rows` holds `R` rows of as many words as the panel has steps, and `target.out` as many of `target.columns` values; the
/// processor has the instructions.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply<const R: usize>(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    let mut sums = [[_mm512_setzero_si512(); 2]; R];
    let x: *const i32 = rows.words.as_ptr().cast();
    for (k, step) in panel.steps.iter().enumerate() {
        // SAFETY: a step is two registers; row r < R has a word at step k, at any address.
        unsafe {
            let step: *const [u8; DEPTH] = step.0.as_ptr();
            let (low, high) = (_mm512_load_si512(step.cast()), _mm512_load_si512(step.add(LANES).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(x.add(r * rows.stride + k).read_unaligned());
                sums[0] = _mm512_dpbusd_epi32(sums[0], low, x);
                sums[1] = _mm512_dpbusd_epi32(sums[1], high, x);
            }
        }
    }
    let masks = [first(target.columns), first(target.columns.saturating_sub(LANES))];
    for (r, sums) in sums.iter().enumerate() {
        let (offset, scale) = (_mm512_set1_epi32(rows.offsets[r]), _mm512_set1_ps(rows.scales[r]));
        for (j, (sum, mask)) in sums.iter().zip(masks).enumerate() {
            // SAFETY: the masks leave the first `columns` values of row r, which lie in the output; other lanes are not touched.
            // There are 32 scales.
            unsafe {
                let columns = _mm512_loadu_ps(panel.scales.as_ptr().add(j * LANES));
                let to = target.out.as_mut_ptr().wrapping_add(r * target.stride + j * LANES);
                let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(*sum, offset));
                let mut product = _mm512_mul_ps(_mm512_mul_ps(sum, columns), scale);
                if target.accumulate {
                    product = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), product);
                }
                _mm512_mask_storeu_ps(to, mask, product);
            }
        }
    }
}

/// The first `n` of sixteen lanes.
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}
