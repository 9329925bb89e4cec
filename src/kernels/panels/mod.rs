//! Products with weights laid out once: `x @ wᵀ` in f32, for a network in use.
//!
//! The weight's rows (the output's columns) stand in panels of [`COLUMNS`], step of the sum after step, so that a product
//! reads memory in order and no call lays anything out again. Three modules multiply a block of rows with a panel, with the
//! same function `tile`: [`portable`] is the definition, `avx2`, `avx512` and `neon` are what the machine runs if it can. Each
//! value is one sum over the steps in their order, so a row of the output has the same bits whatever rows stand beside it.

pub mod attention;
pub mod layout;
pub mod portable;

#[cfg(target_arch = "x86_64")]
pub mod avx2;

#[cfg(target_arch = "x86_64")]
pub mod avx512;

#[cfg(target_arch = "aarch64")]
pub mod neon;

pub use layout::{COLUMNS, Panels, Step};

use super::matmul::View;
use std::cell::RefCell;
use std::sync::OnceLock;

/// Rows that one call of `tile` multiplies at most.
pub const ROWS: usize = 12;

/// Rows that meet a panel before the next one is read, so that a panel stays in the first cache and the rows in the second.
const CHUNK: usize = 8 * ROWS;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// Plain code.
    Portable,
    /// NEON: 8 operations an instruction.
    Neon,
    /// AVX2 with FMA: 16 operations an instruction.
    Avx2,
    /// AVX-512: 32 operations an instruction.
    Avx512,
}

impl Instructions {
    /// The best that this machine can run; found out once.
    pub fn detected() -> Instructions {
        static DETECTED: OnceLock<Instructions> = OnceLock::new();
        *DETECTED.get_or_init(|| *Instructions::available().last().unwrap_or(&Instructions::Portable))
    }

    /// All that this machine can run, the slowest first.
    pub fn available() -> Vec<Instructions> {
        let mut available = vec![Instructions::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if avx2::is_available() {
                available.push(Instructions::Avx2);
            }
            if avx512::is_available() {
                available.push(Instructions::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if neon::is_available() {
            available.push(Instructions::Neon);
        }
        available
    }

    /// What they are called.
    pub fn name(self) -> &'static str {
        match self {
            Instructions::Portable => "plain code",
            Instructions::Neon => "NEON",
            Instructions::Avx2 => "AVX2",
            Instructions::Avx512 => "AVX-512",
        }
    }

    fn tile(self, target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => avx512::tile(target, rows, panel),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => avx2::tile(target, rows, panel),
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon => neon::tile(target, rows, panel),
            _ => portable::tile(target, rows, panel),
        }
    }
}

/// Where a tile goes: `columns` (1 to 32) values in each of its rows, `stride` apart, from the start of `out`.
pub struct Target<'a> {
    /// The output from the tile's first value on.
    pub out: &'a mut [f32],
    /// Distance between rows.
    pub stride: usize,
    /// Columns that are written.
    pub columns: usize,
    /// The sums are multiplied by this.
    pub scale: f32,
    /// They are added to what stands there.
    pub accumulate: bool,
}

/// Rows of the left operand: `n` (1 to [`ROWS`]) of them. Either the values of a row lie side by side, or the rows do, as in a
/// turned matrix.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The values from the first row's first on.
    pub values: &'a [f32],
    /// Distance between rows; 1 if they lie side by side.
    pub stride: usize,
    /// Distance between a row's values, or 1.
    pub step: usize,
    /// Number of rows.
    pub n: usize,
}

/// Panics unless the tile's rows hold a value for each step and its place lies within the output.
fn check(target: &Target<'_>, rows: &Rows<'_>, panel: &[Step]) {
    assert!((1..=ROWS).contains(&rows.n) && (1..=COLUMNS).contains(&target.columns), "a tile of no such size");
    let last = (rows.n - 1) * rows.stride + panel.len().saturating_sub(1) * rows.step;
    assert!(panel.is_empty() || last < rows.values.len(), "rows leave their slice");
    assert!((rows.n - 1) * target.stride + target.columns <= target.out.len(), "a tile leaves the output");
}

/// `out = scale * x @ wᵀ`, or `out += …` if `accumulate`: x is (M, K), w (N, K) in panels, out (M, N) with neighbouring
/// columns side by side; in x either rows or columns lie side by side.
///
/// Panics if the shapes do not match or a view leaves its slice: both are faults of the caller.
pub fn product(out: (&mut [f32], View), x: (&[f32], View), w: &Panels, scale: f32, accumulate: bool) {
    product_by(Instructions::detected(), out, x, w, scale, accumulate);
}

