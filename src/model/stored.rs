//! Weights as they lie in a file: read where they are used, not copied.

use super::weights::Weights;
use crate::error::{Error, Place, Result};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes that many weights share: in memory, in the program, or in a file that the system maps.
#[derive(Clone)]
pub enum Bytes {
    /// Part of the program.
    Static(&'static [u8]),
    /// Anything else that stays as long as it is held.
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Bytes::Static(bytes) => bytes,
            Bytes::Shared(bytes) => (**bytes).as_ref(),
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.as_ref().len())
    }
}

/// How a weight's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    F32,
    F16,
    Bf16,
    /// Whole numbers, to be multiplied by the scale of their row.
    I8,
}

/// A weight: numbers in row-major order, little-endian.
#[derive(Debug, Clone)]
pub struct Stored {
    shape: Vec<usize>,
    numbers: Numbers,
    bytes: Bytes,
    range: Range<usize>,
    /// One a row for whole numbers, else empty.
    scales: Arc<Vec<f32>>,
    /// Further parts, whose rows follow; the shape counts them.
    rest: Vec<Stored>,
}

/// Ending of the name under which the scales of a weight of whole numbers are stored.
pub const SCALE: &str = "_scale";

impl Stored {
    /// A weight held in memory.
    pub fn in_memory(values: &[f32], shape: &[usize]) -> Stored {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let range = 0..bytes.len();
        let bytes = Bytes::Shared(Arc::new(bytes));
        Stored { shape: shape.to_vec(), numbers: Numbers::F32, bytes, range, scales: Arc::default(), rest: Vec::new() }
    }

    /// A weight that lies in several parts, one above the other; there must be one at least.
    pub fn joined(mut parts: Vec<Stored>) -> Stored {
        let mut first = parts.remove(0);
        if let Some(rows) = first.shape.first_mut() {
            *rows += parts.iter().filter_map(|part| part.shape.first()).sum::<usize>();
        }
        first.rest = parts;
        first
    }

    /// Rows (or values, with one axis) of the first part.
    fn own_rows(&self) -> usize {
        let rest: usize = self.rest.iter().filter_map(|part| part.shape.first()).sum();
        self.shape.first().copied().unwrap_or(0) - rest
    }

    /// Its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers' kind, as safetensors calls it.
    pub fn dtype(&self) -> &'static str {
        match self.numbers {
            Numbers::F32 => "F32",
            Numbers::F16 => "F16",
            Numbers::Bf16 => "BF16",
            Numbers::I8 => "I8",
        }
    }

    /// Length of a row: the last axis.
    fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    fn bytes_of(&self, values: Range<usize>) -> &[u8] {
        let size = match self.numbers {
            Numbers::F32 => 4,
            Numbers::F16 | Numbers::Bf16 => 2,
            Numbers::I8 => 1,
        };
        &self.bytes.as_ref()[self.range.clone()][values.start * size..values.end * size]
    }

    /// Row `i` of a matrix (of its first part) into `out`, as long as the row. None if there is no such row.
    pub fn row(&self, i: usize, out: &mut [f32]) -> Option<()> {
        let columns = self.columns();
        if i >= self.own_rows() || self.shape.len() != 2 || out.len() != columns {
            return None;
        }
        self.read(i * columns..(i + 1) * columns, out, self.scales.get(i).copied().unwrap_or(1.0));
        Some(())
    }

    /// Values of one row, or of several if there are no scales.
    fn read(&self, values: Range<usize>, out: &mut [f32], scale: f32) {
        let bytes = self.bytes_of(values);
        match self.numbers {
            Numbers::F32 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *out = f32::from_le_bytes(*bytes);
                }
            }
            Numbers::F16 => f16_to_f32(bytes, out),
            Numbers::Bf16 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *out = bf16::from_le_bytes(*bytes).to_f32();
                }
            }
            Numbers::I8 => out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = f32::from(*byte as i8) * scale),
        }
    }

    /// All values.
    pub fn to_f32(&self) -> Vec<f32> {
        let columns = if self.shape.len() == 1 { 1 } else { self.shape.iter().skip(1).product::<usize>().max(1) };
        let n = if self.shape.is_empty() { 1 } else { self.own_rows() * columns };
        let mut out = vec![0.0; n];
        if self.scales.is_empty() {
            self.read(0..n, &mut out, 1.0);
        } else {
            for (i, (row, scale)) in out.chunks_exact_mut(columns).zip(self.scales.iter()).enumerate() {
                self.read(i * columns..(i + 1) * columns, row, *scale);
            }
        }
        self.rest.iter().for_each(|part| out.extend(part.to_f32()));
        out
    }

    /// Its whole numbers and the scale of each row, if it is stored so, in one part.
    pub fn whole_numbers(&self) -> Option<(Vec<i8>, &[f32])> {
        if self.numbers != Numbers::I8 || !self.rest.is_empty() {
            return None;
        }
        let bytes = self.bytes_of(0..self.shape.iter().product());
        Some((bytes.iter().map(|b| *b as i8).collect(), self.scales.as_slice()))
    }
}

