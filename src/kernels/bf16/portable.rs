//! The product of two blocks of tiles, in plain code.

use super::tile::{BLOCK, SIDE, Tile};

/// `out = a @ b`, or `out += a @ b` if `accumulate`: 32 rows by 32 columns of `out`, rows `stride` apart, from 32 rows of tiles
/// by row and 32 columns of tiles by depth, over the same steps.
pub fn multiply(out: &mut [f32], stride: usize, a: &[Tile], b: &[Tile], accumulate: bool) {
    assert!(a.len() == b.len() && a.len().is_multiple_of(2), "{} and {} tiles", a.len(), b.len());
    for i in 0..BLOCK {
        for (j, out) in out[i * stride..][..BLOCK].iter_mut().enumerate() {
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

/// The two numbers of a pair.
fn unpack(pair: u32) -> (f32, f32) {
    (f32::from_bits(pair << 16), f32::from_bits(pair & 0xFFFF_0000))
}