/// [`product`] by the given instructions, which must be among those [available](Instructions::available).
pub fn product_by(
    by: Instructions,
    (out, ov): (&mut [f32], View),
    (x, xv): (&[f32], View),
    w: &Panels,
    scale: f32,
    accumulate: bool,
) {
    let (m, (n, k)) = (ov.rows, w.shape());
    assert!(xv.rows == m && xv.columns == k && ov.columns == n, "product of {xv:?} and ({n}, {k}) into {ov:?}");
    assert!(ov.column_stride == 1 || n <= 1, "the columns of {ov:?} are not side by side");
    let step = if k == 1 { 1 } else { xv.column_stride };
    assert!(step == 1 || xv.row_stride == 1 || m == 1, "neither rows nor columns of {xv:?} lie side by side");
    assert!(ov.fits(out.len()) && xv.fits(x.len()), "a view leaves its slice");
    // Rows of no values lie nowhere.
    let (x, from, stride) = if k == 0 { (&[][..], 0, 0) } else { (x, xv.offset, xv.row_stride) };
    for first in (0..m).step_by(CHUNK) {
        let last = m.min(first + CHUNK);
        for j in 0..n.div_ceil(COLUMNS) {
            let (panel, columns) = w.panel(j);
            for i in (first..last).step_by(ROWS) {
                let out = &mut out[ov.offset + i * ov.row_stride + j * COLUMNS..];
                let mut target = Target { out, stride: ov.row_stride, columns, scale, accumulate };
                let rows = Rows { values: &x[from + i * stride..], stride, step, n: ROWS.min(last - i) };
                by.tile(&mut target, rows, panel);
            }
        }
    }
}

/// Steps of the sum, and bytes of the right operand, that [`matmul`] lays out at once: the operand stays in the second cache.
const MAX_DEPTH: usize = 1024;
const MAX_BYTES: usize = 512 << 10;

thread_local! {
    /// The right operand of [`matmul`].
    static SCRATCH: RefCell<Panels> = RefCell::default();
}

/// `out = a @ b`, or `out += a @ b` if `accumulate`, the right operand laid out for this product only; a is (M, K), b is (K, N), out is
/// (M, N) with neighbouring columns side by side. In a and b either rows or columns lie side by side.
///
/// A row of `out` has the same bits whatever rows stand beside it. Panics if the shapes do not match or a view leaves its
/// slice: both are faults of the caller.
pub fn matmul(out: (&mut [f32], View), a: (&[f32], View), b: (&[f32], View), accumulate: bool) {
    matmul_by(Instructions::detected(), out, a, b, accumulate);
}

