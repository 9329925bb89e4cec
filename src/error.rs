//! What can go wrong, told so that the reader can mend it: where, what was found, what was expected, the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Where a fault lies: a file, and in it a line (from 1) or a byte offset (from 0) where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it; `-` is standard input.
    pub path: PathBuf,
    /// Line number, counted from 1.
    pub line: Option<u64>,
    /// Byte offset, counted from 0.
    pub offset: Option<u64>,
}

impl Place {
    /// A whole file or folder.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Place { path: path.into(), line: None, offset: None }
    }

    /// A line of a file, counted from 1.
    pub fn line(path: impl Into<PathBuf>, line: u64) -> Self {
        Place { path: path.into(), line: Some(line), offset: None }
    }

    /// A byte of a file, counted from 0.
    pub fn offset(path: impl Into<PathBuf>, offset: u64) -> Self {
        Place { path: path.into(), line: None, offset: Some(offset) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.to_str() {
            Some("-") => write!(f, "standard input")?,
            _ => write!(f, "{}", self.path.display())?,
        }
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " byte {offset}")?;
        }
        Ok(())
    }
}

/// Every failure of the library. Each prints as one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something the user gave is not what it should be.
    #[error("{place}: {found}; expected {expected}{}", hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Bad {
        /// Where it was found.
        place: Place,
        /// What was found.
        found: String,
        /// What should have stood there.
        expected: String,
        /// The way out, where there is one that is not plain from `expected`.
        hint: Option<String>,
    },
    /// The operating system refused.
    #[error("could not {act} {}: {source}", Place::file(path.clone()))]
    Io {
        /// A verb: "read", "write", "create".
        act: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Several faults of one input, told together, each in its own line.
    #[error("{n_faults} faults{}:{}", if *n_faults > faults.len() { format!(", of which the first {}", faults.len()) } else { String::new() },
        faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>())]
    Several {
        /// The first of them, at least one.
        faults: Vec<Error>,
        /// How many there are in all.
        n_faults: usize,
    },
    /// A wish that cannot be granted whatever the files hold: two options that exclude each other, a name that is unknown.
    #[error("{0}")]
    Usage(String),
    /// The tensor library refused.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The tokenizer refused.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The user pressed Ctrl-C; what is on disk is whole.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// `place: found; expected expected`.
    pub fn bad(place: Place, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Error::Bad { place, found: found.into(), expected: expected.into(), hint: None }
    }

    /// Adds the way out to an [`Error::Bad`]; other errors stay as they are.
    pub fn hint(self, way_out: impl Into<String>) -> Self {
        match self {
            Error::Bad { place, found, expected, .. } => {
                Error::Bad { place, found, expected, hint: Some(way_out.into()) }
            }
            other => other,
        }
    }

    /// Returns a closure for `map_err` that names the act and the file: `fs::read(p).map_err(Error::io("read", p))`.
    pub fn io(act: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { act, path, source }
    }
}

/// The candidate nearest to `wanted`, if it is near enough to be meant (Jaro-Winkler similarity of .75 or more).
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&wanted.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(similarity, _)| *similarity >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_what_and_the_way_out() {
        let error = Error::bad(Place::line("labels/a.jsonl", 17), "label \"arsn\"", "one of arson, theft")
            .hint("did you mean \"arson\"?");
        assert_eq!(
            error.to_string(),
            "labels/a.jsonl line 17: label \"arsn\"; expected one of arson, theft; did you mean \"arson\"?"
        );
        assert_eq!(Place::offset("-", 3).to_string(), "standard input byte 3");
    }

    #[test]
    fn the_nearest_name_is_near_or_absent() {
        assert_eq!(nearest("is_atack", ["is_attack", "other"]), Some("is_attack"));
        assert_eq!(nearest("zzz", ["is_attack", "other"]), None);
    }
}
