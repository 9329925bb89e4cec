//! A block of rows times a panel of columns by AMX-BF16: thirty-two by thirty-two sums in four tile registers.

use super::{Block, SIDE, Steps, check};
use crate::kernels::amx::{BF16, Registers, TILE_ROW_BYTES, has};
use std::arch::asm;
use std::sync::OnceLock;

/// Whether the processor has the instructions and this process may use them.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has(BF16))
}

/// The tile registers of this thread, in their shape.
pub struct Shaped(Registers);

impl Shaped {
    /// Panics where the instructions are not [available](is_available).
    pub fn registers() -> Shaped {
        assert!(is_available(), "no AMX-BF16");
        Shaped(Registers::shaped())
    }
}

/// As [`portable::multiply`](super::portable::multiply). On the way the processor is told to fetch a quarter of the panel behind `columns`,
/// block `i` the i-th: without, the registers wait for the third cache.
pub fn multiply(_: &Shaped, block: &mut Block<'_>, rows: &[Steps], columns: &[Steps], i: usize) {
    check(block, rows, columns);
    let ahead = if i < 4 { size_of_val(columns) + i * size_of::<Steps>() / 4 } else { 0 };
    // Where there is no next panel it points behind the last, which only a fetch for the cache may.
    let next = columns.as_ptr().cast::<u8>().wrapping_add(ahead);
    let (upper, lower) = (block.out.as_mut_ptr(), block.out[SIDE * block.stride..].as_mut_ptr());
    // SAFETY: the instructions were found when the registers were shaped. Read are six tiles of 1 KiB of each
    // operand a step; written are the 32 rows of 128 bytes that `check` found in the output.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            // The small products of all steps: the largest part by the smallest,
            "mov {row}, {a}",
            "mov {column}, {b}",
            "mov {left}, {steps}",
            "2:",
            "tileloadd tmm4, [{row} + {tile_row} * 1]",
            "tileloadd tmm6, [{column} + {tile_row} * 1 + 4096]",
            "tileloadd tmm7, [{column} + {tile_row} * 1 + 5120]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{next} + 0]",
            "prefetcht1 [{next} + 64]",
            "tileloadd tmm5, [{row} + {tile_row} * 1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{next} + 128]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "prefetcht1 [{next} + 192]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{next} + 256]",
            // the largest by the middle one,
            "tileloadd tmm6, [{column} + {tile_row} * 1 + 2048]",
            "tileloadd tmm7, [{column} + {tile_row} * 1 + 3072]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{next} + 320]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{next} + 384]",
            "prefetcht1 [{next} + 448]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "prefetcht1 [{next} + 512]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{next} + 576]",
            // the middle one by itself,
            "tileloadd tmm4, [{row} + {tile_row} * 1 + 2048]",
            "tileloadd tmm5, [{row} + {tile_row} * 1 + 3072]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{next} + 640]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{next} + 704]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "prefetcht1 [{next} + 768]",
            "prefetcht1 [{next} + 832]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{next} + 896]",
            // the middle one by the largest,
            "tileloadd tmm6, [{column} + {tile_row} * 1]",
            "tileloadd tmm7, [{column} + {tile_row} * 1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{next} + 960]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{next} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "prefetcht1 [{next} + 1088]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{next} + 1152]",
            "prefetcht1 [{next} + 1216]",
            // the smallest by the largest.
            "tileloadd tmm4, [{row} + {tile_row} * 1 + 4096]",
            "tileloadd tmm5, [{row} + {tile_row} * 1 + 5120]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{next} + 1280]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{next} + 1344]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "prefetcht1 [{next} + 1408]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{next} + 1472]",
            "add {row}, 6144",
            "add {column}, 6144",
            "add {next}, 6144",
            "dec {left}",
            "jnz 2b",
            // The large products of all steps.
            "3:",
            "tileloadd tmm4, [{a} + {tile_row} * 1]",
            "tileloadd tmm6, [{b} + {tile_row} * 1]",
            "tileloadd tmm7, [{b} + {tile_row} * 1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{a} + {tile_row} * 1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 6144",
            "add {b}, 6144",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{upper} + {row_bytes} * 1], tmm0",
            "tilestored [{upper} + {row_bytes} * 1 + 64], tmm1",
            "tilestored [{lower} + {row_bytes} * 1], tmm2",
            "tilestored [{lower} + {row_bytes} * 1 + 64], tmm3",
            upper = in(reg) upper,
            lower = in(reg) lower,
            row_bytes = in(reg) block.stride * size_of::<f32>(),
            tile_row = in(reg) TILE_ROW_BYTES,
            a = inout(reg) rows.as_ptr() => _,
            b = inout(reg) columns.as_ptr() => _,
            row = out(reg) _,
            column = out(reg) _,
            left = out(reg) _,
            next = inout(reg) next => _,
            steps = inout(reg) rows.len() => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
