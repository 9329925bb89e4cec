//! The product of two blocks of tiles by AMX-BF16, whose instructions the language has no names for yet.

use super::portable::check;
use super::tile::{SIDE, Tile};
use crate::kernels::amx::{BF16, CONFIGURATION, has};
use std::arch::asm;
use std::sync::OnceLock;

/// Whether the processor has the instructions and this process may use them.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has(BF16))
}

/// As [`portable::multiply`](super::portable::multiply), a whole block in tile registers.
///
/// Panics where the instructions are not [available](is_available).
pub fn multiply(out: &mut [f32], stride: usize, a: &[Tile], b: &[Tile], accumulate: bool) {
    assert!(is_available(), "no AMX-BF16");
    check(out, stride, a, b);
    if b.is_empty() {
        return;
    }
    let row_bytes = stride * size_of::<f32>();
    let (upper, lower) = (out.as_mut_ptr(), out[SIDE * stride..].as_mut_ptr());
    // SAFETY: the instructions were found above. Read are the configuration (64 bytes) and, for each block of b, all tiles of
    // a and of that block, two (2 KiB) of each at a time; read and written are the 32 rows of 128 bytes for each block that
    // `check` found in `out`. The registers are given back at the end, so nothing is left behind.
    unsafe {
        asm!(
            "ldtilecfg [{at}]",
            "2:",
            "mov {at}, {a}",
            "mov {left}, {pairs}",
            "test {accumulate:e}, {accumulate:e}",
            "jz 3f",
            "tileloadd tmm0, [{upper} + {row_bytes} * 1]",
            "tileloadd tmm1, [{upper} + {row_bytes} * 1 + 64]",
            "tileloadd tmm2, [{lower} + {row_bytes} * 1]",
            "tileloadd tmm3, [{lower} + {row_bytes} * 1 + 64]",
            "jmp 4f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "4:",
            "tileloadd tmm4, [{at} + {tile_row} * 1]",
            "tileloadd tmm6, [{b} + {tile_row} * 1]",
            "tileloadd tmm7, [{b} + {tile_row} * 1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{at} + {tile_row} * 1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {at}, 2048",
            "add {b}, 2048",
            "dec {left}",
            "jnz 4b",
            "tilestored [{upper} + {row_bytes} * 1], tmm0",
            "tilestored [{upper} + {row_bytes} * 1 + 64], tmm1",
            "tilestored [{lower} + {row_bytes} * 1], tmm2",
            "tilestored [{lower} + {row_bytes} * 1 + 64], tmm3",
            "add {upper}, 128",
            "add {lower}, 128",
            "dec {blocks}",
            "jnz 2b",
            "tilerelease",
            at = inout(reg) &raw const CONFIGURATION => _,
            left = out(reg) _,
            accumulate = in(reg) u32::from(accumulate),
            upper = inout(reg) upper => _,
            lower = inout(reg) lower => _,
            row_bytes = in(reg) row_bytes,
            tile_row = in(reg) size_of::<[u32; SIDE]>(),
            a = in(reg) a.as_ptr(),
            b = inout(reg) b.as_ptr() => _,
            pairs = in(reg) a.len() / 2,
            blocks = inout(reg) b.len() / a.len() => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
