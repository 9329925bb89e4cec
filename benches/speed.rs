//! How fast are the kernels, and how many articles a second does `rasid classify` tag? See README.md beside this file.
//!
//! `cargo bench --bench speed [-- WORD…]` measures what has one of the words in its name. It prints, it never fails for being slow.

use rasid::article::{Article, Classify, SentenceInput};
use rasid::cli::model_lookup;
use rasid::gazetteer::Gazetteer;
use rasid::kernels::activation::{geglu, geglu_backward};
use rasid::kernels::adamw::AdamWStep;
use rasid::kernels::attention::{Heads, attention, attention_backward};
use rasid::kernels::cross_entropy::{CrossEntropy, Target};
use rasid::kernels::int8::rows::QuantizedRows;
use rasid::kernels::linear_cross_entropy::{Gradients, linear_cross_entropy};
use rasid::kernels::matmul::{View, matmul_by_rows};
use rasid::kernels::norm::{layer_norm, layer_norm_backward};
use rasid::kernels::panels::attention::Scratch;
use rasid::kernels::panels::{self, Panels};
use rasid::kernels::rotary::Rotary;
use rasid::kernels::threads::single_threaded_tensors;
use rasid::kernels::{bf16, int8, split};
use rasid::model::NumberFormat;
use rasid::model_dir::Model;
use rasid::read::{self, ReadOptions};
use rasid::report::jsonl::Jsonl;
use rasid::report::{Context, ModelName, Report};
use rasid::tagger::{SegmentedArticle, segment, tag_all};
use rasid::{language, sentences};
use std::hint::black_box;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The real articles of this repository.
const ARTICLES: &str = "labels/articles";

/// How often the articles are repeated where one pass is too short to be timed.
const COPIES: usize = 40;

/// Tokens of a batch, T.
const T: usize = 512;

fn main() {
    single_threaded_tensors();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bench = Bench {
        // Cargo says --bench unless it runs us as a test; then once is enough to see that everything still works.
        samples: if arguments.iter().any(|a| a == "--bench") { 15 } else { 1 },
        words: arguments.into_iter().filter(|a| !a.starts_with('-')).collect(),
    };
    header("one core");
    linear(&bench);
    linear_in_use(&bench);
    attentions(&bench);
    norms(&bench);
    geglus(&bench);
    losses(&bench);
    adamw(&bench);
    match model_lookup::open(None, NumberFormat::fastest()) {
        Ok(model) => articles(&bench, &model),
        Err(error) => println!("\nno articles tagged: {error}"),
    }
}

/// What is measured, and how often.
struct Bench {
    samples: usize,
    words: Vec<String>,
}

