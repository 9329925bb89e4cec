//! Matrix products of numbers rounded to bf16, summed in f32: half the memory and many times the rate of f32 where the
//! processor has instructions for it, at the precision (eight bits) that training a network is known to bear.
//!
//! Operands are rounded to nearest even and laid out in tiles ([`tile`]) in scratch memory of the calling thread. Three
//! modules multiply tiles, with the same function `multiply`: [`portable`] is the definition, `avx512` and `amx` are what the
//! machine runs if it can. They differ in the order of the sums only; on one machine, whatever the number of threads, the
//! bits are the same.

pub mod portable;
pub mod tile;

#[cfg(target_arch = "x86_64")]
pub mod avx512;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;

use super::matmul::View;
use std::cell::RefCell;
use std::sync::OnceLock;
use tile::{BLOCK, DEPTH, Order, Source, Tile, pack};

/// What multiplies the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// Plain code, an order of magnitude slower than f32.
    Portable,
    /// AVX512-BF16: 32 products an instruction.
    Avx512,
    /// AMX-BF16: 8192 products an instruction.
    Amx,
}

impl Instructions {
    /// The best that this machine can run and this program may use; found out once.
    pub fn detected() -> Instructions {
        static DETECTED: OnceLock<Instructions> = OnceLock::new();
        *DETECTED.get_or_init(|| *Instructions::available().last().unwrap_or(&Instructions::Portable))
    }

    /// All that this machine can run, the slowest first.
    pub fn available() -> Vec<Instructions> {
        #[cfg(target_arch = "x86_64")]
        if avx512::is_available() {
            #[cfg(target_os = "linux")]
            if amx::is_available() {
                return vec![Instructions::Portable, Instructions::Avx512, Instructions::Amx];
            }
            return vec![Instructions::Portable, Instructions::Avx512];
        }
        vec![Instructions::Portable]
    }

    /// What they are called.
    pub fn name(self) -> &'static str {
        match self {
            Instructions::Portable => "plain code",
            Instructions::Avx512 => "AVX512-BF16",
            Instructions::Amx => "AMX-BF16",
        }
    }

    fn multiply(self, out: &mut [f32], stride: usize, a: &[Tile], b: &[Tile], accumulate: bool) {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Instructions::Amx => amx::multiply(out, stride, a, b, accumulate),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => avx512::multiply(out, stride, a, b, accumulate),
            _ => portable::multiply(out, stride, a, b, accumulate),
        }
    }
}

/// Columns of the left operand that are laid out at once, so that a block of its rows stays in the first cache.
const MAX_DEPTH: usize = 512;

/// Columns of the right operand that are laid out at once, so that it stays in the second cache.
const MAX_COLUMNS: usize = 1024;

