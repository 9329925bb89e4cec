//! A block of rows times a panel by AVX512-VNNI: twelve rows of thirty-two columns in registers at a time.

use super::{DEPTH, Panel, ROWS, Rows, Step, Target, check};
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
    check(target, &rows, &panel, ROWS);
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
    let x: *const i32 = rows.words.as_ptr().cast();
    // SAFETY: row r < R has a word at step k, at any address.
    let add = |sums, r: usize, k: usize| unsafe { add(sums, &panel.steps[k], x.add(r * rows.stride + k)) };
    let none = [_mm512_setzero_si512(); 2];
    // The first step apart: sums that were set to zero before the loop would be so in memory, at every call.
    let n_steps = panel.steps.len();
    let mut sums: [_; R] = std::array::from_fn(|r| if n_steps > 0 { add(none, r, 0) } else { none });
    for k in 1..n_steps {
        for (r, sums) in sums.iter_mut().enumerate() {
            *sums = add(*sums, r, k);
        }
    }
    let scales = rows.scales.first_chunk::<R>().expect("a scale a row");
    let offsets = rows.offsets.first_chunk::<R>().expect("an offset a row");
    let mut products = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY: the processor has the instructions, and the target holds row r < R.
    unsafe {
        let (columns, masks) = (columns(&panel), masks(target.columns));
        for r in 0..R {
            products[r] = numbers(sums[r], offsets[r], scales[r], columns);
        }
        for (r, products) in products.into_iter().enumerate() {
            store(target, r, masks, products);
        }
    }
}

/// The products of a word, at any address, with a step of a panel, added to the sums of a row.
///
/// # Safety
/// There is a word; the processor has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn add(sums: [__m512i; 2], step: &Step, x: *const i32) -> [__m512i; 2] {
    let step: *const [u8; DEPTH] = step.0.as_ptr();
    // SAFETY: a step is two registers.
    unsafe {
        let (low, high) = (_mm512_load_si512(step.cast()), _mm512_load_si512(step.add(LANES).cast()));
        let x = _mm512_set1_epi32(x.read_unaligned());
        [_mm512_dpbusd_epi32(sums[0], low, x), _mm512_dpbusd_epi32(sums[1], high, x)]
    }
}

/// The scales of a panel's columns.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn columns(panel: &Panel<'_>) -> [__m512; 2] {
    // SAFETY: there are 32 scales.
    unsafe { [0, LANES].map(|j| _mm512_loadu_ps(panel.scales.as_ptr().add(j))) }
}

/// The numbers that the sums of a row stand for.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn numbers(sums: [__m512i; 2], offset: i32, scale: f32, columns: [__m512; 2]) -> [__m512; 2] {
    let mut products = [_mm512_setzero_ps(); 2];
    for j in 0..2 {
        let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[j], _mm512_set1_epi32(offset)));
        products[j] = _mm512_mul_ps(_mm512_mul_ps(sum, columns[j]), _mm512_set1_ps(scale));
    }
    products
}

/// Writes or adds row `r` of the target, the lanes of the masks.
///
/// # Safety
/// The target's output holds these lanes of the row; the processor has the instructions.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store(target: &mut Target<'_>, r: usize, masks: [__mmask16; 2], products: [__m512; 2]) {
    for (j, (mut product, mask)) in products.into_iter().zip(masks).enumerate() {
        let to = target.out.as_mut_ptr().wrapping_add(r * target.stride + j * LANES);
        // SAFETY: these lanes lie in the output; others are not touched.
        unsafe {
            if target.accumulate {
                product = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), product);
            }
            _mm512_mask_storeu_ps(to, mask, product);
        }
    }
}

/// The first `n` lanes of two registers.
pub(super) fn masks(n: usize) -> [__mmask16; 2] {
    [n, n.saturating_sub(LANES)].map(first)
}

/// The first `n` of sixteen lanes.
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}
