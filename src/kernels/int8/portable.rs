//! A block of rows times a panel, in plain code.

use super::{COLUMNS, Panel, ROWS, Rows, Target, check};

/// The products of `rows` with the columns of `panel`, into `target`.
///
/// Panics if the rows are of another depth than the panel or the tile leaves the output.
pub fn tile(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    check(target, &rows, &panel, ROWS);
    for i in 0..rows.scales.len() {
        let mut sums = [0i32; COLUMNS];
        for (x, step) in rows.words[i * rows.stride..].iter().zip(panel.steps) {
            for (sum, w) in sums.iter_mut().zip(&step.0) {
                let products = w.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
                // Sums wrap, as the processors' do: what the offset adds may be too much for a while.
                *sum = sum.wrapping_add(products);
            }
        }
        write(target, &rows, &panel, i, &sums);
    }
}

/// Row `i` of a tile as the numbers it stands for goes to its place.
pub(super) fn write(target: &mut Target<'_>, rows: &Rows<'_>, panel: &Panel<'_>, i: usize, sums: &[i32; COLUMNS]) {
    let (offset, scale, accumulate) = (rows.offsets[i], rows.scales[i], target.accumulate);
    let out = target.out[i * target.stride..][..target.columns].iter_mut();
    for ((out, sum), column) in out.zip(sums).zip(panel.scales) {
        let product = sum.wrapping_sub(offset) as f32 * column * scale;
        *out = if accumulate { *out + product } else { product };
    }
}
