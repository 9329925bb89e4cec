//! Products in f32 by instructions for bf16, for a network in use: each number is the sum of three of bf16, and of the nine products of
//! their parts the six largest are added up in f32.
//!
//! A bf16 holds eight bits of the 24 of an f32, so three hold all of them; what is left out of a product is at most 2^-25 of it, less
//! than f32 itself rounds away. (Henry, Tang and Heinecke, 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype For
//! Higher-Precision Computations".) Six products by AMX take half the time of one in f32.
//!
//! Two modules multiply a block of rows with a panel of columns, with the same function `multiply`: [`portable`] is the definition,
//! `amx` is what the machine runs if it can; without AMX, [`panels`](super::panels) are faster. A row of the output has the same bits
//! whatever rows stand beside it.

pub mod portable;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;

use super::matmul::View;
use super::simd::dispatch;
use std::cell::RefCell;
use std::sync::OnceLock;

/// Rows or columns of a tile.
pub const SIDE: usize = 16;

/// Steps of the sum in a tile.
pub const DEPTH: usize = 32;

/// Rows, and columns, that are multiplied at once: two tiles of each part.
pub const BLOCK: usize = 2 * SIDE;

/// Values that are laid out before the next ones are, so that they stay in the second cache.
const CHUNK: usize = 192 << 10;

/// Sixteen times 32 values of one part: `tile[row][step]` of the left operand, `tile[step / 2][2 * column + step % 2]` of the right one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Tile(pub [[u16; DEPTH]; SIDE]);

impl Tile {
    /// Nothing but zeros.
    pub const ZERO: Tile = Tile([[0; DEPTH]; SIDE]);
}

/// [`DEPTH`] steps of [`BLOCK`] rows or columns: by part, the largest first, the tiles of the first and of the last 16.
pub type Steps = [[Tile; 2]; 3];

/// Zeros.
const NONE: Steps = [[Tile::ZERO; 2]; 3];

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// Plain code, slower than one product in f32.
    Portable,
    /// AMX-BF16.
    Amx,
}

impl Instructions {
    /// The best that this machine can run; found out once.
    pub fn detected() -> Instructions {
        static DETECTED: OnceLock<Instructions> = OnceLock::new();
        *DETECTED.get_or_init(|| *Instructions::available().last().unwrap_or(&Instructions::Portable))
    }

    /// All that this machine can run, the slowest first.
    pub fn available() -> Vec<Instructions> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx::is_available() {
            return vec![Instructions::Portable, Instructions::Amx];
        }
        vec![Instructions::Portable]
    }

    /// What they are called.
    pub fn name(self) -> &'static str {
        match self {
            Instructions::Portable => "plain code",
            Instructions::Amx => "AMX-BF16",
        }
    }
}

/// Whether this machine multiplies f32 faster so than by [`panels`](super::panels).
pub fn is_fast() -> bool {
    Instructions::detected() == Instructions::Amx
}

/// Where [`BLOCK`] rows by [`BLOCK`] columns of a product go: `stride` from row to row.
pub struct Block<'a> {
    /// The output from the block's first value on.
    pub out: &'a mut [f32],
    /// Distance between rows.
    pub stride: usize,
}

/// Panics unless both operands have the same, and some, steps, and the block lies in the output.
fn check(block: &Block<'_>, rows: &[Steps], columns: &[Steps]) {
    assert!(!rows.is_empty() && rows.len() == columns.len(), "{} and {} steps", rows.len(), columns.len());
    assert!((BLOCK - 1) * block.stride + BLOCK <= block.out.len(), "a block leaves the output");
}

/// A weight in three parts, laid out once.
#[derive(Debug, Clone)]
pub struct Weight {
    n: usize,
    k: usize,
    steps: Vec<Steps>,
}

impl Weight {
    /// Lays out a weight (N, K), as PyTorch stores it.
    pub fn new(weight: &[f32], n: usize, k: usize) -> Weight {
        assert_eq!(weight.len(), n * k, "a weight of other sizes");
        let depth = k.div_ceil(DEPTH);
        let mut steps = vec![NONE; depth * n.div_ceil(BLOCK)];
        for (column, weight) in weight.chunks_exact(k.max(1)).enumerate() {
            let (tile, column, panel) = (column % BLOCK / SIDE, column % SIDE, column / BLOCK);
            for (steps, values) in steps[panel * depth..][..depth].iter_mut().zip(weight.chunks(DEPTH)) {
                for (step, value) in values.iter().enumerate() {
                    for (part, bits) in steps.iter_mut().zip(split(*value)) {
                        part[tile].0[step / 2][2 * column + step % 2] = bits;
                    }
                }
            }
        }
        Weight { n, k, steps }
    }

