//! Products of whole numbers: weights with a scale a column, values with a scale a row, both of eight bits; the sums are exact.
//!
//! A weight is stored as `w + 128` (0 to 255) and a value as itself (-127 to 127), because the processors' instructions
//! multiply unsigned with signed bytes; what that adds, 128 times the sum of a row, is taken off at the end. Panels are as in
//! [`panels`](super::panels), four steps of the sum in each 32-bit word. Modules multiply a block of rows with a panel, with the same
//! function `tile`: [`portable`] is the definition, and as whole numbers add up exactly, all give the same bits.

pub mod attention;
pub mod portable;
pub mod rows;

#[cfg(target_arch = "x86_64")]
pub mod amx;

#[cfg(target_arch = "x86_64")]
pub mod avx2;

#[cfg(target_arch = "x86_64")]
pub mod avx_vnni;

#[cfg(target_arch = "x86_64")]
pub mod avx512_vnni;

#[cfg(target_arch = "aarch64")]
pub mod neon;

#[cfg(target_arch = "aarch64")]
pub mod neon_dotprod;

pub use super::panels::{COLUMNS, ROWS};

use super::matmul::View;
use rows::QuantizedRows;
use std::sync::OnceLock;

/// Rows that meet a panel before the next one is read: whole blocks of all instructions.
const CHUNK: usize = 16 * ROWS;

/// Steps of the sum in a word.
pub const DEPTH: usize = 4;

/// What is added to a weight.
pub const OFFSET: i32 = 128;

/// Four steps of the sum: four weights, each plus 128, for each column of a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Step(pub [[u8; DEPTH]; COLUMNS]);

impl Step {
    /// Weights of zero.
    pub const ZERO: Step = Step([[OFFSET as u8; DEPTH]; COLUMNS]);
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// Plain code.
    Portable,
    /// NEON: 16 operations an instruction, by way of 16 bits.
    Neon,
    /// NEON's dot products: 32 operations an instruction.
    NeonDotprod,
    /// AVX2: 32 operations an instruction, by way of 16 bits.
    Avx2,
    /// AVX-VNNI: 64 operations an instruction.
    AvxVnni,
    /// AVX512-VNNI: 128 operations an instruction.
    Avx512Vnni,
    /// AMX-INT8: 32768 operations an instruction.
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
        let mut available = vec![Instructions::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if avx2::is_available() {
                available.push(Instructions::Avx2);
            }
            if avx_vnni::is_available() {
                available.push(Instructions::AvxVnni);
            }
            if avx512_vnni::is_available() {
                available.push(Instructions::Avx512Vnni);
            }
            if amx::is_available() {
                available.push(Instructions::Amx);
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if neon::is_available() {
                available.push(Instructions::Neon);
            }
            if neon_dotprod::is_available() {
                available.push(Instructions::NeonDotprod);
            }
        }
        available
    }

    /// What they are called.
    pub fn name(self) -> &'static str {
        match self {
            Instructions::Portable => "plain code",
            Instructions::Neon => "NEON",
            Instructions::NeonDotprod => "NEON dot products",
            Instructions::Avx2 => "AVX2",
            Instructions::AvxVnni => "AVX-VNNI",
            Instructions::Avx512Vnni => "AVX512-VNNI",
            Instructions::Amx => "AMX-INT8",
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
    /// The products are added to what stands there.
    pub accumulate: bool,
}

/// Rows of the left operand, 1 to [`ROWS`], or as many more as the instructions take.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Words of four values, `stride` a row.
    pub words: &'a [[i8; DEPTH]],
    /// Words from one row to the next, which is the panel's number of steps.
    pub stride: usize,
    /// A row's scale, one a row.
    pub scales: &'a [f32],
    /// 128 times the sum of a row's values, one a row.
    pub offsets: &'a [i32],
}

/// A panel of the right operand.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// Weights.
    pub steps: &'a [Step],
    /// A column's scale.
    pub scales: &'a [f32; COLUMNS],
}

impl<'a> Rows<'a> {
    /// Those from `first` on, at most `n`.
    #[cfg(target_arch = "x86_64")]
    fn part(&self, first: usize, n: usize) -> Rows<'a> {
        let last = self.scales.len().min(first + n);
        Rows {
            words: &self.words[first * self.stride..last * self.stride],
            stride: self.stride,
            scales: &self.scales[first..last],
            offsets: &self.offsets[first..last],
        }
    }
}

