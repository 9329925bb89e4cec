//! The side of this program in the comparison with other engines; `python benches/peers/run.py` calls it. See README.md above.
//!
//! ```text
//! shape NAME DIR             a model directory of that shape with random weights
//! inputs MODEL N FILE        N labelled sentences as the model reads them
//! time MODEL FILE FORMAT THREADS MODE SECONDS     how fast it classifies them
//! peak                       the rate of products in f32 on one core, at best
//! ```

use rasid::dataset::read_examples;
use rasid::kernels::matmul::View;
use rasid::kernels::panels::{Panels, product};
use rasid::kernels::threads::single_threaded_tensors;
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Config, NumberFormat, Pooling, StorageFormat, Weights};
use rasid::model_dir::{self, ConfigJson, Contents, Model};
use rasid::schema::Schema;
use rasid::tokens::{Context, Encoded, InputConfig};
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name, layers, hidden and intermediate size, heads, entries.
const SHAPES: [(&str, usize, usize, usize, usize, usize); 2] =
    [("6x384", 6, 384, 576, 6, 32_000), ("12x768", 12, 768, 1152, 12, 250_000)];

fn main() {
    single_threaded_tensors();
    let words: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["shape", name, dir] => shape(name, Path::new(dir)),
        ["inputs", model, n, file] => inputs(model, n.parse().expect("a number"), file),
        ["time", model, file, format, threads, mode, seconds] => {
            let number = |text: &str| text.parse::<f64>().expect("a number");
            println!("{}", time(model, file, format, number(threads) as usize, mode, number(seconds)));
        }
        ["peak"] => println!("{}", peak()),
        _ => println!("the comparison with other engines is run by: python benches/peers/run.py"),
    }
}

fn shape(name: &str, dir: &Path) {
    let (_, layers, hidden, intermediate, heads, entries) =
        *SHAPES.iter().find(|shape| shape.0 == name).expect("6x384 or 12x768");
    let encoder = Config {
        vocab_size: entries,
        hidden_size: hidden,
        intermediate_size: intermediate,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        max_position_embeddings: 512,
        type_vocab_size: 0,
        lexicon_types: Vec::new(),
        norm_eps: 1e-5,
        global_attn_every_n_layers: 1,
        local_attention: 128,
        global_rope_theta: 10_000.0,
        local_rope_theta: 10_000.0,
        classifier_pooling: Pooling::Mean,
        architecture: Default::default(),
    };
    let schema = Schema::read(Path::new("labels/schema.toml")).expect("the shipped schema");
    let n_labels: Vec<_> = schema.heads.iter().map(|h| (h.name.clone(), h.classes.len())).collect();
    let mut table = encoder_table(&encoder);
    table.extend(head_table(&encoder, &n_labels));
    let weights = Weights::fresh(&table, 1).expect("memory");
    let input = InputConfig { max_tokens: 512, context: Context::Both };
    let config = ConfigJson::new(name, encoder, input, &schema, &[1.0, 1.0]);
    let contents = Contents {
        config: &config,
        weights: &weights,
        ngrams: None,
        storage: StorageFormat::F16,
        tokenizer: &std::fs::read("models/default/tokenizer.json").expect("the shipped tokenizer"),
        texts: vec![("schema.toml".into(), std::fs::read_to_string("labels/schema.toml").expect("as before"))],
    };
    model_dir::write(dir, &contents).expect("a folder to write to");
}

fn open(model: &str, format: &str) -> Model {
    let formats = [NumberFormat::F32, NumberFormat::Bf16, NumberFormat::Int8];
    let format = formats.into_iter().find(|f| f.name() == format).expect("f32, bf16 or int8");
    model_dir::open(Path::new(model), format).expect("a model")
}

/// Ids, types and lexicon bits of sentences from all over the dev set, as JSON.
fn inputs(model: &str, n: usize, file: &str) {
    let (model, files) = (open(model, "f32"), ["labels/written", "labels/variants"].map(PathBuf::from));
    let examples = read_examples(&files, &model.schema).expect("the labels");
    let dev: Vec<_> = examples.iter().filter(|e| e.split == Some(rasid::dataset::Split::Dev)).collect();
    let taken: Vec<_> = (0..n).map(|i| dev[i * dev.len() / n].input()).collect();
    let encoded = model.encode(&taken).expect("sentences");
    let sentence =
        |e: &Encoded| json!({"ids": e.ids, "types": e.types, "lexicon": e.lexicon, "own": e.sentence_tokens});
    let all: Vec<Value> = encoded.iter().map(sentence).collect();
    std::fs::write(file, Value::from(all).to_string()).expect("a file to write to");
}

fn read_inputs(file: &str) -> Vec<Encoded> {
    let text = std::fs::read_to_string(file).expect("the inputs");
    let all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let numbers = |value: &Value| -> Vec<u64> { serde_json::from_value(value.clone()).expect("numbers") };
    let small = |value: &Value| numbers(value).into_iter().map(|x| x as u32).collect();
    all.iter()
        .map(|s| Encoded {
            ids: small(&s["ids"]),
            types: small(&s["types"]),
            lexicon: numbers(&s["lexicon"]),
            sentence_tokens: s["own"].as_u64().expect("a number") as usize,
            truncated: false,
        })
        .collect()
}

/// Classifies the sentences again and again for some seconds. Modes: `sorted` is what the program does, all sentences in one
/// call; `unsorted` calls with 32 at a time in their order; `single` one by one.
fn time(model: &str, file: &str, format: &str, threads: usize, mode: &str, seconds: f64) -> Value {
    let start = Instant::now();
    let mut model = open(model, format);
    let loaded = start.elapsed().as_secs_f64();
    model.workers = threads;
    let all = read_inputs(file);
    let at_once = match mode {
        "sorted" => all.len(),
        "unsorted" => 32,
        "single" => 1,
        _ => panic!("sorted, unsorted or single"),
    };
    let run = || -> Vec<Vec<Vec<f32>>> {
        all.chunks(at_once).flat_map(|chunk| model.logits(chunk).expect("logits")).collect()
    };
    let logits = run();
    let (start, mut runs) = (Instant::now(), 0);
    while runs == 0 || start.elapsed().as_secs_f64() < seconds {
        black_box(run());
        runs += 1;
    }
    let each = start.elapsed().as_secs_f64() / f64::from(runs);
    let tokens: usize = all.iter().map(|e| e.ids.len()).sum();
    let first: Vec<&[Vec<f32>]> = logits.iter().take(8).map(Vec::as_slice).collect();
    json!({
        "sentences_per_s": all.len() as f64 / each, "tokens_per_s": tokens as f64 / each, "load_s": loaded,
        "peak_mb": peak_megabytes(), "logits": first,
    })
}

/// Most memory that this process has held, in MB; none where the system does not say.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// GFLOP/s of a product whose operands lie in the first cache.
fn peak() -> f64 {
    let (m, k, n) = (48, 128, 64);
    let (x, w) = (vec![0.5f32; m * k], Panels::new(&vec![0.25; n * k], n, k));
    let mut out = vec![0.0; m * n];
    let mut best = f64::INFINITY;
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..200 {
            product((black_box(&mut out), View::dense(m, n)), (black_box(&x), View::dense(m, k)), &w, 1.0, false);
        }
        best = best.min(start.elapsed().as_secs_f64() / 200.0);
    }
    (2 * m * k * n) as f64 / best / 1e9
}