    /// N and K.
    pub fn shape(&self) -> (usize, usize) {
        (self.n, self.k)
    }
}

/// The three parts of a number, the largest first: each the bf16 nearest to what the ones before have left.
#[inline(always)]
fn split(x: f32) -> [u16; 3] {
    let high = round(x);
    let middle = round(x - f32::from_bits(high));
    let low = round(x - f32::from_bits(high) - f32::from_bits(middle));
    [high, middle, low].map(|part| (part >> 16) as u16)
}

/// The bits of the nearest bf16 as an f32, of two the even one.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    (bits + (0x7FFF + (bits >> 16 & 1))) & 0xFFFF_0000
}

/// Lays out rows (M, K) that begin at `values` and are `stride` apart.
fn lay_out(values: &[f32], stride: usize, (m, k): (usize, usize), blocks: &mut Vec<Steps>) {
    let depth = k.div_ceil(DEPTH);
    // What lies beyond the rows and the steps is multiplied, too, and must be numbers; beyond the rows any will do.
    blocks.resize(depth * m.div_ceil(BLOCK), NONE);
    dispatch(
        #[inline(always)]
        || {
            for row in 0..m {
                let (block, tile, line) = (row / BLOCK, row % BLOCK / SIDE, row % SIDE);
                let (whole, rest) = values[row * stride..][..k].as_chunks::<DEPTH>();
                let (steps, last) = blocks[block * depth..][..depth].split_at_mut(whole.len());
                for (steps, values) in steps.iter_mut().zip(whole) {
                    lay_out_steps(steps, tile, line, values);
                }
                if let Some(steps) = last.first_mut() {
                    let mut padded = [0.0; DEPTH];
                    padded[..rest.len()].copy_from_slice(rest);
                    lay_out_steps(steps, tile, line, &padded);
                }
            }
        },
    );
}

#[inline(always)]
fn lay_out_steps([high, middle, low]: &mut Steps, tile: usize, line: usize, values: &[f32; DEPTH]) {
    let parts = [high, middle, low].map(|part| &mut part[tile].0[line]);
    let [high, middle, low] = parts;
    for step in 0..DEPTH {
        [high[step], middle[step], low[step]] = split(values[step]);
    }
}

thread_local! {
    /// The left operand of [`product`].
    static SCRATCH: RefCell<Vec<Steps>> = const { RefCell::new(Vec::new()) };
}

/// `out = x @ wᵀ`, or `out += x @ wᵀ` if `accumulate`: x is (M, K), w (N, K), out (M, N); the columns of x and of out lie side by side.
///
/// Panics if the shapes do not match or a view leaves its slice: both are faults of the caller.
pub fn product(out: (&mut [f32], View), x: (&[f32], View), w: &Weight, accumulate: bool) {
    product_by(Instructions::detected(), out, x, w, accumulate);
}

/// [`product`] by the given instructions, which must be among those [available](Instructions::available).
pub fn product_by(
    by: Instructions,
    (out, ov): (&mut [f32], View),
    (x, xv): (&[f32], View),
    w: &Weight,
    accumulate: bool,
) {
    let (m, (n, k)) = (ov.rows, w.shape());
    assert!(xv.rows == m && xv.columns == k && ov.columns == n, "product of {xv:?} and ({n}, {k}) into {ov:?}");
    assert!((ov.column_stride == 1 || n <= 1) && (xv.column_stride == 1 || k <= 1), "columns are not side by side");
    assert!(ov.fits(out.len()) && xv.fits(x.len()), "a view leaves its slice");
    if k == 0 {
        if !accumulate {
            (0..m).for_each(|i| out[ov.offset + i * ov.row_stride..][..n].fill(0.0));
        }
        return;
    }
    let chunk = (CHUNK / k).max(1).next_multiple_of(BLOCK);
    SCRATCH.with_borrow_mut(|blocks| {
        for first in (0..m).step_by(chunk) {
            let rows = chunk.min(m - first);
            lay_out(&x[xv.offset + first * xv.row_stride..], xv.row_stride, (rows, k), blocks);
            let out = &mut out[ov.offset + first * ov.row_stride..];
            Target { out, stride: ov.row_stride, rows, columns: n, accumulate }.fill(by, blocks, w);
        }
    });
}

/// Where blocks of rows go.
struct Target<'a> {
    out: &'a mut [f32],
    stride: usize,
    rows: usize,
    columns: usize,
    accumulate: bool,
}

