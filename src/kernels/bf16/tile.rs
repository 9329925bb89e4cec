//! Operands in tiles of 16 rows by 32 steps of the sum, two neighbouring steps (a pair) in each 32-bit word.

use crate::kernels::matmul::View;
use std::ops::Range;

/// Rows (or columns) of a tile.
pub const SIDE: usize = 16;
/// Steps of the sum in a tile.
pub const DEPTH: usize = 32;
/// Rows and columns that one call multiplies: two tiles of each operand.
pub const BLOCK: usize = 2 * SIDE;

/// 16 by 16 pairs of bf16, the even step in the low half.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Tile(pub [[u32; SIDE]; SIDE]);

impl Tile {
    /// Nothing but zeros.
    pub const ZERO: Tile = Tile([[0; SIDE]; SIDE]);
}

/// Which way a tile lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `tile[row][pair]`, for the left operand.
    ByRow,
    /// `tile[pair][column]`, for the right one.
    ByDepth,
}

/// An operand seen along the sum: line l (a row of the left operand, a column of the right one) at step s lies at
/// `offset + l * line_stride + s * step_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Place of line 0, step 0.
    pub offset: usize,
    /// Distance between lines.
    pub line_stride: usize,
    /// Distance between steps.
    pub step_stride: usize,
}

impl<'a> Source<'a> {
    /// The left operand.
    pub fn rows(values: &'a [f32], view: View) -> Source<'a> {
        Source { values, offset: view.offset, line_stride: view.row_stride, step_stride: view.column_stride }
    }

    /// The right operand.
    pub fn columns(values: &'a [f32], view: View) -> Source<'a> {
        Source::rows(values, view.t())
    }
}

/// Rounds lines over some steps into tiles, block of lines after block: in each, of each [`DEPTH`] steps first the tile of 16
/// lines, then that of the other 16. What lies beyond lines and steps is zero. `tiles` must hold
/// `2 * ⌈steps / DEPTH⌉ * ⌈lines / BLOCK⌉`.
pub fn pack(tiles: &mut [Tile], source: &Source<'_>, lines: Range<usize>, steps: Range<usize>, order: Order) {
    let n_tiles = 2 * steps.len().div_ceil(DEPTH) * lines.len().div_ceil(BLOCK);
    assert_eq!(tiles.len(), n_tiles, "tiles for {lines:?} by {steps:?}");
    #[cfg(target_arch = "x86_64")]
    if super::avx512::is_available() && super::avx512::pack(tiles, source, &lines, &steps, order) {
        return;
    }
    for (t, tile) in tiles.iter_mut().enumerate() {
        let (first_line, first_step) = place(t, &lines, &steps);
        let at = |line: usize, step: usize| -> u32 {
            if line >= lines.end || step >= steps.end {
                return 0;
            }
            round(source.values[source.offset + line * source.line_stride + step * source.step_stride]).into()
        };
        for i in 0..SIDE {
            for j in 0..SIDE {
                let (line, pair) = if order == Order::ByRow { (i, j) } else { (j, i) };
                let (line, step) = (first_line + line, first_step + 2 * pair);
                tile.0[i][j] = at(line, step) | at(line, step + 1) << 16;
            }
        }
    }
}

/// First line and first step of tile `t`.
pub fn place(t: usize, lines: &Range<usize>, steps: &Range<usize>) -> (usize, usize) {
    let panel = 2 * steps.len().div_ceil(DEPTH);
    (lines.start + t / panel * BLOCK + t % 2 * SIDE, steps.start + t % panel / 2 * DEPTH)
}

/// The bits of the nearest bf16, the even one of two.
pub fn round(x: f32) -> u16 {
    half::bf16::from_f32(x).to_bits()
}
