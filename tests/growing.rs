//! A base in a larger network: it says what it said, and all of what was added learns.

use rasid::model::mode::Precision;
use rasid::model::{Config, Weights, Workspace};
use rasid::model_dir::open_base;
use rasid::pretrain::PretrainRecipe;
use rasid::pretrain::grow::{fault, grow};
use rasid::pretrain::masking::Words;
use rasid::pretrain::objective::{MaskedLanguageModel, gradients, perplexity, weight_table};
use rasid::tokens::{Encoded, Tokenizer};
use rasid::train::optimizer::Optimizer;
use std::path::Path;

const LINES: [&str; 6] = [
    "أعلنت وزارة الدفاع العراقية مقتل خمسة عناصر من تنظيم داعش في غارة جوية شمال بغداد",
    "قال المتحدث باسم التحالف الدولي إن القاعدة تعرضت لهجوم بطائرة مسيرة",
    "The governor said the talks would continue next week in Baghdad",
    "Rockets landed near the base late on Monday, and nobody was hurt",
    "سخنگوی وزارت خارجه این حمله را محکوم کرد",
    "Le ministre a annoncé que les négociations se poursuivraient",
];

fn sequences(tokenizer: &Tokenizer) -> Vec<Encoded> {
    let sequence = |line: &&str| {
        rasid::pretrain::sampler::sequence(tokenizer.text_ids(line).unwrap().into_iter(), None, 64, tokenizer)
    };
    LINES.iter().map(sequence).collect()
}

fn sizes(small: &Config, (d, f, layers): (usize, usize, usize)) -> Config {
    let n_heads = d / small.head_dim();
    Config {
        hidden_size: d,
        intermediate_size: f,
        num_hidden_layers: layers,
        num_attention_heads: n_heads,
        ..small.clone()
    }
}

fn value(network: &MaskedLanguageModel, words: &Words, sequences: &[Encoded]) -> f64 {
    perplexity(network, words, sequences, 0.3, 2).unwrap().unwrap()
}

#[test]
fn a_grown_base_fills_in_what_the_base_did() {
    let base = open_base(Path::new("models/base")).unwrap();
    let (small, words, sequences) = (&base.config.encoder, Words::new(&base.tokenizer), sequences(&base.tokenizer));
    let expected = value(&MaskedLanguageModel::new(small, &base.weights).unwrap(), &words, &sequences);
    let (d, f, layers) = (small.hidden_size, small.intermediate_size, small.num_hidden_layers);
    let (wider, twice) = (d + small.head_dim(), 2 * d);
    for wanted in
        [(d, f, layers), (d, f, layers + 3), (d, f + 256, layers), (wider, f, layers), (twice, 2 * f, layers + 2)]
    {
        let large = sizes(small, wanted);
        assert_eq!(fault(small, &large), None);
        let fresh = Weights::fresh(&weight_table(&large), 1).unwrap();
        let grown = grow(&base.weights, small, &large, &fresh).unwrap();
        let found = value(&MaskedLanguageModel::new(&large, &grown).unwrap(), &words, &sequences);
        assert!((found / expected).ln().abs() < 0.05, "{wanted:?}: perplexity {found}, the base's {expected}");
        let unlike = value(&MaskedLanguageModel::new(&large, &fresh).unwrap(), &words, &sequences);
        assert!(unlike > 20.0 * expected, "{wanted:?}: a network from nothing has {unlike}");
    }
}

#[test]
fn all_that_was_added_learns() {
    let tokenizer = Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).unwrap();
    let base = open_base(Path::new("models/base")).unwrap().config.encoder;
    let small = Config { hidden_size: 16, intermediate_size: 12, num_hidden_layers: 2, num_attention_heads: 2, ..base };
    let large = sizes(&small, (24, 20, 3));
    let fresh = |config: &Config| Weights::fresh(&weight_table(config), 1).unwrap();
    let grown = grow(&fresh(&small), &small, &large, &fresh(&large)).unwrap();
    let network = MaskedLanguageModel::new(&large, &grown).unwrap();
    let (words, sequences) = (Words::new(&tokenizer), sequences(&tokenizer));
    let values = || -> Vec<Vec<f32>> {
        grown.0.values().map(|weight| weight.flatten_all().unwrap().to_vec1().unwrap()).collect()
    };
    let before = values();
    let settings = PretrainRecipe::resolve(None, &["training.weight_decay=0".into()]).unwrap().adamw();
    let mut optimizer = Optimizer::default();
    for step in 0..3 {
        let workspaces = Workspace::for_workers(Precision::F32, 1);
        let asked = (0.3, 0.0, workspaces.as_slice());
        let (_, gradients) = gradients(&network, &grown, &words, &sequences, asked, step, 1).unwrap();
        optimizer.step(&grown, &gradients, 1e-3, large.num_hidden_layers, &settings, 1).unwrap();
    }
    for ((name, before), after) in grown.0.keys().zip(before).zip(values()) {
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let share = moved as f64 / before.len() as f64;
        // Kinds of token that these lines do not have stay as they are.
        let least = if name.contains("token_type") { 0.3 } else { 0.95 };
        assert!(share > least, "{name}: {share} of its values learn");
    }
}

#[test]
fn a_network_that_cannot_hold_the_base_is_told_apart() {
    let small = open_base(Path::new("models/base")).unwrap().config.encoder;
    let small =
        Config { hidden_size: 256, intermediate_size: 384, num_hidden_layers: 4, num_attention_heads: 4, ..small };
    for (wanted, found, expected) in [
        ((192, 384, 4), "hidden_size = 192", "256, the base's, or more"),
        ((256, 300, 4), "intermediate_size = 300", "384, the base's, or more"),
        ((256, 384, 3), "num_hidden_layers = 3", "4, the base's, or more"),
    ] {
        assert_eq!(fault(&small, &sizes(&small, wanted)), Some((found.into(), expected.into())));
    }
    let narrow = Config { num_attention_heads: 8, ..sizes(&small, (384, 384, 4)) };
    let found = "num_attention_heads = 8 with hidden_size = 384";
    let expected = "heads of 64 channels, as the base has them";
    assert_eq!(fault(&small, &narrow), Some((found.into(), expected.into())));
}
