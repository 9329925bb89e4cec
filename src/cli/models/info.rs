//! `rasid models info`: what a model directory holds.

use super::Format;
use crate::cli::model_lookup;
use crate::error::Result;
use crate::model_dir::{Info, Scores};
use crate::tokens::Context;
use std::path::PathBuf;

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model directory, hub:OWNER/NAME, or the name of a model that is here [default: the model that `rasid classify` takes]
    #[arg(value_name = "DIR")]
    model: Option<PathBuf>,

    /// What to write: a table to read or JSON to compute with
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The text of the command.
///
/// # Errors
/// The model cannot be opened.
pub fn text(args: &Args) -> Result<String> {
    let info = model_lookup::info(args.model.as_deref())?;
    Ok(match args.format {
        Format::Table => table(&info),
        Format::Json => serde_json::to_string_pretty(&info).expect("an Info is plain data") + "\n",
    })
}

/// What a person reads.
fn table(info: &Info) -> String {
    let encoder = &info.encoder;
    let reads = match info.input.context {
        Context::None => "the sentence alone",
        Context::Title => "the sentence with its headline",
        Context::Previous => "the sentence with the one before",
        Context::Both => "the sentence with its headline and the one before",
    };
    let (layers, width) = (encoder.num_hidden_layers, encoder.hidden_size);
    let mut rows = vec![
        ["folder".to_string(), info.folder.clone()],
        ["sha256".into(), info.sha256.clone()],
        [
            "written by".into(),
            match info.rasid_version.as_str() {
                "" => "another program".into(),
                version => format!("rasid {version}"),
            },
        ],
        ["family".into(), info.family.clone()],
        ["encoder".into(), format!("{layers} layers of {width}, {} attention heads", encoder.num_attention_heads)],
        ["vocabulary".into(), format!("{} subwords", thousands(encoder.vocab_size))],
        ["parameters".into(), format!("{}, stored as {}", thousands(info.parameters), info.weights_dtype)],
        ["reads".into(), format!("{reads}, {} tokens at most", info.input.max_tokens)],
        ["languages".into(), some_or_dash(&info.languages.join(", "))],
        ["licence".into(), some_or_dash(info.license.as_deref().unwrap_or_default())],
        ["size".into(), size(info.bytes)],
    ];
    rows.extend(info.files.iter().map(|file| [String::new(), format!("{} {}", file.name, size(file.bytes))]));
    let mut text = format!("{}\n{}", info.name, columns(&rows));
    text.push_str("\nheads\n");
    let heads = info.heads.iter().map(|head| {
        let temperature = format!("temperature {:.3}", head.temperature);
        [head.name.clone(), format!("{} labels", head.classes.len()), temperature, head.classes.join(", ")]
    });
    match info.heads.is_empty() {
        true => text.push_str("  none: a base for `rasid train --base`\n"),
        false => text.push_str(&columns(&heads.collect::<Vec<_>>())),
    }
    if !info.scores.is_empty() {
        text.push_str("\nscores\n");
        let header =
            ["set", "language", "head", "macro F1", "95 % interval", "accuracy", "sentences"].map(String::from);
        let rows: Vec<_> = std::iter::once(header).chain(info.scores.iter().flat_map(score_rows)).collect();
        text.push_str(&columns(&rows));
    }
    if !info.perplexity.is_empty() {
        text.push_str("\nperplexity on held-out text, by language\n");
        let rows: Vec<_> = info.perplexity.iter().map(|(l, p)| [l.clone(), format!("{p:.1}")]).collect();
        text.push_str(&columns(&rows));
    }
    text
}

fn score_rows(scores: &Scores) -> Vec<[String; 7]> {
    let figure = |value: Option<f64>| value.map_or("—".to_string(), |v| format!("{v:.3}"));
    let row = |head: &crate::model_dir::HeadScore| {
        let interval = head.macro_f1_ci.map_or("—".into(), |[low, high]| format!("{low:.3} to {high:.3}"));
        let language = scores.language.clone().unwrap_or("all".into());
        let (f1, accuracy) = (figure(head.macro_f1), figure(head.accuracy));
        [scores.set.clone(), language, head.name.clone(), f1, interval, accuracy, head.sentences.to_string()]
    };
    scores.heads.iter().map(row).collect()
}

/// Rows as lines, indented by two, the columns aligned.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| -> String {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:width$}"));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

/// `2.4 MB`, in powers of ten.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// `2,378,752`.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

/// A dash for what is not known.
pub fn some_or_dash(text: &str) -> String {
    if text.is_empty() { "—".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_a_unit() {
        assert_eq!([0, 999, 1_000, 2_378_752].map(thousands), ["0", "999", "1,000", "2,378,752"]);
        assert_eq!([0, 999, 1_500, 2_400_000].map(size), ["0 B", "999 B", "1.5 kB", "2.4 MB"]);
    }

    #[test]
    fn columns_are_aligned_and_end_without_blanks() {
        let rows = [["a".to_string(), "—".into()], ["long".into(), String::new()]];
        assert_eq!(columns(&rows), "  a     —\n  long\n");
    }
}
