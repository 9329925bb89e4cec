//! Matrix products on strided slices, by the `gemm` crate, on the calling thread only.

use gemm::{Parallelism, gemm};

/// A matrix seen in a slice: element (row, column) lies at `offset + row * row_stride + column * column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Place of element (0, 0).
    pub offset: usize,
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

impl View {
    /// A row-major matrix that fills its slice.
    pub fn dense(rows: usize, columns: usize) -> View {
        View::rows_of(rows, columns, 0, columns)
    }

    /// A row-major block whose rows lie `row_stride` apart.
    pub fn rows_of(rows: usize, columns: usize, offset: usize, row_stride: usize) -> View {
        View { rows, columns, offset, row_stride, column_stride: 1 }
    }

    /// The transposed matrix, without moving anything.
    pub fn t(self) -> View {
        View {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Whether all elements lie in a slice of this length.
    pub fn fits(&self, len: usize) -> bool {
        self.rows == 0
            || self.columns == 0
            || self.offset + (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < len
    }
}

/// `out = scale * a @ b`, or `out += scale * a @ b` if `accumulate`; a is (M, K), b is (K, N), out is (M, N).
///
/// Panics if the shapes do not match or a view leaves its slice: both are faults of the caller.
pub fn matmul(out: (&mut [f32], View), a: (&[f32], View), b: (&[f32], View), scale: f32, accumulate: bool) {
    let ((out, ov), (a, av), (b, bv)) = (out, a, b);
    assert!(
        av.columns == bv.rows && ov.rows == av.rows && ov.columns == bv.columns,
        "matmul of {av:?} and {bv:?} into {ov:?}"
    );
    assert!(ov.fits(out.len()) && av.fits(a.len()) && bv.fits(b.len()), "a view leaves its slice");
    if ov.rows == 0 || ov.columns == 0 {
        return;
    }
    if av.columns == 0 {
        if !accumulate {
            for r in 0..ov.rows {
                for c in 0..ov.columns {
                    out[ov.offset + r * ov.row_stride + c * ov.column_stride] = 0.0;
                }
            }
        }
        return;
    }
    // SAFETY: the three views were checked against their slices above, `out` is borrowed exclusively, and gemm touches
    // only the elements that the views name. With `read_dst` false the first factor (alpha) is not used.
    unsafe {
        gemm(
            ov.rows,
            ov.columns,
            av.columns,
            out.as_mut_ptr().add(ov.offset),
            ov.column_stride as isize,
            ov.row_stride as isize,
            accumulate,
            a.as_ptr().add(av.offset),
            av.column_stride as isize,
            av.row_stride as isize,
            b.as_ptr().add(bv.offset),
            bv.column_stride as isize,
            bv.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out = a @ bᵀ`, all dense: a is (T, K), b (N, K), out (T, N). A row of `out` has the same bits whatever rows stand
/// beside it, so a sentence scores the same alone and in any batch.
///
/// gemm sums in other orders where a product is small: a single row, at most 256 values, both sides up to 64. Rows of
/// zeros below a small product take it the common way; they cost microseconds.
pub fn matmul_by_rows(out: &mut [f32], a: &[f32], b: &[f32], (t, k, n): (usize, usize, usize)) {
    let enough = match n {
        0 => 0,
        1..=64 => 65.max(256 / n + 1),
        _ => 256 / n + 1,
    };
    let enough = enough.max(2);
    let weight = (b, View::dense(n, k).t());
    if t == 0 || t >= enough {
        return matmul((out, View::dense(t, n)), (a, View::dense(t, k)), weight, 1.0, false);
    }
    let (mut rows, mut padded) = (a.to_vec(), vec![0.0; enough * n]);
    rows.resize(enough * k, 0.0);
    matmul((&mut padded, View::dense(enough, n)), (&rows, View::dense(enough, k)), weight, 1.0, false);
    out.copy_from_slice(&padded[..t * n]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_three_loops(m in 0usize..9, k in 0usize..9, n in 0usize..9, transposed: bool, accumulate: bool) {
            let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 1.3).cos()).collect();
            let bv = if transposed { View::dense(n, k).t() } else { View::dense(k, n) };
            let mut out = vec![0.5; m * n];
            matmul((&mut out, View::dense(m, n)), (&a, View::dense(m, k)), (&b, bv), 2.0, accumulate);
            for i in 0..m {
                for j in 0..n {
                    let mut sum = 0.0;
                    for l in 0..k {
                        sum += a[i * k + l] * if transposed { b[j * k + l] } else { b[l * n + j] };
                    }
                    let expected = 2.0 * sum + if accumulate { 0.5 } else { 0.0 };
                    prop_assert!((out[i * n + j] - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        const ROWS: usize = 300;
        for k in [1, 2, 3, 17, 384, 600, 1153] {
            let a: Vec<f32> = (0..ROWS * k).map(|i| (i as f32 * 0.7).sin()).collect();
            for n in [1, 2, 4, 7, 63, 64, 65, 100, 128, 129, 256, 257, 400] {
                let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 1.3).cos()).collect();
                let product = |rows: usize| {
                    let mut out = vec![0.0; rows * n];
                    matmul_by_rows(&mut out, &a[..rows * k], &b, (rows, k, n));
                    out
                };
                let all = product(ROWS);
                for rows in [1, 2, 3, 5, 30, 64, 65, 66, 130, 256, 257] {
                    assert!(product(rows) == all[..rows * n], "{rows} rows, {k} to {n}");
                }
            }
        }
        matmul_by_rows(&mut [], &[], &[1.0, 2.0], (0, 2, 1));
    }
}
