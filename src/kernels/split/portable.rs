//! A block of rows times a panel of columns, in plain code.

use super::{BLOCK, Block, DEPTH, SIDE, Steps, check};

/// The small products of parts, left and right, each of which shares a part with the one before.
const SMALL: &[(usize, usize)] = &[(0, 2), (0, 1), (1, 1), (1, 0), (2, 0)];

/// That of the largest parts.
const LARGE: &[(usize, usize)] = &[(0, 0)];

/// `out = rows @ columns`: first the small products of all steps, then the large ones, so that no more is rounded away than if each
/// number were one.
///
/// Panics if the operands have different numbers of steps or the block leaves the output.
pub fn multiply(block: &mut Block<'_>, rows: &[Steps], columns: &[Steps]) {
    check(block, rows, columns);
    for i in 0..BLOCK {
        for (j, out) in block.out[i * block.stride..][..BLOCK].iter_mut().enumerate() {
            *out = 0.0;
            for products in [SMALL, LARGE] {
                for (rows, columns) in rows.iter().zip(columns) {
                    for &(left, right) in products {
                        let (row, column) = (&rows[left][i / SIDE].0[i % SIDE], &columns[right][j / SIDE].0);
                        for step in 0..DEPTH {
                            *out += number(row[step]) * number(column[step / 2][2 * (j % SIDE) + step % 2]);
                        }
                    }
                }
            }
        }
    }
}

/// The number of a bf16.
fn number(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
