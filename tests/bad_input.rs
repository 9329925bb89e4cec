//! Whatever is wrong with what the program is given: the message says where, what was found, what was expected and the way
//! out; the exit code is 2; good articles are tagged all the same; nothing is lost and nothing half-written.
//!
//! The model is a very small one that `rasid train` makes once for all tests here.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const GOOD: &str = "هاجم مسلحو داعش نقطة للجيش غربي الحويجة.\nThe governor visited the town.\n";

/// Sizes at which training takes a second.
const TINY: [&str; 20] = [
    // Numbers that the tensor library can read, so that the tests can change them.
    "--set",
    "model.weights_dtype=f16",
    "--set",
    "model.hidden_size=16",
    "--set",
    "model.intermediate_size=16",
    "--set",
    "model.num_hidden_layers=1",
    "--set",
    "model.num_attention_heads=2",
    "--set",
    "input.max_tokens=64",
    "--set",
    "input.context=none",
    "--set",
    "training.epochs=2",
    "--set",
    "training.patience=0",
    "--threads",
    "1",
];

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("labels/seeds.jsonl")
}

fn binary() -> PathBuf {
    assert_cmd::cargo::cargo_bin("rasid")
}

/// The program in a folder, without a model of its own.
fn rasid(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RASID_MODEL").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// The tiny model's folder.
fn model() -> &'static Path {
    static MODEL: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let labels = seeds();
        let done = rasid(
            folder.path(),
            &["train", "--base", "none", "--labels", labels.to_str().unwrap(), "--output", "tiny"],
        )
        .args(TINY)
        .output()
        .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        folder
    });
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| folder.path().join("tiny"))
}

/// What a run left: exit code, standard output, standard error.
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Told {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Told {
    rasid(folder, arguments).env("RASID_MODEL", model()).output().unwrap().into()
}

/// Number of sentences by article, from whole lines of JSON.
fn sentences(jsonl: &str) -> BTreeMap<String, usize> {
    assert!(jsonl.is_empty() || jsonl.ends_with('\n'), "the last line is whole");
    let mut articles = BTreeMap::new();
    for line in jsonl.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        *articles.entry(line["article_id"].as_str().unwrap().to_string()).or_insert(0) += 1;
    }
    articles
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

// ---- articles

#[test]
fn a_bad_article_is_told_and_the_good_ones_are_tagged() {
    let encodings = "expected text in UTF-8, UTF-16 or Windows-1256";
    let broken = [GOOD.as_bytes(), b"\xff\xfe\xff", GOOD.as_bytes()].concat();
    let cases: Vec<(&str, Option<Vec<u8>>, String)> = vec![
        ("missing.txt", None, "missing.txt: no such file or folder; expected a name that exists\n".into()),
        ("empty", None, "empty: a folder without articles; expected files with text, HTML, JSONL, CSV or TSV\n".into()),
        ("a.txt", Some(Vec::new()), "a.txt: an empty article; expected text\n".into()),
        ("a.txt", Some(b" \r\n\t".to_vec()), "a.txt: an empty article; expected text\n".into()),
        (
            "a.txt",
            Some(b"\x7fELF\x02\x01\x01\0\0\0\0".to_vec()),
            format!("a.txt byte 0: a program, beginning with [7f, 45, 4c, 46]; {encodings}\n"),
        ),
        ("a.txt", Some(broken), format!("a.txt byte {}: byte 0xff that is not UTF-8; {encodings}\n", GOOD.len())),
        ("a.txt", Some(b"Seven\0men".to_vec()), format!("a.txt byte 5: a nul byte; {encodings}\n")),
        (
            "a.txt.gz",
            Some(gzip(GOOD.as_bytes())[..60].to_vec()),
            "a.txt.gz: the gzip data ends early; expected a whole gzip file\n".into(),
        ),
        (
            "a.csv",
            Some(b"id,body,date\n1,Three men died.,2019\n".to_vec()),
            "a.csv line 1: no \"text\" among \"id\", \"body\", \"date\"; expected \"text\" with the text\n\
             hint: --text-field names another\n"
                .into(),
        ),
    ];
    for (name, bytes, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good.txt"), GOOD).unwrap();
        fs::write(folder.path().join("last.txt"), GOOD).unwrap();
        fs::create_dir(folder.path().join("empty")).unwrap();
        if let Some(bytes) = bytes {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let told = run(folder.path(), &["classify", "good.txt", name, "last.txt", "--format", "jsonl"]);
        let note = "note: 1 of 3 articles could not be read; the others are tagged\n";
        assert_eq!(told.stderr, format!("error: {message}{note}"), "{name}");
        assert_eq!(told.code, Some(2), "{name}");
        assert_eq!(sentences(&told.stdout), BTreeMap::from([("good".into(), 2), ("last".into(), 2)]), "{name}");
    }
}

/// Not by its permissions, which the superuser does not heed: the system refuses to read this one from its start.
#[cfg(target_os = "linux")]
#[test]
fn an_unreadable_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.txt"), GOOD).unwrap();
    let told = run(folder.path(), &["classify", "/proc/self/mem", "good.txt", "--format", "jsonl"]);
    assert!(told.stderr.starts_with("error: could not read /proc/self/mem: Input/output error"), "{}", told.stderr);
    assert_eq!((told.code, sentences(&told.stdout).len()), (Some(2), 1));
}

#[test]
fn a_broken_line_17_costs_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let record = |i: usize| match i {
        17 => "{\"id\":\"a17\",\"text\":\"Three men".to_string(),
        _ => format!("{{\"id\":\"a{i}\",\"text\":\"Three men died.\"}}"),
    };
    let lines: Vec<String> = (1..=30).map(record).collect();
    fs::write(folder.path().join("news.jsonl"), lines.join("\n")).unwrap();
    let told = run(folder.path(), &["classify", "news.jsonl", "--format", "jsonl", "--output", "tags.jsonl"]);
    let message = "error: news.jsonl line 17: no JSON object (EOF while parsing a string at column 29); expected one JSON \
                   object a line\nnote: 1 of 30 articles could not be read; the others are tagged\n";
    assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (Some(2), "", message));
    let tagged = sentences(&fs::read_to_string(folder.path().join("tags.jsonl")).unwrap());
    assert_eq!(tagged.len(), 29);
    assert!(!tagged.contains_key("a17"));
}

