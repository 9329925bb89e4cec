//! The network in use against the network in training: the same logits, alone and in any batch, in every number format.

use proptest::prelude::*;
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Classifier, Config, Engine, Mode, NumberFormat, Pooling, StoredWeights, Weights};
use rasid::tokens::{Encoded, Packed};
use std::path::Path;

const N_TYPES: usize = 5;

fn config(pooling: Pooling) -> Config {
    Config {
        vocab_size: 50,
        hidden_size: 48,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 2,
        max_position_embeddings: 64,
        type_vocab_size: 3,
        lexicon_types: (0..N_TYPES).map(|i| format!("type {i}")).collect(),
        norm_eps: 1e-5,
        global_rope_theta: 10_000.0,
        local_rope_theta: 1_000.0,
        global_attn_every_n_layers: 2,
        local_attention: 8,
        classifier_pooling: pooling,
        architecture: Default::default(),
    }
}

fn heads() -> Vec<(String, usize)> {
    vec![("incident".into(), 4), ("perpetrator".into(), 7)]
}

/// Weights whose norms and biases are not what they start as.
fn weights(config: &Config) -> Weights {
    let mut table = encoder_table(config);
    table.extend(head_table(config, &heads()));
    let mut weights = Weights::fresh(&table, 11).unwrap();
    for (name, tensor) in &mut weights.0 {
        if tensor.rank() == 1 {
            let n = tensor.dims1().unwrap();
            let values: Vec<f32> = (0..n).map(|i| 1.0 + 0.3 * ((i + name.len()) as f32).sin()).collect();
            *tensor = candle_core::Tensor::new(values, &candle_core::Device::Cpu).unwrap();
        }
    }
    weights
}

fn engine(config: &Config, format: NumberFormat) -> Engine {
    let weights = StoredWeights::from_tensors(&weights(config)).unwrap();
    Engine::new(config, &heads(), &weights, format, Path::new("weights")).unwrap()
}

/// A sentence of `n` tokens, the last third of them context.
fn sentence(n: usize, seed: usize) -> Encoded {
    let own = n - n / 3;
    Encoded {
        ids: (0..n).map(|i| ((i * 7 + seed * 13) % 50) as u32).collect(),
        types: (0..n).map(|i| u32::from(i >= own) * (1 + (seed % 2) as u32)).collect(),
        lexicon: (0..n).map(|i| ((i + seed) % 4) as u64 * 5).collect(),
        sentence_tokens: own,
        truncated: false,
    }
}

/// Logits of a sentence after the other, the heads of one side by side.
fn logits(engine: &Engine, sentences: &[&Encoded]) -> Vec<Vec<f32>> {
    let heads = engine.logits(&Packed::new(sentences)).unwrap();
    (0..sentences.len()).map(|i| [&heads[0][i * 4..][..4], &heads[1][i * 7..][..7]].concat()).collect()
}

fn largest_distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    a.concat().iter().zip(b.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn logits_are_those_of_the_network_in_training(lengths in prop::collection::vec(1usize..65, 0..6), cls: bool) {
        let config = config(if cls { Pooling::Cls } else { Pooling::Mean });
        let sentences: Vec<Encoded> = lengths.iter().enumerate().map(|(i, n)| sentence(*n, i)).collect();
        let sentences: Vec<&Encoded> = sentences.iter().collect();
        let training = Classifier::new(&config, &heads(), &weights(&config), Path::new("weights")).unwrap();
        let tensors = training.forward(&Packed::new(&sentences), &mut Mode::Eval).unwrap();
        let rows: Vec<Vec<Vec<f32>>> = tensors.iter().map(|t| t.to_vec2().unwrap()).collect();
        let expected: Vec<Vec<f32>> = rows[0].iter().zip(&rows[1]).map(|(a, b)| [&a[..], b].concat()).collect();
        let size = expected.iter().flatten().map(|x| x.abs()).fold(0.0, f32::max);
        for (format, allowed) in [(NumberFormat::F32, 1e-5), (NumberFormat::Bf16, 0.05), (NumberFormat::Int8, 0.05)] {
            let distance = largest_distance(&logits(&engine(&config, format), &sentences), &expected);
            prop_assert!(distance <= allowed * size.max(1.0), "{}: {distance} of {size}", format.name());
        }
    }
}