/// Work done by one call.
#[derive(Clone, Copy)]
enum Work {
    /// Floating-point operations, a multiplication and an addition being two.
    Flops(usize),
    /// Bytes read and written at the least.
    Bytes(usize),
    /// Things, by name.
    Count(usize, &'static str),
}

impl Bench {
    /// Times `call` and prints a line. A sample is as many calls as take ten milliseconds.
    fn time(&self, name: &str, work: Work, mut call: impl FnMut()) {
        if !self.words.is_empty() && !self.words.iter().any(|word| name.contains(word.as_str())) {
            return;
        }
        let first = timed(1, &mut call);
        let calls = (Duration::from_millis(10).as_secs_f64() / first.max(1e-9)).ceil() as usize;
        // Three samples at the least, else no more than some three seconds.
        let affordable = (3.0 / first.max(0.01)) as usize;
        let samples = self.samples.min(affordable.max(3));
        let mut times: Vec<f64> = (0..samples).map(|_| timed(calls.clamp(1, 100_000), &mut call)).collect();
        times.sort_by(f64::total_cmp);
        let (median, best) = (times[times.len() / 2], times[0]);
        let rate = match work {
            Work::Flops(n) => format!("{:.1} GFLOP/s", n as f64 / median / 1e9),
            Work::Bytes(n) => format!("{:.1} GB/s", n as f64 / median / 1e9),
            Work::Count(n, things) => format!("{:.0} {things}/s", n as f64 / median),
        };
        println!("{name:<44} {:>12} {:>12}   {rate}", duration(median), duration(best));
    }
}

fn header(first: &str) {
    let [median, best] = ["median", "best"];
    println!("{first:<44} {median:>12} {best:>12}   rate at the median");
}

/// Seconds a call, on the average of `calls`.
fn timed(calls: usize, call: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed().as_secs_f64() / calls as f64
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Numbers between -1 and 1 that are as good as random and the same in every run (SplitMix64; Steele, Lea and Flood, 2014).
/// Regular ones would make products so large that probabilities vanish, and vanishing numbers are slow.
fn numbers(n: usize) -> Vec<f32> {
    let mix = |z: u64, shift: u32, factor: u64| (z ^ (z >> shift)).wrapping_mul(factor);
    let number = |i: u64| {
        let z = mix(i.wrapping_mul(0x9E37_79B9_7F4A_7C15), 30, 0xBF58_476D_1CE4_E5B9);
        let z = mix(z, 27, 0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (1..=n as u64).map(number).collect()
}

fn linear(bench: &Bench) {
    for (t, k, n) in [(T, 128, 384), (T, 256, 768), (T, 768, 2304), (16, 256, 7)] {
        let (a, b, mut out) = (numbers(t * k), numbers(n * k), vec![0.0; t * n]);
        bench.time(&format!("linear ({t}, {k}) → {n}"), Work::Flops(2 * t * k * n), || {
            matmul_by_rows(black_box(&mut out), black_box(&a), &b, (t, k, n));
        });
    }
}

/// The products of a network in use, whose weights are laid out once.
fn linear_in_use(bench: &Bench) {
    let of = |by: &str, (t, k, n): (usize, usize, usize)| format!("in use, {by} ({t}, {k}) → {n}");
    for (t, k, n) in [(T, 256, 768), (T, 384, 256), (T, 384, 1152), (T, 768, 2304), (T, 1152, 768), (40, 256, 768)] {
        let (a, b, mut out) = (numbers(t * k), numbers(n * k), vec![0.0; t * n]);
        let (av, ov, work) = (View::dense(t, k), View::dense(t, n), Work::Flops(2 * t * k * n));
        let panels = Panels::new(&b, n, k);
        bench.time(&of("f32", (t, k, n)), work, || {
            panels::product((black_box(&mut out), ov), (black_box(&a), av), &panels, 1.0, false);
        });
        let weight = split::Weight::new(&b, n, k);
        if split::is_fast() {
            bench.time(&of("f32 in three parts", (t, k, n)), work, || {
                split::product((black_box(&mut out), ov), (black_box(&a), av), &weight, false);
            });
        }
        let weight = bf16::Weight::new(&b, n, k);
        bench.time(&of("bf16", (t, k, n)), work, || {
            bf16::product((black_box(&mut out), ov), (black_box(&a), av), &weight, false);
        });
        let (weight, mut rows) = (int8::Weight::quantized(&b, n, k), QuantizedRows::default());
        for by in int8::Instructions::available().into_iter().rev().take(2) {
            bench.time(&of(&format!("int8, {}", by.name()), (t, k, n)), work, || {
                rows.fill(black_box(&a), t, k);
                int8::product_by(by, (black_box(&mut out), ov), &rows, &weight, false);
            });
        }
        bench.time(&format!("in use, rounding ({t}, {k})"), Work::Bytes(5 * t * k), || {
            rows.fill(black_box(&a), t, k);
        });
    }
}

fn attentions(bench: &Bench) {
    for (n_heads, head_dim, n) in [(4, 64, 32), (4, 64, 128), (12, 64, 128)] {
        let d = n_heads * head_dim;
        let heads = Heads { n_heads, head_dim, window: None };
        let starts: Vec<usize> = (0..=T / n).map(|i| i * n).collect();
        let rotary = Rotary::new(n, head_dim, 10_000.0);
        let (qkv, grad) = (numbers(3 * T * d), numbers(T * d));
        let (mut out, mut dqkv) = (vec![0.0; T * d], vec![0.0; 3 * T * d]);
        let product = 2 * T * n * d;
        let shape = format!("{} sentences of {n}, D {d}", T / n);
        bench.time(&format!("attention, {shape}"), Work::Flops(2 * product), || {
            attention(black_box(&qkv), &starts, heads, &rotary, black_box(&mut out));
        });
        let mut scratch = Scratch::default();
        bench.time(&format!("attention in use, {shape}"), Work::Flops(2 * product), || {
            panels::attention::attention(black_box(&qkv), &starts, heads, &rotary, &mut scratch, black_box(&mut out));
        });
        // scores again, and the gradients of scores, values, queries and keys
        bench.time(&format!("attention backward, {shape}"), Work::Flops(5 * product), || {
            attention_backward(black_box(&qkv), &starts, heads, &rotary, &grad, black_box(&mut dqkv));
        });
    }
}

fn norms(bench: &Bench) {
    for d in [128, 256, 768] {
        let (x, grad, weight) = (numbers(T * d), numbers(T * d), numbers(d));
        let (mut out, mut dweight) = (vec![0.0; T * d], vec![0.0; d]);
        bench.time(&format!("layer norm ({T}, {d})"), Work::Bytes(2 * 4 * T * d), || {
            layer_norm(black_box(&x), &weight, 1e-5, black_box(&mut out));
        });
        bench.time(&format!("layer norm backward ({T}, {d})"), Work::Bytes(3 * 4 * T * d), || {
            layer_norm_backward(black_box(&x), &weight, 1e-5, &grad, black_box(&mut out), &mut dweight);
        });
    }
}

fn geglus(bench: &Bench) {
    for f in [192, 384, 1152] {
        let (x, grad) = (numbers(2 * T * f), numbers(T * f));
        let (mut out, mut dx) = (vec![0.0; T * f], vec![0.0; 2 * T * f]);
        bench.time(&format!("GeGLU ({T}, {f})"), Work::Bytes(3 * 4 * T * f), || {
            geglu(black_box(&x), f, black_box(&mut out));
        });
        bench.time(&format!("GeGLU backward ({T}, {f})"), Work::Bytes(5 * 4 * T * f), || {
            geglu_backward(black_box(&x), f, &grad, black_box(&mut dx));
        });
    }
}

fn losses(bench: &Bench) {
    let (n, l) = (64, 7);
    let logits = numbers(n * l);
    let targets: Vec<Target> = (0..n).map(|i| Target::Class(i % l)).collect();
    let loss = CrossEntropy { class_weights: vec![1.0; l], label_smoothing: 0.1 };
    bench.time(&format!("cross-entropy ({n}, {l}) and gradient"), Work::Count(n, "sentences"), || {
        black_box(loss.loss_and_gradient(black_box(&logits), &targets));
    });

    let (m, d, v) = (128, 256, 16_384);
    let (hidden, table) = (numbers(m * d), numbers(v * d));
    let targets: Vec<u32> = (0..m as u32).map(|i| i * 101).collect();
    let (mut dhidden, mut dtable) = (vec![0.0; m * d], vec![0.0; v * d]);
    let name = format!("masked tokens ({m}, {d}), {v} entries");
    bench.time(&name, Work::Flops(3 * 2 * m * d * v), || {
        let gradients = Gradients { hidden: &mut dhidden, table: &mut dtable };
        black_box(linear_cross_entropy(black_box(&hidden), &table, d, &targets, 1.0, Some(gradients)));
    });
}

fn adamw(bench: &Bench) {
    let step =
        AdamWStep { lr: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.05, gradient_scale: 1.0, step: 100 };
    for n in [64 << 10, 4 << 20] {
        let (mut p, g, mut m, mut v) = (numbers(n), numbers(n), vec![0.0; n], vec![0.01; n]);
        bench.time(&format!("AdamW, {} Ki parameters", n >> 10), Work::Bytes(7 * 4 * n), || {
            step.apply(black_box(&mut p), black_box(&g), &mut m, &mut v);
        });
    }
}

/// The stations of an article one by one, then all of them as the program itself.
fn articles(bench: &Bench, model: &Model) {
    let inputs = vec![ARTICLES.to_string(); COPIES];
    let read_all = || -> Vec<Article> {
        read::articles(&inputs, &ReadOptions::default()).expect("a folder").map(|a| a.expect("an article")).collect()
    };
    let all = read_all();
    let segmented: Vec<SegmentedArticle> = all.iter().cloned().map(segment).collect();
    let inputs: Vec<SentenceInput<'_>> =
        (segmented.iter()).flat_map(|a| sentences::inputs(&a.article, &a.sentences, &a.language)).collect();
    let encoded = model.encode(&inputs).expect("sentences can be encoded");
    let gazetteer = Gazetteer::shipped().expect("the shipped list");
    let tagged = tag_all(segmented.clone(), model, &gazetteer, 0.0).expect("articles can be tagged");
    let (n, n_sentences) = (all.len(), inputs.len());
    let n_tokens: usize = encoded.iter().map(|e| e.ids.len()).sum();
    println!("\n{n} articles of {n_sentences} sentences; {n_tokens} tokens with context; model {}", model.name);
    header("station");

    let work = || Work::Count(n, "articles");
    bench.time("articles: read", work(), || {
        black_box(read_all());
    });
    bench.time("articles: identify the language", work(), || {
        for a in &all {
            black_box(language::identify(&a.text));
        }
    });
    bench.time("articles: split into sentences", work(), || {
        segmented.iter().for_each(|a| drop(black_box(sentences::split(&a.article, &a.language))));
    });
    bench.time("articles: tokenize, all cores", work(), || {
        black_box(model.encode(&inputs).expect("as before"));
    });
    bench.time("articles: network, all cores", Work::Count(n_tokens, "tokens"), || {
        black_box(model.logits(&encoded).expect("as before"));
    });
    bench.time("articles: find groups", work(), || {
        for a in &tagged {
            let found = gazetteer.in_article(&a.article.text, &a.language);
            a.sentences.iter().for_each(|s| drop(black_box(found.find(s.sentence.span))));
        }
    });
    bench.time("articles: write JSON lines", work(), || {
        let name = ModelName { name: model.name.clone(), sha256: Some(model.sha256.clone()) };
        let context = Context {
            schema: model.schema().clone(),
            model: name,
            min_confidence: 0.0,
            only: Vec::new(),
            explain: false,
        };
        let (mut report, mut out) = (Jsonl::new(context), Vec::new());
        tagged.iter().for_each(|a| report.article(a, &mut out).expect("memory takes it"));
        black_box(out);
    });
    whole_program(bench, &all);
}

/// `rasid classify` as a process, from its start to its end.
fn whole_program(bench: &Bench, articles: &[Article]) {
    let feed: String = articles
        .iter()
        .map(|a| serde_json::json!({ "id": a.id, "title": a.title, "text": a.text }).to_string() + "\n")
        .collect();
    let classify = |input: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_rasid"))
            .args(["classify", "-", "--input-format", "jsonl", "--format", "jsonl", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        process.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the program reads");
        assert!(process.wait().expect("the program ends").success());
    };
    let first = feed.lines().next().expect("an article");
    bench.time("rasid classify: start, and one article", Work::Count(1, "articles"), || classify(first));
    let name = format!("rasid classify: start, and {} articles", articles.len());
    bench.time(&name, Work::Count(articles.len(), "articles"), || classify(&feed));
}