#[test]
fn an_article_of_emoji_is_an_article() {
    let folder = tempfile::tempdir().unwrap();
    let text = "😀😀 💣\n🇮🇶👨‍👩‍👧";
    fs::write(folder.path().join("a.txt"), text).unwrap();
    let told = run(folder.path(), &["classify", "a.txt", "--format", "jsonl"]);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    for line in told.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let span = line["start"].as_u64().unwrap() as usize..line["end"].as_u64().unwrap() as usize;
        assert_eq!((&line["text"], &line["language"]), (&text[span].into(), &"und".into()));
    }
    assert_eq!(sentences(&told.stdout), BTreeMap::from([("a".into(), 2)]));
}

// ---- much of it

/// The most memory a process has held so far, in kB.
fn peak_kb(child: &Child) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Feeds standard input piece by piece; returns what was told and the peak in kB just before the input ended.
fn feed(arguments: &[&str], pieces: impl Iterator<Item = Vec<u8>>) -> (Told, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (stdout, stderr) = (folder.path().join("stdout"), folder.path().join("stderr"));
    let mut child = rasid(folder.path(), arguments)
        .env("RASID_MODEL", model())
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&stdout).unwrap())
        .stderr(fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut peak = 0;
    for piece in pieces {
        if stdin.write_all(&piece).is_err() {
            break;
        }
        peak = peak_kb(&child).unwrap_or(0).max(peak);
    }
    drop(stdin);
    let code = child.wait().unwrap().code();
    let text = |path| fs::read_to_string(path).unwrap();
    (Told { code, stdout: text(stdout), stderr: text(stderr) }, peak)
}

const MANY_KB: usize = 180_000;

