//! Raw text for training and measuring: one folder a language, plain or packed, a paragraph or sentence a line.

use crate::error::{Error, Place, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A file of a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the first folder below the path that was given, or of the file's own folder: `ar`.
    pub language: String,
    /// File name without its endings: `wiki`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// The text files of `paths`, sorted by path: a folder gives all `*.txt`, `*.txt.gz`, `*.txt.xz` and `*.txt.zst` below it.
///
/// # Errors
/// A path does not exist or cannot be listed, or no text file was found at all.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for root in paths {
        for entry in walkdir::WalkDir::new(root).follow_links(true) {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(root).to_path_buf();
                Error::Io { act: "read", path, source: e.into() }
            })?;
            let given = entry.depth() == 0;
            if entry.file_type().is_file() && (given || is_text(entry.path())) {
                found.push(source(root, entry.path()));
            }
        }
    }
    if found.is_empty() {
        let place = paths.first().cloned().unwrap_or_default();
        return Err(Error::bad(Place::file(place), "no text file", "*.txt, *.txt.gz, *.txt.xz or *.txt.zst"));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup();
    Ok(found)
}

/// Calls `each` with every line of a file that is not blank, unpacked by its ending, without surrounding white space.
///
/// # Errors
/// The file cannot be read or unpacked, or a line is not UTF-8.
pub fn each_line(path: &Path, mut each: impl FnMut(&str)) -> Result<()> {
    each_line_or_blank(path, |line| {
        if !line.is_empty() {
            each(line)
        }
    })
}

/// As [`each_line`], with the blank lines, which separate documents, as empty ones.
///
/// # Errors
/// As [`each_line`].
pub fn each_line_or_blank(path: &Path, mut each: impl FnMut(&str)) -> Result<()> {
    let mut reader = open(path)?;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if reader.read_until(b'\n', &mut line).map_err(Error::io("read", path))? == 0 {
            return Ok(());
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| Error::bad(Place::line(path, number), "bytes that are not UTF-8", "UTF-8 text"))?;
        each(text.trim());
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let unpacked: Box<dyn Read> = match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Some("xz") => Box::new(lzma_rust2::XzReader::new(file, true)),
        Some("zst") => Box::new(zstd::Decoder::with_buffer(file).map_err(Error::io("unpack", path))?),
        _ => Box::new(file),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, unpacked)))
}

fn is_text(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    [".txt", ".txt.gz", ".txt.xz", ".txt.zst"].iter().any(|ending| name.ends_with(ending))
}

fn source(root: &Path, path: &Path) -> Source {
    let below = path.strip_prefix(root).unwrap_or(path);
    let named = |p: Option<&Path>| p.and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    let language = match below.components().count() {
        0 | 1 => named(path.parent()),
        _ => below.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned()),
    };
    let file_name = named(Some(path)).unwrap_or_default();
    Source {
        language: language.unwrap_or_else(|| "und".to_owned()),
        name: file_name.split('.').next().unwrap_or_default().to_owned(),
        path: path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn finds_text_by_language_and_reads_it_packed_or_plain() {
        let dir = tempfile::tempdir().unwrap();
        for language in ["ar", "tr"] {
            std::fs::create_dir_all(dir.path().join(language).join("news")).unwrap();
        }
        std::fs::write(dir.path().join("README.md"), "not text").unwrap();
        std::fs::write(dir.path().join("tr/a.txt"), "bir\n\n  iki \n").unwrap();
        let zst = zstd::encode_all(&b"bir\n\niki"[..], 1).unwrap();
        std::fs::write(dir.path().join("tr/news/b.txt.zst"), zst).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"bir\niki\n").unwrap();
        std::fs::write(dir.path().join("ar/c.txt.gz"), gz.finish().unwrap()).unwrap();

        let found = sources(&[dir.path().to_path_buf()]).unwrap();
        let names: Vec<_> = found.iter().map(|s| (s.language.as_str(), s.name.as_str())).collect();
        assert_eq!(names, [("ar", "c"), ("tr", "a"), ("tr", "b")]);
        for source in &found {
            let mut lines = Vec::new();
            each_line(&source.path, |line| lines.push(line.to_owned())).unwrap();
            assert_eq!(lines, ["bir", "iki"], "{}", source.name);
        }
        let one = sources(&[dir.path().join("tr/a.txt")]).unwrap();
        assert_eq!((one[0].language.as_str(), one[0].name.as_str()), ("tr", "a"));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let dir = tempfile::tempdir().unwrap();
        let message = |path: &Path| each_line(path, |_| ()).unwrap_err().to_string();
        assert!(sources(&[dir.path().to_path_buf()]).unwrap_err().to_string().contains("no text file"));
        assert!(sources(&[dir.path().join("missing")]).unwrap_err().to_string().contains("missing"));
        let broken = dir.path().join("a.txt");
        std::fs::write(&broken, b"good\nbad \xff\n").unwrap();
        assert!(message(&broken).ends_with("a.txt line 2: bytes that are not UTF-8; expected UTF-8 text"));
        for ending in ["gz", "xz", "zst"] {
            let packed = dir.path().join("b.txt").with_extension(ending);
            std::fs::write(&packed, b"not packed at all").unwrap();
            assert!(message(&packed).starts_with("could not "), "{ending}");
        }
    }
}
