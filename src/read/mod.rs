//! Files → articles: whatever the user names is found, unpacked, recognised, decoded and handed on one article at a time.
//!
//! ```text
//! inputs   names, folders, globs, -   → files
//! stream   file                       → bytes, gzip and zstd unpacked, with a look at the first of them
//! format   name and first bytes       → text, HTML, JSONL, CSV or TSV
//! decode   bytes                      → text (UTF-8, UTF-16, Windows-1256, …); recode: the same for streams of UTF-16
//! document | json_lines | table       → articles
//! ```
//!
//! Records of JSONL, CSV and TSV are streamed, so that a stream of any length needs the memory of one article.

mod decode;
mod document;
mod format;
mod inputs;
mod json_lines;
mod recode;
mod stream;
mod table;

pub use format::InputFormat;

use crate::article::Article;
use crate::error::{Error, Place, Result, nearest};
use inputs::{File, Files};
use std::path::Path;
use stream::Stream;

/// How articles are read; the default suits most archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// The format of all inputs; none: recognised by content and name.
    pub format: Option<InputFormat>,
    /// The JSON field or CSV column that holds the text.
    pub text_field: String,
    /// The JSON field or CSV column that holds the headline; it may be absent.
    pub title_field: String,
    /// The JSON field or CSV column that holds the article's id; it may be absent.
    pub id_field: String,
    /// The longest article, in bytes after unpacking; longer ones are an error, so that memory stays bounded.
    pub max_article_bytes: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            format: None,
            text_field: "text".into(),
            title_field: "title".into(),
            id_field: "id".into(),
            max_article_bytes: 16 << 20,
        }
    }
}

/// The articles of some inputs, in the inputs' order; see [`articles`].
pub struct Articles {
    files: Files,
    options: ReadOptions,
    records: Option<Records>,
}

/// The articles of one file.
type Records = Box<dyn Iterator<Item = Result<Article>> + Send>;

/// The articles of `inputs`: files, folders (with all below them, by name, hidden files left out), glob patterns, and `-` for
/// standard input. Nothing is read before the first call of `next`, and no more than one article is held.
///
/// An item is an error where an input or an article is unusable (missing, unreadable, empty, binary, not decodable, cut short,
/// too long, a broken record, a field or column that is absent); the iteration goes on with the next article.
/// In folders, files that are plainly no text are passed over in silence.
///
/// # Errors
/// [`Error::Usage`] if there is no input, or a glob pattern is malformed.
pub fn articles(inputs: &[String], options: &ReadOptions) -> Result<Articles> {
    if inputs.is_empty() {
        return Err(Error::Usage("no input; name files, folders or patterns, or - for standard input".into()));
    }
    Ok(Articles { files: Files::new(inputs)?, options: options.clone(), records: None })
}

impl Iterator for Articles {
    type Item = Result<Article>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(records) = &mut self.records {
                if let Some(article) = records.next() {
                    return Some(article);
                }
                self.records = None;
            }
            match self.files.next()?.and_then(|file| open(&file, &self.options)) {
                Ok(Some(records)) => {
                    self.files.keep();
                    self.records = Some(records);
                }
                Ok(None) => (),
                Err(error) => {
                    self.files.keep();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The articles of one file, or none if it lies in a folder and is no text.
fn open(file: &File, options: &ReadOptions) -> Result<Option<Records>> {
    if file.in_folder && format::is_never_an_article(&file.path) {
        return Ok(None);
    }
    let stream = Stream::open(&file.path)?;
    if file.in_folder && !format::is_named_like_an_article(&file.path) && decode::looks_binary(stream.head()) {
        return Ok(None);
    }
    records(stream, options).map(Some)
}

/// The articles of a stream in the format asked for or recognised.
fn records(stream: Stream, options: &ReadOptions) -> Result<Records> {
    let name = id_of(stream.path());
    let format = options.format.unwrap_or_else(|| format::recognise(stream.path(), stream.head(), &options.text_field));
    Ok(match format {
        InputFormat::Text => Box::new(std::iter::once(document::plain(stream, name, options))),
        InputFormat::Html => Box::new(std::iter::once(document::html(stream, name, options))),
        InputFormat::Jsonl => Box::new(json_lines::JsonLines::new(stream, name, options)),
        InputFormat::Csv => Box::new(table::Table::new(stream, b',', name, options)?),
        InputFormat::Tsv => Box::new(table::Table::new(stream, b'\t', name, options)?),
    })
}

/// The article id for a file that carries none: its name without endings, `stdin` for standard input.
fn id_of(path: &Path) -> String {
    if path == Path::new("-") { "stdin".into() } else { format::name_without_endings(path) }
}

/// The article is longer than allowed.
fn too_long(place: Place, what: &str, options: &ReadOptions) -> Error {
    let limit = options.max_article_bytes;
    Error::bad(place, format!("{what} of more than {limit} bytes"), "shorter articles, so that memory stays bounded")
        .hint("--max-article-bytes raises the limit")
}

/// The article says nothing.
fn empty(place: Place) -> Error {
    Error::bad(place, "an empty article", "text")
}

/// A record lacks the text field; names what it has, and the nearest of these.
fn no_field<'a>(place: Place, field: &str, names: impl Iterator<Item = &'a str> + Clone) -> Error {
    let shown: Vec<String> = names.clone().take(12).map(|name| format!("{name:?}")).collect();
    let error =
        Error::bad(place, format!("no {field:?} among {}", shown.join(", ")), format!("{field:?} with the text"));
    match nearest(field, names) {
        Some(name) => error.hint(format!("is it {name:?}? --text-field {name} reads it")),
        None => error.hint("--text-field names another"),
    }
}