#[cfg(target_os = "linux")]
#[test]
fn a_line_of_200_mb_is_told_and_never_held() {
    let flood = |before: &str, after: &str| {
        let floods = (0..200).map(|_| vec![b'x'; 1 << 20]);
        std::iter::once(before.as_bytes().to_vec()).chain(floods).chain([after.as_bytes().to_vec()])
    };
    let limit = "of more than 16777216 bytes; expected shorter articles, so that memory stays bounded\n\
                 hint: --max-article-bytes raises the limit\n";

    let (before, after) =
        ("{\"id\":\"a\",\"text\":\"A.\"}\n{\"id\":\"b\",\"text\":\"", "\"}\n{\"id\":\"c\",\"text\":\"C.\"}\n");
    let (told, peak) = feed(&["classify", "--format", "jsonl"], flood(before, after));
    let note = "note: 1 of 3 articles could not be read; the others are tagged\n";
    assert_eq!(told.stderr, format!("error: standard input line 2: a line {limit}{note}"));
    assert_eq!(
        (told.code, sentences(&told.stdout).into_keys().collect()),
        (Some(2), vec!["a".to_string(), "c".into()])
    );
    assert!((1..MANY_KB).contains(&peak), "{peak} kB");

    let (told, peak) = feed(&["classify", "--format", "jsonl"], flood("", ""));
    let note = "note: 1 of 1 articles could not be read; the others are tagged\n";
    assert_eq!(told.stderr, format!("error: standard input: an article {limit}{note}"));
    assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""));
    assert!((1..MANY_KB).contains(&peak), "{peak} kB");
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_stream_needs_no_more_memory_than_a_short_one() {
    let thousand = |i: usize| -> Vec<u8> {
        let record = |j: usize| format!("{{\"id\":\"{i}-{j}\",\"text\":\"Three men died near the river in {j}.\"}}\n");
        (0..1000).map(record).collect::<String>().into_bytes()
    };
    let (told, peak) = feed(&["classify", "--format", "csv"], (0..30).map(thousand));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    assert_eq!(told.stdout.lines().count(), 30_001);
    assert!((1..MANY_KB).contains(&peak), "{peak} kB");
}

#[test]
fn a_hundred_thousand_sentences_without_a_full_stop_take_seconds() {
    let folder = tempfile::tempdir().unwrap();
    // The last word means several groups: which one, the whole article is asked.
    let clause = "وقصفت الطائرات مواقع الكتائب";
    for (name, text) in [("lines.txt", format!("{clause}\n")), ("commas.txt", format!("{clause}، "))] {
        let text = text.repeat(100_000);
        fs::write(folder.path().join(name), &text).unwrap();
        let start = Instant::now();
        let told = run(folder.path(), &["classify", name, "--format", "jsonl"]);
        assert!(start.elapsed() < Duration::from_secs(60), "{name}: {:?}", start.elapsed());
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{name}");
        // Sentences and the white space between them are the whole text.
        let mut end = 0;
        for line in told.stdout.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let span = line["start"].as_u64().unwrap() as usize..line["end"].as_u64().unwrap() as usize;
            assert!(text[end..span.start].trim().is_empty());
            assert_eq!(line["text"].as_str().unwrap(), &text[span.clone()]);
            end = span.end;
        }
        assert!(text[end..].trim().is_empty());
        let n = told.stdout.lines().count();
        assert!(if name == "lines.txt" { n == 100_000 } else { n > 1_000 }, "{name}: {n}");
    }
}

// ---- the model

/// A copy of the tiny model, one file of it changed or, for none, removed.
fn damaged(folder: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let copy = folder.join("m");
    fs::create_dir(&copy).unwrap();
    for name in names(model()) {
        fs::copy(model().join(&name), copy.join(&name)).unwrap();
    }
    match change(fs::read(copy.join(file)).unwrap()) {
        Some(bytes) => fs::write(copy.join(file), bytes).unwrap(),
        None => fs::remove_file(copy.join(file)).unwrap(),
    }
}

fn change_weights(bytes: Vec<u8>, change: impl FnOnce(&mut HashMap<String, candle_core::Tensor>)) -> Option<Vec<u8>> {
    let mut weights = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu).unwrap();
    change(&mut weights);
    Some(safetensors::tensor::serialize(&weights, None).unwrap())
}

fn replace(bytes: Vec<u8>, from: &str, to: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(from));
    Some(text.replace(from, to).into_bytes())
}