/// [`matmul`] by the given instructions, which must be among those [available](Instructions::available).
pub fn matmul_by(
    by: Instructions,
    (out, ov): (&mut [f32], View),
    (a, av): (&[f32], View),
    (b, bv): (&[f32], View),
    accumulate: bool,
) {
    let (m, n, k) = (ov.rows, ov.columns, av.columns);
    assert!(av.rows == m && bv.rows == k && bv.columns == n, "matmul of {av:?} and {bv:?} into {ov:?}");
    assert!(ov.column_stride == 1 || n <= 1, "the columns of {ov:?} are not side by side");
    assert!(ov.fits(out.len()) && av.fits(a.len()) && bv.fits(b.len()), "a view leaves its slice");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 && !accumulate {
        (0..m).for_each(|i| out[ov.offset + i * ov.row_stride..][..n].fill(0.0));
    }
    SCRATCH.with_borrow_mut(|panels| {
        for depth in (0..k).step_by(MAX_DEPTH) {
            let steps = MAX_DEPTH.min(k - depth);
            let at_once = (MAX_BYTES / (4 * steps)).next_multiple_of(COLUMNS);
            for column in (0..n).step_by(at_once) {
                let columns = at_once.min(n - column);
                let from = bv.offset + depth * bv.row_stride + column * bv.column_stride;
                panels.lay_out_view(&b[from..], View { rows: steps, columns, offset: 0, ..bv });
                let x = (&a[av.offset + depth * av.column_stride..], View { columns: steps, offset: 0, ..av });
                let ov = View { columns, offset: ov.offset + column, ..ov };
                product_by(by, (&mut *out, ov), x, panels, 1.0, accumulate || depth > 0);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 + seed) * 0.731).sin() * 3.0).collect()
    }

    /// Compares a product by these instructions with the three loops in double precision, and the frame around it with itself.
    fn check_shape(by: Instructions, (m, k, n): (usize, usize, usize), accumulate: bool) -> Result<(), TestCaseError> {
        let (x, w) = (numbers(m * (k + 2) + 1, 1.0), numbers(n * k, 2.0));
        // Strides wider than the rows, and a frame around the output, which must stay.
        let (xv, ov) = (View::rows_of(m, k, 1, k + 2), View::rows_of(m, n, 2, n + 3));
        let mut out = vec![0.5; 2 + m * (n + 3)];
        product_by(by, (&mut out, ov), (&x, xv), &Panels::new(&w, n, k), 0.5, accumulate);
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|l| f64::from(x[1 + i * (k + 2) + l]) * f64::from(w[j * k + l]));
                let (sum, size) = terms.fold((0.0, 0.0), |(s, t), v| (s + v, t + v.abs()));
                let expected = 0.5 * sum + if accumulate { 0.5 } else { 0.0 };
                let found = f64::from(out[2 + i * (n + 3) + j]);
                prop_assert!((found - expected).abs() <= 1e-6 * (size + 1.0), "{by:?} ({i}, {j}): {found} {expected}");
            }
        }
        let frame = (0..m).flat_map(|i| [n, n + 1, n + 2].map(|j| 2 + i * (n + 3) + j)).chain([0, 1]);
        prop_assert!(frame.filter(|at| *at < out.len()).all(|at| out[at] == 0.5), "written outside the output");
        Ok(())
    }

    proptest! {
        #[test]
        fn equals_the_three_loops(m in 0usize..30, k in 0usize..70, n in 0usize..80, accumulate: bool) {
            for by in Instructions::available() {
                check_shape(by, (m, k, n), accumulate)?;
            }
        }
    }

    proptest! {
        #[test]
        fn matmul_equals_the_three_loops(
            m in 0usize..30, k in 0usize..50, n in 0usize..70, a_turned: bool, b_turned: bool, accumulate: bool,
        ) {
            check_matmul((m, k, n), [a_turned, b_turned, accumulate])?;
        }
    }

    #[test]
    fn matmul_equals_the_three_loops_across_panels() {
        for flags in [[false; 3], [true, false, true], [false, true, false]] {
            check_matmul((13, MAX_DEPTH + 40, 50), flags).unwrap();
            check_matmul((5, 400, 700), flags).unwrap();
        }
    }

    fn check_matmul((m, k, n): (usize, usize, usize), flags: [bool; 3]) -> Result<(), TestCaseError> {
        let [a_turned, b_turned, accumulate] = flags;
        let (a, b) = (numbers(m * k, 1.0), numbers(k * n, 2.0));
        let av = if a_turned { View::dense(k, m).t() } else { View::dense(m, k) };
        let bv = if b_turned { View::dense(n, k).t() } else { View::dense(k, n) };
        for by in Instructions::available() {
            let mut out = vec![0.5; m * n];
            matmul_by(by, (&mut out, View::dense(m, n)), (&a, av), (&b, bv), accumulate);
            for i in 0..m {
                for j in 0..n {
                    let terms = (0..k).map(|l| {
                        let (a, b) =
                            (a[i * av.row_stride + l * av.column_stride], b[l * bv.row_stride + j * bv.column_stride]);
                        f64::from(a) * f64::from(b)
                    });
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs()));
                    let expected = sum + if accumulate { 0.5 } else { 0.0 };
                    let found = f64::from(out[i * n + j]);
                    prop_assert!((found - expected).abs() <= 2e-6 * (size + 1.0), "{by:?}: {found} {expected}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn equals_the_three_loops_over_many_rows() {
        for by in Instructions::available() {
            check_shape(by, (2 * CHUNK + 7, 130, 65), true).unwrap();
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let (m, k, n) = (2 * CHUNK + 5, 130, 70);
        let (x, w) = (numbers(m * k, 3.0), Panels::new(&numbers(n * k, 4.0), n, k));
        for by in Instructions::available() {
            let product = |first: usize, rows: usize| {
                let mut out = vec![0.0; rows * n];
                let x = (&x[first * k..][..rows * k], View::dense(rows, k));
                product_by(by, (&mut out, View::dense(rows, n)), x, &w, 1.0, false);
                out
            };
            let all = product(0, m);
            for (first, rows) in [(0, 1), (5, 3), (11, 13), (95, 2), (m - 1, 1)] {
                assert!(product(first, rows) == all[first * n..(first + rows) * n], "{by:?}, {rows} from {first}");
            }
        }
    }
}
