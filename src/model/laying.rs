//! Weights on their way into a file: in which numbers each is stored.

use super::stored::SCALE;
use super::weights::Weights;
use crate::error::Result;
use crate::kernels::int8::quantize_weight;
use candle_core::Tensor;
use half::f16;
use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Number format of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageFormat {
    /// 32 bits: nothing is lost.
    F32,
    /// 16 bits.
    #[default]
    F16,
    /// Products' weights and the embeddings of tokens in whole numbers of 8 bits with a scale a row, which lies beside them as
    /// `NAME_scale`; all else in 16 bits.
    Int8,
}

/// A tensor as bytes.
pub struct Laid {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Laid {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl Laid {
    /// A tensor in the numbers it has.
    pub fn as_it_is(tensor: &Tensor) -> Laid {
        Laid { dtype: View::dtype(&tensor), shape: View::shape(&tensor).to_vec(), bytes: tensor.data().into_owned() }
    }

    fn numbers(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Laid {
        Laid { dtype, shape: shape.to_vec(), bytes }
    }
}

impl StorageFormat {
    /// Names and tensors of a file with these weights.
    ///
    /// # Errors
    /// A weight is not of f32 on the CPU.
    pub fn lay_out(self, weights: &Weights) -> Result<Vec<(String, Laid)>> {
        let mut all = Vec::new();
        for (name, tensor) in &weights.0 {
            let (values, shape) = (tensor.flatten_all()?.to_vec1::<f32>()?, tensor.dims());
            let f32s = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let laid = match self {
                StorageFormat::F32 => Laid::numbers(Dtype::F32, shape, f32s(&values)),
                StorageFormat::Int8 if let Some((n, k)) = in_whole_numbers(name, shape) => {
                    let (whole, scales) = quantize_weight(&values, n, k);
                    all.push((format!("{name}{SCALE}"), Laid::numbers(Dtype::F32, &[n], f32s(&scales))));
                    Laid::numbers(Dtype::I8, shape, whole.into_iter().map(|v| v as u8).collect())
                }
                _ => {
                    let bytes = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
                    Laid::numbers(Dtype::F16, shape, bytes)
                }
            };
            all.push((name.clone(), laid));
        }
        Ok(all)
    }

    /// The weights as they will be read again.
    ///
    /// # Errors
    /// A weight is not of f32 on the CPU.
    pub fn rounded(self, weights: &Weights) -> Result<Weights> {
        let round = |(name, tensor): (&String, &Tensor)| -> Result<(String, Tensor)> {
            let (mut values, shape) = (tensor.flatten_all()?.to_vec1::<f32>()?, tensor.dims());
            match self {
                StorageFormat::F32 => {}
                StorageFormat::Int8 if let Some((n, k)) = in_whole_numbers(name, shape) => {
                    let (whole, scales) = quantize_weight(&values, n, k);
                    for ((row, whole), scale) in values.chunks_exact_mut(k).zip(whole.chunks_exact(k)).zip(scales) {
                        row.iter_mut().zip(whole).for_each(|(v, q)| *v = f32::from(*q) * scale);
                    }
                }
                _ => values.iter_mut().for_each(|v| *v = f16::from_f32(*v).to_f32()),
            }
            Ok((name.clone(), Tensor::from_vec(values, shape, tensor.device())?))
        };
        Ok(Weights(weights.0.iter().map(round).collect::<Result<_>>()?))
    }
}

/// The axes of a weight that [`StorageFormat::Int8`] stores in whole numbers.
fn in_whole_numbers(name: &str, shape: &[usize]) -> Option<(usize, usize)> {
    let [n, k] = *shape else { return None };
    (k > 0 && (name.starts_with("layers.") || name == "embeddings.tok_embeddings.weight")).then_some((n, k))
}