#[test]
fn a_damaged_model_is_told_and_the_old_output_stays() {
    type Change = fn(Vec<u8>) -> Option<Vec<u8>>;
    let half: Change = |bytes| Some(bytes[..bytes.len() / 2].to_vec());
    let cases: [(&str, Change, &[&str]); 10] = [
        (
            "model.safetensors",
            |_| None,
            &["m: no weights; expected model.safetensors, ", "hint: the folder is no model or"],
        ),
        ("config.json", |_| None, &["m/config.json: no such file; expected", "hint: the folder is no model or"]),
        (
            "model.safetensors",
            half,
            &["m/model.safetensors: ", " bytes that are no whole safetensors", "hint: the file was cut"],
        ),
        ("model.safetensors", |_| Some(Vec::new()), &["m/model.safetensors: 0 bytes that are no whole", "hint: "]),
        (
            "model.safetensors",
            |bytes| {
                change_weights(bytes, |weights| {
                    let bias = weights["classifier.incident.bias"].narrow(0, 0, 3).unwrap();
                    weights.insert("classifier.incident.bias".into(), bias);
                })
            },
            &[
                "weight \"classifier.incident.bias\" of shape [3]; expected shape [4], as config.json says",
                "hint: weights and",
            ],
        ),
        (
            "model.safetensors",
            |bytes| change_weights(bytes, |weights| drop(weights.remove("final_norm.weight"))),
            &[
                "m/model.safetensors: no weight \"final_norm.weight\"; expected one of shape [16]",
                "hint: the file is of another",
            ],
        ),
        (
            "config.json",
            |bytes| replace(bytes, "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2"),
            &["m/model.safetensors: no weight \"layers.1.", "expected one of shape", "hint: "],
        ),
        (
            "config.json",
            half,
            &["m/config.json line ", "EOF while parsing", "expected the config.json of a model that"],
        ),
        ("tokenizer.json", half, &["m/tokenizer.json", "; expected "]),
        (
            "schema.toml",
            |bytes| replace(bytes, "\"militia_attack\"", "\"arson\""),
            &[
                "m/config.json: label 1 is \"incident.militia_attack\"; expected \"incident.arson\", as the schema says",
                "hint: the model was trained with another schema; train again or use its own schema.toml",
            ],
        ),
    ];
    for (file, change, told_of) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good.txt"), GOOD).unwrap();
        fs::write(folder.path().join("out.jsonl"), "old\n").unwrap();
        damaged(folder.path(), file, change);
        let told = run(folder.path(), &["classify", "good.txt", "--model", "m", "--output", "out.jsonl"]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{file} {told_of:?}: {}", told.stderr);
        assert!(told.stderr.starts_with("error: "), "{}", told.stderr);
        for part in told_of {
            assert!(told.stderr.contains(part), "{part}\nis not in\n{}", told.stderr);
        }
        assert_eq!(fs::read_to_string(folder.path().join("out.jsonl")).unwrap(), "old\n");
        assert_eq!(names(folder.path()), ["good.txt", "m", "out.jsonl"]);
    }
}

#[test]
fn a_model_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let labels = seeds();
    for (name, found) in [("nowhere", "nothing"), ("file", "a file")] {
        let commands: [&[&str]; 2] = [
            &["classify", "file", "--model", name],
            &["evaluate", "--labels", labels.to_str().unwrap(), "--model", name],
        ];
        for arguments in commands {
            let told = run(folder.path(), arguments);
            let message = format!(
                "error: {name}: {found}; expected a model directory (config.json, model.safetensors, …)\nhint: `rasid train` \
                 writes one; without --model the shipped model is used\n"
            );
            assert_eq!((told.code, told.stdout.as_str(), told.stderr), (Some(2), "", message));
        }
    }
}