thread_local! {
    /// Tiles of the left and of the right operand.
    static SCRATCH: RefCell<(Vec<Tile>, Vec<Tile>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// `out = a @ b`, or `out += a @ b` if `accumulate`, a and b rounded to bf16; a is (M, K), b is (K, N), out is (M, N) with
/// neighbouring columns side by side.
///
/// A row of `out` has the same bits whatever rows stand beside it. Panics if the shapes do not match or a view leaves its
/// slice: both are faults of the caller.
pub fn matmul(out: (&mut [f32], View), a: (&[f32], View), b: (&[f32], View), accumulate: bool) {
    matmul_by(Instructions::detected(), out, a, b, accumulate);
}

/// [`matmul`] by the given instructions, which must be among those [available](Instructions::available).
pub fn matmul_by(
    instructions: Instructions,
    (out, ov): (&mut [f32], View),
    (a, av): (&[f32], View),
    (b, bv): (&[f32], View),
    accumulate: bool,
) {
    let (m, n, k) = (ov.rows, ov.columns, av.columns);
    assert!(av.rows == m && bv.rows == k && bv.columns == n, "bf16 matmul of {av:?} and {bv:?} into {ov:?}");
    assert!(ov.column_stride == 1 || n <= 1, "the columns of {ov:?} are not side by side");
    assert!(ov.fits(out.len()) && av.fits(a.len()) && bv.fits(b.len()), "a view leaves its slice");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 && !accumulate {
        (0..m).for_each(|i| out[ov.offset + i * ov.row_stride..][..n].fill(0.0));
    }
    let (rows, columns) = (Source::rows(a, av), Source::columns(b, bv));
    // Rows whose values lie side by side are best used while they are in the first cache. Others are read many at a time.
    let chunk = if rows.step_stride == 1 { BLOCK } else { MAX_COLUMNS };
    SCRATCH.with_borrow_mut(|(a_tiles, b_tiles)| {
        for first_column in (0..n).step_by(MAX_COLUMNS) {
            let n = MAX_COLUMNS.min(n - first_column);
            for depth in (0..k).step_by(MAX_DEPTH) {
                let accumulate = accumulate || depth > 0;
                let depth = depth..k.min(depth + MAX_DEPTH);
                let panel = 2 * depth.len().div_ceil(DEPTH);
                b_tiles.resize(panel * n.div_ceil(BLOCK), Tile::ZERO);
                pack(b_tiles, &columns, first_column..first_column + n, depth.clone(), Order::ByDepth);
                for first_row in (0..m).step_by(chunk) {
                    let chunk = first_row..m.min(first_row + chunk);
                    a_tiles.resize(panel * chunk.len().div_ceil(BLOCK), Tile::ZERO);
                    pack(a_tiles, &rows, chunk.clone(), depth.clone(), Order::ByRow);
                    for (i, a) in chunk.step_by(BLOCK).zip(a_tiles.chunks_exact(panel)) {
                        let target = Target { stride: ov.row_stride, rows: BLOCK.min(m - i), columns: n };
                        let at = ov.offset + i * ov.row_stride + first_column;
                        target.multiply(instructions, &mut out[at..], a, b_tiles, accumulate);
                    }
                }
            }
        }
    });
}

/// A weight rounded and laid out once, for a network in use.
#[derive(Debug, Clone)]
pub struct Weight {
    n: usize,
    k: usize,
    tiles: Vec<Tile>,
}

impl Weight {
    /// Rounds a weight (N, K), as PyTorch stores it.
    pub fn new(weight: &[f32], n: usize, k: usize) -> Weight {
        let mut tiles = vec![Tile::ZERO; 2 * k.div_ceil(DEPTH) * n.div_ceil(BLOCK)];
        pack(&mut tiles, &Source::rows(weight, View::dense(n, k)), 0..n, 0..k, Order::ByDepth);
        Weight { n, k, tiles }
    }

    /// N and K.
    pub fn shape(&self) -> (usize, usize) {
        (self.n, self.k)
    }
}

/// `out = x @ wᵀ`, or `out += x @ wᵀ` if `accumulate`, x rounded to bf16: x is (M, K), w (N, K), out (M, N) with neighbouring columns
/// side by side.
///
/// A row of `out` has the same bits whatever rows stand beside it. Panics if the shapes do not match or a view leaves its
/// slice: both are faults of the caller.
pub fn product((out, ov): (&mut [f32], View), (x, xv): (&[f32], View), w: &Weight, accumulate: bool) {
    let (m, (n, k)) = (ov.rows, w.shape());
    assert!(xv.rows == m && xv.columns == k && ov.columns == n, "product of {xv:?} and ({n}, {k}) into {ov:?}");
    assert!((ov.column_stride == 1 || n <= 1) && ov.fits(out.len()) && xv.fits(x.len()), "a view leaves its slice");
    if n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            (0..m).for_each(|i| out[ov.offset + i * ov.row_stride..][..n].fill(0.0));
        }
        return;
    }
    let rows = Source::rows(x, xv);
    SCRATCH.with_borrow_mut(|(tiles, _)| {
        tiles.resize(2 * k.div_ceil(DEPTH), Tile::ZERO);
        for i in (0..m).step_by(BLOCK) {
            let target = Target { stride: ov.row_stride, rows: BLOCK.min(m - i), columns: n };
            pack(tiles, &rows, i..i + target.rows, 0..k, Order::ByRow);
            let out = &mut out[ov.offset + i * ov.row_stride..];
            target.multiply(Instructions::detected(), out, tiles, &w.tiles, accumulate);
        }
    });
}

/// A stripe of the output, at most [`BLOCK`] rows high.
struct Target {
    stride: usize,
    rows: usize,
    columns: usize,
}

