//! CSV and TSV → articles: one a row, read row by row.

use super::decode;
use super::recode::in_utf_8;
use super::stream::{Packing, Stream, read_error};
use super::{ReadOptions, empty, no_field, too_long};
use crate::article::Article;
use crate::error::{Error, Place, Result};
use encoding_rs::Encoding;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The articles of a table.
pub struct Table {
    rows: csv::Reader<Metered>,
    columns: Columns,
    budget: Arc<AtomicUsize>,
    packing: Option<Packing>,
    path: PathBuf,
    name: String,
    options: ReadOptions,
    legacy: Option<&'static Encoding>,
    row: csv::ByteRecord,
    /// Lines that the csv reader is behind when a row begins: it counts the second byte of a CR LF with the row that follows.
    lines_behind: u64,
    n_rows: usize,
    at_end: bool,
}

/// Where the fields stand in a row, counted from 0.
struct Columns {
    text: usize,
    title: Option<usize>,
    id: Option<usize>,
}

/// A row may be split over this many more bytes than the limit: what the csv reader holds in advance.
const READ_AHEAD_BYTES: usize = 64 << 10;

impl Table {
    /// # Errors
    /// If the first row cannot be read or names no text column.
    pub fn new(stream: Stream, separator: u8, name: String, options: &ReadOptions) -> Result<Self> {
        let path = stream.path().to_path_buf();
        let legacy = decode::legacy_of(stream.head());
        let head = ascii(stream.head());
        let separator = separator_of(&head, separator, &options.text_field);
        let lines_behind = u64::from(head.split('\n').next().is_some_and(|line| line.ends_with('\r')));
        let budget = Arc::new(AtomicUsize::new(row_budget(options)));
        let (reader, packing) = in_utf_8(stream);
        let reader = Metered { inner: reader, budget: budget.clone() };
        let mut rows =
            csv::ReaderBuilder::new().delimiter(separator).buffer_capacity(READ_AHEAD_BYTES).from_reader(reader);
        let header = rows.byte_headers().map_err(|fault| csv_error(&path, packing, options, 0, fault))?.clone();
        let names = header
            .iter()
            .map(|name| field(name, legacy, Place::line(&path, 1)).map(|name| name.trim().to_string()))
            .collect::<Result<Vec<String>>>()?;
        let position = |wanted: &str| names.iter().position(|name| name == wanted);
        if names.is_empty() {
            return Err(Error::bad(Place::file(path), "no row", "a first row that names the columns"));
        }
        let Some(text) = position(&options.text_field) else {
            return Err(no_field(Place::line(path, 1), &options.text_field, names.iter().map(String::as_str)));
        };
        let columns = Columns { text, title: position(&options.title_field), id: position(&options.id_field) };
        let (options, row) = (options.clone(), csv::ByteRecord::new());
        Ok(Table {
            rows,
            columns,
            budget,
            packing,
            path,
            name,
            options,
            legacy,
            row,
            lines_behind,
            n_rows: 0,
            at_end: false,
        })
    }

    fn article(&self) -> Result<Article> {
        let line = self.row.position().map_or(0, csv::Position::line) + self.lines_behind;
        let read =
            |column: usize| field(self.row.get(column).unwrap_or(b""), self.legacy, Place::line(&self.path, line));
        let text = read(self.columns.text)?;
        if text.trim().is_empty() {
            return Err(empty(Place::line(&self.path, line)));
        }
        let optional = |column: Option<usize>| -> Result<Option<String>> {
            let value = column.map(read).transpose()?;
            Ok(value.filter(|value| !value.trim().is_empty()))
        };
        Ok(Article {
            id: optional(self.columns.id)?.unwrap_or_else(|| format!("{}#{line}", self.name)),
            source: format!("{}#{line}", self.path.display()),
            title: optional(self.columns.title)?,
            text,
        })
    }
}

impl Iterator for Table {
    type Item = Result<Article>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at_end {
            return None;
        }
        self.budget.store(row_budget(&self.options), Ordering::Relaxed);
        let mut row = std::mem::take(&mut self.row);
        let read = self.rows.read_byte_record(&mut row);
        self.row = row;
        match read {
            Ok(true) => {
                self.n_rows += 1;
                Some(self.article())
            }
            Ok(false) => {
                self.at_end = true;
                (self.n_rows == 0)
                    .then(|| Err(Error::bad(Place::file(&self.path), "no row below the first", "one article a row")))
            }
            Err(fault) => {
                self.n_rows += 1;
                // After a row of the wrong length the next one is sound; after a fault of reading nothing is.
                self.at_end = fault.is_io_error();
                Some(Err(csv_error(&self.path, self.packing, &self.options, self.lines_behind, fault)))
            }
        }
    }
}

/// The separator of the first row: what stands beside the text column's name, for spreadsheets write semicolons in many countries.
fn separator_of(head: &str, separator: u8, text_field: &str) -> u8 {
    let names = |head: &str, separator: char| {
        let first = head.lines().next().unwrap_or("").trim_start_matches('\u{feff}').to_string();
        first.split(separator).any(|name| name.trim().trim_matches('"') == text_field)
    };
    let others = [separator, b',', b';', b'\t'];
    others.into_iter().find(|other| names(head, *other as char)).unwrap_or(separator)
}

/// The head without what the names of columns and the marks between them do not need; reads the same in UTF-16.
fn ascii(head: &[u8]) -> String {
    let bytes: Vec<u8> = head.iter().copied().filter(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn field(bytes: &[u8], legacy: Option<&'static Encoding>, place: Place) -> Result<String> {
    decode::decode(bytes, legacy).map(|text| text.into_owned()).map_err(|fault| {
        let found = format!("{} (byte {} of the field)", fault.found, fault.offset);
        Error::bad(place, found, decode::EXPECTED)
    })
}

fn row_budget(options: &ReadOptions) -> usize {
    options.max_article_bytes.saturating_add(READ_AHEAD_BYTES)
}

fn csv_error(
    path: &Path,
    packing: Option<Packing>,
    options: &ReadOptions,
    lines_behind: u64,
    fault: csv::Error,
) -> Error {
    let line = fault.position().map(|position| position.line() + lines_behind);
    match fault.into_kind() {
        csv::ErrorKind::Io(fault) if fault.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            too_long(Place::file(path), "a row", options)
        }
        csv::ErrorKind::Io(fault) => read_error(path, packing, fault),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let place = line.map_or_else(|| Place::file(path), |line| Place::line(path, line));
            Error::bad(place, format!("{len} columns"), format!("{expected_len}, as in the first row"))
                .hint("text with separators or line breaks needs quotes")
        }
        other => Error::bad(Place::file(path), format!("no table ({other:?})"), "rows of columns"),
    }
}

/// A reader that refuses to give more bytes than its budget, which is filled up for each row: a quote that is never closed would
/// otherwise make one row of the whole stream.
struct Metered {
    inner: Box<dyn Read + Send>,
    budget: Arc<AtomicUsize>,
}

/// The budget is spent.
#[derive(Debug, thiserror::Error)]
#[error("a row is too long")]
struct TooLong;

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let n_wanted = buffer.len().min(left);
        let n = self.inner.read(&mut buffer[..n_wanted])?;
        self.budget.store(left - n, Ordering::Relaxed);
        Ok(n)
    }
}
