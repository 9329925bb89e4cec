//! Encoders and classifiers that other programs wrote, family by family, against what transformers computes with them.
//!
//! `tests/fixtures/families/make.py` made the fixtures and says how.

use candle_core::{Tensor, Var};
use rasid::article::{Classify, SentenceInput};
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Classifier, Encoder, Mode, NumberFormat, StoredWeights, Weights};
use rasid::model_dir::families::{FAMILIES, Family, ONE_HEAD};
use rasid::model_dir::{self, ConfigJson};
use rasid::tokens::{Context, Encoded, InputConfig, Packed, Tokenizer};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The families that have a fixture; RoBERTa's and CamemBERT's checkpoints are built like XLM-R's.
const FIXTURES: [&str; 5] = ["bert", "xlm-roberta", "distilbert", "modernbert", "deberta-v2"];

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Text>,
    loss: f32,
    gradients: BTreeMap<String, Vec<At>>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
    hidden: Vec<Vec<At>>,
    logits: Vec<f32>,
}

#[derive(Deserialize)]
struct At {
    index: usize,
    value: f32,
}

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families").join(family)
}

fn expected(family: &str) -> Expected {
    serde_json::from_str(&fs::read_to_string(folder(family).join("expected.json")).unwrap()).unwrap()
}

fn config(family: &str) -> ConfigJson {
    let path = folder(family).join("config.json");
    ConfigJson::parse(&fs::read(&path).unwrap(), &path).unwrap()
}

/// Name and number of labels of the fixtures' head.
fn heads() -> Vec<(String, usize)> {
    vec![(ONE_HEAD.to_string(), 3)]
}

/// All weights of a fixture under our names, as variables.
fn weights(family: &str) -> Weights {
    let (path, config) = (folder(family).join("model.safetensors"), config(family).encoder);
    let bytes = rasid::model::Bytes::Shared(Arc::new(fs::read(&path).unwrap()));
    let file = StoredWeights::find(bytes, &path).unwrap();
    let tables = [encoder_table(&config), head_table(&config, &heads())].concat();
    let wanted: Vec<_> = tables.into_iter().map(|(name, shape, _)| (name, shape)).collect();
    let (stored, lacking) = Family::of(family).unwrap().to_ours(&file, &wanted, |_| false, &path).unwrap();
    assert!(lacking.is_empty());
    let tensors = stored.to_tensors().unwrap().0;
    Weights(tensors.into_iter().map(|(name, t)| (name, Var::from_tensor(&t).unwrap().into_inner())).collect())
}

fn encode(family: &str, texts: &[Text]) -> Vec<Encoded> {
    let tokenizer = Tokenizer::read(&folder(family).join("tokenizer.json")).unwrap();
    let input = InputConfig { max_tokens: config(family).encoder.max_position_embeddings, context: Context::None };
    let encode = |t: &Text| tokenizer.encode(SentenceInput::of("und", &t.text, &None, &None), &input).unwrap();
    texts.iter().map(encode).collect()
}

fn pack(encoded: &[Encoded]) -> Packed {
    Packed::new(&encoded.iter().collect::<Vec<_>>())
}

#[test]
fn every_family_is_known_by_its_model_type_alone() {
    for family in &FAMILIES {
        assert!(std::ptr::eq(Family::of(family.model_type).unwrap(), family));
    }
    assert!(FIXTURES.iter().all(|family| Family::of(family).is_some()) && Family::of("rasid").is_none());
}

#[test]
fn token_ids_are_those_of_transformers() {
    for family in FIXTURES {
        let expected = expected(family);
        for (text, encoded) in expected.texts.iter().zip(encode(family, &expected.texts)) {
            assert_eq!(encoded.ids, text.ids, "{family}: {:?}", text.text);
            assert_eq!(encoded.truncated, text.ids.len() == 40, "{family}: {:?}", text.text);
        }
    }
}

#[test]
fn the_vectors_after_every_layer_are_those_of_transformers() {
    for family in FIXTURES {
        let (expected, config) = (expected(family), config(family).encoder);
        let encoder = Encoder::new(&config, &weights(family), Path::new("model.safetensors")).unwrap();
        let batch = pack(&encode(family, &expected.texts));
        let layers = encoder.hidden_states(&batch).unwrap();
        let layers: Vec<Vec<f32>> = layers.iter().map(|l| l.flatten_all().unwrap().to_vec1().unwrap()).collect();
        let n_layers = config.num_hidden_layers;
        let (mut worst, mut compared) = (0.0f32, 0);
        for (text, start) in expected.texts.iter().zip(&batch.starts) {
            assert_eq!(text.hidden.len(), n_layers + 1, "{family}");
            for (i, values) in text.hidden.iter().enumerate() {
                // What transformers gives last has gone through the final norm, where there is one.
                let ours = if i == n_layers { layers.last().unwrap() } else { &layers[i] };
                for at in values {
                    worst = worst.max((at.value - ours[start * config.hidden_size + at.index]).abs());
                    compared += 1;
                }
            }
        }
        println!("{family}: {compared} values, largest distance {worst:e}");
        assert!(worst < 5e-5, "{family}: {worst:e}");
    }
}

