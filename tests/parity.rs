//! The encoder against transformers' ModernBERT: hidden states and gradients of a tiny model with random weights.
//!
//! `tests/fixtures/modernbert/make.py` made the fixture and says how. There each sentence was run alone; here all of them
//! are packed into one batch.

use candle_core::{Device, Tensor, Var};
use rasid::model::weights::head_table;
use rasid::model::{Classifier, Config, Encoder, Engine, Mode, NumberFormat, Pooling, StoredWeights, Weights};
use rasid::tokens::{Encoded, Packed};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/modernbert");

#[derive(Deserialize)]
struct Expected {
    sentences: Vec<Sentence>,
    loss: f32,
    gradients: BTreeMap<String, Vec<Slope>>,
}

#[derive(Deserialize)]
struct Sentence {
    ids: Vec<u32>,
    first: Vec<f32>,
    last: Vec<f32>,
    spread: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    token: usize,
    channel: usize,
    value: f32,
}

#[derive(Deserialize)]
struct Slope {
    index: usize,
    value: f32,
}

fn expected() -> Expected {
    serde_json::from_str(&fs::read_to_string(format!("{FIXTURE}/expected.json")).unwrap()).unwrap()
}

fn config() -> Config {
    serde_json::from_str(&fs::read_to_string(format!("{FIXTURE}/config.json")).unwrap()).unwrap()
}

/// The fixture's weights, as variables.
fn weights() -> Weights {
    let loaded = candle_core::safetensors::load(format!("{FIXTURE}/model.safetensors"), &Device::Cpu).unwrap();
    Weights(loaded.into_iter().map(|(name, w)| (name, Var::from_tensor(&w).unwrap().into_inner())).collect())
}

fn encoder(config: &Config) -> Encoder {
    Encoder::new(config, &weights(), Path::new("model.safetensors")).unwrap()
}

fn pack<'s>(sentences: impl IntoIterator<Item = &'s Sentence>) -> Packed {
    let encoded: Vec<Encoded> = sentences
        .into_iter()
        .map(|s| {
            let n = s.ids.len();
            Encoded { ids: s.ids.clone(), types: vec![0; n], sentence_tokens: n, ..Encoded::default() }
        })
        .collect();
    Packed::new(&encoded.iter().collect::<Vec<_>>())
}

/// Hidden states, one row a token.
fn hidden_states(config: &Config, batch: &Packed) -> Vec<Vec<f32>> {
    encoder(config).forward(batch, &mut Mode::Eval).unwrap().to_vec2().unwrap()
}

/// Hidden states by the network in use, one row a token.
fn hidden_states_in_use(config: &Config, format: NumberFormat, batch: &Packed) -> Vec<Vec<f32>> {
    let weights = StoredWeights::from_tensors(&weights()).unwrap();
    let engine = Engine::new(config, &[], &weights, format, Path::new("model.safetensors")).unwrap();
    let hidden = engine.hidden_states(batch).unwrap();
    hidden.chunks(config.hidden_size).map(<[f32]>::to_vec).collect()
}

/// The largest distance between the hidden states of the batch and those that transformers gives.
fn largest_distance(config: &Config) -> f32 {
    distance(config, |batch| hidden_states(config, batch))
}

fn distance(config: &Config, hidden_states: impl Fn(&Packed) -> Vec<Vec<f32>>) -> f32 {
    let expected = expected();
    let batch = pack(&expected.sentences);
    let hidden = hidden_states(&batch);
    let mut distances = vec![];
    for (sentence, bounds) in expected.sentences.iter().zip(batch.starts.windows(2)) {
        let rows = &hidden[bounds[0]..bounds[1]];
        let (first, last) = (rows.first().unwrap(), rows.last().unwrap());
        assert_eq!((sentence.first.len(), sentence.last.len()), (config.hidden_size, config.hidden_size));
        distances.extend(sentence.first.iter().zip(first).map(|(e, f)| (e - f).abs()));
        distances.extend(sentence.last.iter().zip(last).map(|(e, f)| (e - f).abs()));
        distances.extend(sentence.spread.iter().map(|at| (at.value - rows[at.token][at.channel]).abs()));
    }
    distances.into_iter().reduce(f32::max).unwrap()
}

#[test]
fn hidden_states_are_those_of_transformers() {
    let distance = largest_distance(&config());
    println!("largest distance {distance:e}");
    assert!(distance < 1e-5, "{distance:e}");
}