impl Target<'_> {
    /// All blocks times all panels.
    fn fill(&mut self, by: Instructions, blocks: &[Steps], w: &Weight) {
        match by {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Instructions::Amx => {
                let registers = amx::Shaped::registers();
                self.fill_by(blocks, w, |block, rows, columns, i| amx::multiply(&registers, block, rows, columns, i));
            }
            _ => self.fill_by(blocks, w, |block, rows, columns, _| portable::multiply(block, rows, columns)),
        }
    }

    /// As [`fill`](Self::fill); `multiply` is told, too, how many blocks have met the panel before.
    fn fill_by(&mut self, blocks: &[Steps], w: &Weight, multiply: impl Fn(&mut Block<'_>, &[Steps], &[Steps], usize)) {
        let depth = w.k.div_ceil(DEPTH);
        for (j, columns) in w.steps.chunks_exact(depth).enumerate() {
            let n = BLOCK.min(self.columns - j * BLOCK);
            for (i, rows) in blocks.chunks_exact(depth).enumerate() {
                let m = BLOCK.min(self.rows - i * BLOCK);
                let out = &mut self.out[i * BLOCK * self.stride + j * BLOCK..];
                if (m, n) == (BLOCK, BLOCK) && !self.accumulate {
                    multiply(&mut Block { out, stride: self.stride }, rows, columns, i);
                    continue;
                }
                // The edge of the output, or a sum: by way of a whole block.
                let mut whole = [0.0; BLOCK * BLOCK];
                multiply(&mut Block { out: &mut whole, stride: BLOCK }, rows, columns, i);
                for (i, products) in whole.as_chunks::<BLOCK>().0[..m].iter().enumerate() {
                    let out = out[i * self.stride..][..n].iter_mut().zip(products);
                    out.for_each(|(out, product)| *out = if self.accumulate { *out + product } else { *product });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 + seed) * 0.731).sin() * 3.0).collect()
    }

    /// Compares a product with the three loops in double precision, and the frame around it with itself.
    fn check_shape(by: Instructions, (m, k, n): (usize, usize, usize), accumulate: bool) -> Result<(), TestCaseError> {
        let (x, w) = (numbers(m * (k + 2) + 1, 1.0), numbers(n * k, 2.0));
        let (xv, ov) = (View::rows_of(m, k, 1, k + 2), View::rows_of(m, n, 2, n + 3));
        let mut out = vec![0.5; 2 + m * (n + 3)];
        product_by(by, (&mut out, ov), (&x, xv), &Weight::new(&w, n, k), accumulate);
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|l| f64::from(x[1 + i * (k + 2) + l]) * f64::from(w[j * k + l]));
                let (sum, size) = terms.fold((0.0, 0.0), |(s, t), v| (s + v, t + v.abs()));
                let expected = sum + if accumulate { 0.5 } else { 0.0 };
                let found = f64::from(out[2 + i * (n + 3) + j]);
                // The bound that products in f32 are held to.
                prop_assert!((found - expected).abs() <= 1e-6 * (size + 1.0), "{by:?} ({i}, {j}): {found} {expected}");
            }
        }
        let frame = (0..m).flat_map(|i| [n, n + 1, n + 2].map(|j| 2 + i * (n + 3) + j)).chain([0, 1]);
        prop_assert!(frame.filter(|at| *at < out.len()).all(|at| out[at] == 0.5), "written outside the output");
        Ok(())
    }

    proptest! {
        #[test]
        fn equals_the_three_loops(m in 0usize..70, k in 0usize..100, n in 0usize..70, accumulate: bool) {
            for by in Instructions::available() {
                check_shape(by, (m, k, n), accumulate)?;
            }
        }

        #[test]
        fn three_parts_are_the_number(x in proptest::num::f32::NORMAL) {
            let parts = split(x).map(|part| f32::from_bits(u32::from(part) << 16));
            // Nothing is left, but of numbers so small or so large that a part is none any more.
            prop_assume!((1e-30..1e38).contains(&x.abs()));
            prop_assert_eq!(parts[0] + (parts[1] + parts[2]), x);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let (m, k, n) = (150, 1400, 70);
        assert!(m > CHUNK / k, "more than one chunk");
        let (x, w) = (numbers(m * k, 3.0), Weight::new(&numbers(n * k, 4.0), n, k));
        for by in Instructions::available() {
            let product = |first: usize, rows: usize| {
                let mut out = vec![0.0; rows * n];
                let x = (&x[first * k..][..rows * k], View::dense(rows, k));
                product_by(by, (&mut out, View::dense(rows, n)), x, &w, false);
                out
            };
            let all = product(0, m);
            for (first, rows) in [(0, 1), (5, 3), (11, 40), (95, 2), (m - 1, 1)] {
                assert!(product(first, rows) == all[first * n..(first + rows) * n], "{by:?}, {rows} from {first}");
            }
        }
    }
}
