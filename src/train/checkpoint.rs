//! Everything needed to go on after Ctrl-C, kill -9 or a power cut, in one file that is replaced whole.

use super::optimizer::Optimizer;
use crate::error::{Error, Place, Result};
use crate::model::Weights;
use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Where a run stands. Shuffles, masks and schedules are functions of seed and step, so no generator's state is needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: usize,
    /// Steps taken in the epoch under way.
    pub step_in_epoch: usize,
    /// Sum of the losses of these steps.
    pub loss_sum: Exact,
    /// Best dev score so far.
    pub best_score: Option<Exact>,
    /// The epoch that reached it, from 1.
    pub best_epoch: usize,
    /// Lines of metrics.jsonl so far, as text.
    pub history: Vec<String>,
}

/// A number that comes back from the file to the last bit: a decimal, as the JSON library reads it, may be off by the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Exact(pub f64);

impl From<u64> for Exact {
    fn from(bits: u64) -> Exact {
        Exact(f64::from_bits(bits))
    }
}

impl From<Exact> for u64 {
    fn from(number: Exact) -> u64 {
        number.0.to_bits()
    }
}

/// A run that can be continued to the bit; `P` says where it stands.
#[derive(Debug, Clone)]
pub struct Checkpoint<P = Progress> {
    /// Fingerprint of recipe, schema and data: a run goes on only with what it began with.
    pub fingerprint: String,
    /// Where it stands.
    pub progress: P,
    /// Current weights.
    pub weights: Weights,
    /// Moments and step count.
    pub optimizer: Optimizer,
    /// Weights of the best epoch.
    pub best: Option<Weights>,
}

#[derive(Serialize, Deserialize)]
struct Header<P> {
    fingerprint: String,
    step: u64,
    progress: P,
}

impl<P: Clone + Serialize + DeserializeOwned> Checkpoint<P> {
    /// Writes the file beside `path` and renames it.
    ///
    /// # Errors
    /// The system refuses to write; the former checkpoint is then still whole.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        let mut add = |prefix: &str, weights: &Weights| {
            tensors.extend(weights.0.iter().map(|(name, t)| (format!("{prefix}.{name}"), t.detach())));
        };
        add("weight", &self.weights);
        if let Some(best) = &self.best {
            add("best", best);
        }
        for (name, (m, v)) in &self.optimizer.moments {
            for (prefix, values) in [("m", m), ("v", v)] {
                tensors.push((format!("{prefix}.{name}"), Tensor::from_slice(values, values.len(), &Device::Cpu)?));
            }
        }
        let header = Header {
            fingerprint: self.fingerprint.clone(),
            step: self.optimizer.step,
            progress: self.progress.clone(),
        };
        let header = serde_json::to_string(&header).expect("progress is plain data");
        let metadata = HashMap::from([("rasid".to_string(), header)]);
        let bytes = safetensors::tensor::serialize(tensors.iter().map(|(n, t)| (n.as_str(), t)), Some(metadata))
            .map_err(|e| Error::Usage(format!("could not lay out the checkpoint: {e}")))?;
        let beside = path.with_extension("part");
        std::fs::write(&beside, bytes).map_err(|fault| {
            // On a full disk the beginning of a file is in the way of everything else.
            let _ = std::fs::remove_file(&beside);
            Error::io("write", &beside)(fault)
        })?;
        std::fs::rename(&beside, path).map_err(Error::io("write", path))
    }

    /// Reads a checkpoint; none if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or belongs to a run with another recipe, schema, base or data.
    pub fn load(path: &Path, fingerprint: &str) -> Result<Option<Checkpoint<P>>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        let damaged =
            |found: String| Error::bad(Place::file(path), found, "a checkpoint").hint("delete it to start anew");
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let header =
            metadata.metadata().as_ref().and_then(|m| m.get("rasid")).ok_or_else(|| damaged("no header".into()))?;
        let header: Header<P> = serde_json::from_str(header).map_err(|e| damaged(e.to_string()))?;
        if header.fingerprint != fingerprint {
            let error = Error::bad(
                Place::file(path),
                "a run with another recipe, schema, base or data",
                "the run that --resume continues",
            );
            return Err(error.hint("repeat its options, or leave --resume out to start anew"));
        }
        let mut parts: BTreeMap<&str, BTreeMap<String, Tensor>> = BTreeMap::new();
        for (name, tensor) in candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)? {
            let (prefix, name) = name.split_once('.').ok_or_else(|| damaged(format!("a tensor named {name}")))?;
            let prefix = ["weight", "best", "m", "v"].into_iter().find(|p| *p == prefix);
            let prefix = prefix.ok_or_else(|| damaged(format!("a tensor named {name}")))?;
            parts.entry(prefix).or_default().insert(name.to_string(), tensor);
        }
        let mut moments = BTreeMap::new();
        let (first, second) = (parts.remove("m").unwrap_or_default(), parts.remove("v").unwrap_or_default());
        for (name, m) in first {
            let v = second.get(&name).ok_or_else(|| damaged(format!("no second moment of {name}")))?;
            moments.insert(name, (m.to_vec1()?, v.to_vec1()?));
        }
        Ok(Some(Checkpoint {
            fingerprint: header.fingerprint,
            progress: header.progress,
            weights: Weights(parts.remove("weight").unwrap_or_default()),
            optimizer: Optimizer { step: header.step, moments },
            best: parts.remove("best").map(Weights),
        }))
    }
}
