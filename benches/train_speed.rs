//! How many tokens a second does a pre-training step learn from, in f32 and in bf16? See README.md beside this file.
//!
//! `cargo bench --bench pretrain_speed [-- WORD…]` measures the shapes and precisions named, or all. A line holds shape,
//! precision, tokens a second by the clock, and tokens a second of processor time (of one core).

use rasid::kernels::threads::{default_workers, single_threaded_tensors};
use rasid::kernels::{bf16, panels};
use rasid::model::mode::{Precision, splitmix64};
use rasid::model::{Weights, Workspace};
use rasid::pretrain::PretrainRecipe;
use rasid::pretrain::masking::Words;
use rasid::pretrain::objective::{MaskedLanguageModel, gradients, weight_table};
use rasid::tokens::{Encoded, Tokenizer};
use rasid::train::optimizer::Optimizer;
use rasid::train::step::recycle;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name, layers, hidden size, intermediate size, heads.
const SHAPES: [(&str, usize, usize, usize, usize); 3] =
    [("4x256", 4, 256, 384, 4), ("6x256", 6, 256, 384, 4), ("6x384", 6, 384, 576, 6)];

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
    for shape in SHAPES.iter().filter(|shape| named(shape.0, &shapes)) {
        for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
            if named(name, &["f32", "bf16"]) {
                let (by_clock, by_processor) = rate(shape, precision);
                let by = match precision {
                    Precision::F32 => panels::Instructions::detected().name(),
                    Precision::Bf16 => bf16::Instructions::detected().name(),
                };
                println!("{} {name} {by_clock:.0} {by_processor:.0} tokens/s by {by}", shape.0);
            }
        }
    }
}

/// Tokens a second, and a second of processor time.
fn rate(
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
    let weights = Weights::fresh(&weight_table(&config), 1).expect("weights");
    let network = MaskedLanguageModel::new(&config, &weights).expect("a network");
    let (words, workers) = (Words::new(&tokenizer), default_workers());
    let workspaces = Workspace::for_workers(precision, recipe.training.shards);
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
        let settings = (recipe.training.mask_rate, 0.0, workspaces.as_slice());
        let (_, sums) = gradients(&network, &weights, &words, &batch, settings, step, workers)
            .expect("a forward and a backward pass");
        optimizer.step(&weights, &sums, 1e-4, layers, &adamw, workers).expect("an update");
        recycle(sums, &workspaces);
    }
    let tokens = STEPS as f64 * (BATCH.0 * BATCH.1) as f64;
    (tokens / start.0.elapsed().as_secs_f64(), tokens / (processor_seconds() - start.1))
}

/// Processor time of this process so far; not a number where Linux does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|t| t.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}
