//! How many tokens a second does a training step learn from, in f32 and in bf16? See README.md beside this file.
//!
//! `cargo bench --bench train_speed [-- WORD…]` measures the tasks, shapes and precisions named, or all. A line holds task, shape,
//! precision, tokens a second by the clock, and tokens a second of processor time (of one core).

use rasid::kernels::cross_entropy::{CrossEntropy, Target};
use rasid::kernels::threads::{default_workers, single_threaded_tensors};
use rasid::kernels::{bf16, panels};
use rasid::model::mode::{Precision, splitmix64};
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Classifier, Config, Weights, Workspace};
use rasid::pretrain::PretrainRecipe;
use rasid::pretrain::masking::Words;
use rasid::pretrain::objective::{MaskedLanguageModel, gradients, weight_table};
use rasid::tokens::{Encoded, Tokenizer};
use rasid::train::batches::{Hiding, Item};
use rasid::train::optimizer::{Gradients, Optimizer};
use rasid::train::step::{Objective, recycle};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name, layers, hidden size, intermediate size, heads.
const SHAPES: [(&str, usize, usize, usize, usize); 3] =
    [("4x256", 4, 256, 384, 4), ("6x256", 6, 256, 384, 4), ("6x384", 6, 384, 576, 6)];

/// Masked language modelling, and classifying by the heads below.
const TASKS: [&str; 2] = ["mlm", "classifier"];

/// Name and number of classes.
const HEADS: [(&str, usize); 2] = [("incident", 4), ("perpetrator", 7)];

const DROPOUT: f32 = 0.1;

/// Sequences of a step, and tokens of each.
const BATCH: (usize, usize) = (32, 128);

/// Steps that are timed, after one that is not.
const STEPS: u64 = 2;

fn main() {
    single_threaded_tensors();
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let named =
        |name: &str, all: &[&str]| words.iter().any(|w| w == name) || !words.iter().any(|w| all.contains(&w.as_str()));
    let shapes = SHAPES.map(|shape| shape.0);
    for task in TASKS.into_iter().filter(|task| named(task, &TASKS)) {
        for shape in SHAPES.iter().filter(|shape| named(shape.0, &shapes)) {
            for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
                if named(name, &["f32", "bf16"]) {
                    let (by_clock, by_processor) = rate(task, shape, precision);
                    let by = match precision {
                        Precision::F32 => panels::Instructions::detected().name(),
                        Precision::Bf16 => bf16::Instructions::detected().name(),
                    };
                    println!("{task} {} {name} {by_clock:.0} {by_processor:.0} tokens/s by {by}", shape.0);
                }
            }
        }
    }
}

/// Tokens a second, and a second of processor time.
fn rate(
    task: &str,
    &(_, layers, hidden, intermediate, heads): &(&str, usize, usize, usize, usize),
    precision: Precision,
) -> (f64, f64) {
    let tokenizer = Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).expect("the shipped tokenizer");
    let settings = [
        format!("model.num_hidden_layers={layers}"),
        format!("model.hidden_size={hidden}"),
        format!("model.intermediate_size={intermediate}"),
        format!("model.num_attention_heads={heads}"),
    ];
    let recipe = PretrainRecipe::resolve(None, &settings).expect("sizes that fit");
    let config = recipe.model.encoder(tokenizer.vocab_size());
    let workers = default_workers();
    let workspaces = Workspace::for_workers(precision, recipe.training.shards);
    let (weights, step_of) = match task {
        "mlm" => masked(&config, &tokenizer, &recipe, workspaces.clone()),
        _ => classifier(&config, &tokenizer, workspaces.clone()),
    };
    let mut adamw = recipe.adamw();
    adamw.precision = precision;
    let (mut optimizer, mut state) = (Optimizer::default(), 1);
    let sequence = |state: &mut u64| Encoded {
        ids: (0..BATCH.1).map(|_| (splitmix64(state) % tokenizer.vocab_size() as u64) as u32).collect(),
        types: vec![0; BATCH.1],
        sentence_tokens: BATCH.1,
        lexicon: Vec::new(),
        truncated: false,
    };
    let mut start = (Instant::now(), processor_seconds());
    for step in 0..=STEPS {
        if step == 1 {
            start = (Instant::now(), processor_seconds());
        }
        let batch: Vec<Encoded> = (0..BATCH.0).map(|_| sequence(&mut state)).collect();
        let sums = step_of(&weights, &batch, step, workers);
        optimizer.step(&weights, &sums, 1e-4, layers, &adamw, workers).expect("an update");
        recycle(sums, &workspaces);
    }
    let tokens = STEPS as f64 * (BATCH.0 * BATCH.1) as f64;
    (tokens / start.0.elapsed().as_secs_f64(), tokens / (processor_seconds() - start.1))
}

/// Weights, sequences, number of the step, threads → gradients.
type Step<'s> = Box<dyn Fn(&Weights, &[Encoded], u64, usize) -> Gradients + 's>;

fn masked<'s>(
    config: &Config,
    tokenizer: &Tokenizer,
    recipe: &'s PretrainRecipe,
    workspaces: Vec<Option<Arc<Workspace>>>,
) -> (Weights, Step<'s>) {
    let weights = Weights::fresh(&weight_table(config), 1).expect("weights");
    let network = MaskedLanguageModel::new(config, &weights).expect("a network");
    let words = Words::new(tokenizer);
    let step = move |weights: &Weights, batch: &[Encoded], step: u64, workers: usize| {
        let settings = (recipe.training.mask_rate, DROPOUT, workspaces.as_slice());
        gradients(&network, weights, &words, batch, settings, step, workers).expect("a forward and a backward pass").1
    };
    (weights, Box::new(step))
}

fn classifier<'s>(
    config: &Config,
    tokenizer: &Tokenizer,
    workspaces: Vec<Option<Arc<Workspace>>>,
) -> (Weights, Step<'s>) {
    let heads = HEADS.map(|(name, n)| (name.to_string(), n));
    let mut weights = Weights::fresh(&encoder_table(config), 1).expect("weights");
    weights.0.extend(Weights::fresh(&head_table(config, &heads), 1).expect("weights").0);
    let network = Classifier::new(config, &heads, &weights, Path::new("the network")).expect("a network");
    let loss = |(_, n): (&str, usize)| CrossEntropy { class_weights: vec![1.0; n], label_smoothing: 0.0 };
    let objective = Objective {
        losses: HEADS.map(loss).into(),
        dropout: DROPOUT,
        hiding: Hiding { token_rate: 0.0, term_rate: 0.0 },
        mask: tokenizer.special().mask,
        specials: tokenizer.special().marks(),
        workspaces,
    };
    let step = move |weights: &Weights, batch: &[Encoded], step: u64, workers: usize| {
        let item = |(i, encoded): (usize, &Encoded)| Item {
            encoded: encoded.clone(),
            targets: HEADS.map(|(_, n)| Target::Class(i % n)).into(),
        };
        let items: Vec<Item> = batch.iter().enumerate().map(item).collect();
        let batch: Vec<&Item> = items.iter().collect();
        objective.gradients(&network, weights, &batch, step, workers).expect("a forward and a backward pass").1
    };
    (weights, Box::new(step))
}

/// Processor time of this process so far; not a number where Linux does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|t| t.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}