// ---- a full disk

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_wherever_the_data_goes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.txt"), GOOD).unwrap();
    // Through a link, so that a program that renames over its output could not replace the device itself.
    let device = folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &device).unwrap();
    let labels = seeds();
    let labels = labels.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["classify", "good.txt", "--format", "jsonl"],
        &["classify", "good.txt", "--format", "html"],
        &["evaluate", "--labels", labels, "--split", "test", "--resamples", "10"],
        &["compare", "majority", "tfidf", "--labels", labels, "--split", "test", "--format", "json"],
        &["cross-validate", "--labels", labels, "--group", "article", "--folds", "2", "--model", "majority"],
    ];
    for arguments in commands {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let told: Told =
            rasid(folder.path(), arguments).env("RASID_MODEL", model()).stdout(full).output().unwrap().into();
        let refused = "No space left on device (os error 28)\n";
        assert!(
            told.stderr.ends_with(&format!("error: could not write standard output: {refused}")),
            "{}",
            told.stderr
        );
        assert_eq!(told.code, Some(2), "{arguments:?}");
        let told = run(folder.path(), &[arguments, &["--output", "full"]].concat());
        assert!(
            told.stderr.ends_with(&format!("error: could not write full: {refused}")),
            "{arguments:?}: {}",
            told.stderr
        );
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""));
        assert!(
            fs::symlink_metadata(&device).unwrap().is_symlink(),
            "{arguments:?}: the device is not replaced by a file"
        );
    }
    assert_eq!(names(folder.path()), ["full", "good.txt"]);
}

/// A limit on the size of files refuses the write as a full disk does, and at any byte that one likes.
#[cfg(target_os = "linux")]
#[test]
fn a_write_that_fails_half_way_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long.txt"), GOOD.repeat(200)).unwrap();
    fs::write(folder.path().join("out"), "old\n").unwrap();
    let labels = seeds();
    let limited = |arguments: &[&str]| -> Told {
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
        command.args(["-c", script]).arg(binary()).args(arguments);
        command.current_dir(folder.path()).env("RASID_MODEL", model()).output().unwrap().into()
    };
    for format in ["table", "jsonl", "csv", "html"] {
        let told = limited(&["classify", "long.txt", "--format", format, "--output", "out"]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{format}");
        assert_eq!(told.stderr, "error: could not write out: File too large (os error 27)\n", "{format}");
    }
    let train = ["train", "--quiet", "--base", "none", "--labels", labels.to_str().unwrap(), "--output", "m"];
    let told = limited(&[&train[..], &TINY].concat());
    assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""));
    assert!(told.stderr.starts_with("error: could not write m.training/checkpoint."), "{}", told.stderr);
    assert!(told.stderr.ends_with("File too large (os error 27)\n"), "{}", told.stderr);
    assert_eq!(fs::read_to_string(folder.path().join("out")).unwrap(), "old\n");
    assert_eq!(names(folder.path()), ["long.txt", "m.training", "out"]);
    let left = names(&folder.path().join("m.training"));
    assert!(left.iter().all(|name| name == "metrics.jsonl" || name.contains("tfevents")), "{left:?}");
}

// ---- labels and recipes

fn record(article: &str, split: &str, incident: &str) -> String {
    format!(
        "{{\"article_id\":\"{article}\",\"language\":\"en\",\"text\":\"Three men died in {article}.\",\
         \"incident\":\"{incident}\",\"perpetrator\":\"none\",\"split\":\"{split}\"}}\n"
    )
}

