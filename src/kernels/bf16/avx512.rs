//! Tiles by AVX512-BF16: laying them out, and the product of two blocks of them.

use super::portable::check;
use super::tile::{BLOCK, DEPTH, Order, SIDE, Source, Tile, place};
use std::arch::x86_64::*;
use std::ops::Range;

/// Whether the processor has the instructions and the system keeps their registers.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// As [`portable::multiply`](super::portable::multiply), eight rows of the output in registers at a time.
///
/// Panics where the instructions are not [available](is_available).
pub fn multiply(out: &mut [f32], stride: usize, a: &[Tile], b: &[Tile], accumulate: bool) {
    assert!(is_available(), "no AVX512-BF16");
    check(out, stride, a, b);
    for (j, b) in b.chunks_exact(a.len()).enumerate() {
        for rows in 0..BLOCK / 8 {
            let out = &mut out[rows * 8 * stride + j * BLOCK..];
            // SAFETY: the instructions were found above; eight rows of 32 values from there lie within `out`.
            unsafe { multiply_rows(out, stride, a, b, rows, accumulate) };
        }
    }
}

/// Eight rows of the output, from `8 * rows`.
///
/// # Safety
/// `out` holds eight rows of 32 values, `stride` apart; a and b have the same, even number of tiles; the processor has the
/// instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn multiply_rows(out: &mut [f32], stride: usize, a: &[Tile], b: &[Tile], rows: usize, accumulate: bool) {
    let mut sums = [[_mm512_setzero_ps(); 2]; 8];
    let out = out.as_mut_ptr();
    if accumulate {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row i < 8 and columns 16 j..16 j + 16 lie in `out` by this function's contract.
                *sum = unsafe { _mm512_loadu_ps(out.add(i * stride + j * SIDE)) };
            }
        }
    }
    let first = rows % 2 * 8;
    for (a, b) in a.chunks_exact(2).zip(b.chunks_exact(2)) {
        let a = &a[rows / 2].0[first..first + 8];
        for pair in 0..SIDE {
            // SAFETY: each is a row of sixteen words.
            let columns = unsafe { [load(&b[0].0[pair]), load(&b[1].0[pair])] };
            for (sums, a) in sums.iter_mut().zip(a) {
                // SAFETY: any bits are a pair of bf16.
                let a: __m512bh = unsafe { std::mem::transmute(_mm512_set1_epi32(a[pair] as i32)) };
                sums[0] = _mm512_dpbf16_ps(sums[0], a, columns[0]);
                sums[1] = _mm512_dpbf16_ps(sums[1], a, columns[1]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(out.add(i * stride + j * SIDE), *sum) };
        }
    }
}

/// Sixteen pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn load(words: &[u32; SIDE]) -> __m512bh {
    // SAFETY: sixteen words are what is read, and any bits are pairs of bf16.
    unsafe { std::mem::transmute(_mm512_loadu_si512(words.as_ptr().cast())) }
}

/// As [`tile::pack`](super::tile::pack); false, with nothing done, if neither lines nor steps lie side by side.
///
/// Numbers below the smallest normal one (1e-38) are rounded to zero. Panics where the instructions are not
/// [available](is_available), and if the source is shorter than asked for.
pub fn pack(tiles: &mut [Tile], source: &Source<'_>, lines: &Range<usize>, steps: &Range<usize>, order: Order) -> bool {
    assert!(is_available(), "no AVX512-BF16");
    if source.step_stride != 1 && source.line_stride != 1 {
        return false;
    }
    if lines.is_empty() || steps.is_empty() {
        tiles.fill(Tile::ZERO);
        return true;
    }
    let last = source.offset + (lines.end - 1) * source.line_stride + (steps.end - 1) * source.step_stride;
    assert!(last < source.values.len(), "an operand leaves its slice");
    // SAFETY: the instructions were found above, and all lines and steps asked for lie in the slice, the last one having
    // been checked.
    unsafe { pack_tiles(tiles, source, lines, steps, order) };
    true
}

