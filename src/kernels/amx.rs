//! What the tile registers of AMX ask for before an instruction may use them: a processor, a system and a permission, and their shape.
//! The language has no names for the instructions yet, so that kernels that use them are in assembly.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a tile register.
pub const TILE_ROWS: usize = 16;

/// Bytes of such a row.
pub const TILE_ROW_BYTES: usize = 64;

/// Bits of the processor's list of features: products of bf16.
pub const BF16: u32 = 1 << 22;
/// Products of bytes.
pub const INT8: u32 = 1 << 25;
const TILE: u32 = 1 << 24;

/// Whether the processor has these instructions, the system keeps their registers, and this process may use them: the registers
/// are large, so Linux wants to be asked first. All is asked once: in a virtual machine it takes as long as a product.
pub fn has(instructions: u32) -> bool {
    static FEATURES: OnceLock<u32> = OnceLock::new();
    let features = *FEATURES.get_or_init(|| {
        let features = processor_features();
        if features & TILE != 0 && system_keeps_registers() && permission_is_given() { features } else { 0 }
    });
    features & instructions == instructions
}

fn processor_features() -> u32 {
    if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 }
}

fn system_keeps_registers() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const CONFIGURATION_AND_DATA: u64 = 1 << 17 | 1 << 18;
    if __cpuid(1).ecx & OSXSAVE == 0 || !is_x86_feature_detected!("xsave") {
        return false;
    }
    // SAFETY: OSXSAVE says that the instruction is there and allowed.
    let kept = unsafe { _xgetbv(0) };
    kept & CONFIGURATION_AND_DATA == CONFIGURATION_AND_DATA
}

/// Asks Linux for the tiles' data, for all threads of the process.
fn permission_is_given() -> bool {
    const ARCH_PRCTL: usize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: this call of the system reads and writes no memory of ours; it changes rcx and r11, as all do. A kernel that
    // does not know it answers with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Shape of the eight tile registers, in the order of the instruction that sets it.
#[repr(C, align(64))]
pub struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

/// All eight registers hold 16 rows of 64 bytes.
pub static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_a_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The tile registers of this thread, given their shape, which takes as long as a small product. They are given back in the end.
pub struct Registers(PhantomData<*const ()>);

impl Registers {
    /// Panics where the process [may not use them](has).
    pub fn shaped() -> Registers {
        assert!(has(TILE), "no tile registers");
        // SAFETY: the registers were found; read is the configuration, 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) };
        Registers(PhantomData)
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: the registers were found when they were shaped.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