#[test]
fn training_refuses_before_it_begins_and_leaves_nothing() {
    let seeds = fs::read_to_string(seeds()).unwrap();
    let broken =
        seeds.lines().take(16).map(|l| format!("{l}\n")).collect::<String>() + &record("a", "train", "is_atack");
    let both = seeds.clone()
        + &record("001_d062a46ae553566a", "train", "other")
        + &record("000_2f6b1ea17b3b2c38", "dev", "other");
    let test_only: String =
        seeds.lines().filter(|l| l.contains("\"split\": \"test\"")).map(|l| format!("{l}\n")).collect();
    let one_class: String = (0..9).map(|i| record(&format!("a{i}"), "train", "other")).collect();
    let cases: [(&str, &[&str], &str); 10] = [
        (
            &broken,
            &[],
            "labels.jsonl line 17: incident \"is_atack\" is not in the label set; expected one of is_attack, militia_attack, policy_statement, other\n\
             hint: did you mean \"is_attack\"?",
        ),
        (
            "not JSON\n",
            &[],
            "labels.jsonl line 1: broken JSON at column 2 (expected ident); expected one JSON object a line",
        ),
        ("", &[], "labels.jsonl: no records; expected at least one labelled sentence"),
        (
            &test_only,
            &[],
            "the labels: no sentence to train on; expected records with split \"train\" or without a split\n\
             hint: records of split \"dev\" choose the epoch and records of split \"test\" are never looked at",
        ),
        (
            &one_class,
            &[],
            "the labels: head \"incident\" with 1 of its classes in the train split; expected at least two classes",
        ),
        (
            &both,
            &[],
            "article \"000_2f6b1ea17b3b2c38\" in train and in dev; expected each article in one split\n\
             hint: a sentence of a known article is easier than one of a new article; `rasid labels check` lists all",
        ),
        (&seeds, &["--config", "recipe.toml"], "recipe.toml: unknown key \"training.epoch\"; expected one of "),
        (&seeds, &["--set", "training.drop_out=0.1"], "hint: did you mean \"dropout\"?"),
        (
            &seeds,
            &["--base", "nowhere"],
            "nowhere: nothing; expected a model directory (config.json, model.safetensors, …)\nhint: ",
        ),
        (
            &seeds,
            &["--labels", "gone.jsonl"],
            "gone.jsonl: no such file or folder; expected a label file (JSONL, CSV or TSV) or a folder of them",
        ),
    ];
    for (labels, more, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("labels.jsonl"), labels).unwrap();
        fs::write(folder.path().join("recipe.toml"), "[training]\nepoch = 3\n").unwrap();
        let base: &[&str] = if more.contains(&"--base") { &[] } else { &["--base", "none"] };
        let told =
            run(folder.path(), &[&["train", "--labels", "labels.jsonl", "--output", "m"], base, more, &TINY].concat());
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{message}\n{}", told.stderr);
        assert!(told.stderr.starts_with("error: ") && told.stderr.contains(message), "{message}\n{}", told.stderr);
        assert_eq!(names(folder.path()), ["labels.jsonl", "recipe.toml"], "{message}");
    }
}

#[test]
fn a_model_that_is_there_is_replaced_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let labels = seeds();
    let train =
        [&["train", "--quiet", "--base", "none", "--labels", labels.to_str().unwrap(), "--output", "m"], &TINY[..]]
            .concat();
    fs::create_dir(folder.path().join("m")).unwrap();
    fs::write(folder.path().join("m/precious"), "x").unwrap();
    let told = run(folder.path(), &train);
    let message = "error: m: something that is there already; expected a name that is free\nhint: choose another --output, or \
                   give --overwrite to replace it when the new model is whole\n";
    assert_eq!((told.code, told.stderr.as_str()), (Some(2), message));
    assert_eq!(
        (names(folder.path()), names(&folder.path().join("m"))),
        (vec!["m".into()], vec!["precious".to_string()])
    );

    let told = run(folder.path(), &[&train[..], &["--overwrite"]].concat());
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    assert_eq!(names(folder.path()), ["m", "m.training"]);
    assert!(!folder.path().join("m/precious").exists() && folder.path().join("m/model.safetensors").exists());
}

