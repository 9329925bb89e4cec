//! `rasid labels`: are label files sound, do two labelings agree, and labels of open corpora with and without their text.

use super::open_labels;
use crate::dataset::{
    Agreement, CheckReport, ClassCounts, Finding, Split, SplitCounts, agreement, check, read_examples,
};
use crate::error::{Error, Result};
use crate::schema::Schema;
use clap::{Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Check label files, compare two labelings of the same sentences, find the sentences of labels that come without text
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do with the labels.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for what would make a score dishonest: schema errors, the same text in two splits, articles in two splits
    ///
    /// Exit code: 0 sound (warnings allowed), 1 something would make a score dishonest, 2 a file cannot be read.
    Check {
        /// Label files (JSONL, CSV, TSV) or folders of them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Cohen's kappa per head between two labelings, matched by id, else by article and text
    Agreement {
        /// Labels by the first annotator: a file or folder
        a: PathBuf,
        /// Labels by the second annotator: a file or folder
        b: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Find the sentences of a table of hashes in the corpora they come from: a label file to train on
    ///
    /// Each source that the table names (en/centcom) is the text file of that name below --corpora, plain or packed by gzip,
    /// zstd or xz. Its lines, and the sentences they split into, are compared by hash. Articles are the documents of a source,
    /// which blank lines separate; where it has none, each line is an article. What is not found is told by source; the exit
    /// code is 2 only if nothing is found at all.
    Join(open_labels::JoinArgs),
    /// The reverse: a table of hashes of labelled sentences whose text cannot be passed on
    ///
    /// Each sentence must stand in its source as a whole line, or as one of the sentences that `rasid classify` splits a line
    /// into: `rasid labels join` finds no other.
    Open(open_labels::OpenArgs),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Heads and classes [default: labels/schema.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// How the result is shown
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: one JSON object
    Json,
}

/// Findings of one kind shown in a table; JSON has them all.
const MAX_SHOWN: usize = 20;

/// Runs the command, writes its result to `out` and returns the exit code: 0 or, for unsound labels, 1.
///
/// # Errors
/// Files that cannot be read (exit code 2), and for `agreement` also labels that are not sound.
pub fn execute(args: &Args, out: &mut dyn Write) -> Result<u8> {
    let (text, code) = match &args.command {
        Command::Check { files, options } => {
            let report = check(files, &schema(options.schema.as_deref())?)?;
            let code = if report.is_honest() { 0 } else { 1 };
            (shown(&report, options.format, check_table), code)
        }
        Command::Agreement { a, b, options } => {
            let schema = schema(options.schema.as_deref())?;
            let read = |path: &PathBuf| read_examples(std::slice::from_ref(path), &schema);
            (shown(&agreement(&read(a)?, &read(b)?, &schema)?, options.format, agreement_table), 0)
        }
        Command::Join(args) => return open_labels::join(args, &schema(args.schema.as_deref())?).map(|()| 0),
        Command::Open(args) => return open_labels::open(args, &schema(args.schema.as_deref())?).map(|()| 0),
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("write", "standard output"))?;
    Ok(code)
}

fn schema(path: Option<&Path>) -> Result<Schema> {
    match path {
        Some(path) => Schema::read(path),
        None => Schema::parse(include_str!("../../labels/schema.toml"), Path::new("labels/schema.toml")),
    }
}

fn shown<T: serde::Serialize>(result: &T, format: Format, table: fn(&T) -> String) -> String {
    match format {
        Format::Table => table(result),
        Format::Json => serde_json::to_string_pretty(result).expect("strings and numbers") + "\n",
    }
}

fn check_table(report: &CheckReport) -> String {
    let mut text = String::new();
    let CheckReport { files, sentences, articles, .. } = report;
    let _ = writeln!(text, "{sentences} sentences of {articles} articles in {files} files\n");
    let order = Split::ALL.map(Split::name).into_iter().chain(["none"]);
    let splits: Vec<String> = order.filter(|split| report.splits.contains_key(*split)).map(String::from).collect();
    let mut header = vec![String::new()];
    header.extend(splits.iter().cloned());
    header.push("all".into());
    let mut rows = vec![header];
    let sizes = |which: fn(&SplitCounts) -> usize| report.splits.iter().map(|(s, n)| (s.clone(), which(n))).collect();
    rows.push(count_row("articles", &sizes(|n| n.articles), &splits));
    rows.push(count_row("sentences", &sizes(|n| n.sentences), &splits));
    for (language, counts) in &report.languages {
        rows.push(count_row(&format!("language {language}"), counts, &splits));
    }
    for head in &report.heads {
        for ClassCounts { class, splits: counts } in &head.classes {
            rows.push(count_row(&format!("{} {class}", head.head), counts, &splits));
        }
        if head.unlabelled > 0 {
            let mut row = vec![format!("{} not labelled", head.head)];
            row.extend(splits.iter().map(|_| String::new()));
            row.push(head.unlabelled.to_string());
            rows.push(row);
        }
    }
    text.push_str(&aligned(&rows));
    for (title, findings) in [("error", &report.errors), ("warning", &report.warnings)] {
        text.push_str(&findings_list(title, findings));
    }
    let verdict = if report.is_honest() {
        "sound: no leak between splits, no schema error"
    } else {
        "NOT SOUND: scores on these labels would not be honest"
    };
    let _ = writeln!(text, "\n{verdict} ({} errors, {} warnings)", report.errors.len(), report.warnings.len());
    text
}

fn count_row(name: &str, counts: &BTreeMap<String, usize>, splits: &[String]) -> Vec<String> {
    let mut row = vec![name.to_string()];
    row.extend(splits.iter().map(|split| counts.get(split).copied().unwrap_or(0).to_string()));
    row.push(counts.values().sum::<usize>().to_string());
    row
}

fn findings_list(title: &str, findings: &[Finding]) -> String {
    let mut by_kind: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_kind.entry(finding.kind).or_default().push(finding);
    }
    let mut text = String::new();
    for (kind, findings) in by_kind {
        let kind = serde_json::to_value(kind).expect("a word");
        let kind = kind.as_str().unwrap_or_default().replace('_', " ");
        let _ = writeln!(text, "\n{title}: {kind} ({})", findings.len());
        for finding in findings.iter().take(MAX_SHOWN) {
            let _ = writeln!(text, "  {}: {}", finding.place, finding.message);
        }
        if findings.len() > MAX_SHOWN {
            let _ = writeln!(text, "  … and {} more (--format json has them all)", findings.len() - MAX_SHOWN);
        }
    }
    text
}

fn agreement_table(agreement: &Agreement) -> String {
    let mut text = String::new();
    let Agreement { shared, only_a, only_b, .. } = agreement;
    let _ = writeln!(text, "{shared} sentences in both, {only_a} only in A, {only_b} only in B");
    let figure = |value: Option<f64>| value.map_or("—".into(), |value| format!("{value:.3}"));
    for head in &agreement.heads {
        let (observed, expected, kappa) = (figure(head.observed), figure(head.expected), figure(head.kappa));
        let n = head.sentences;
        let _ = writeln!(
            text,
            "\n{}: kappa {kappa} (observed {observed}, by chance {expected}, {n} sentences)\n",
            head.head
        );
        // Only labels that occur; rows are A's labels, columns B's.
        let used: Vec<usize> = (0..head.classes.len())
            .filter(|c| {
                head.confusion[*c].iter().sum::<usize>() + head.confusion.iter().map(|row| row[*c]).sum::<usize>() > 0
            })
            .collect();
        let mut rows = vec![vec!["A \\ B".to_string()]];
        rows[0].extend(used.iter().map(|c| head.classes[*c].clone()));
        for a in &used {
            let mut row = vec![head.classes[*a].clone()];
            row.extend(used.iter().map(|b| head.confusion[*a][*b].to_string()));
            rows.push(row);
        }
        text.push_str(&aligned(&rows));
    }
    text
}

// First column to the left, figures to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = format!("  {:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
