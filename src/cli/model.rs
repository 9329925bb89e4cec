//! `rasid model info` and `rasid model pull`.

use super::{Output, model_lookup};
use crate::error::{Error, Place, Result};
use crate::model_dir::{Info, Scores};
use crate::tokens::Context;
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tells what a model directory holds, or fetches one.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tell what a model directory holds: heads and labels, sizes, scores, checksum
    Info(InfoArgs),
    /// Fetch a model directory from the Hugging Face hub
    Pull(PullArgs),
}

#[derive(Debug, clap::Args)]
struct InfoArgs {
    /// Model directory, or the name of a pulled model [default: the model that `rasid classify` takes]
    #[arg(value_name = "DIR")]
    model: Option<PathBuf>,

    /// What to write: a table to read or JSON to compute with
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
struct PullArgs {
    /// Repository on the hub, as in https://huggingface.co/OWNER/NAME
    #[arg(value_name = "OWNER/NAME", value_parser = repository)]
    repository: String,

    /// Branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    /// Folder to write; it appears when the model is whole [default: rasid/models/NAME in the user's data folder, where
    /// --model NAME finds it]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Replace a model directory that is there already
    #[arg(long)]
    overwrite: bool,

    /// No progress and no closing note on standard error
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// The model cannot be opened or fetched, or the output cannot be written.
pub fn execute(args: Args) -> Result<ExitCode> {
    let text = match args.command {
        Command::Info(args) => {
            let info = model_lookup::info(args.model.as_deref())?;
            match args.format {
                Format::Table => table(&info),
                Format::Json => serde_json::to_string_pretty(&info).expect("an Info is plain data") + "\n",
            }
        }
        Command::Pull(args) => {
            let folder = destination(&args)?;
            pull(&args, &folder)?;
            format!("{}\n", folder.display())
        }
    };
    let output = Output::create(None)?;
    output.write_whole(text.as_bytes())?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// `OWNER/NAME`; NAME becomes a folder's name, so it must not lead anywhere else.
fn repository(text: &str) -> std::result::Result<String, String> {
    let is_name = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    match text.split('/').collect::<Vec<_>>()[..] {
        [owner, name] if is_name(owner) && is_name(name) => Ok(text.to_string()),
        _ => Err("expected OWNER/NAME, as in https://huggingface.co/OWNER/NAME".into()),
    }
}

/// Where the model goes; checked before anything is fetched.
fn destination(args: &PullArgs) -> Result<PathBuf> {
    let name = args.repository.rsplit('/').next().unwrap_or(&args.repository);
    let folder = match &args.output {
        Some(folder) => folder.clone(),
        None => model_lookup::data_place(name).ok_or_else(|| {
            Error::Usage("this system has no folder for a user's data; name one with --output DIR".into())
        })?,
    };
    let place = || Place::file(&folder);
    if folder.file_name().is_none() {
        return Err(Error::bad(place(), "a folder that cannot be replaced", "the name of a new folder"));
    }
    let is_empty = || std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
    if !folder.exists() || is_empty() {
        return Ok(folder);
    }
    if !folder.join("config.json").is_file() {
        return Err(Error::bad(place(), "something that is no model directory", "a name that is free"));
    }
    if !args.overwrite {
        let error = Error::bad(place(), "a model directory that is there already", "a name that is free");
        return Err(
            error.hint("choose another --output, or give --overwrite to replace it when the new model is whole")
        );
    }
    Ok(folder)
}

#[cfg(not(feature = "hub"))]
fn pull(args: &PullArgs, folder: &Path) -> Result<()> {
    let revision = args.revision.as_deref().unwrap_or("main");
    let (repository, folder) = (&args.repository, folder.display());
    Err(Error::Usage(format!(
        "this program was built without the hub: build it with `cargo build --release --features hub`, or copy the files of \
         {repository} (revision {revision}) to {folder} by hand"
    )))
}

#[cfg(feature = "hub")]
fn pull(args: &PullArgs, folder: &Path) -> Result<()> {
    use super::Progress;
    use crate::model_dir;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let staging = tempfile::Builder::new().prefix(".rasid-pull-").tempdir_in(parent);
    let staging = staging.map_err(Error::io("create a folder in", parent))?;

    let is_whole = Arc::new(AtomicBool::new(false));
    let (half, renaming) = (staging.path().to_path_buf(), Arc::clone(&is_whole));
    let handler = move || {
        // The rename takes no time; stopped in its middle, the former model would lie under another name.
        if !renaming.load(Ordering::SeqCst) {
            let _ = std::fs::remove_dir_all(&half);
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Usage(format!("could not watch for Ctrl-C: {error}")))?;

    let progress = Arc::new(Progress::start(!args.quiet));
    progress.set(format!("asking for {}", args.repository));
    let shown = Arc::clone(&progress);
    let on_progress = Arc::new(move |file: &str, done: u64, of: u64| {
        let of = if of == 0 { String::new() } else { format!(" of {}", size(of)) };
        shown.set(format!("{file}: {}{of}", size(done)));
    });
    let fetched = model_dir::hub::fetch(&args.repository, args.revision.as_deref(), staging.path(), on_progress);
    progress.finish();
    let commit = fetched?;
    is_whole.store(true, Ordering::SeqCst);
    model_dir::replace(&staging.keep(), folder)?;
    if !args.quiet {
        super::say(&format!("{} at commit {commit}\n", args.repository));
    }
    Ok(())
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
        ["written by".into(), format!("rasid {}", info.rasid_version)],
        ["encoder".into(), format!("{layers} layers of {width}, {} attention heads", encoder.num_attention_heads)],
        ["vocabulary".into(), format!("{} subwords", thousands(encoder.vocab_size))],
        ["parameters".into(), format!("{}, stored as {}", thousands(info.parameters), info.weights_dtype)],
        ["reads".into(), format!("{reads}, {} tokens at most", info.input.max_tokens)],
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
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| -> String {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:width$}"));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

/// `2.4 MB`, in powers of ten.
fn size(bytes: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name_that_leads_nowhere_else() {
        assert_eq!(repository("some-one/iraq_v1.2").unwrap(), "some-one/iraq_v1.2");
        for wrong in ["iraq", "a/b/c", "/iraq", "a/", "a/..", "../b", "a/b c", "https://huggingface.co/a/b", "a/ب"] {
            assert!(repository(wrong).is_err(), "{wrong}");
        }
    }

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
