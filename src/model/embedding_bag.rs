//! Sums of rows of a small table, chosen by bits: the embeddings of the lexicon's types, with a backward pass.

use super::plain;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};
use std::sync::Arc;

/// For each of T tokens the sum of the rows of `weight` (N, D), N at most 64, whose bits are set; gives (T, D).
/// Bits beyond the table's rows count for nothing.
pub fn embedding_bag(weight: &Tensor, bits: Arc<Vec<u64>>) -> Result<Tensor> {
    if plain::is_meant(weight) {
        return plain::embedding_bag(weight, &bits);
    }
    weight.contiguous()?.apply_op1(EmbeddingBag { bits })
}

struct EmbeddingBag {
    bits: Arc<Vec<u64>>,
}

/// The numbers of the bits that are set, below `n`.
fn rows(bits: u64, n: usize) -> impl Iterator<Item = usize> {
    (0..n.min(64)).filter(move |row| bits >> row & 1 == 1)
}

impl CustomOp1 for EmbeddingBag {
    fn name(&self) -> &'static str {
        "embedding_bag"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, d) = layout.shape().dims2()?;
        let Some((from, to)) = layout.contiguous_offsets() else { bail!("embedding_bag: a table with gaps") };
        let weight = &weight.as_slice::<f32>()?[from..to];
        let mut out = vec![0.0f32; self.bits.len() * d];
        for (bits, out) in self.bits.iter().zip(out.chunks_exact_mut(d)).filter(|(bits, _)| **bits != 0) {
            for row in rows(*bits, n) {
                out.iter_mut().zip(&weight[row * d..][..d]).for_each(|(o, w)| *o += w);
            }
        }
        Ok((CpuStorage::F32(out), (self.bits.len(), d).into()))
    }

    fn bwd(&self, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, d) = weight.dims2()?;
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
            bail!("embedding_bag: expected a tensor on the CPU")
        };
        let grad = &storage.as_slice::<f32>()?[from..to];
        let mut out = vec![0.0f32; n * d];
        for (bits, grad) in self.bits.iter().zip(grad.chunks_exact(d)).filter(|(bits, _)| **bits != 0) {
            for row in rows(*bits, n) {
                out[row * d..][..d].iter_mut().zip(grad).for_each(|(o, g)| *o += g);
            }
        }
        Ok(Some(Tensor::from_vec(out, (n, d), weight.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn sums_rows_and_sends_the_gradient_back_to_them() {
        let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let weight = Var::from_vec(values, (3, 2), &Device::Cpu).unwrap();
        let bits = Arc::new(vec![0b000, 0b101, 0b010, 0b1000 | 0b100]);
        let out = embedding_bag(&weight, bits).unwrap();
        assert_eq!(out.to_vec2::<f32>().unwrap(), [[0.0, 0.0], [4.0, 6.0], [2.0, 3.0], [4.0, 5.0]]);
        let scale = Tensor::new(&[[1f32], [2.0], [3.0], [5.0]], &Device::Cpu).unwrap();
        let gradients = out.broadcast_mul(&scale).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&weight).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(gradient, [[2.0, 2.0], [3.0, 3.0], [7.0, 7.0]]);
    }
}
