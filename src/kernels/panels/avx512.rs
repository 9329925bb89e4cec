//! A block of rows times a panel by AVX-512: twelve rows of thirty-two columns in registers at a time.

use super::{ROWS, Rows, Step, Target, check};
use std::arch::x86_64::*;

/// Values in a register.
const LANES: usize = 16;

/// Whether the processor has the instructions and the system keeps their registers.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// As [`portable::tile`](super::portable::tile). Panics where the instructions are not [available](is_available), too.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
    assert!(is_available(), "no AVX-512");
    check(target, &rows, panel);
    // SAFETY: the instructions were found above, and `check` saw that rows and output are long enough.
    unsafe {
        if rows.step == 1 {
            by_number::<false>(target, rows, panel);
        } else {
            assert!(rows.stride == 1 || rows.n == 1, "neither rows nor their values lie side by side");
            by_number::<true>(target, rows, panel);
        }
    }
}

/// As many rows as there are.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx512f")]
unsafe fn by_number<const TURNED: bool>(target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
    // SAFETY: by this function's contract.
    unsafe {
        match rows.n {
            1 => multiply::<1, TURNED>(target, rows, panel),
            2 => multiply::<2, TURNED>(target, rows, panel),
            3 => multiply::<3, TURNED>(target, rows, panel),
            4 => multiply::<4, TURNED>(target, rows, panel),
            5 => multiply::<5, TURNED>(target, rows, panel),
            6 => multiply::<6, TURNED>(target, rows, panel),
            7 => multiply::<7, TURNED>(target, rows, panel),
            8 => multiply::<8, TURNED>(target, rows, panel),
            9 => multiply::<9, TURNED>(target, rows, panel),
            10 => multiply::<10, TURNED>(target, rows, panel),
            11 => multiply::<11, TURNED>(target, rows, panel),
            _ => multiply::<ROWS, TURNED>(target, rows, panel),
        }
    }
}

/// `R` rows by a panel; the rows lie side by side if `TURNED`, else their values do.
///
/// # Safety
/// `rows` holds `R` rows of as many values as the panel has steps, at their distances, and `target.out` as many of `target.columns` values; the
/// processor has the instructions.
#[target_feature(enable = "avx512f")]
unsafe fn multiply<const R: usize, const TURNED: bool>(target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    let x = rows.values.as_ptr();
    for (k, step) in panel.iter().enumerate() {
        // SAFETY: a step is two registers; row r < R has a value at step k.
        unsafe {
            let (low, high) = (_mm512_load_ps(step.0.as_ptr()), _mm512_load_ps(step.0.as_ptr().add(LANES)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let at = if TURNED { k * rows.step + r } else { r * rows.stride + k };
                let x = _mm512_set1_ps(*x.add(at));
                sums[0] = _mm512_fmadd_ps(x, low, sums[0]);
                sums[1] = _mm512_fmadd_ps(x, high, sums[1]);
            }
        }
    }
    let scale = _mm512_set1_ps(target.scale);
    let masks = [first(target.columns), first(target.columns.saturating_sub(LANES))];
    for (r, sums) in sums.iter().enumerate() {
        for (j, (sum, mask)) in sums.iter().zip(masks).enumerate() {
            // SAFETY: the masks leave the first `columns` values of row r, which lie in the output; other lanes are not touched.
            unsafe {
                let to = target.out.as_mut_ptr().wrapping_add(r * target.stride + j * LANES);
                let mut sum = _mm512_mul_ps(*sum, scale);
                if target.accumulate {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum);
                }
                _mm512_mask_storeu_ps(to, mask, sum);
            }
        }
    }
}

/// The first `n` of sixteen lanes.
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}