#[test]
fn evaluation_refuses_what_it_cannot_score() {
    let folder = tempfile::tempdir().unwrap();
    let labels = fs::read_to_string(seeds()).unwrap() + &record("x", "test", "arson");
    fs::write(folder.path().join("bad.jsonl"), labels).unwrap();
    fs::write(folder.path().join("out"), "old\n").unwrap();
    let good = seeds();
    let good = good.to_str().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (
            &["--labels", "bad.jsonl"],
            "bad.jsonl line 87: incident \"arson\" is not in the label set; expected one of is_attack, ",
        ),
        (&["--labels", "gone.csv"], "gone.csv: no such file or folder; expected a label file"),
        (
            &["--labels", good, "--split", "dev"],
            "no sentence with \"split\": \"dev\" in the label files; nothing to score",
        ),
        (&["--labels", good, "--fail-under", "incident.macro_f=0.5"], "incident.macro_f1"),
        (
            &["--labels", good, "--fail-under", "much"],
            "\"much\" is no threshold; expected one like incident.macro_f1=0.8",
        ),
    ];
    for (arguments, message) in cases {
        let told = run(folder.path(), &[&["evaluate", "--output", "out", "--resamples", "10"], arguments].concat());
        assert!(told.stderr.starts_with("error: ") && told.stderr.contains(message), "{message}\n{}", told.stderr);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{message}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("out")).unwrap(), "old\n");
    assert_eq!(names(folder.path()), ["bad.jsonl", "out"]);

    // A score below what was asked for is no error of the program: the report is there, and the exit code is 1.
    for (minimum, code) in [("0", 0), ("1", 1)] {
        let asked = format!("incident.accuracy={minimum}");
        let told = run(folder.path(), &["evaluate", "--labels", good, "--resamples", "10", "--fail-under", &asked]);
        assert_eq!(told.code, Some(code), "{}", told.stderr);
        assert!(told.stdout.contains("incident") && told.stderr.contains("below the asked 1") == (code == 1));
    }
}

// ---- signals

/// Everything in a model's folder.
fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[cfg(unix)]
#[test]
fn training_goes_on_after_ctrl_c_and_after_kill_9_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let labels = seeds();
    let long = ["--set", "training.epochs=25", "--set", "training.batch_size=4"];
    let train = |output: &str, more: &[&str]| {
        let command = ["train", "--base", "none", "--labels", labels.to_str().unwrap(), "--output", output];
        // Of a setting that is given twice the last counts.
        rasid(folder.path(), &[&command, &TINY[..], &long, more].concat())
    };
    fs::create_dir(folder.path().join("whole")).unwrap();
    fs::create_dir(folder.path().join("cut")).unwrap();
    let whole: Told = train("whole/m", &[]).output().unwrap().into();
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);

    let stop = |name: &str, last_line: &str, more: &[&str]| {
        let mut child = train("cut/m", more).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(last_line) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the run ended before {last_line}");
        }
        signal(&child, name);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert!(!folder.path().join("cut/m").exists(), "no model before it is whole");
        (child.wait().unwrap().code(), rest)
    };
    let (code, told) = stop("-INT", "epoch 2 ", &[]);
    assert_eq!(code, Some(130));
    assert!(
        told.contains("stopped; the checkpoint in cut/m.training is whole, repeat the command with --resume"),
        "{told}"
    );
    let (code, _) = stop("-KILL", "epoch 5 ", &["--resume"]);
    assert_eq!(code, None, "killed");
    let resumed: Told = train("cut/m", &["--resume"]).output().unwrap().into();
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    // On a busy machine it may have come farther than epoch 5 before it was killed.
    let first = resumed.stderr.strip_prefix("epoch ").and_then(|rest| rest.split(' ').next());
    let first: usize = first.and_then(|number| number.parse().ok()).expect("a line an epoch");
    assert!((6..25).contains(&first), "it went on, and did not start anew: {}", resumed.stderr);
    assert!(bytes(&folder.path().join("whole/m")) == bytes(&folder.path().join("cut/m")));
    let metrics = |run: &str| fs::read_to_string(folder.path().join(run).join("m.training/metrics.jsonl")).unwrap();
    assert_eq!(metrics("whole"), metrics("cut"));
}

/// Standard input stays open: the interrupt must not wait for it.
#[cfg(unix)]
#[test]
fn an_interrupted_classification_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.jsonl");
    fs::write(&output, "old\n").unwrap();
    let mut child = rasid(folder.path(), &["classify", "-", "--format", "jsonl", "--output", "out.jsonl"])
        .env("RASID_MODEL", model())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for i in 0..3_000 {
        writeln!(stdin, "{{\"id\":\"{i}\",\"text\":\"The parliament voted on the troops in {i}.\"}}").unwrap();
    }
    let begun = Instant::now();
    let is_written = || names(folder.path()).iter().any(|name| name.ends_with(".part"));
    while !is_written() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
    assert_eq!(fs::read_to_string(&output).unwrap(), "old\n");
    assert_eq!(names(folder.path()), ["out.jsonl"]);
}
