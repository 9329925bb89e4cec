//! Attention that knows distances, as a candle operation with a backward pass.

use super::ops::{tensor, values, with_values};
use crate::kernels::attention::Heads;
use crate::kernels::disentangled::{Distances, attention, attention_backward};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// Disentangled self-attention of packed sentences: qkv (T, 3D) of the tokens, relative (rows, 3D) of the distances, starts
/// (S + 1); gives (T, D).
pub fn disentangled_attention(
    qkv: &Tensor,
    relative: &Tensor,
    starts: Arc<Vec<usize>>,
    heads: Heads,
    distances: Arc<Distances>,
) -> Result<Tensor> {
    qkv.contiguous()?.apply_op2(&relative.contiguous()?, Disentangled { starts, heads, distances })
}

struct Disentangled {
    starts: Arc<Vec<usize>>,
    heads: Heads,
    distances: Arc<Distances>,
}

impl CustomOp2 for Disentangled {
    fn name(&self) -> &'static str {
        "disentangled_attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        ql: &Layout,
        relative: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (t, three_d) = ql.shape().dims2()?;
        let mut out = vec![0.0; t * three_d / 3];
        attention(values(qkv, ql)?, values(relative, rl)?, &self.starts, self.heads, &self.distances, &mut out);
        Ok((CpuStorage::F32(out), (t, three_d / 3).into()))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        relative: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dqkv, mut drelative) = (vec![0.0; qkv.elem_count()], vec![0.0; relative.elem_count()]);
        with_values(qkv, |q| {
            with_values(relative, |r| {
                with_values(grad, |g| {
                    let gradients = (dqkv.as_mut_slice(), drelative.as_mut_slice());
                    attention_backward((q, r), &self.starts, self.heads, &self.distances, g, gradients);
                })
            })
        })???;
        Ok((Some(tensor(dqkv, qkv)?), Some(tensor(drelative, relative)?)))
    }
}
