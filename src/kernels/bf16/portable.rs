//! The product of blocks of tiles, in plain code.

use super::tile::{BLOCK, SIDE, Tile};

/// `out = a @ b`, or `out += a @ b` if `accumulate`: 32 rows of `out`, `stride` apart, by 32 columns for each block of `b`.
///
/// `a` holds a block of tiles by row, `b` one or more of tiles by depth, each as many as `a`. Panics if they do not match or if
/// `out` is too short.
pub fn multiply(out: &mut [f32], stride: usize, a: &[Tile], b: &[Tile], accumulate: bool) {
    check(out, stride, a, b);
    for (block, b) in b.chunks_exact(a.len()).enumerate() {
        for i in 0..BLOCK {
            for (j, out) in out[i * stride + block * BLOCK..][..BLOCK].iter_mut().enumerate() {
                let mut sum = if accumulate { *out } else { 0.0 };
                for (a, b) in a.iter().skip(i / SIDE).step_by(2).zip(b.iter().skip(j / SIDE).step_by(2)) {
                    for pair in 0..SIDE {
                        let ((a0, a1), (b0, b1)) = (unpack(a.0[i % SIDE][pair]), unpack(b.0[pair][j % SIDE]));
                        sum += a0 * b0;
                        sum += a1 * b1;
                    }
                }
                *out = sum;
            }
        }
    }
}

/// Panics unless `a` is a block, `b` whole blocks, and `out` long enough for their product.
pub fn check(out: &[f32], stride: usize, a: &[Tile], b: &[Tile]) {
    let (n_a, n_b) = (a.len(), b.len());
    assert!(n_a > 0 && n_a.is_multiple_of(2) && n_b.is_multiple_of(n_a), "{n_a} and {n_b} tiles");
    let columns = n_b / n_a * BLOCK;
    assert!(stride >= columns && out.len() >= (BLOCK - 1) * stride + columns, "{columns} columns leave their slice");
}

/// The two numbers of a pair.
fn unpack(pair: u32) -> (f32, f32) {
    (f32::from_bits(pair << 16), f32::from_bits(pair & 0xFFFF_0000))
}