impl Target {
    /// One block of rows times all blocks of columns.
    fn multiply(&self, by: Instructions, out: &mut [f32], a: &[Tile], b: &[Tile], accumulate: bool) {
        let whole = if self.rows == BLOCK { self.columns / BLOCK } else { 0 };
        let (inner, edge) = b.split_at(whole * a.len());
        if whole > 0 {
            by.multiply(out, self.stride, a, inner, accumulate);
        }
        for (j, b) in (whole..).zip(edge.chunks_exact(a.len())) {
            let columns = BLOCK.min(self.columns - j * BLOCK);
            let out = &mut out[j * BLOCK..];
            // The edge of the output: by way of a whole block.
            let mut whole = [0.0; BLOCK * BLOCK];
            let rows =
                || (0..self.rows).map(|i| (i * self.stride..i * self.stride + columns, i * BLOCK..i * BLOCK + columns));
            if accumulate {
                rows().for_each(|(at, row)| whole[row].copy_from_slice(&out[at]));
            }
            by.multiply(&mut whole, BLOCK, a, b, accumulate);
            rows().for_each(|(at, row)| out[at].copy_from_slice(&whole[row]));
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

    /// Largest distance to the three loops in double precision, relative to the largest that rounding may cause, and the product.
    fn product(by: Instructions, (m, k, n): (usize, usize, usize), flags: [bool; 3]) -> (f64, Vec<f32>) {
        let [a_turned, b_turned, accumulate] = flags;
        let (a, b) = (numbers(m * k, 1.0), numbers(k * n, 2.0));
        let av = if a_turned { View::dense(k, m).t() } else { View::dense(m, k) };
        let bv = if b_turned { View::dense(n, k).t() } else { View::dense(k, n) };
        // A frame around the output, which must stay.
        let ov = View::rows_of(m, n, 2, n + 3);
        let mut out = vec![0.5; 2 + m * (n + 3)];
        matmul_by(by, (&mut out, ov), (&a, av), (&b, bv), accumulate);
        let mut worst = 0.0f64;
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|l| {
                    let (a, b) =
                        (a[i * av.row_stride + l * av.column_stride], b[l * bv.row_stride + j * bv.column_stride]);
                    f64::from(a) * f64::from(b)
                });
                let (sum, size) = terms.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs()));
                let expected = sum + if accumulate { 0.5 } else { 0.0 };
                // Half a unit of the eighth bit for each factor, and the sums' own rounding.
                let bound = size * (2.0 * 2f64.powi(-8)) * 1.01 + 1e-6;
                worst = worst.max((f64::from(out[2 + i * (n + 3) + j]) - expected).abs() / bound);
            }
        }
        let frame = (0..m).flat_map(|i| [n, n + 1, n + 2].map(|j| 2 + i * (n + 3) + j)).chain([0, 1]);
        assert!(frame.filter(|at| *at < out.len()).all(|at| out[at] == 0.5), "written outside the output");
        (worst, out)
    }

    fn check(shape: (usize, usize, usize), flags: [bool; 3]) -> Result<(), TestCaseError> {
        let (_, portable) = product(Instructions::Portable, shape, flags);
        for by in Instructions::available() {
            let (worst, out) = product(by, shape, flags);
            prop_assert!(worst <= 1.0, "{by:?} {shape:?}: {worst}");
            let tolerance = 1e-5 * shape.1 as f32;
            let distance = out.iter().zip(&portable).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            prop_assert!(distance <= tolerance, "{by:?} {shape:?} {flags:?}: {distance} from the definition");
        }
        Ok(())
    }

    #[test]
    fn a_weight_laid_out_once_gives_the_same_product() {
        for (m, k, n) in [(0, 3, 3), (1, 1, 1), (5, 0, 4), (33, 70, 31), (64, 600, 130)] {
            let (x, w) = (numbers(m * k, 1.0), numbers(n * k, 2.0));
            for accumulate in [false, true] {
                let (mut expected, mut out) = (vec![0.5; m * n], vec![0.5; m * n]);
                let (xv, ov) = (View::dense(m, k), View::dense(m, n));
                matmul((&mut expected, ov), (&x, xv), (&w, View::dense(n, k).t()), accumulate);
                super::product((&mut out, ov), (&x, xv), &Weight::new(&w, n, k), accumulate);
                for (a, b) in out.iter().zip(&expected) {
                    assert!((a - b).abs() <= 1e-5 * k as f32, "{m} {k} {n}: {a} {b}");
                }
            }
        }
    }

    const SIZES: [usize; 9] = [0, 1, 2, 15, 17, 31, 32, 33, 70];

    proptest! {
        #[test]
        fn equals_the_three_loops_up_to_rounding(
            m in prop::sample::select(&SIZES), k in prop::sample::select(&SIZES), n in prop::sample::select(&SIZES),
            flags: [bool; 3],
        ) {
            check((m, k, n), flags)?;
        }
    }

    #[test]
    fn equals_the_three_loops_across_panels() {
        for flags in [[false; 3], [true, false, true], [false, true, false]] {
            check((33, MAX_DEPTH + 40, 50), flags).unwrap();
            check((20, 40, MAX_COLUMNS + 50), flags).unwrap();
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let (m, k, n) = (70, 600, 40);
        let (a, b) = (numbers(m * k, 3.0), numbers(n * k, 4.0));
        for by in Instructions::available() {
            let product = |first: usize, rows: usize| {
                let mut out = vec![0.0; rows * n];
                let (ov, av) = (View::dense(rows, n), View::rows_of(rows, k, first * k, k));
                matmul_by(by, (&mut out, ov), (&a, av), (&b, View::dense(n, k).t()), false);
                out
            };
            let all = product(0, m);
            for (first, rows) in [(0, 1), (5, 3), (31, 33), (69, 1)] {
                assert!(product(first, rows) == all[first * n..(first + rows) * n], "{by:?}, {rows} from {first}");
            }
        }
    }
}