#[test]
fn hidden_states_in_use_are_those_of_transformers() {
    let config = config();
    // Largest distances allowed: numbers of 24 bits, and of 8.
    for (format, allowed) in [(NumberFormat::F32, 1e-5), (NumberFormat::Bf16, 0.1), (NumberFormat::Int8, 0.15)] {
        let distance = distance(&config, |batch| hidden_states_in_use(&config, format, batch));
        println!("{}: largest distance {distance:e}", format.name());
        assert!(distance < allowed, "{}: {distance:e}", format.name());
    }
}

#[test]
fn the_fixture_notices_another_window_other_angles_and_other_layers() {
    let good = config();
    let wrong = [
        Config { local_attention: good.local_attention + 2, ..good.clone() },
        Config { local_attention: good.local_attention - 2, ..good.clone() },
        Config { local_rope_theta: good.global_rope_theta, ..good.clone() },
        Config { global_rope_theta: good.local_rope_theta, ..good.clone() },
        Config { global_attn_every_n_layers: 2, ..good.clone() },
        Config { norm_eps: 1e-3, ..good.clone() },
    ];
    for config in wrong {
        let distance = largest_distance(&config);
        assert!(distance > 1e-4, "{distance:e} with {config:?}");
    }
}

#[test]
fn gradients_are_those_of_transformers() {
    let (config, expected, weights) = (config(), expected(), weights());
    let batch = pack(&expected.sentences);
    let encoder = Encoder::new(&config, &weights, Path::new("model.safetensors")).unwrap();
    let hidden = encoder.forward(&batch, &mut Mode::Eval).unwrap(); // (T, D)
    let (t, d) = hidden.dims2().unwrap();
    let pattern = (0..t * d).map(|i| (0.9 * (i / d) as f64 + 0.37 * (i % d) as f64).cos() as f32).collect();
    let loss = (hidden * Tensor::from_vec(pattern, (t, d), &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
    let distance = (loss.to_scalar::<f32>().unwrap() - expected.loss).abs();
    assert!(distance < 1e-4, "loss off by {distance:e}");

    let gradients = loss.backward().unwrap();
    let mut worst = 0.0f32;
    for (name, slopes) in &expected.gradients {
        let gradient: Vec<f32> = gradients.get(&weights.0[name]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        // Relative to the value itself, but to no less than a tenth of the largest one of this weight: nearer to zero, what is
        // left after terms of that size cancel is rounding, in both programs.
        let largest = slopes.iter().map(|s| s.value.abs()).fold(0.0, f32::max);
        for Slope { index, value } in slopes {
            let distance = (gradient[*index] - value).abs() / value.abs().max(largest / 10.0);
            worst = worst.max(distance);
            assert!(distance < 1e-4, "{name}[{index}]: {} where transformers has {value}", gradient[*index]);
        }
    }
    println!("largest relative distance {worst:e}");
}

#[test]
fn a_sentence_alone_has_the_bits_it_has_in_a_batch() {
    let (config, expected) = (config(), expected());
    let batch = pack(&expected.sentences);
    let together = hidden_states(&config, &batch);
    for (sentence, bounds) in expected.sentences.iter().zip(batch.starts.windows(2)) {
        let alone = hidden_states(&config, &pack([sentence]));
        assert!(alone == together[bounds[0]..bounds[1]], "a sentence of {} tokens", sentence.ids.len());
    }
}

#[test]
fn logits_of_a_sentence_alone_have_the_bits_they_have_in_a_batch() {
    let expected = expected();
    let heads = [("incident".to_string(), 4), ("perpetrator".to_string(), 7)];
    for classifier_pooling in [Pooling::Cls, Pooling::Mean] {
        let config = Config { classifier_pooling, ..config() };
        let mut weights = weights();
        weights.0.extend(Weights::fresh(&head_table(&config, &heads), 3).unwrap().0);
        let classifier = Classifier::new(&config, &heads, &weights, Path::new("model.safetensors")).unwrap();
        let logits = |batch: &Packed| -> Vec<Vec<Vec<f32>>> {
            let heads = classifier.forward(batch, &mut Mode::Eval).unwrap();
            heads.iter().map(|logits| logits.to_vec2().unwrap()).collect()
        };
        let together = logits(&pack(&expected.sentences));
        for (i, sentence) in expected.sentences.iter().enumerate() {
            let alone = logits(&pack([sentence]));
            for (alone, together) in alone.iter().zip(&together) {
                assert!(alone[0] == together[i], "{classifier_pooling:?}, a sentence of {} tokens", sentence.ids.len());
            }
        }
    }
}
