//! `--precision`: the number format of the network's products.

use crate::model::NumberFormat;
use clap::ValueEnum;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// int8 where the processor has instructions for it (VNNI; dot products on Arm), else f32
    Auto,
    /// 32-bit floating point: the reference
    F32,
    /// 8-bit whole numbers
    Int8,
    /// 16-bit floating point; slow where the processor has no instructions for it
    Bf16,
}

impl Precision {
    /// The format that is meant on this machine.
    pub fn format(self) -> NumberFormat {
        match self {
            Precision::Auto => NumberFormat::fastest(),
            Precision::F32 => NumberFormat::F32,
            Precision::Int8 => NumberFormat::Int8,
            Precision::Bf16 => NumberFormat::Bf16,
        }
    }
}
