//! Families of encoders that other programs write: which there are, their configurations and the names of their weights.
//!
//! Inside the program a weight has one name in all families (those of ModernBERT, and names like them for what ModernBERT does
//! not have); on disk it has the family's, so that other programs open what is written here.

mod config;
mod names;

use crate::error::{Error, Place, Result};
use crate::model::{Stored, StoredWeights, Weights};
use names::Names;
use std::collections::BTreeSet;
use std::path::Path;

pub use config::{Parsed, parse};

/// A family.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// Its class of sequence classifiers in transformers.
    pub classifier_class: &'static str,
    /// How it is called in the README.
    pub title: &'static str,
    /// What stands before the encoder's names in a classifier.
    prefix: &'static str,
    /// Names of the encoder's weights.
    names: Names,
    /// Name of the layer between pooled vector and classifier, and whether it counts as part of the encoder.
    dense: (&'static str, bool),
    /// Name of the classifier of one head.
    classifier: &'static str,
}

/// All families, in the order in which messages name them.
pub static FAMILIES: [Family; 7] = [
    Family {
        model_type: "bert",
        classifier_class: "BertForSequenceClassification",
        title: "BERT",
        prefix: "bert.",
        names: names::BERT,
        dense: ("pooler.dense", true),
        classifier: "classifier",
    },
    Family {
        model_type: "xlm-roberta",
        classifier_class: "XLMRobertaForSequenceClassification",
        title: "XLM-RoBERTa",
        prefix: "roberta.",
        names: names::BERT,
        dense: ("classifier.dense", false),
        classifier: "classifier.out_proj",
    },
    Family {
        model_type: "roberta",
        classifier_class: "RobertaForSequenceClassification",
        title: "RoBERTa",
        prefix: "roberta.",
        names: names::BERT,
        dense: ("classifier.dense", false),
        classifier: "classifier.out_proj",
    },
    Family {
        model_type: "camembert",
        classifier_class: "CamembertForSequenceClassification",
        title: "CamemBERT",
        prefix: "roberta.",
        names: names::BERT,
        dense: ("classifier.dense", false),
        classifier: "classifier.out_proj",
    },
    Family {
        model_type: "distilbert",
        classifier_class: "DistilBertForSequenceClassification",
        title: "DistilBERT",
        prefix: "distilbert.",
        names: names::DISTILBERT,
        dense: ("pre_classifier", false),
        classifier: "classifier",
    },
    Family {
        model_type: "modernbert",
        classifier_class: "ModernBertForSequenceClassification",
        title: "ModernBERT",
        prefix: "model.",
        names: names::MODERNBERT,
        dense: ("head.dense", false),
        classifier: "classifier",
    },
    Family {
        model_type: "deberta-v2",
        classifier_class: "DebertaV2ForSequenceClassification",
        title: "DeBERTa v2 and v3",
        prefix: "deberta.",
        names: names::DEBERTA_V2,
        dense: ("pooler.dense", false),
        classifier: "classifier",
    },
];

/// Name of the one head of a classifier of another program.
pub const ONE_HEAD: &str = "label";

/// Parts of encoders: a weight in one of them that the configuration does not know tells of another network.
const OF_ENCODERS: [&str; 5] = ["embeddings.", "encoder.", "transformer.", "layers.", "final_norm."];

/// Endings of tables that some versions of transformers store and that follow from the sizes.
const DERIVED: [&str; 2] = ["position_ids", "inv_freq"];

impl Family {
    /// The family of a `model_type`.
    pub fn of(model_type: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }

    /// The names under which a weight is stored, one a part of its rows; with or without the prefix of classifiers.
    fn on_disk(&self, name: &str, with_prefix: bool) -> Vec<String> {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let prefix = |is_encoder: bool| if is_encoder && with_prefix { self.prefix } else { "" };
        if let Some(rest) = stem.strip_prefix("head.") {
            let (dense, is_encoder) = self.dense;
            let stem = if rest == "dense" { dense } else { stem };
            return vec![format!("{}{stem}.{ending}", prefix(is_encoder))];
        }
        if stem.starts_with("classifier.") {
            let stem = if stem == format!("classifier.{ONE_HEAD}") { self.classifier } else { stem };
            return vec![format!("{stem}.{ending}")];
        }
        let layer = stem.strip_prefix("layers.").and_then(|rest| rest.split('.').next()).unwrap_or_default();
        let pattern = match layer {
            "" => stem.to_string(),
            layer => stem.replacen(&format!(".{layer}."), ".{}.", 1),
        };
        let known = self.names.iter().find(|(ours, _)| *ours == pattern);
        let parts =
            known.map_or(vec![stem.to_string()], |(_, parts)| parts.iter().map(|p| p.replace("{}", layer)).collect());
        parts.iter().map(|part| format!("{}{part}.{ending}", prefix(true))).collect()
    }