/// Half-precision numbers, a few at a time by the processor's instruction where it has one.
fn f16_to_f32(bytes: &[u8], out: &mut [f32]) {
    use half::slice::HalfFloatSliceExt;
    const AT_ONCE: usize = 128;
    let mut halves = [f16::ZERO; AT_ONCE];
    for (bytes, out) in bytes.chunks(2 * AT_ONCE).zip(out.chunks_mut(AT_ONCE)) {
        let halves = &mut halves[..out.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(out);
    }
}

/// Names and weights of a model's file.
#[derive(Debug, Clone, Default)]
pub struct StoredWeights(pub BTreeMap<String, Stored>);

impl StoredWeights {
    /// Finds the weights in the bytes of a safetensors file; nothing is copied. Tensors of other kinds of numbers than
    /// f32, f16, bf16 and scaled i8 are left out.
    ///
    /// # Errors
    /// The bytes are no whole safetensors file, or whole numbers stand there without the scales of their rows.
    pub fn find(bytes: Bytes, path: &Path) -> Result<StoredWeights> {
        let all = bytes.as_ref();
        let file = SafeTensors::deserialize(all).map_err(|e| {
            let text = e.to_string();
            let found = format!(
                "{} bytes that are no whole safetensors file ({})",
                all.len(),
                text.lines().next().unwrap_or_default()
            );
            Error::bad(Place::file(path), found, "the weights that `rasid train` wrote")
                .hint("the file was cut short or damaged; fetch it again")
        })?;
        let mut weights = BTreeMap::new();
        for (name, view) in file.iter() {
            let numbers = match view.dtype() {
                Dtype::F32 => Numbers::F32,
                Dtype::F16 => Numbers::F16,
                Dtype::BF16 => Numbers::Bf16,
                Dtype::I8 if file.tensor(&format!("{name}{SCALE}")).is_ok() => Numbers::I8,
                _ => continue,
            };
            let start = view.data().as_ptr() as usize - all.as_ptr() as usize;
            let range = start..start + view.data().len();
            let (shape, scales, rest) = (view.shape().to_vec(), Arc::default(), Vec::new());
            weights.insert(name.to_string(), Stored { shape, numbers, bytes: bytes.clone(), range, scales, rest });
        }
        let whole: Vec<String> =
            weights.iter().filter(|(_, w)| w.numbers == Numbers::I8).map(|(name, _)| name.clone()).collect();
        for name in whole {
            let scales = weights.remove(&format!("{name}{SCALE}")).map(|s| s.to_f32()).unwrap_or_default();
            if let Some(weight) = weights.get_mut(&name) {
                let rows = weight.shape.first().copied().unwrap_or(0);
                if scales.len() != rows {
                    let found = format!("{} scales of weight \"{name}\"", scales.len());
                    return Err(Error::bad(Place::file(path), found, format!("{rows}, one a row"))
                        .hint("the file is of another program or was damaged; fetch it again"));
                }
                weight.scales = Arc::new(scales);
            }
        }
        Ok(StoredWeights(weights))
    }

    /// The weight of this name, checked against its shape; `path` names the file in messages.
    ///
    /// # Errors
    /// The weight is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize], path: &Path) -> Result<&Stored> {
        let place = || Place::file(path);
        let weight = self.0.get(name).ok_or_else(|| {
            Error::bad(place(), format!("no weight \"{name}\""), format!("one of shape {shape:?}"))
                .hint("the file is of another model or was cut short; train or fetch it again")
        })?;
        if weight.shape != shape {
            let found = format!("weight \"{name}\" of shape {:?}", weight.shape);
            let error = Error::bad(place(), found, format!("shape {shape:?}, as config.json says"));
            return Err(error.hint("weights and configuration are of two models; train or fetch the folder again"));
        }
        Ok(weight)
    }

    /// The weights whose names do not begin so.
    pub fn without(mut self, prefix: &str) -> StoredWeights {
        self.0.retain(|name, _| !name.starts_with(prefix));
        self
    }

    /// All weights as tensors of f32, to be trained.
    ///
    /// # Errors
    /// A tensor cannot be made.
    pub fn to_tensors(&self) -> Result<Weights> {
        let tensor = |(name, weight): (&String, &Stored)| -> Result<(String, Tensor)> {
            Ok((name.clone(), Tensor::from_vec(weight.to_f32(), weight.shape(), &Device::Cpu)?))
        };
        Ok(Weights(self.0.iter().map(tensor).collect::<Result<_>>()?))
    }

    /// The weights of a network in training.
    ///
    /// # Errors
    /// A tensor is not of f32 on the CPU.
    pub fn from_tensors(weights: &Weights) -> Result<StoredWeights> {
        let stored = |(name, tensor): (&String, &Tensor)| -> Result<(String, Stored)> {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            Ok((name.clone(), Stored::in_memory(&values, tensor.dims())))
        };
        Ok(StoredWeights(weights.0.iter().map(stored).collect::<Result<_>>()?))
    }
}
