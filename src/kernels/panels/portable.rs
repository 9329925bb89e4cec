//! A block of rows times a panel, in plain code.

use super::{COLUMNS, Rows, Step, Target, check};

/// The products of `rows` with the columns of `panel`, into `target`.
///
/// Panics if the rows are shorter than the panel's steps or the tile leaves the output.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: &[Step]) {
    check(target, &rows, panel);
    for i in 0..rows.n {
        let mut sums = [0.0f32; COLUMNS];
        for (k, step) in panel.iter().enumerate() {
            let x = rows.values[i * rows.stride + k * rows.step];
            for (sum, w) in sums.iter_mut().zip(&step.0) {
                *sum += x * w;
            }
        }
        write(target, i, &sums);
    }
}

/// Row `i` of a tile goes to its place.
pub(super) fn write(target: &mut Target<'_>, i: usize, sums: &[f32; COLUMNS]) {
    let (scale, accumulate) = (target.scale, target.accumulate);
    for (out, sum) in target.out[i * target.stride..][..target.columns].iter_mut().zip(sums) {
        *out = if accumulate { *out + sum * scale } else { sum * scale };
    }
}