    /// The weights of a file under our names. `wanted` says which there should be, with their shapes; those for which `may_lack`
    /// holds may be missing and are then listed.
    ///
    /// # Errors
    /// A weight is missing or of another shape; the encoder has one that is not wanted.
    pub fn to_ours(
        &self,
        file: &StoredWeights,
        wanted: &[(String, Vec<usize>)],
        may_lack: impl Fn(&str) -> bool,
        path: &Path,
    ) -> Result<(StoredWeights, Vec<String>)> {
        let with_prefix = file.0.keys().any(|name| {
            name.strip_prefix(self.prefix).is_some_and(|rest| OF_ENCODERS.iter().any(|part| rest.starts_with(part)))
        });
        let (mut ours, mut lacking, mut taken) = (StoredWeights::default(), Vec::new(), BTreeSet::new());
        for (name, shape) in wanted {
            let names = self.on_disk(name, with_prefix);
            let found: Option<Vec<(&String, &Stored)>> = names.iter().map(|name| find(file, name)).collect();
            let Some(found) = found else {
                if may_lack(name) {
                    lacking.push(names[0].clone());
                    continue;
                }
                let missing = names.iter().find(|name| find(file, name).is_none()).unwrap_or(&names[0]);
                let error = Error::bad(
                    Place::file(path),
                    format!("no weight \"{missing}\""),
                    format!("one of shape {:?}, as config.json says", part_shape(shape, names.len())),
                );
                return Err(error.hint("the file is of another model or was cut short; fetch it again"));
            };
            for (name, part) in &found {
                let expected = part_shape(shape, names.len());
                if part.shape() != expected {
                    let found = format!("weight \"{name}\" of shape {:?}", part.shape());
                    let error =
                        Error::bad(Place::file(path), found, format!("shape {expected:?}, as config.json says"));
                    return Err(error.hint("weights and configuration are of two models; fetch the folder again"));
                }
                taken.insert((*name).clone());
            }
            let parts: Vec<Stored> = found.into_iter().map(|(_, part)| part.clone()).collect();
            ours.0.insert(name.clone(), Stored::joined(parts));
        }
        let unexpected = file.0.keys().find(|name| {
            let rest = name.strip_prefix(self.prefix).filter(|_| with_prefix).unwrap_or(name);
            let of_encoder = OF_ENCODERS.iter().any(|part| rest.starts_with(part));
            of_encoder && !taken.contains(*name) && !DERIVED.iter().any(|end| name.ends_with(end))
        });
        match unexpected {
            None => Ok((ours, lacking)),
            Some(name) => {
                let found = format!("weight \"{name}\", which a network of these sizes does not have");
                let error = Error::bad(Place::file(path), found, "the weights that config.json describes");
                Err(error.hint("weights and configuration are of two models; fetch the folder again"))
            }
        }
    }

    /// Weights under the family's names, as a classifier has them; the other way round than [`to_ours`](Self::to_ours).
    ///
    /// # Errors
    /// A weight cannot be cut into its parts.
    pub fn to_theirs(&self, weights: &Weights) -> Result<Weights> {
        let mut theirs = Weights::default();
        for (name, tensor) in &weights.0 {
            let names = self.on_disk(name, true);
            for (tensor, name) in tensor.chunk(names.len(), 0)?.into_iter().zip(names) {
                theirs.0.insert(name, tensor.contiguous()?);
            }
        }
        Ok(theirs)
    }
}

/// A weight of a file; norms that came from the first BERT have other endings.
fn find<'f>(file: &'f StoredWeights, name: &str) -> Option<(&'f String, &'f Stored)> {
    let old = || name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    file.0.get_key_value(name).or_else(|| file.0.get_key_value(&old()))
}

/// The shape of each part of a weight that is stored in so many.
fn part_shape(shape: &[usize], n_parts: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if let Some(rows) = shape.first_mut() {
        *rows /= n_parts;
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_disk_are_the_familys() {
        let names = |model_type: &str, name: &str| Family::of(model_type).unwrap().on_disk(name, true);
        assert_eq!(
            names("bert", "layers.11.attn.Wqkv.bias"),
            ["query", "key", "value"].map(|part| format!("bert.encoder.layer.11.attention.self.{part}.bias"))
        );
        assert_eq!(names("bert", "head.dense.weight"), ["bert.pooler.dense.weight"]);
        assert_eq!(names("xlm-roberta", "head.dense.weight"), ["classifier.dense.weight"]);
        assert_eq!(names("xlm-roberta", "classifier.label.bias"), ["classifier.out_proj.bias"]);
        assert_eq!(names("xlm-roberta", "classifier.incident.bias"), ["classifier.incident.bias"]);
        assert_eq!(
            names("distilbert", "layers.0.mlp_norm.weight"),
            ["distilbert.transformer.layer.0.output_layer_norm.weight"]
        );
        assert_eq!(names("modernbert", "layers.2.attn.Wqkv.weight"), ["model.layers.2.attn.Wqkv.weight"]);
        assert_eq!(names("modernbert", "head.norm.weight"), ["head.norm.weight"]);
        assert_eq!(names("deberta-v2", "embeddings.distance_norm.bias"), ["deberta.encoder.LayerNorm.bias"]);
    }
}
