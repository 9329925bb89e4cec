//! Every variable learns, and learns the right thing: the classifier's gradients against finite differences, and each
//! fused operation against the same maths composed of candle's own differentiable ones.

use candle_core::{DType, Device, IndexOp, Result, Tensor, Var};
use candle_nn::ops::{log_softmax, softmax};
use rasid::kernels::attention::Heads;
use rasid::kernels::cross_entropy::{CrossEntropy, Target};
use rasid::kernels::rotary::Rotary;
use rasid::model::embedding::embedding;
use rasid::model::mode::{Dropout, Precision, splitmix64};
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Classifier, Config, Mode, Pooling, Weights, Workspace, ops, plain};
use rasid::tokens::Packed;
use std::path::Path;
use std::sync::Arc;

/// Values between -`scale` and `scale`, the same for the same seed.
fn values(shape: &[usize], scale: f64, seed: u64) -> Tensor {
    let mut state = seed;
    let uniform = |_| (((splitmix64(&mut state) >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * scale) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(uniform).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn variable(shape: &[usize], scale: f64, seed: u64) -> Var {
    Var::from_tensor(&values(shape, scale, seed)).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

// ---- the classifier

fn config(classifier_pooling: Pooling) -> Config {
    Config {
        vocab_size: 11,
        hidden_size: 12,
        intermediate_size: 10,
        num_hidden_layers: 4,
        num_attention_heads: 2,
        max_position_embeddings: 16,
        type_vocab_size: 3,
        lexicon_types: ["a", "b", "c"].map(String::from).into(),
        norm_eps: 1e-5,
        global_rope_theta: 160_000.0,
        local_rope_theta: 100.0,
        global_attn_every_n_layers: 3,
        local_attention: 4,
        classifier_pooling,
        architecture: Default::default(),
    }
}

fn heads() -> Vec<(String, usize)> {
    vec![("incident".into(), 4), ("perpetrator".into(), 3)]
}

/// Three sentences with headline and previous sentence behind them, every token of the vocabulary among them.
fn batch() -> Packed {
    Packed {
        ids: vec![1, 2, 3, 4, 5, 6, 1, 7, 1, 8, 9, 10, 0, 3, 2, 5, 7, 9],
        types: vec![0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2],
        // some tokens lie in no term, some in several
        lexicon: vec![0, 1, 0, 5, 2, 0, 0, 4, 0, 7, 0, 0, 1, 0, 2, 0, 0, 6],
        starts: vec![0, 6, 8, 18],
        sentence_tokens: vec![3, 2, 5],
    }
}

/// Large enough that no gradient drowns in the rounding of the loss.
fn weights(config: &Config) -> Weights {
    let mut weights = Weights::fresh(&[encoder_table(config), head_table(config, &heads())].concat(), 5).unwrap();
    for (seed, weight) in (0..).zip(weights.0.values_mut()) {
        let around_one = if weight.rank() == 1 { 1.0 } else { 0.0 };
        let scale = if weight.rank() == 1 { 0.5 } else { 0.6 };
        let values = (values(weight.dims(), scale, seed) + around_one).unwrap();
        *weight = Var::from_tensor(&values).unwrap().into_inner();
    }
    weights
}

/// Logits of both heads times a fixed pattern, summed; dropout starts from the same seed each time.
fn loss(config: &Config, weights: &Weights, rate: f32) -> Tensor {
    loss_by(config, weights, rate, None)
}

/// [`loss`] with products in bf16 where there is a workspace.
fn loss_by(config: &Config, weights: &Weights, rate: f32, workspace: Option<Arc<Workspace>>) -> Tensor {
    let classifier = Classifier::new(config, &heads(), weights, Path::new("model.safetensors")).unwrap();
    let mut dropout = Dropout::new(17, rate);
    let logits = classifier.forward(&batch(), &mut Mode::Train(&mut dropout, workspace)).unwrap();
    let logits = Tensor::cat(&logits, 1).unwrap(); // (S, all labels)
    // Summed in double precision: the difference of two losses keeps more digits.
    (&logits * values(logits.dims(), 1.0, 99)).unwrap().to_dtype(DType::F64).unwrap().sum_all().unwrap()
}

fn settings() -> impl Iterator<Item = (Config, f32)> {
    [Pooling::Cls, Pooling::Mean].into_iter().flat_map(|pooling| [0.0, 0.25].map(|rate| (config(pooling), rate)))
}

#[test]
fn every_variable_gets_a_gradient() {
    for (config, rate) in settings() {
        let names = [encoder_table(&config), head_table(&config, &heads())].concat();
        let weights = Weights::fresh(&names, 5).unwrap();
        let classifier = Classifier::new(&config, &heads(), &weights, Path::new("model.safetensors")).unwrap();
        let mut dropout = Dropout::new(17, rate);
        let logits = classifier.forward(&batch(), &mut Mode::Train(&mut dropout, None)).unwrap();
        let losses = logits.iter().zip(heads()).map(|(logits, (_, n_labels))| {
            let settings = CrossEntropy { class_weights: vec![1.0; n_labels], label_smoothing: 0.1 };
            ops::cross_entropy(logits, vec![Target::Class(1), Target::None, Target::Class(2)], settings).unwrap()
        });
        let loss = losses.reduce(|a, b| (a + b).unwrap()).unwrap();
        let gradients = loss.backward().unwrap();
        assert_eq!(weights.0.len(), names.len());
        for (name, weight) in &weights.0 {
            let gradient = gradients.get(weight).unwrap_or_else(|| panic!("{name} has no gradient"));
            assert_eq!(gradient.dims(), weight.dims(), "{name}");
            let gradient = numbers(gradient);
            assert!(gradient.iter().all(|g| g.is_finite()), "{name}");
            assert!(gradient.iter().any(|g| *g != 0.0), "the gradient of {name} is zero");
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    const ENTRIES: usize = 20;
    let mut worst = 0.0f64;
    for (config, rate) in settings() {
        let weights = weights(&config);
        let gradients = loss(&config, &weights, rate).backward().unwrap();
        for (name, weight) in &weights.0 {
            let analytic = numbers(gradients.get(weight).unwrap());
            let at = |index: usize, delta: f32| {
                let mut moved = numbers(weight);
                moved[index] += delta;
                let mut weights = weights.clone();
                weights.0.insert(name.clone(), Tensor::from_vec(moved, weight.dims(), &Device::Cpu).unwrap());
                loss(&config, &weights, rate).to_scalar::<f64>().unwrap()
            };
            let n = analytic.len();
            let indices: Vec<usize> = (0..ENTRIES.min(n)).map(|i| i * n / ENTRIES.min(n)).collect();
            // The four-point rule has an error of h⁴: the step may be so large that rounding (about 1e-6 / h) stays small.
            let h = 1.0 / 128.0;
            let slope = |i: usize| {
                let (near, far) = (at(i, h) - at(i, -h), at(i, 2.0 * h) - at(i, -2.0 * h));
                (8.0 * near - far) / (12.0 * f64::from(h))
            };
            let largest = indices.iter().map(|i| analytic[*i].abs()).fold(0.0, f32::max);
            for i in indices {
                let distance = (slope(i) - f64::from(analytic[i])).abs() / f64::from(largest.max(0.1));
                worst = worst.max(distance);
                assert!(
                    distance < 5e-3,
                    "{name}[{i}], {:?}, rate {rate}: slope {}, gradient {}",
                    config.classifier_pooling,
                    slope(i),
                    analytic[i]
                );
            }
        }
    }
    println!("largest distance, relative to the largest gradient of the weight: {worst:e}");
}

#[test]
fn gradients_of_fused_layers_are_the_plain_ones_and_in_bf16_point_where_they_do() {
    // Precision, and how far a weight's cosine, that of all and the ratio of lengths may lie from one.
    let precisions = [(Precision::F32, [1e-6, 1e-7, 1e-5]), (Precision::Bf16, [1e-3, 1e-4, 1e-2])];
    for ((config, rate), (precision, allowed)) in settings().flat_map(|s| precisions.map(|p| (s.clone(), p))) {
        // A network as training starts from: rounding is no small matter where huge weights saturate the softmax.
        let config = Config { hidden_size: 64, intermediate_size: 48, ..config };
        let weights = Weights::fresh(&[encoder_table(&config), head_table(&config, &heads())].concat(), 5).unwrap();
        let workspace = Arc::new(Workspace::new(precision));
        let exact = loss(&config, &weights, rate).backward().unwrap();
        let rounded = loss_by(&config, &weights, rate, Some(workspace.clone())).backward().unwrap();
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut sums = [0.0; 3];
        for (name, weight) in &weights.0 {
            let exact = numbers(exact.get(weight).unwrap());
            let rounded = workspace.take(weight).unwrap_or_else(|| numbers(rounded.get(weight).unwrap()));
            let untouched = precision == Precision::F32 || !name.starts_with("layers");
            assert!(rounded != exact || untouched, "{name} was not rounded");
            let of_weight = [product(&exact, &rounded), product(&exact, &exact), product(&rounded, &rounded)];
            let cosine = of_weight[0] / (of_weight[1] * of_weight[2]).sqrt();
            assert!(cosine > 1.0 - allowed[0], "{name}, {:?}, rate {rate}: {cosine}", config.classifier_pooling);
            (0..3).for_each(|i| sums[i] += of_weight[i]);
        }
        let [dot, of_exact, of_rounded] = sums;
        assert!(dot / (of_exact * of_rounded).sqrt() > 1.0 - allowed[1], "{dot} of {of_exact} and {of_rounded}");
        assert!((of_rounded / of_exact - 1.0).abs() < allowed[2], "{of_rounded} and {of_exact}");
    }
}

#[test]
fn without_kernels_the_loss_and_all_gradients_are_the_same() {
    for (config, rate) in settings() {
        let weights = weights(&config);
        let of = |loss: Tensor| (loss.to_scalar::<f64>().unwrap(), loss.backward().unwrap());
        let (ours, of_ours) = of(loss(&config, &weights, rate));
        let (plain, of_plain) = of(plain::everywhere(|| loss(&config, &weights, rate)));
        assert!((ours - plain).abs() < 1e-5 * ours.abs().max(1.0), "{ours} {plain}");
        for (name, weight) in &weights.0 {
            let (a, b) = (numbers(of_ours.get(weight).unwrap()), numbers(of_plain.get(weight).unwrap()));
            let largest = a.iter().map(|x| x.abs()).fold(1e-3, f32::max);
            let distance = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(distance < 1e-4 * largest, "{name}: {distance} of {largest}");
        }
    }
}

// ---- each operation against candle's own

/// Both give the same values, and the same gradients of all inputs for the same gradient of the output.
fn assert_same(what: &str, inputs: &[&Var], fused: Result<Tensor>, plain: Result<Tensor>) {
    let (fused, plain) = (fused.unwrap(), plain.unwrap());
    assert_eq!(fused.dims(), plain.dims(), "{what}");
    let near = |a: &Tensor, b: &Tensor, of: &str| {
        let (a, b) = (numbers(a), numbers(b));
        let largest = b.iter().map(|x| x.abs()).fold(1.0, f32::max);
        let distance = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
        assert!(distance < 3e-6, "{what}: {of} is off by {distance:e}");
    };
    near(&fused, &plain, "the value");
    let pattern = values(fused.dims(), 1.0, 77);
    let backward = |y: &Tensor| (y * &pattern).unwrap().sum_all().unwrap().backward().unwrap();
    let (of_fused, of_plain) = (backward(&fused), backward(&plain));
    for (i, input) in inputs.iter().enumerate() {
        near(of_fused.get(input).unwrap(), of_plain.get(input).unwrap(), &format!("gradient {i}"));
    }
}

#[test]
fn linear_equals_matmul() {
    for (t, k, n) in [(1, 5, 3), (1, 300, 130), (7, 33, 20), (70, 9, 65), (300, 4, 1)] {
        let (x, w) = (variable(&[t, k], 1.0, 1), variable(&[n, k], 0.5, 2));
        let plain = || x.matmul(&w.t()?);
        assert_same(&format!("linear ({t}, {k}) to {n}"), &[&x, &w], ops::linear(&x, &w, Precision::F32), plain());
    }
    // Strides other than the usual ones, and rows that do not start at the first value.
    let (x, w) = (variable(&[6, 9], 1.0, 3), variable(&[4, 8], 0.5, 4));
    let (xt, rows) = (x.t().unwrap().i(..).unwrap(), w.narrow(0, 1, 3).unwrap().narrow(1, 2, 6).unwrap());
    assert_same(
        "linear of views",
        &[&x, &w],
        ops::linear(&xt, &rows, Precision::F32),
        xt.matmul(&rows.t().unwrap().contiguous().unwrap()),
    );
}

#[test]
fn layer_norm_equals_its_formula() {
    for (t, d) in [(1, 8), (5, 12), (3, 65)] {
        let (x, w) = (variable(&[t, d], 2.0, 1), variable(&[d], 1.0, 2));
        let plain = || {
            let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
            let deviation = (centred.sqr()?.mean_keepdim(1)? + 1e-5)?.sqrt()?;
            centred.broadcast_div(&deviation)?.broadcast_mul(&w)
        };
        assert_same("layer_norm", &[&x, &w], ops::layer_norm(&x, &w, 1e-5), plain());
    }
}

#[test]
fn geglu_equals_gelu_times_gate() {
    for scale in [0.1, 1.0, 6.0] {
        let x = variable(&[9, 14], scale, 3);
        let plain = || x.narrow(1, 0, 7)?.gelu_erf()? * x.narrow(1, 7, 7)?;
        assert_same("geglu", &[&x], ops::geglu(&x), plain());
    }
}

/// Attention sentence by sentence and head by head.
fn plain_attention(qkv: &Tensor, starts: &[usize], heads: Heads, theta: f64) -> Result<Tensor> {
    let (hd, d) = (heads.head_dim, heads.head_dim * heads.n_heads);
    let sentences = starts.windows(2).filter(|w| w[0] < w[1]).map(|w| {
        let n = w[1] - w[0];
        let rows = qkv.narrow(0, w[0], n)?;
        let angle = |position: usize, i: usize| (position as f64 * theta.powf(-2.0 * i as f64 / hd as f64)) as f32;
        let angles = (0..n).flat_map(|p| (0..hd / 2).map(move |i| angle(p, i))).collect();
        let angles = Tensor::from_vec(angles, (n, hd / 2), &Device::Cpu)?;
        let turn = |x: Tensor| {
            let (a, b) = (x.narrow(1, 0, hd / 2)?, x.narrow(1, hd / 2, hd / 2)?);
            let (cos, sin) = (angles.cos()?, angles.sin()?);
            Tensor::cat(&[((&a * &cos)? - (&b * &sin)?)?, ((&b * &cos)? + (&a * &sin)?)?], 1)
        };
        let seen = |i: usize, j: usize| heads.window.is_none_or(|window| i.abs_diff(j) <= window);
        let mask = (0..n * n).map(|at| if seen(at / n, at % n) { 0.0f32 } else { -1e30 }).collect();
        let mask = Tensor::from_vec(mask, (n, n), &Device::Cpu)?;
        let of_heads = (0..heads.n_heads).map(|head| {
            let part = |i: usize| rows.narrow(1, i * d + head * hd, hd);
            let (q, k, v) = (turn(part(0)?)?, turn(part(1)?)?, part(2)?.contiguous()?);
            let scores = (q.matmul(&k.t()?)? * (1.0 / (hd as f64).sqrt()))?;
            softmax(&(scores + &mask)?, 1)?.matmul(&v) // (n, head_dim)
        });
        Tensor::cat(&of_heads.collect::<Result<Vec<_>>>()?, 1) // (n, D)
    });
    Tensor::cat(&sentences.collect::<Result<Vec<_>>>()?, 0) // (T, D)
}

#[test]
fn attention_equals_softmax_between_products() {
    let starts = vec![0, 3, 4, 4, 11, 23];
    for (n_heads, head_dim) in [(1, 4), (3, 6)] {
        for window in [None, Some(0), Some(1), Some(4), Some(40)] {
            let heads = Heads { n_heads, head_dim, window };
            let qkv = variable(&[23, 3 * n_heads * head_dim], 2.0, 5);
            let rotary = Arc::new(Rotary::new(16, head_dim, 100.0));
            let fused = ops::packed_attention(&qkv, Arc::new(starts.clone()), heads, rotary);
            assert_same(&format!("{heads:?}"), &[&qkv], fused, plain_attention(&qkv, &starts, heads, 100.0));
        }
    }
}

#[test]
fn mean_of_rows_equals_the_mean_of_slices() {
    let x = variable(&[9, 5], 1.0, 6);
    // Ranges may leave rows out, share them, and be empty.
    let ranges = vec![0..1, 1..4, 3..9, 5..5];
    let plain = || {
        let rows = ranges.iter().map(|r| match r.len() {
            0 => Tensor::zeros(5, DType::F32, &Device::Cpu),
            n => x.narrow(0, r.start, n)?.mean(0),
        });
        Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)
    };
    assert_same("mean_of_rows", &[&x], ops::mean_of_rows(&x, ranges.clone()), plain());
}

#[test]
fn embedding_equals_index_select() {
    let table = variable(&[6, 4], 1.0, 7);
    let ids = vec![5u32, 0, 5, 2, 2, 5];
    let plain = table.index_select(&Tensor::new(ids.as_slice(), &Device::Cpu).unwrap(), 0);
    assert_same("embedding", &[&table], embedding(&table, Arc::new(ids), None), plain);
    assert!(embedding(&table, Arc::new(vec![6]), None).is_err());
}

#[test]
fn cross_entropy_equals_log_softmax_of_the_targets() {
    let shares = |a: f32, b: f32, c: f32| Target::Shares(vec![a, b, c]);
    let targets = [Target::Class(2), Target::None, Target::Class(0), shares(0.1, 0.6, 0.3), Target::Class(2)];
    let weightings = [vec![1.0f32; 3], vec![0.5, 1.0, 3.0]];
    for (class_weights, label_smoothing) in weightings.into_iter().flat_map(|w| [0.0f32, 0.2].map(|s| (w.clone(), s))) {
        let logits = variable(&[5, 3], 4.0, 8);
        let plain = || {
            let share = |row: usize, c: usize| match &targets[row] {
                Target::None => 0.0,
                Target::Class(y) => {
                    let smooth = label_smoothing / 3.0 * class_weights[c];
                    if c == *y { smooth + (1.0 - label_smoothing) * class_weights[*y] } else { smooth }
                }
                Target::Shares(shares) => shares[c],
            };
            let shares = Tensor::from_vec((0..15).map(|i| share(i / 3, i % 3)).collect(), (5, 3), &Device::Cpu)?;
            let weight = |target: &Target| match target {
                Target::None => 0.0,
                Target::Class(y) => class_weights[*y],
                Target::Shares(_) => 1.0,
            };
            let total: f32 = targets.iter().map(weight).sum();
            (log_softmax(&logits, 1)? * shares)?.sum_all()? * (-1.0 / f64::from(total))
        };
        let settings = CrossEntropy { class_weights: class_weights.clone(), label_smoothing };
        assert_same("cross_entropy", &[&logits], ops::cross_entropy(&logits, targets.to_vec(), settings), plain());
    }
}
