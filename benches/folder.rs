//! A folder of ten thousand articles: how much of the time of `rasid classify` is the network's, and does its memory stay flat?
//!
//! `cargo bench --bench folder [-- N]` writes N articles (10,000 unless told otherwise) of the written ones, over and over, into
//! target/folder, tags them by target/release/rasid, then runs the bare network on the same sentences, already cut into subwords,
//! with as many threads. The two alternate, two rounds. It prints, it never fails for being slow.

use rasid::article::SentenceInput;
use rasid::model::NumberFormat;
use rasid::model_dir;
use rasid::tokens::Encoded;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FOLDER: &str = "target/folder/articles";
const TAGS: &str = "target/folder/tags.jsonl";
const ROUNDS: usize = 2;

fn main() {
    rasid::kernels::threads::single_threaded_tensors();
    if !std::env::args().any(|a| a == "--bench") {
        return; // run as a test: there is nothing to see
    }
    let n = std::env::args().skip(1).find_map(|a| a.parse::<usize>().ok()).unwrap_or(10_000);
    write_articles(n);
    let (mut classify, mut bare, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let model = model_dir::open(Path::new("models/default"), NumberFormat::fastest()).expect("the shipped model");
    let mut encoded: Option<Vec<Encoded>> = None;
    for _ in 0..ROUNDS {
        let (seconds, held) = time_classify();
        classify.push(seconds);
        memory = held;
        // The sentences as classify cut them.
        let encoded = encoded.get_or_insert_with(|| encode(&model));
        let start = Instant::now();
        // In portions like those of classify, so that the caches are as warm.
        encoded.chunks(2048).for_each(|chunk| drop(model.logits(chunk).expect("logits")));
        bare.push(start.elapsed().as_secs_f64());
    }
    let n_sentences = encoded.map_or(0, |e| e.len());
    let show = |of: &mut Vec<f64>| {
        of.sort_by(f64::total_cmp);
        (of[of.len() / 2], format!("{:.1} to {:.1}", of[0], of[of.len() - 1]))
    };
    let ((classify, of_classify), (bare, of_bare)) = (show(&mut classify), show(&mut bare));
    println!(
        "{n} articles, {n_sentences} sentences, {} numbers, {} threads",
        NumberFormat::fastest().name(),
        model.workers
    );
    println!("classify   {classify:.1} s ({of_classify}), {:.0} sentences/s", n_sentences as f64 / classify);
    println!("bare       {bare:.1} s ({of_bare}), {:.0} sentences/s", n_sentences as f64 / bare);
    println!("the network's share of classify: {:.0} %", 100.0 * bare / classify);
    let megabytes: Vec<String> = memory.iter().map(|bytes| format!("{:.0}", *bytes as f64 / 1e6)).collect();
    println!("memory held at each tenth of the run, in MB: {}", megabytes.join(" "));
}

/// The written articles, one a file, as often as needed.
fn write_articles(n: usize) {
    let mut articles: BTreeMap<String, String> = BTreeMap::new();
    for file in std::fs::read_dir("labels/written").expect("the labels").flatten() {
        for line in std::fs::read_to_string(file.path()).expect("a file").lines() {
            let record: Value = serde_json::from_str(line).expect("a record");
            let text = |key: &str| record[key].as_str().expect("a text").to_string();
            let article = articles.entry(text("article_id")).or_default();
            article.push_str(&text("text"));
            article.push('\n');
        }
    }
    let articles: Vec<String> = articles.into_values().collect();
    let _ = std::fs::remove_dir_all(FOLDER);
    std::fs::create_dir_all(FOLDER).expect("a folder");
    for i in 0..n {
        // Not in their order twice: the same text does not come again soon.
        let article = &articles[(i * 7919) % articles.len()];
        std::fs::write(format!("{FOLDER}/{i:05}.txt"), article).expect("a file to write to");
    }
}

/// Seconds of a run, and the memory held at each tenth of it.
fn time_classify() -> (f64, Vec<u64>) {
    let start = Instant::now();
    let mut child = Command::new("target/release/rasid")
        .args(["classify", FOLDER, "--format", "jsonl", "--output", TAGS, "--quiet", "--model", "models/default"])
        .spawn()
        .expect("target/release/rasid, which `make build` makes");
    let (status, mut samples) = (format!("/proc/{}/status", child.id()), Vec::new());
    while child.try_wait().expect("a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        samples
            .extend(line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map(|kb| kb * 1024));
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = start.elapsed().as_secs_f64();
    (
        seconds,
        (1..=10).filter_map(|tenth| samples.get((samples.len() * tenth / 10).saturating_sub(1)).copied()).collect(),
    )
}

/// The sentences of the tags, in their context, as the model reads them.
fn encode(model: &model_dir::Model) -> Vec<Encoded> {
    let tags = std::fs::read_to_string(TAGS).expect("the tags");
    let (mut encoded, mut article, mut title, mut previous) = (Vec::new(), String::new(), None, None);
    for line in tags.lines() {
        let tag: Value = serde_json::from_str(line).expect("a tag");
        let of = |key: &str| tag[key].as_str().unwrap_or_default().to_string();
        if of("article_id") != article {
            (article, title, previous) = (of("article_id"), None, None);
        }
        let text = of("text");
        let input = SentenceInput::of(tag["language"].as_str().unwrap_or("und"), &text, &title, &previous);
        encoded.extend(model.encode(&[input]).expect("a sentence"));
        title = title.or(Some(text.clone()));
        previous = Some(text);
    }
    encoded
}