/// Panics unless rows, at most `n_rows`, panel and output fit each other.
fn check(target: &Target<'_>, rows: &Rows<'_>, panel: &Panel<'_>, n_rows: usize) {
    let n = rows.scales.len();
    assert!((1..=n_rows).contains(&n) && (1..=COLUMNS).contains(&target.columns), "a tile of no such size");
    assert!(rows.stride == panel.steps.len() && rows.offsets.len() == n, "rows of another depth");
    assert!(n * rows.stride <= rows.words.len(), "rows leave their slice");
    assert!((n - 1) * target.stride + target.columns <= target.out.len(), "a tile leaves the output");
}

/// A weight in panels.
#[derive(Debug, Clone, Default)]
pub struct Weight {
    n: usize,
    k: usize,
    steps: Vec<Step>,
    scales: Vec<[f32; COLUMNS]>,
}

impl Weight {
    /// Lays out a weight (N, K) of whole numbers, as PyTorch stores it, with one scale for each of its N rows.
    pub fn new(values: &[i8], scales: &[f32], k: usize) -> Weight {
        let n = scales.len();
        assert_eq!(values.len(), n * k, "a weight of other sizes");
        let depth = k.div_ceil(DEPTH);
        let mut steps = vec![Step::ZERO; n.div_ceil(COLUMNS) * depth];
        let mut padded = vec![[0.0; COLUMNS]; n.div_ceil(COLUMNS)];
        for (column, scale) in scales.iter().enumerate() {
            padded[column / COLUMNS][column % COLUMNS] = *scale;
            let steps = &mut steps[column / COLUMNS * depth..][..depth];
            for (i, value) in values[column * k..][..k].iter().enumerate() {
                steps[i / DEPTH].0[column % COLUMNS][i % DEPTH] = (i32::from(*value) + OFFSET) as u8;
            }
        }
        Weight { n, k, steps, scales: padded }
    }

    /// Rounds a weight (N, K) and lays it out; the largest value of a row becomes 127.
    pub fn quantized(weight: &[f32], n: usize, k: usize) -> Weight {
        let (values, scales) = quantize_weight(weight, n, k);
        Weight::new(&values, &scales, k)
    }

    /// N and K.
    pub fn shape(&self) -> (usize, usize) {
        (self.n, self.k)
    }

    fn panel(&self, j: usize) -> (Panel<'_>, usize) {
        let depth = self.k.div_ceil(DEPTH);
        let panel = Panel { steps: &self.steps[j * depth..][..depth], scales: &self.scales[j] };
        (panel, COLUMNS.min(self.n - j * COLUMNS))
    }
}

/// The nearest whole numbers (-127 to 127) of a weight (N, K), and the scale of each of its N rows.
pub fn quantize_weight(weight: &[f32], n: usize, k: usize) -> (Vec<i8>, Vec<f32>) {
    let (mut values, mut scales) = (vec![0i8; n * k], vec![0.0; n]);
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = rows::quantize(&weight[i * k..][..k], &mut values[i * k..][..k]);
    }
    (values, scales)
}

/// `out = x @ wᵀ`, or `out += x @ wᵀ` if `accumulate`: x is (M, K), w (N, K), out (M, N), its columns side by side.
///
/// Panics if the shapes do not match or the view leaves its slice: both are faults of the caller.
pub fn product(out: (&mut [f32], View), x: &QuantizedRows, w: &Weight, accumulate: bool) {
    product_by(Instructions::detected(), out, x, w, accumulate);
}

/// [`product`] by the given instructions, which must be among those [available](Instructions::available).
pub fn product_by(by: Instructions, (out, ov): (&mut [f32], View), x: &QuantizedRows, w: &Weight, accumulate: bool) {
    let (m, (n, k)) = (ov.rows, w.shape());
    assert!(x.shape() == (m, k) && ov.columns == n, "product of {:?} and ({n}, {k}) into {ov:?}", x.shape());
    assert!(ov.column_stride == 1 || n <= 1, "columns are not side by side");
    assert!(ov.fits(out.len()), "a view leaves its slice");
    let mut out = Output { out, view: ov, accumulate };
    match by {
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx if amx::fills_registers(m, k) => {
            let registers = super::amx::Registers::shaped();
            blocks(&mut out, x, w, amx::ROWS, |target, rows, panel| amx::tile(&registers, target, rows, panel));
        }
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512Vnni | Instructions::Amx => blocks(&mut out, x, w, ROWS, avx512_vnni::tile),
        #[cfg(target_arch = "x86_64")]
        Instructions::AvxVnni => blocks(&mut out, x, w, ROWS, avx_vnni::tile),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => blocks(&mut out, x, w, ROWS, avx2::tile),
        #[cfg(target_arch = "aarch64")]
        Instructions::NeonDotprod => blocks(&mut out, x, w, ROWS, neon_dotprod::tile),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => blocks(&mut out, x, w, ROWS, neon::tile),
        _ => blocks(&mut out, x, w, ROWS, portable::tile),
    }
}

