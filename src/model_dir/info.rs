//! What a model directory holds, without a sentence being classified.

use super::config_json::ConfigJson;
use super::open::{EMBEDDED, check, check_folder, shipped_files};
use super::summary::header;
use super::weight_files::WeightFiles;
use super::{CONFIG, SCHEMA, TOKENIZER, WEIGHTS};
use crate::error::{Error, Place, Result};
use crate::model::{Bytes, Config, Stored};
use crate::tokens::InputConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All that there is to tell about a model directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// Name of the model in outputs.
    pub name: String,
    /// The folder.
    pub folder: String,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub sha256: String,
    /// Version of the program that wrote it.
    pub rasid_version: String,
    /// Family of the encoder: `rasid` for our own, else the name that Hugging Face's files have.
    pub family: String,
    /// Number of parameters, embeddings included.
    pub parameters: usize,
    /// ISO 639 codes, as the card says.
    pub languages: Vec<String>,
    /// As the card says.
    pub license: Option<String>,
    /// How the weights are stored: F16, F32.
    pub weights_dtype: String,
    /// Sizes of the encoder.
    pub encoder: Config,
    /// How much is read beside the sentence.
    pub input: InputConfig,
    /// The questions, in the order of the logits; a base to train from has none.
    pub heads: Vec<HeadInfo>,
    /// What metrics.json says, set by set; none where it is missing.
    pub scores: Vec<Scores>,
    /// Of a pre-trained base, as measured last: language → perplexity on held-out text.
    pub perplexity: BTreeMap<String, f64>,
    /// Size of all files, in bytes.
    pub bytes: u64,
    /// The files, in the order of their names.
    pub files: Vec<FileSize>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadInfo {
    /// Its name in the schema.
    pub name: String,
    /// The head's logits are divided by it before the softmax.
    pub temperature: f32,
    /// The answers, in the order of the logits.
    pub classes: Vec<String>,
}

/// Scores on one set of sentences, or on one language of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// The set: dev, test.
    pub set: String,
    /// ISO 639 code; none for the whole set.
    pub language: Option<String>,
    /// Head by head, in the file's order.
    pub heads: Vec<HeadScore>,
}

/// Scores of one head, under the names of metrics.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadScore {
    /// Name of the head.
    #[serde(default)]
    pub name: String,
    /// Sentences with a gold label.
    pub sentences: u64,
    /// Unweighted mean of the classes' F1, 0 to 1.
    pub macro_f1: Option<f64>,
    /// Its 95 % interval.
    #[serde(default)]
    pub macro_f1_ci: Option<[f64; 2]>,
    /// Share of sentences predicted right, 0 to 1.
    pub accuracy: Option<f64>,
}

/// A file of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Looks into a model directory; a base to train from, which has no heads, will do too.
///
/// # Errors
/// As [`open`]: what cannot be opened is not described either. Or metrics.json is not JSON.
pub fn info(path: &Path) -> Result<Info> {
    check_folder(path)?;
    let read = |name: &str| {
        let file = path.join(name);
        std::fs::read(&file).map_err(super::open::not_read(&file))
    };
    let config = ConfigJson::parse(&read(CONFIG)?, &path.join(CONFIG))?;
    check(path, &config)?;
    let metrics_path = path.join(METRICS);
    let metrics = if metrics_path.exists() { read_metrics(&read(METRICS)?, &metrics_path)? } else { Value::Null };
    describe(path, config, &WeightFiles::find(path)?, &metrics, file_sizes(path)?)
}

/// The same for the model that was compiled into the program, whose metrics stayed outside.
///
/// # Errors
/// As [`super::embedded`].
pub fn embedded_info() -> Result<Info> {
    let path = Path::new(EMBEDDED);
    let files = shipped_files()?;
    let names = [CONFIG, SCHEMA, TOKENIZER, WEIGHTS];
    let sizes = names.iter().zip(files).map(|(n, b)| FileSize { name: n.to_string(), bytes: b.len() as u64 });
    let config = ConfigJson::parse(files[0], &path.join(CONFIG))?;
    let weights = WeightFiles::of(Bytes::Static(files[3]), path.join(WEIGHTS))?;
    describe(path, config, &weights, &Value::Null, sizes.collect())
}

const METRICS: &str = "metrics.json";

