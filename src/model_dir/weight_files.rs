//! The weights of a folder, in whichever of the usual files they lie.

use super::WEIGHTS;
use crate::error::{Error, Place, Result};
use crate::kernels::mapping;
use crate::model::{Bytes, Stored, StoredWeights};
use candle_core::{DType, pickle};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which file of a folder names the parts of weights that are cut into several.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The weights as PyTorch itself writes them.
pub(super) const PICKLE: &str = "pytorch_model.bin";
/// As [`INDEX`], for these.
pub(super) const PICKLE_INDEX: &str = "pytorch_model.bin.index.json";

/// Weights under the names of the file, and the bytes they lie in.
pub struct WeightFiles {
    /// The weights.
    pub stored: StoredWeights,
    /// The files, mapped, in the order of their names.
    pub bytes: Vec<Bytes>,
    /// Where they lie, in the same order; empty for weights that are part of the program.
    pub files: Vec<PathBuf>,
    /// The file to name in messages.
    pub path: PathBuf,
}

impl WeightFiles {
    /// Weights that are at hand.
    ///
    /// # Errors
    /// As [`StoredWeights::find`].
    pub fn of(bytes: Bytes, path: PathBuf) -> Result<WeightFiles> {
        Ok(WeightFiles {
            stored: StoredWeights::find(bytes.clone(), &path)?,
            bytes: vec![bytes],
            files: Vec::new(),
            path,
        })
    }

    fn none(path: PathBuf) -> WeightFiles {
        WeightFiles { stored: StoredWeights::default(), bytes: Vec::new(), files: Vec::new(), path }
    }

    /// A file of weights, mapped.
    fn mapped(path: PathBuf) -> Result<WeightFiles> {
        let files = vec![path.clone()];
        Ok(WeightFiles { files, ..WeightFiles::of(map_file(&path)?, path)? })
    }

    /// The first of: model.safetensors, the parts that its index names, pytorch_model.bin, the parts that its index names.
    /// Safetensors are mapped, so nobody may write into them meanwhile. Of a pickle tensors are read and nothing is run.
    ///
    /// # Errors
    /// There is none of them, or one that cannot be read.
    pub fn find(folder: &Path) -> Result<WeightFiles> {
        let path = |name: &str| folder.join(name);
        if path(WEIGHTS).exists() {
            return WeightFiles::mapped(path(WEIGHTS));
        }
        if path(INDEX).exists() {
            let mut all = WeightFiles::none(path(INDEX));
            for part in parts(&path(INDEX))? {
                let part = WeightFiles::mapped(folder.join(part))?;
                all.stored.0.extend(part.stored.0);
                all.bytes.extend(part.bytes);
                all.files.extend(part.files);
            }
            return Ok(all);
        }
        if path(PICKLE).exists() {
            return of_pickles(&[path(PICKLE)]);
        }
        if path(PICKLE_INDEX).exists() {
            let parts = parts(&path(PICKLE_INDEX))?;
            return of_pickles(&parts.iter().map(|part| path(part)).collect::<Vec<_>>());
        }
        let expected = format!("{WEIGHTS}, {INDEX} or {PICKLE}");
        let other = ["tf_model.h5", "flax_model.msgpack", "model.ckpt.index"].iter().find(|name| path(name).exists());
        let found = other.map_or("no weights".to_string(), |name| format!("weights of another kind ({name})"));
        let hint = "the folder is no model or was copied in part; fetch it again, or `rasid train` writes one";
        Err(Error::bad(Place::file(folder), found, expected).hint(hint))
    }

    /// Number of parameters; tables that follow from the sizes are counted where they are stored.
    pub fn n_parameters(&self) -> usize {
        self.stored.0.values().map(|weight| weight.shape().iter().product::<usize>()).sum()
    }

    /// SHA-256 of the files, one after the other, in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for i in 0..self.bytes.len() {
            // Read, not by way of the mapping: what is touched there counts as memory of ours, the embeddings too.
            let file = self.files.get(i).and_then(|path| std::fs::File::open(path).ok());
            let read = file.map(|mut file| std::io::copy(&mut file, &mut hash));
            if read.is_none_or(|copied| copied.is_err()) {
                hash = Sha256::new();
                self.bytes[..=i].iter().for_each(|bytes| hash.update(bytes.as_ref()));
            }
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A file by way of the system's memory mapping.
fn map_file(file: &Path) -> Result<Bytes> {
    let map = std::fs::File::open(file).and_then(|open| mapping::map(&open)).map_err(super::open::not_read(file))?;
    Ok(Bytes::Shared(Arc::new(map)))
}

/// The files that an index names, each once.
pub(super) fn parts(index: &Path) -> Result<Vec<String>> {
    let bad = |found: String| {
        Error::bad(Place::file(index), found, "an index with weight_map, name of a weight to name of a file")
            .hint("fetch the folder again")
    };
    let bytes = std::fs::read(index).map_err(Error::io("read", index))?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    let map = json.get("weight_map").and_then(Value::as_object).ok_or_else(|| bad("no weight_map".into()))?;
    let mut files = BTreeSet::new();
    for file in map.values() {
        match file.as_str() {
            // A file of this folder, not of another.
            Some(name) if Path::new(name).file_name().is_some_and(|file| file == name) => {
                files.insert(name.to_string())
            }
            _ => return Err(bad(format!("weight_map with {file}"))),
        };
    }
    Ok(files.into_iter().collect())
}

fn of_pickles(files: &[PathBuf]) -> Result<WeightFiles> {
    let mut all = WeightFiles::none(files[0].clone());
    for file in files {
        let tensors = pickle::read_all(file).map_err(|e| {
            let text = e.to_string();
            let found =
                format!("a pickle that is more than tensors, or broken ({})", text.lines().next().unwrap_or_default());
            Error::bad(Place::file(file), found, "the state_dict of a model, in PyTorch's format since 1.6").hint(
                "nothing in it was run; where you trust it, let Python write it anew: \
                 AutoModel.from_pretrained(DIR).save_pretrained(DIR)",
            )
        })?;
        for (name, tensor) in tensors {
            if tensor.dtype().is_float() {
                let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                all.stored.0.insert(name, Stored::in_memory(&values, tensor.dims()));
            }
        }
        all.bytes.push(map_file(file)?);
        all.files.push(file.clone());
    }
    Ok(all)
}
