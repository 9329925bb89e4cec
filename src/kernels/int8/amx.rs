//! A block of rows times a panel by AMX-INT8: thirty-two rows of thirty-two columns in four tile registers at a time, sixteen steps of
//! the panel an instruction. What does not fill a register is left to [`avx512_vnni`], which all processors with AMX have.

use super::avx512_vnni::{self, add, columns, masks, numbers, store};
use super::{COLUMNS, DEPTH, Panel, Rows, Step, Target, check};
use crate::kernels::amx::{INT8, Registers, TILE_ROW_BYTES, TILE_ROWS, has};
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// Rows of a block.
pub const ROWS: usize = 2 * TILE_ROWS;

/// Steps of the sum in a register.
const STEPS: usize = TILE_ROW_BYTES / DEPTH;

/// Sums of a block before they are numbers.
#[repr(align(64))]
struct Sums([[i32; COLUMNS]; ROWS]);

/// Whether the processor has the instructions and this process may use them.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has(INT8) && avx512_vnni::is_available())
}

/// Whether a product of `m` rows of depth `k` has a block for the registers; a smaller one is left to [`avx512_vnni`] as a whole.
pub fn fills_registers(m: usize, k: usize) -> bool {
    m >= TILE_ROWS && k.div_ceil(DEPTH) >= STEPS
}

/// As [`portable::tile`](super::portable::tile), up to [`ROWS`] rows. Panics where the instructions are not [available](is_available), too.
pub fn tile(_: &Registers, target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>) {
    assert!(is_available(), "no AMX-INT8");
    check(target, &rows, &panel, ROWS);
    let n = rows.scales.len();
    if n < TILE_ROWS || panel.steps.len() < STEPS {
        for i in (0..n).step_by(super::ROWS) {
            let out = &mut target.out[i * target.stride..];
            let mut part =
                Target { out, stride: target.stride, columns: target.columns, accumulate: target.accumulate };
            avx512_vnni::tile(&mut part, rows.part(i, super::ROWS), panel);
        }
        return;
    }
    // The lower half ends with the last row, so that with fewer than 32 rows some are in both.
    let lower = n - TILE_ROWS;
    let mut sums = MaybeUninit::uninit();
    // SAFETY: the instructions were found, the registers have their shape; `check` saw that rows and output are long enough, and there are 16 rows and
    // 16 steps or more.
    unsafe {
        multiply(&mut sums, rows, panel, lower);
        finish(target, rows, panel, lower, sums.assume_init_ref());
    }
}

/// The sums of the first 16 rows and of the 16 from row `lower` on, over the steps that fill registers.
///
/// # Safety
/// There are as many rows and 16 steps or more; the registers have their shape.
unsafe fn multiply(sums: &mut MaybeUninit<Sums>, rows: Rows<'_>, panel: Panel<'_>, lower: usize) {
    // SAFETY: read are 64 bytes at a time of 32 rows and of 16 steps, two registers each; written are all sums.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row_bytes} * 1]",
            "tileloadd tmm6, [{steps} + {step_bytes} * 1]",
            "tileloadd tmm7, [{steps} + {step_bytes} * 1 + 64]",
            "tdpbsud tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{lower} + {row_bytes} * 1]",
            "tdpbsud tmm1, tmm4, tmm7",
            "tdpbsud tmm2, tmm5, tmm6",
            "tdpbsud tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {steps}, 2048",
            "dec {left}",
            "jnz 2b",
            "tilestored [{sums} + {step_bytes} * 1], tmm0",
            "tilestored [{sums} + {step_bytes} * 1 + 64], tmm1",
            "tilestored [{sums} + {step_bytes} * 1 + 2048], tmm2",
            "tilestored [{sums} + {step_bytes} * 1 + 2112], tmm3",
            upper = inout(reg) rows.words.as_ptr() => _,
            lower = inout(reg) rows.words.as_ptr().add(lower * rows.stride) => _,
            row_bytes = in(reg) rows.stride * DEPTH,
            steps = inout(reg) panel.steps.as_ptr() => _,
            step_bytes = in(reg) size_of::<Step>(),
            left = inout(reg) panel.steps.len() / STEPS => _,
            sums = in(reg) sums.as_mut_ptr(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Adds the steps that are left and writes the rows as the numbers they stand for.
///
/// # Safety
/// As for [`multiply`], and the target holds the rows.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn finish(target: &mut Target<'_>, rows: Rows<'_>, panel: Panel<'_>, lower: usize, sums: &Sums) {
    let left = panel.steps.len() / STEPS * STEPS..panel.steps.len();
    // SAFETY: a row of sums is two registers, row r of the left operand has a word a step, and the target holds row r.
    unsafe {
        let (columns, masks) = (columns(&panel), masks(target.columns));
        for (r, (&offset, &scale)) in rows.offsets.iter().zip(rows.scales).enumerate() {
            let row = sums.0[if r < TILE_ROWS { r } else { TILE_ROWS + r - lower }].as_ptr();
            let mut sums = [_mm512_load_si512(row.cast()), _mm512_load_si512(row.add(COLUMNS / 2).cast())];
            for k in left.clone() {
                sums = add(sums, &panel.steps[k], rows.words.as_ptr().add(r * rows.stride + k).cast());
            }
            store(target, r, masks, numbers(sums, offset, scale, columns));
        }
    }
}
