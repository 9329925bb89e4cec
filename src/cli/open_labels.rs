//! `rasid labels join` and `rasid labels open`: labels of sentences in open corpora, handed on without the text.

use super::{Output, say};
use crate::article::Article;
use crate::dataset::{Example, OpenTable, Search, json_line};
use crate::error::{Error, Place, Result};
use crate::schema::Schema;
use crate::sentences::split;
use crate::tokens::corpus::{Source, each_line_or_blank, sources};
use std::path::PathBuf;

/// Options of `rasid labels join`.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// Table of hashes: labels/open.tsv
    #[arg(value_name = "TABLE")]
    table: PathBuf,
    /// Text files or folders of them; the first folder below each is the language
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    corpora: Vec<PathBuf>,
    /// Label file to write (JSONL); - is standard output
    #[arg(long, required = true, value_name = "FILE")]
    output: PathBuf,
    /// Heads and classes [default: labels/schema.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
}

/// Options of `rasid labels open`.
#[derive(Debug, clap::Args)]
pub struct OpenArgs {
    /// Labelled sentences (JSONL, CSV, TSV) with source (en/centcom), language, text, the heads and, if there is one, split
    #[arg(value_name = "FILE")]
    sentences: PathBuf,
    /// Table to write, sorted by source and hash; - is standard output
    #[arg(long, required = true, value_name = "FILE")]
    output: PathBuf,
    /// Heads and classes [default: labels/schema.toml as compiled in]
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
}

/// Runs `rasid labels join`.
///
/// # Errors
/// The table or a corpus cannot be read, the output cannot be written, nothing was found.
pub(super) fn join(args: &JoinArgs, schema: &Schema) -> Result<()> {
    let table = OpenTable::read(&args.table, schema)?;
    let files = sources(&args.corpora)?;
    let output = Output::create(Some(&args.output))?;
    let mut messages = String::new();
    let mut n_found = 0;
    for (source, rows) in &table.0 {
        let is_named = |file: &&Source| format!("{}/{}", file.language, file.name) == *source;
        let files: Vec<&Source> = files.iter().filter(is_named).collect();
        let mut search = Search::new(source, rows);
        for file in &files {
            search_file(&mut search, file)?;
        }
        let found: Vec<Example> = search.finish();
        n_found += found.len();
        let missing = rows.len() - found.len();
        if files.is_empty() {
            messages += &format!("{source}: no such file below --corpora, {missing} sentences are missing\n");
        } else if missing > 0 {
            messages += &format!("{source}: {missing} of {} sentences not found\n", rows.len());
        }
        let lines: String = found.iter().map(|example| json_line(example, schema) + "\n").collect();
        output.write_whole(lines.as_bytes())?;
    }
    const WAY_OUT: &str =
        "the corpora are probably of another version than the labels' makers had; labels/README.md names the sources";
    if n_found == 0 {
        let found = format!("none of the {} sentences of {}", table.len(), args.table.display());
        return Err(Error::bad(Place::file(&args.corpora[0]), found, "the text that was labelled").hint(WAY_OUT));
    }
    output.finish()?;
    if !messages.is_empty() {
        say(&format!("{messages}{WAY_OUT}\n"));
    }
    say(&format!("{n_found} of {} sentences found\n", table.len()));
    Ok(())
}

fn search_file(search: &mut Search<'_>, file: &Source) -> Result<()> {
    let languages = search.languages();
    search.begin_file();
    each_line_or_blank(&file.path, |line| {
        search.begin_line(line);
        if line.is_empty() || search.is_complete() {
            return;
        }
        search.look_at(line);
        let article = Article { id: String::new(), source: String::new(), title: None, text: line.to_string() };
        for language in &languages {
            split(&article, language).iter().for_each(|sentence| search.look_at(sentence.span.of(line)));
        }
    })
}

/// Runs `rasid labels open`.
///
/// # Errors
/// The sentences cannot be read or contradict each other, the output cannot be written.
pub(super) fn open(args: &OpenArgs, schema: &Schema) -> Result<()> {
    let output = Output::create(Some(&args.output))?;
    let table = OpenTable::of_sentences(&args.sentences, schema)?;
    output.write_whole(table.to_tsv(schema).as_bytes())?;
    output.finish()?;
    say(&format!("{} sentences of {} sources\n", table.len(), table.0.len()));
    Ok(())
}
