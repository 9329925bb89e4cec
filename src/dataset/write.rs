//! Examples → a JSONL label file.

use super::Example;
use super::record::fields;
use crate::error::{Error, Result};
use crate::schema::Schema;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes one JSON object a line, as [`read_examples`](super::read_examples) reads it. The file is written beside its place
/// and then renamed, so that a full disk or Ctrl-C leaves the old one whole.
///
/// # Errors
/// The folder or file cannot be written.
pub fn write_examples(path: &Path, schema: &Schema, examples: &[Example]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = tempfile::Builder::new().prefix(".rasid-").tempfile_in(folder).map_err(Error::io("create", path))?;
    let mut out = BufWriter::new(beside);
    for example in examples {
        writeln!(out, "{}", json_line(example, schema)).map_err(Error::io("write", path))?;
    }
    let beside = out.into_inner().map_err(|e| Error::io("write", path)(e.into_error()))?;
    readable_by_all(beside.as_file()).map_err(Error::io("write", path))?;
    beside.persist(path).map_err(|e| Error::io("write", path)(e.error))?;
    Ok(())
}

/// An example as one JSON object, without the line's end.
pub fn json_line(example: &Example, schema: &Schema) -> String {
    serde_json::to_string(&fields(example, schema)).expect("a record holds strings and numbers")
}

// Temporary files are made for their owner alone; a label file is an ordinary file.
#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