/// # Safety
/// All lines and steps lie in the source, and lines or steps lie side by side.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_tiles(
    tiles: &mut [Tile],
    source: &Source<'_>,
    lines: &Range<usize>,
    steps: &Range<usize>,
    order: Order,
) {
    let (panel, n) = (2 * steps.len().div_ceil(DEPTH), tiles.len());
    for i in 0..n {
        // Steps that lie apart are read by all lines before the next ones are: memory likes to be read in its own order.
        let t = if source.step_stride == 1 {
            i
        } else {
            let (depth, line) = (i / (n / panel * 2), i % (n / panel * 2));
            line / 2 * panel + 2 * depth + line % 2
        };
        let tile = &mut tiles[t];
        let (line, step) = place(t, lines, steps);
        let n_lines = SIDE.min(lines.end.saturating_sub(line));
        let n_steps = DEPTH.min(steps.end.saturating_sub(step));
        if n_lines == 0 || n_steps == 0 {
            *tile = Tile::ZERO;
            continue;
        }
        let from = source.offset + line * source.line_stride + step * source.step_stride;
        // SAFETY: by this function's contract; the rows of a tile are 64 bytes at multiples of 64.
        unsafe {
            let from = source.values.as_ptr().add(from);
            let (rows, rows_lie) = if source.step_stride == 1 {
                (lines_of_steps(from, source.line_stride, n_lines, n_steps), Order::ByRow)
            } else {
                (steps_of_lines(from, source.step_stride, n_lines, n_steps), Order::ByDepth)
            };
            let rows = if rows_lie == order { rows } else { transpose(rows) };
            for (to, row) in tile.0.iter_mut().zip(rows) {
                _mm512_store_si512(to.as_mut_ptr().cast(), row);
            }
        }
    }
}

/// The first `n` of sixteen lanes, for n from 0.
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(SIDE)) - 1) as __mmask16
}

/// A row of pairs a line, from lines whose steps lie side by side.
///
/// # Safety
/// `n_steps` values from each of `from + stride * (0..n_lines)` can be read.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn lines_of_steps(from: *const f32, stride: usize, n_lines: usize, n_steps: usize) -> [__m512i; SIDE] {
    let (low, high) = (first(n_steps), first(n_steps.saturating_sub(SIDE)));
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for (line, row) in rows.iter_mut().enumerate().take(n_lines) {
        // SAFETY: the masks leave the first `n_steps` values, which can be read; lanes behind the mask are not touched.
        let (a, b) = unsafe {
            let from = from.add(line * stride);
            (_mm512_maskz_loadu_ps(low, from), _mm512_maskz_loadu_ps(high, from.wrapping_add(SIDE)))
        };
        // SAFETY: pairs of bf16 are bits.
        *row = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) };
    }
    rows
}

/// A row of lines a pair of steps, from steps whose lines lie side by side.
///
/// # Safety
/// `n_lines` values from each of `from + stride * (0..n_steps)` can be read.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn steps_of_lines(from: *const f32, stride: usize, n_lines: usize, n_steps: usize) -> [__m512i; SIDE] {
    let mask = first(n_lines);
    // Half a register of even steps, half of odd ones: 0, 16, 1, 17, …
    let interleave = {
        let mut order = [0u16; DEPTH];
        for (i, o) in order.iter_mut().enumerate() {
            *o = (i / 2 + i % 2 * SIDE) as u16;
        }
        // SAFETY: both are 64 bytes without meaning of their own.
        unsafe { std::mem::transmute::<[u16; DEPTH], __m512i>(order) }
    };
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for (pair, row) in rows.iter_mut().enumerate().take(n_steps.div_ceil(2)) {
        let second = if 2 * pair + 1 < n_steps { mask } else { 0 };
        // SAFETY: the masks leave the first `n_lines` values of steps below `n_steps`, which can be read.
        let (a, b) = unsafe {
            let from = from.add(2 * pair * stride);
            (_mm512_maskz_loadu_ps(mask, from), _mm512_maskz_loadu_ps(second, from.wrapping_add(stride)))
        };
        // SAFETY: pairs of bf16 are bits.
        let both = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) };
        *row = _mm512_permutexvar_epi16(interleave, both);
    }
    rows
}

/// Rows become columns.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(r: [__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut t = r;
    // Words in pairs of rows, then double words in fours: each 128 bits then hold a column of four rows.
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut u = t;
    for i in 0..4 {
        u[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        u[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    // u[4 i + c] holds columns c, c + 4, c + 8, c + 12 of rows 4 i..4 i + 4; the quarters are gathered in two rounds.
    let mut out = r;
    for c in 0..4 {
        let low = _mm512_shuffle_i32x4::<0x88>(u[c], u[4 + c]); // columns c, c + 8 of rows 0..4, then of 4..8
        let high = _mm512_shuffle_i32x4::<0xDD>(u[c], u[4 + c]); // columns c + 4, c + 12
        let low2 = _mm512_shuffle_i32x4::<0x88>(u[8 + c], u[12 + c]);
        let high2 = _mm512_shuffle_i32x4::<0xDD>(u[8 + c], u[12 + c]);
        out[c] = _mm512_shuffle_i32x4::<0x88>(low, low2);
        out[8 + c] = _mm512_shuffle_i32x4::<0xDD>(low, low2);
        out[4 + c] = _mm512_shuffle_i32x4::<0x88>(high, high2);
        out[12 + c] = _mm512_shuffle_i32x4::<0xDD>(high, high2);
    }
    out
}
