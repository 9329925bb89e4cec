//! Encoders of other families: how fast each runs, and what a base of 278 million parameters costs to load and to fine-tune.
//!
//! `cargo bench --bench families [-- speed|load|train]` prints; it never fails for being slow. `load` and `train` write 1.1 GB into
//! target/families and want 8 GB of memory.

use rasid::article::SentenceInput;
use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Config, Engine, NumberFormat, StorageFormat, StoredWeights, Weights};
use rasid::model_dir::families::{ONE_HEAD, parse};
use rasid::model_dir::{self, ConfigJson, Contents};
use rasid::tokens::{Encoded, InputConfig, Packed, Tokenizer};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of the comparison, of which the median counts.
const ROUNDS: usize = 5;

fn main() {
    rasid::kernels::threads::single_threaded_tensors();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["one-tag", folder, format] => return one_tag(Path::new(folder), format),
        [] if !std::env::args().any(|a| a == "--bench") => return, // run as a test: there is nothing to see
        _ => {}
    }
    let wants = |part: &str| arguments.is_empty() || arguments.contains(&part);
    if wants("speed") {
        speed();
    }
    if wants("load") {
        load();
    }
    if wants("train") {
        train();
    }
}

/// The configuration of a family at 6 layers of 384, as its files say it.
fn config(family: &str) -> Config {
    let mut json = json!({
        "model_type": family, "vocab_size": 16384, "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6,
        "num_attention_heads": 6, "max_position_embeddings": 514, "pad_token_id": 1
    });
    let more = match family {
        "distilbert" => json!({"dim": 384, "hidden_dim": 1536, "n_layers": 6, "n_heads": 6}),
        // Gated units have half as many more weights: as many in all at two thirds of the width.
        "modernbert" => json!({"intermediate_size": 1024, "local_attention": 128}),
        "deberta-v2" => json!({
            "relative_attention": true, "share_att_key": true, "position_biased_input": false, "pos_att_type": "p2c|c2p",
            "position_buckets": 256, "norm_rel_ebd": "layer_norm", "type_vocab_size": 0
        }),
        _ => json!({}),
    };
    let object = json.as_object_mut().expect("an object");
    object.extend(more.as_object().cloned().unwrap_or_default());
    parse(object, Path::new("config.json")).expect("sizes that fit").encoder
}

fn heads() -> Vec<(String, usize)> {
    vec![(ONE_HEAD.into(), 3)]
}

fn fresh(config: &Config, heads: &[(String, usize)]) -> Weights {
    Weights::fresh(&[encoder_table(config), head_table(config, heads)].concat(), 1).expect("memory")
}

/// The sentences of the real articles by the shipped tokenizer, longest first, in packs.
fn packs() -> Vec<Packed> {
    let tokenizer = Tokenizer::read(Path::new("models/default/tokenizer.json")).expect("the shipped tokenizer");
    let labels = std::fs::read_to_string("labels/seeds.jsonl").expect("the labels");
    let input = InputConfig { max_tokens: 160, context: rasid::tokens::Context::None };
    let encode = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a record");
        let text = record["text"].as_str().expect("a text");
        tokenizer.encode(SentenceInput::of("ar", text, &None, &None), &input).expect("a sentence")
    };
    let mut all: Vec<Encoded> = labels.lines().map(encode).collect();
    all.sort_by_key(|e| std::cmp::Reverse(e.ids.len()));
    all.chunks(4).map(|pack| Packed::new(&pack.iter().collect::<Vec<_>>())).collect()
}