#[test]
fn a_sentence_has_the_same_bits_alone_in_any_batch_and_from_call_to_call() {
    let config = config(Pooling::Mean);
    let sentences: Vec<Encoded> = [1, 2, 3, 12, 13, 29, 31, 40, 64].iter().map(|n| sentence(*n, *n)).collect();
    let all: Vec<&Encoded> = sentences.iter().collect();
    let turned: Vec<&Encoded> = sentences.iter().rev().collect();
    for format in [NumberFormat::F32, NumberFormat::Bf16, NumberFormat::Int8] {
        let engine = engine(&config, format);
        let together = logits(&engine, &all);
        for (sentence, expected) in all.iter().zip(&together) {
            assert_eq!(&logits(&engine, &[sentence])[0], expected, "{}", format.name());
        }
        let mut back = logits(&engine, &turned);
        back.reverse();
        assert_eq!(back, together, "{}", format.name());
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let engine = engine(&config(Pooling::Mean), NumberFormat::F32);
    let of = |sentence: Encoded| engine.logits(&Packed::new(&[&sentence])).unwrap_err().to_string();
    let long = of(sentence(65, 0));
    assert!(long.contains("65 tokens") && long.contains("at most 64"), "{long}");
    let unknown = of(Encoded { ids: vec![3, 50], types: vec![0; 2], sentence_tokens: 2, ..Encoded::default() });
    assert!(unknown.contains("token id 50") && unknown.contains("at most 49"), "{unknown}");
    // A batch that failed leaves nothing behind.
    let good = sentence(9, 1);
    assert!(logits(&engine, &[&good])[0].iter().all(|x| x.is_finite()));
}

/// A safetensors file with the weights as the tests want them stored.
fn file(tensors: &[(&str, safetensors::Dtype, Vec<usize>, Vec<u8>)]) -> rasid::model::Bytes {
    let views: Vec<(&str, safetensors::tensor::TensorView<'_>)> = tensors
        .iter()
        .map(|(name, dtype, shape, data)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
        })
        .collect();
    rasid::model::Bytes::Shared(std::sync::Arc::new(safetensors::tensor::serialize(views, None).unwrap()))
}

#[test]
fn numbers_of_every_kind_are_read_where_they_lie() {
    use safetensors::Dtype::{BF16, F16, F32, I8, I64};
    let values: Vec<f32> = (0..300).map(|i| (i as f32 - 150.0) / 64.0).collect();
    let f16: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let bf16: Vec<u8> = values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
    let scales = [0.5f32, 2.0];
    let bytes = file(&[
        ("a", F32, vec![2, 150], values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("b", F16, vec![2, 150], f16),
        ("c", BF16, vec![2, 150], bf16),
        ("d", I8, vec![2, 3], [1i8, -2, 3, -127, 0, 127].map(|v| v as u8).to_vec()),
        ("d_scale", F32, vec![2], scales.iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("e", I64, vec![1], vec![0; 8]),
    ]);
    let weights = StoredWeights::find(bytes, Path::new("w")).unwrap();
    assert_eq!(weights.0.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let get = |name| weights.0[name].to_f32();
    assert_eq!(get("a"), values);
    assert_eq!(get("b"), values);
    assert!(get("c").iter().zip(&values).all(|(a, b)| (a - b).abs() <= b.abs() / 256.0));
    assert_eq!(get("d"), [0.5, -1.0, 1.5, -254.0, 0.0, 254.0]);
    for name in ["a", "b", "d"] {
        let (all, columns) = (get(name), weights.0[name].shape()[1]);
        let mut row = vec![0.0; columns];
        weights.0[name].row(1, &mut row).unwrap();
        assert_eq!(row, all[columns..], "{name}");
        assert!(weights.0[name].row(2, &mut row).is_none());
    }
    let tensors = weights.to_tensors().unwrap();
    assert_eq!(tensors.0["d"].to_vec2::<f32>().unwrap()[1], [-254.0, 0.0, 254.0]);
}

#[test]
fn whole_numbers_with_too_few_scales_are_refused() {
    use safetensors::Dtype::{F32, I8};
    let bytes = file(&[("d", I8, vec![2, 3], vec![0; 6]), ("d_scale", F32, vec![1], vec![0; 4])]);
    let error = StoredWeights::find(bytes, Path::new("w")).unwrap_err().to_string();
    assert!(error.contains("1 scales of weight \"d\"") && error.contains("2, one a row"), "{error}");
}
