//! Fused maths on slices: each forward with its backward. No kernel knows a model, a tensor or a thread; parallelism is
//! one worker a core with kernels of its own, because threads inside an operation cost more than they bring on short sentences.

pub mod activation;
pub mod adamw;
#[cfg(target_arch = "x86_64")]
pub mod amx;
pub mod attention;
pub mod bf16;
pub mod cross_entropy;
pub mod disentangled;
pub mod int8;
pub mod linear_cross_entropy;
pub mod mapping;
pub mod math;
pub mod matmul;
pub mod norm;
pub mod panels;
pub mod rotary;
pub mod simd;
pub mod split;
pub mod threads;
pub mod training;