fn speed() {
    let families = ["modernbert", "bert", "xlm-roberta", "distilbert", "deberta-v2"];
    let (packs, formats) = (packs(), [NumberFormat::F32, NumberFormat::Int8]);
    let n_tokens: usize = packs.iter().map(Packed::n_tokens).sum();
    let engines: Vec<(&str, NumberFormat, Engine)> = families
        .iter()
        .flat_map(|family| formats.map(|format| (*family, format)))
        .map(|(family, format)| {
            let config = config(family);
            let weights = StoredWeights::from_tensors(&fresh(&config, &heads())).expect("weights");
            (family, format, Engine::new(&config, &heads(), &weights, format, Path::new("fresh")).expect("an engine"))
        })
        .collect();
    let mut rates = vec![Vec::new(); engines.len()];
    for _ in 0..ROUNDS {
        for ((_, _, engine), rates) in engines.iter().zip(&mut rates) {
            let (start, mut passes) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_millis(700) {
                rasid::kernels::threads::in_parallel(&packs, 2, |pack| engine.logits(pack).expect("logits"));
                passes += 1;
            }
            rates.push((n_tokens * passes) as f64 / start.elapsed().as_secs_f64());
        }
    }
    println!("| 6 x 384, two threads | tokens/s | of modernbert in the same format | rounds |\n|---|---|---|---|");
    let median = |rates: &[f64]| {
        let mut rates = rates.to_vec();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    for (i, ((family, format, _), of)) in engines.iter().zip(&rates).enumerate() {
        let reference = median(&rates[i % formats.len()]);
        let (low, high) = of.iter().fold((f64::MAX, 0.0f64), |(l, h), r| (l.min(*r), h.max(*r)));
        let (format, rate) = (format.name(), median(of));
        println!("| {family} {format} | {rate:.0} | {:.2} | {low:.0} to {high:.0} |", rate / reference);
    }
}

/// A folder with random weights in the shape of XLM-R base: 12 layers of 768, 250,002 entries.
fn xlm_r_base() -> PathBuf {
    let folder = PathBuf::from("target/families/xlm-r-base");
    if folder.join("config.json").exists() {
        return folder;
    }
    let json: Map<String, Value> = json!({
        "model_type": "xlm-roberta", "architectures": ["XLMRobertaForSequenceClassification"], "vocab_size": 250002,
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "max_position_embeddings": 514, "pad_token_id": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
        "id2label": {"0": "a", "1": "b", "2": "c"}
    })
    .as_object()
    .expect("an object")
    .clone();
    let path = folder.join("config.json");
    let mut config = ConfigJson::parse(&serde_json::to_vec(&json).expect("JSON"), &path).expect("a known family");
    config.rasid_version = String::new();
    let contents = Contents {
        config: &config,
        weights: &fresh(&config.encoder, &heads()),
        ngrams: None,
        storage: StorageFormat::F32,
        tokenizer: &std::fs::read("models/default/tokenizer.json").expect("the shipped tokenizer"),
        texts: Vec::new(),
    };
    model_dir::write(&folder, &contents).expect("a folder to write to");
    // As another program would have left it.
    std::fs::write(path, serde_json::to_vec_pretty(&json).expect("JSON")).expect("a file to write to");
    folder
}

/// Waits for a program and gives the most memory it held, in bytes.
fn peak_of(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

fn one_tag(folder: &Path, format: &str) {
    let formats = [NumberFormat::F32, NumberFormat::Int8];
    let format = formats.into_iter().find(|f| f.name() == format).expect("f32 or int8");
    let model = model_dir::open(folder, format).expect("a model");
    let text = SentenceInput::of("ar", "سقطت ثلاثة صواريخ قرب القاعدة", &None, &None);
    rasid::article::Classify::classify(&model, &[text]).expect("a tag");
    std::thread::sleep(Duration::from_millis(20)); // so that the memory held is seen
}

fn load() {
    let folder = xlm_r_base();
    let bytes = std::fs::metadata(folder.join("model.safetensors")).expect("the weights").len();
    println!(
        "\nXLM-R base (random weights), {:.0} MB in f32: from the start of the program to the first tag",
        bytes as f64 / 1e6
    );
    println!("| numbers | seconds | peak memory | of the file |\n|---|---|---|---|");
    for format in ["f32", "int8"] {
        let mut seconds = Vec::new();
        let mut peak = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let child = Command::new(std::env::current_exe().expect("this program"))
                .args(["one-tag", &folder.display().to_string(), format])
                .spawn()
                .expect("a child");
            peak = peak.max(peak_of(child));
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let (median, low, high) = (seconds[ROUNDS / 2], seconds[0], seconds[ROUNDS - 1]);
        println!(
            "| {format} | {median:.2} ({low:.2} to {high:.2}) | {:.0} MB | {:.2} |",
            peak as f64 / 1e6,
            peak as f64 / bytes as f64
        );
    }
}

fn train() {
    let folder = xlm_r_base();
    println!("\nXLM-R base (random weights), one epoch of the 45 training sentences of the real articles");
    println!("| how | seconds | peak memory |\n|---|---|---|");
    let lora = ["training.lora_rank=16"];
    let all: [(&str, &[&str]); 4] = [
        ("all weights", &[]),
        ("all weights, layers computed again", &["training.gradient_checkpointing=true"]),
        ("adapters of rank 16", &lora),
        ("adapters, layers computed again", &["training.lora_rank=16", "training.gradient_checkpointing=true"]),
    ];
    for (how, settings) in all {
        let output = Path::new("target/families/trained");
        let mut command = Command::new("target/release/rasid");
        command.args(["train", "--quiet", "--overwrite", "--labels", "labels/seeds.jsonl", "--base"]).arg(&folder);
        command
            .args(["--config", "models/recipes/encoders.toml", "--set", "training.epochs=1", "--output"])
            .arg(output);
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        let start = Instant::now();
        let peak = peak_of(command.spawn().expect("target/release/rasid, which `make build` makes"));
        println!("| {how} | {:.1} | {:.2} GB |", start.elapsed().as_secs_f64(), peak as f64 / 1e9);
    }
}