fn describe(
    path: &Path,
    config: ConfigJson,
    weights: &WeightFiles,
    metrics: &Value,
    files: Vec<FileSize>,
) -> Result<Info> {
    let (languages, license) = header(path);
    let dtypes: BTreeSet<&str> = weights.stored.0.values().map(Stored::dtype).collect();
    let heads = config.heads.iter().map(|head| {
        let labels = (head.start..head.end).filter_map(|id| config.id2label.get(&id.to_string()));
        let class = |label: &String| label.strip_prefix(&format!("{}.", head.name)).unwrap_or(label).to_string();
        HeadInfo { name: head.name.clone(), temperature: head.temperature, classes: labels.map(class).collect() }
    });
    Ok(Info {
        heads: heads.collect(),
        folder: path.display().to_string(),
        sha256: weights.sha256(),
        parameters: weights.n_parameters(),
        languages,
        license,
        family: config.model_type,
        weights_dtype: dtypes.into_iter().collect::<Vec<_>>().join(" and "),
        scores: scores(metrics),
        perplexity: perplexity(metrics),
        bytes: files.iter().map(|f| f.bytes).sum(),
        files,
        name: config.name,
        rasid_version: config.rasid_version,
        encoder: config.encoder,
        input: config.input,
    })
}

fn file_sizes(path: &Path) -> Result<Vec<FileSize>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        let metadata = std::fs::metadata(entry.path()).map_err(Error::io("read", entry.path()))?;
        if metadata.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push(FileSize { name, bytes: metadata.len() });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn read_metrics(bytes: &[u8], path: &Path) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::bad(Place::line(path, e.line() as u64), e.to_string(), "the scores that `rasid train` wrote")
    })
}

/// `{"dev": evaluation, …}`, or one evaluation as `rasid evaluate --format json` writes it; each with its languages.
fn scores(metrics: &Value) -> Vec<Scores> {
    let Some(object) = metrics.as_object() else { return Vec::new() };
    if object.contains_key("heads") {
        let set = object.get("split").and_then(Value::as_str).unwrap_or("all");
        return of_set(set, object);
    }
    let sets = object.iter().filter_map(|(set, value)| Some((set, value.as_object()?)));
    sets.flat_map(|(set, evaluation)| of_set(set, evaluation)).collect()
}

fn of_set(set: &str, evaluation: &Map<String, Value>) -> Vec<Scores> {
    let of = |language: Option<&String>, evaluation: &Map<String, Value>| -> Option<Scores> {
        let heads = evaluation.get("heads")?.as_object()?.iter().filter_map(|(name, scores)| {
            let score: HeadScore = serde_json::from_value(scores.clone()).ok()?;
            Some(HeadScore { name: name.clone(), ..score })
        });
        Some(Scores { set: set.to_string(), language: language.cloned(), heads: heads.collect() })
    };
    let languages = evaluation.get("by").and_then(|by| by.get("language")).and_then(Value::as_object);
    let parts = languages.into_iter().flatten().filter_map(|(language, part)| of(Some(language), part.as_object()?));
    of(None, evaluation).into_iter().chain(parts).collect()
}

/// Pre-training writes a list of measurements.
fn perplexity(metrics: &Value) -> BTreeMap<String, f64> {
    let last = metrics.as_array().and_then(|history| history.last()).and_then(|m| m.get("perplexity"));
    let languages = last.and_then(Value::as_object).into_iter().flatten();
    languages.filter_map(|(language, value)| Some((language.clone(), value.as_f64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scores_are_found_by_set_and_by_language() {
        let heads = json!({"incident": {"sentences": 12, "macro_f1": 0.5, "macro_f1_ci": [0.25, 0.75], "accuracy": 0.625, "more": 1}});
        let part =
            json!({"heads": {"incident": {"sentences": 3, "macro_f1": null, "macro_f1_ci": null, "accuracy": 1.0}}});
        let evaluation = json!({"heads": heads, "by": {"language": {"ckb": part}}});
        let found = scores(&json!({"best_epoch": 3, "dev": evaluation, "test": null}));
        let told: Vec<_> = found.iter().map(|s| (s.set.as_str(), s.language.as_deref(), s.heads[0].macro_f1)).collect();
        assert_eq!(told, [("dev", None, Some(0.5)), ("dev", Some("ckb"), None)]);
        assert_eq!(found[0].heads[0].macro_f1_ci, Some([0.25, 0.75]));

        let found = scores(&json!({"model": "x", "split": "test", "heads": heads}));
        assert_eq!((found.len(), found[0].set.as_str()), (1, "test"));
        for nothing in [json!(null), json!([]), json!({"heads": 1}), json!({"a": {"heads": []}})] {
            assert_eq!(scores(&nothing), [], "{nothing}");
        }
    }

    #[test]
    fn a_base_tells_its_last_perplexity() {
        let history =
            json!([{"step": 1, "perplexity": {"ar": 90.0}}, {"step": 2, "perplexity": {"ar": 40.5, "ku": 80.0}}]);
        assert_eq!(perplexity(&history), BTreeMap::from([("ar".into(), 40.5), ("ku".into(), 80.0)]));
        assert_eq!(perplexity(&json!({"dev": {}})), BTreeMap::new());
    }
}
