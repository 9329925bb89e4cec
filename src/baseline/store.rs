//! The linear classifier as tensors, so that it can lie beside a network's weights, and back.

use super::features::{Kinds, Vocabulary};
use super::regression::Regression;
use super::tfidf::{HeadModel, Tfidf};
use crate::error::{Error, Place, Result};
use crate::schema::Schema;
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// What the names of its tensors begin with.
pub const PREFIX: &str = "ngrams.";

/// N-grams that are kept, those with the largest weights first: 3 MB of weights for our labels.
const MAX_STORED: usize = 1 << 17;

impl Tfidf {
    /// Hashes and inverse document frequencies (V), weights (V, L) and intercepts (L) of each head, the weights in f16.
    ///
    /// Of more than 131,072 n-grams those with small weights are left out.
    ///
    /// # Errors
    /// A tensor cannot be made.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let fitted: Vec<&Regression> = self.heads.iter().filter_map(HeadModel::fitted).collect();
        let strength = |i: usize| -> f32 {
            fitted.iter().flat_map(|r| r.row(i)).fold(0.0f32, |most, w| most.max(w.abs())) * self.vocabulary.idf()[i]
        };
        let mut kept: Vec<usize> = (0..self.vocabulary.len()).collect();
        if kept.len() > MAX_STORED {
            kept.sort_by(|a, b| strength(*b).total_cmp(&strength(*a)).then(a.cmp(b)));
            kept.truncate(MAX_STORED);
            kept.sort_unstable();
        }
        let (hashes, idf) = (self.vocabulary.hashes(), self.vocabulary.idf());
        let device = &Device::Cpu;
        let n = kept.len();
        let mut tensors = vec![
            (format!("{PREFIX}hashes"), Tensor::from_iter(kept.iter().map(|i| hashes[*i] as i64), device)?),
            (format!("{PREFIX}idf"), Tensor::from_iter(kept.iter().map(|i| idf[*i]), device)?),
        ];
        for (head, model) in self.schema.heads.iter().zip(&self.heads) {
            let l = head.classes.len();
            let (weight, bias): (Vec<f32>, Vec<f32>) = match model {
                HeadModel::Fitted(r) => (kept.iter().flat_map(|i| r.row(*i)).copied().collect(), r.bias().to_vec()),
                HeadModel::Constant(shares) => (vec![0.0; n * l], shares.iter().map(|s| s.max(1e-6).ln()).collect()),
            };
            let weight = Tensor::from_vec(weight, (n, l), device)?.to_dtype(DType::F16)?;
            tensors.push((format!("{PREFIX}{}.weight", head.name), weight));
            tensors.push((format!("{PREFIX}{}.bias", head.name), Tensor::new(bias, device)?));
        }
        Ok(tensors)
    }

    /// The classifier that [`tensors`](Self::tensors) gave; `path` names the file in messages.
    ///
    /// # Errors
    /// A tensor is missing or has another shape than the schema says.
    pub fn from_tensors(
        schema: &Schema,
        kinds: Kinds,
        tensors: &BTreeMap<String, Tensor>,
        path: &Path,
    ) -> Result<Tfidf> {
        let get = |name: &str| {
            tensors.get(&format!("{PREFIX}{name}")).ok_or_else(|| {
                Error::bad(Place::file(path), format!("no weight \"{PREFIX}{name}\""), "one, as config.json says")
                    .hint("the file is of another model or was cut short; train or fetch it again")
            })
        };
        let hashes: Vec<i64> = get("hashes")?.to_vec1()?;
        let n = hashes.len();
        let idf: Vec<f32> = get("idf")?.to_vec1()?;
        let shaped = |name: String, shape: &[usize]| -> Result<Vec<f32>> {
            let tensor = get(&name)?;
            if tensor.dims() != shape {
                let found = format!("weight \"{PREFIX}{name}\" of shape {:?}", tensor.dims());
                return Err(Error::bad(Place::file(path), found, format!("shape {shape:?}")));
            }
            Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let head = |head: &crate::schema::Head| {
            let l = head.classes.len();
            let mut weights = shaped(format!("{}.weight", head.name), &[n, l])?;
            weights.extend(shaped(format!("{}.bias", head.name), &[l])?);
            Ok(HeadModel::Fitted(Regression::from_weights(l, weights)))
        };
        let heads = schema.heads.iter().map(head).collect::<Result<_>>()?;
        let vocabulary = Vocabulary::from_parts(kinds, hashes.iter().map(|h| *h as u64).zip(idf));
        Ok(Tfidf { schema: schema.clone(), vocabulary, heads })
    }

    /// The classifier as it will be read again: rounded, and without the n-grams that are not stored.
    ///
    /// # Errors
    /// As [`tensors`](Self::tensors).
    pub fn as_stored(&self) -> Result<Tfidf> {
        let tensors = self.tensors()?.into_iter().collect();
        Tfidf::from_tensors(
            &self.schema,
            self.vocabulary.kinds().clone(),
            &tensors,
            Path::new("the n-grams in training"),
        )
    }
}