/// Where a product goes.
struct Output<'a> {
    out: &'a mut [f32],
    view: View,
    accumulate: bool,
}

/// All blocks of `n_rows` rows of `x` times all panels of `w`.
fn blocks(
    Output { out, view, accumulate }: &mut Output<'_>,
    x: &QuantizedRows,
    w: &Weight,
    n_rows: usize,
    tile: impl Fn(&mut Target<'_>, Rows<'_>, Panel<'_>),
) {
    let (m, n) = (view.rows, view.columns);
    for first in (0..m).step_by(CHUNK) {
        let last = m.min(first + CHUNK);
        for j in 0..n.div_ceil(COLUMNS) {
            let (panel, columns) = w.panel(j);
            for i in (first..last).step_by(n_rows) {
                let out = &mut out[view.offset + i * view.row_stride + j * COLUMNS..];
                let mut target = Target { out, stride: view.row_stride, columns, accumulate: *accumulate };
                tile(&mut target, x.block(i, n_rows.min(last - i)), panel);
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

    fn product_of(by: Instructions, (m, k, n): (usize, usize, usize), accumulate: bool) -> Vec<f32> {
        let mut x = QuantizedRows::default();
        x.fill(&numbers(m * k, 1.0), m, k);
        let w = Weight::quantized(&numbers(n * k, 2.0), n, k);
        // A frame around the output, which must stay.
        let mut out = vec![0.5; 2 + m * (n + 3)];
        product_by(by, (&mut out, View::rows_of(m, n, 2, n + 3)), &x, &w, accumulate);
        out
    }

    proptest! {
        #[test]
        fn all_instructions_give_the_bits_of_the_definition(
            m in 0usize..70, k in 0usize..200, n in 0usize..80, accumulate: bool,
        ) {
            let expected = product_of(Instructions::Portable, (m, k, n), accumulate);
            for by in Instructions::available() {
                prop_assert_eq!(&product_of(by, (m, k, n), accumulate), &expected, "{:?}", by);
            }
        }

        #[test]
        fn the_definition_equals_the_three_loops_over_the_rounded_numbers(
            m in 0usize..14, k in 0usize..40, n in 0usize..40, accumulate: bool,
        ) {
            let out = product_of(Instructions::Portable, (m, k, n), accumulate);
            let (x, xs) = quantize_weight(&numbers(m * k, 1.0), m, k);
            let (w, ws) = quantize_weight(&numbers(n * k, 2.0), n, k);
            for i in 0..m {
                for j in 0..n {
                    let sum: i32 = (0..k).map(|l| i32::from(x[i * k + l]) * i32::from(w[j * k + l])).sum();
                    let product = sum as f32 * ws[j] * xs[i];
                    let expected = if accumulate { 0.5 + product } else { product };
                    prop_assert_eq!(out[2 + i * (n + 3) + j], expected);
                }
            }
            let frame = (0..m).flat_map(|i| [n, n + 1, n + 2].map(|j| 2 + i * (n + 3) + j)).chain([0, 1]);
            prop_assert!(frame.filter(|at| *at < out.len()).all(|at| out[at] == 0.5), "written outside the output");
        }
    }

    #[test]
    fn the_largest_products_do_not_overflow() {
        // A hundred thousand steps of 127 times -127: 1.6e9.
        let k = 100_000;
        let mut x = QuantizedRows::default();
        x.fill(&vec![1.0; k], 1, k);
        for sign in [1.0, -1.0] {
            let w = Weight::quantized(&vec![sign; k], 1, k);
            for by in Instructions::available() {
                let mut out = [0.0];
                product_by(by, (&mut out, View::dense(1, 1)), &x, &w, false);
                assert!((out[0] / (k as f32 * sign) - 1.0).abs() < 1e-6, "{by:?}: {}", out[0]);
            }
        }
    }
}
