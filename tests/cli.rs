//! The program from outside: standard output, standard error, exit code. `models/default` is the model.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

const ARTICLE: &str = "labels/articles/000_2f6b1ea17b3b2c38.txt";

fn rasid(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rasid").unwrap();
    command.args(arguments).env_remove("RASID_MODEL").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn json_lines(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn alone_it_shows_help_with_three_examples() {
    let assert = rasid(&[]).assert().success().stderr("");
    let help = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let examples = help.split("Examples:").nth(1).unwrap();
    assert_eq!(examples.lines().filter(|line| line.contains("rasid classify")).count(), 3);
}

#[test]
fn every_sentence_of_an_article_becomes_a_line_whose_span_slices_the_file() {
    let text = fs::read_to_string(ARTICLE).unwrap();
    let assert = rasid(&["classify", ARTICLE, "--format", "jsonl"]).assert().success().stderr("");
    let lines = json_lines(&assert.get_output().stdout);
    assert_eq!(lines.len(), 13);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["sentence_index"], i);
        assert_eq!(line["language"], "ar");
        assert_eq!(line["source"], ARTICLE);
        let span = line["start"].as_u64().unwrap() as usize..line["end"].as_u64().unwrap() as usize;
        assert_eq!(line["text"], text[span]);
        let sum: f64 =
            line["incident"]["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }
    let keys: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "schema_version article_id source title language sentence_index field start end text incident perpetrator \
                    abstained truncated model";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_pipe_is_read_without_being_named() {
    let assert =
        rasid(&["classify", "--format", "jsonl"]).write_stdin("هاجم داعش نقطة للجيش غربي الحويجة.").assert().success();
    let lines = json_lines(&assert.get_output().stdout);
    assert_eq!((lines.len(), &lines[0]["source"]), (1, &"-".into()));
}

#[test]
fn a_missing_file_is_told_and_the_others_are_tagged() {
    rasid(&["classify", "no-such-file.txt", ARTICLE, "--format", "jsonl"])
        .assert()
        .code(2)
        .stderr(contains("no-such-file.txt"))
        .stdout(contains("000_2f6b1ea17b3b2c38"));
}

#[test]
fn the_output_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let out = path.to_str().unwrap();
    rasid(&["classify", ARTICLE, "--format", "csv", "--output", out]).assert().success().stdout("").stderr("");
    let whole = fs::read(&path).unwrap();
    assert_eq!(csv::Reader::from_reader(whole.as_slice()).records().filter(|r| r.is_ok()).count(), 13);

    rasid(&["classify", "no-such-file.txt", "--format", "csv", "--output", out]).assert().code(2);
    rasid(&["classify", ARTICLE, "--only", "nonsense", "--output", out]).assert().code(2);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(names(folder.path()), ["out.csv"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    for format in ["table", "jsonl", "csv", "html"] {
        rasid(&["classify", ARTICLE, "--format", format, "--output", "/dev/full"])
            .assert()
            .code(2)
            .stderr(contains("error: could not write /dev/full: No space left on device"));
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rasid"))
        .args(["classify", "labels/articles", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
}

/// Standard input stays open and silent: the interrupt must not wait for it.
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_lines_and_exits_with_130() {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rasid"))
        .args(["classify", "-", "--input-format", "jsonl", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Enough to fill the reader's first look and a batch; the pipe comes back open.
    let feeder = std::thread::spawn(move || {
        for i in 0..10_000 {
            if writeln!(stdin, "{{\"id\":\"{i}\",\"text\":\"The parliament voted on the troops.\"}}").is_err() {
                break;
            }
        }
        stdin
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    stdout.read_line(&mut read).unwrap();
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    stdout.read_to_string(&mut read).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(feeder.join());
    assert!(!json_lines(read.as_bytes()).is_empty());
}

#[test]
fn only_shows_what_was_asked_for() {
    let assert = rasid(&["classify", ARTICLE, "--format", "jsonl", "--only", "is_attack,other"]).assert().success();
    for line in json_lines(&assert.get_output().stdout) {
        assert!(["is_attack", "other"].contains(&line["incident"]["label"].as_str().unwrap()));
    }
}

#[test]
fn below_the_minimum_a_sentence_abstains() {
    let all = |p: &str| {
        let assert = rasid(&["classify", ARTICLE, "--format", "jsonl", "--min-confidence", p]).assert().success();
        json_lines(&assert.get_output().stdout).iter().map(|l| l["abstained"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert!(all("0").iter().all(|abstained| !abstained));
    assert!(all("1").iter().any(|abstained| *abstained));
}

#[test]
fn wrong_wishes_are_told_with_the_way_out() {
    let cases: [(&[&str], &str); 5] = [
        (&["classify", ARTICLE, "--only", "is_atack"], "did you mean \"is_attack\"?"),
        (&["classify", ARTICLE, "--min-confidence", "1.5"], "expected a probability from 0 to 1"),
        (&["classify", ARTICLE, "--model", "no-such-model"], "no-such-model"),
        (&["classify", ARTICLE, "--output", "no-such-folder/out"], "its folder does not exist"),
        (&["clasify", ARTICLE], "classify"),
    ];
    for (arguments, told) in cases {
        rasid(arguments).assert().code(2).stdout("").stderr(contains("error: ").and(contains(told)));
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_this_program_was_not_built_for_is_told_with_the_way_out() {
    for (device, told) in
        [("cuda", "built without CUDA"), ("cuda:1", "--features cuda"), ("tpu", "expected cpu, cuda or")]
    {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        let words = ["pretrain", "--corpus", "labels/articles", "--output", base.to_str().unwrap(), "--device", device];
        rasid(&words).assert().code(2).stderr(contains(told));
        assert!(names(folder.path()).is_empty(), "{device}: something was written");
    }
}

#[test]
fn a_piped_table_has_neither_colors_nor_marks_of_direction() {
    let clean = contains("\u{1b}").or(contains("\u{2067}")).not();
    rasid(&["classify", ARTICLE]).assert().success().stdout(clean.and(contains("1 article, 13 sentences")));
    rasid(&["classify", ARTICLE, "--color", "always"]).assert().success().stdout(contains("\u{1b}["));
}

#[test]
fn the_page_is_one_file_for_all_articles() {
    let assert = rasid(&["classify", "labels/articles", "--format", "html"]).assert().success().stderr("");
    let page = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert_eq!(page.matches("<article ").count(), 5);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        rasid(&["completions", shell]).assert().success().stdout(contains("min-confidence"));
    }
    rasid(&["man"]).assert().success().stdout(contains(".TH rasid 1"));
    let folder = tempfile::tempdir().unwrap();
    rasid(&["man", "--dir", folder.path().to_str().unwrap()]).assert().success().stdout("");
    assert!(names(folder.path()).contains(&"rasid-classify.1".to_string()));
}