#[test]
fn logits_in_use_are_those_of_transformers() {
    for family in FIXTURES {
        let expected = expected(family);
        // Largest distances allowed: numbers of 24 bits, and of 8.
        for (format, allowed) in [(NumberFormat::F32, 2e-5), (NumberFormat::Int8, 0.5)] {
            let model = model_dir::open(&folder(family), format).unwrap();
            let logits = model.logits(&encode(family, &expected.texts)).unwrap();
            let distances = expected.texts.iter().zip(&logits).flat_map(|(text, heads)| {
                assert_eq!(heads[0].len(), text.logits.len());
                heads[0].iter().zip(&text.logits).map(|(a, b)| (a - b).abs())
            });
            let worst = distances.fold(0.0f32, f32::max);
            println!("{family}, {}: largest distance {worst:e}", format.name());
            assert!(worst < allowed, "{family}, {}: {worst:e}", format.name());
        }
    }
}

#[test]
fn gradients_of_every_weight_are_those_of_autograd() {
    for family in FIXTURES {
        let (expected, config, weights) = (expected(family), config(family).encoder, weights(family));
        let network = Classifier::new(&config, &heads(), &weights, Path::new("model.safetensors")).unwrap();
        let batch = pack(&encode(family, &expected.texts));
        let logits = network.forward(&batch, &mut Mode::Eval).unwrap().remove(0); // (S, 3)
        let pattern = (1..=expected.texts.len())
            .flat_map(|text| (0..3).map(move |label| (label as f32 * 0.9 + 0.37 * text as f32).cos()))
            .collect();
        let pattern = Tensor::from_vec(pattern, logits.shape(), logits.device()).unwrap();
        let loss = (logits * pattern).unwrap().sum_all().unwrap();
        let distance = (loss.to_scalar::<f32>().unwrap() - expected.loss).abs();
        assert!(distance < 1e-4, "{family}: loss off by {distance:e}");

        let store = loss.backward().unwrap();
        let gradient = |(name, weight): (&String, &Tensor)| {
            let gradient = store.get(weight).unwrap_or_else(|| panic!("{family}: {name} has no gradient"));
            (name.clone(), gradient.clone())
        };
        let ours = Weights(weights.0.iter().map(gradient).collect());
        let theirs = Family::of(family).unwrap().to_theirs(&ours).unwrap();
        assert!(theirs.0.keys().eq(expected.gradients.keys()), "{family}: other weights have gradients");
        let mut worst = 0.0f32;
        for (name, slopes) in &expected.gradients {
            let gradient: Vec<f32> = theirs.0[name].flatten_all().unwrap().to_vec1().unwrap();
            // Relative to no less than a tenth of the largest one, and to no less than 5e-3: nearer to
            // zero, where the biases of keys are, what is left is rounding in both programs.
            let largest = slopes.iter().map(|s| s.value.abs()).fold(0.0, f32::max);
            for At { index, value } in slopes {
                let distance = (gradient[*index] - value).abs() / value.abs().max(largest / 10.0).max(5e-3);
                worst = worst.max(distance);
                assert!(distance < 1e-3, "{family}: {name}[{index}]: {} where autograd has {value}", gradient[*index]);
            }
        }
        println!("{family}: {} weights, largest relative distance {worst:e}", expected.gradients.len());
    }
}

#[test]
fn a_classifier_of_another_program_tags_with_its_own_labels() {
    let text = SentenceInput::of("en", "Three rockets fell near the base.", &None, &None);
    for family in FIXTURES {
        let model = model_dir::open(&folder(family), NumberFormat::F32).unwrap();
        let names: Vec<&str> = model.schema().heads[0].names().collect();
        assert_eq!((model.schema().heads.len(), &names[..]), (1, &["attack", "statement", "nothing"][..]), "{family}");
        assert_eq!(model.name, family);
        let prediction = &model.classify(&[text]).unwrap()[0];
        let sum: f32 = prediction.tags[0].probabilities.iter().sum();
        // Several labels at once: each probability stands for itself.
        assert_eq!((sum - 1.0).abs() < 1e-5, family != "distilbert", "{family}: {sum}");
    }
}
