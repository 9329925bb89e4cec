//! JSONL → articles: one JSON object a line, read line by line.

use super::decode;
use super::recode::in_utf_8;
use super::stream::{Packing, Stream, read_error};
use super::{ReadOptions, empty, no_field, too_long};
use crate::article::Article;
use crate::error::{Error, Place, Result};
use encoding_rs::Encoding;
use serde_json::{Map, Value};
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

/// The articles of a JSONL stream.
pub struct JsonLines {
    reader: BufReader<Box<dyn Read + Send>>,
    packing: Option<Packing>,
    path: PathBuf,
    name: String,
    options: ReadOptions,
    legacy: Option<&'static Encoding>,
    line: Vec<u8>,
    line_number: u64,
    offset: u64,
    n_records: usize,
    at_end: bool,
}

/// What a call of `read_line` met.
enum Line {
    Whole,
    TooLong,
    End,
}

impl JsonLines {
    /// `name` begins the ids of articles that carry none.
    pub fn new(stream: Stream, name: String, options: &ReadOptions) -> Self {
        let path = stream.path().to_path_buf();
        let legacy = decode::legacy_of(stream.head());
        let (reader, packing) = in_utf_8(stream);
        JsonLines {
            reader: BufReader::new(reader),
            packing,
            path,
            name,
            options: options.clone(),
            legacy,
            line: Vec::new(),
            line_number: 0,
            offset: 0,
            n_records: 0,
            at_end: false,
        }
    }

    /// Reads the next line into `self.line`, without its end; never holds more than the limit.
    fn read_line(&mut self) -> io::Result<Line> {
        self.offset += self.line.len() as u64;
        self.line.clear();
        let limit = self.options.max_article_bytes as u64;
        self.reader.by_ref().take(limit + 1).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(Line::End);
        }
        self.line_number += 1;
        if self.line.last() == Some(&b'\n') || self.line.len() as u64 <= limit {
            return Ok(Line::Whole);
        }
        self.skip_line()?;
        Ok(Line::TooLong)
    }

    /// Passes over the rest of a line without holding it.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let line_end = buffer.iter().position(|byte| *byte == b'\n');
            let n = line_end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(n);
            self.offset += n as u64;
            if line_end.is_some() {
                return Ok(());
            }
        }
    }

    fn article(&self) -> Result<Article> {
        let place = || Place::line(&self.path, self.line_number);
        let text = decode::decode(&self.line, self.legacy).map_err(|fault| {
            let place = Place { offset: Some(self.offset + fault.offset as u64), ..place() };
            Error::bad(place, fault.found, decode::EXPECTED)
        })?;
        let record: Map<String, Value> = serde_json::from_str(text.trim()).map_err(|error| {
            let found = format!("no JSON object ({})", without_line(&error));
            let error = Error::bad(place(), found, "one JSON object a line");
            if self.line_number == 1 { error.hint("jq -c writes JSON in this form") } else { error }
        })?;
        let options = &self.options;
        let text = match record.get(&options.text_field) {
            Some(Value::String(text)) => text,
            Some(other) => {
                let found = format!("field {:?} is {}", options.text_field, kind(other));
                return Err(Error::bad(place(), found, "a string"));
            }
            None => return Err(no_field(place(), &options.text_field, record.keys().map(String::as_str))),
        };
        if text.trim().is_empty() {
            return Err(empty(place()));
        }
        if text.contains('\0') {
            return Err(Error::bad(place(), "a nul character", "text"));
        }
        let string = |field: &str| match record.get(field) {
            Some(Value::String(value)) if !value.trim().is_empty() => Some(value.clone()),
            Some(Value::Number(value)) => Some(value.to_string()),
            _ => None,
        };
        Ok(Article {
            id: string(&options.id_field).unwrap_or_else(|| format!("{}#{}", self.name, self.line_number)),
            source: format!("{}#{}", self.path.display(), self.line_number),
            title: string(&options.title_field),
            text: text.clone(),
        })
    }
}

impl Iterator for JsonLines {
    type Item = Result<Article>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.at_end {
            match self.read_line() {
                Ok(Line::Whole) if self.line.trim_ascii().is_empty() => (),
                Ok(Line::Whole) => {
                    self.n_records += 1;
                    // One fault for a JSON file over many lines, not one a line.
                    self.at_end = self.n_records == 1 && matches!(self.line.trim_ascii(), b"{" | b"[" | b"[{");
                    return Some(self.article());
                }
                Ok(Line::TooLong) => {
                    self.n_records += 1;
                    return Some(Err(too_long(Place::line(&self.path, self.line_number), "a line", &self.options)));
                }
                Ok(Line::End) if self.n_records == 0 => {
                    self.at_end = true;
                    return Some(Err(Error::bad(Place::file(&self.path), "no record", "one JSON object a line")));
                }
                Ok(Line::End) => self.at_end = true,
                Err(fault) => {
                    // The line that the fault cut is incomplete; those before it have been handed on.
                    self.at_end = true;
                    return Some(Err(read_error(&self.path, self.packing, fault)));
                }
            }
        }
        None
    }
}

/// serde_json's message without its own line number, which is always 1 here.
fn without_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.split_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => message,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
