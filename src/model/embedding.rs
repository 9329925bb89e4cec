//! Rows of a table by their numbers, as a candle operation with a backward pass.

use super::ops::{tensor, values, with_values};
use super::plain;
use super::workspace::Workspace;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// Rows of a table: weight (V, D), ids T of them; gives (T, D). With a workspace the gradient goes there.
pub fn embedding(weight: &Tensor, ids: Arc<Vec<u32>>, workspace: Option<Arc<Workspace>>) -> Result<Tensor> {
    if plain::is_meant(weight) {
        return plain::embedding(weight, &ids);
    }
    weight.contiguous()?.apply_op1(Embedding { ids, workspace })
}

struct Embedding {
    ids: Arc<Vec<u32>>,
    workspace: Option<Arc<Workspace>>,
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (v, d) = layout.shape().dims2()?;
        let weight = values(weight, layout)?;
        let mut out = Vec::with_capacity(self.ids.len() * d);
        for &id in self.ids.iter() {
            match weight.get(id as usize * d..(id as usize + 1) * d) {
                Some(row) => out.extend_from_slice(row),
                None => bail!("token id {id} in a vocabulary of {v}"),
            }
        }
        Ok((CpuStorage::F32(out), (self.ids.len(), d).into()))
    }

    fn bwd(&self, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let d = weight.dim(1)?;
        let scatter = |dw: &mut [f32]| {
            with_values(grad, |g| {
                for (&id, g) in self.ids.iter().zip(g.chunks_exact(d)) {
                    dw[id as usize * d..][..d].iter_mut().zip(g).for_each(|(o, g)| *o += g);
                }
            })
        };
        let Some(workspace) = &self.workspace else {
            let mut dw = vec![0.0; weight.elem_count()];
            scatter(&mut dw)?;
            return Ok(Some(tensor(dw, weight)?));
        };
        workspace.add(weight, |dw, accumulate| {
            if !accumulate {
                dw.fill(0.0);
            }
            scatter(dw)
        })?;
        Ok(None)
    }
}
