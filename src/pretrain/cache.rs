//! Token ids on disk: written line by line, so that a corpus may be larger than memory, and mapped, so that it may be read so.
//!
//! ```text
//! bytes 0..8     "rasidtok"
//! 8..16          version of this layout
//! 16..24         key: what the ids were made from
//! 24..32         number of lines n
//! 32..40         number of tokens
//! then           the ids, u16 each, filled up with zeros to a multiple of 8 bytes
//! at the end     n + 1 starts, u64 each: line i is ids[starts[i]..starts[i + 1]]
//! ```
//!
//! All numbers are little-endian. The header is written last and the file renamed then: one that was cut off is never taken for
//! whole.

use crate::error::{Error, Place, Result};
use crate::kernels::mapping;
use crate::tokens::Tokenizer;
use crate::tokens::corpus::{Source, each_line};
use memmap2::Mmap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"rasidtok";
const VERSION: u64 = 2;
const HEADER_BYTES: usize = 40;

/// Lines of token ids, mapped from a file.
#[derive(Debug)]
pub struct TokenFile {
    map: Mmap,
    n_lines: usize,
    n_tokens: usize,
    starts: usize, // first byte of the starts
}

impl TokenFile {
    /// Maps a file that [`TokenWriter`] wrote with the same key; none if there is none, or it is another, older or damaged one.
    pub fn open(path: &Path, key: u64) -> Option<TokenFile> {
        let file = File::open(path).ok()?;
        // The file is replaced whole by renaming, never written in place, so what is mapped does not change.
        let map = mapping::map(&file).ok()?;
        let header = map.get(..HEADER_BYTES)?;
        let number = |i: usize| usize::try_from(number_at(header, 8 * i)).ok();
        let (n_lines, n_tokens) = (number(3)?, number(4)?);
        if header[..8] != *MAGIC || number_at(header, 8) != VERSION || number_at(header, 16) != key {
            return None;
        }
        let starts = HEADER_BYTES.checked_add(n_tokens.checked_mul(2)?.checked_next_multiple_of(8)?)?;
        let end = n_lines.checked_add(1)?.checked_mul(8)?.checked_add(starts)?;
        let file = TokenFile { n_lines, n_tokens, starts, map };
        let is_sound = || {
            let starts = (0..=n_lines).map(|i| file.start(i));
            file.start(0) == 0 && file.start(n_lines) == n_tokens && starts.is_sorted()
        };
        (file.map.len() == end && is_sound()).then_some(file)
    }

    /// Number of lines.
    pub fn n_lines(&self) -> usize {
        self.n_lines
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Tokens of line `i`.
    pub fn line_tokens(&self, i: usize) -> usize {
        self.start(i + 1) - self.start(i)
    }

    /// The ids of line `i`.
    pub fn line(&self, i: usize) -> impl Iterator<Item = u32> + '_ {
        assert!(i < self.n_lines, "line {i} of {}", self.n_lines);
        let ids = &self.map[HEADER_BYTES + 2 * self.start(i)..HEADER_BYTES + 2 * self.start(i + 1)];
        ids.chunks_exact(2).map(|id| u32::from(u16::from_le_bytes([id[0], id[1]])))
    }

    fn start(&self, i: usize) -> usize {
        number_at(&self.map, self.starts + 8 * i) as usize
    }
}

impl PartialEq for TokenFile {
    fn eq(&self, other: &TokenFile) -> bool {
        self.n_lines == other.n_lines && (0..self.n_lines).all(|i| self.line(i).eq(other.line(i)))
    }
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Writes a [`TokenFile`] line by line; memory does not grow with the lines.
pub struct TokenWriter {
    path: PathBuf,
    beside: PathBuf,
    key: u64,
    ids: BufWriter<File>,
    starts: BufWriter<File>,
    n_lines: u64,
    n_tokens: u64,
}

impl TokenWriter {
    /// Begins a file beside `path`, with the ending `part`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(path: &Path, key: u64) -> Result<TokenWriter> {
        let beside = path.with_extension("part");
        let ids = File::options().read(true).write(true).create(true).truncate(true).open(&beside);
        let mut ids = BufWriter::new(ids.map_err(Error::io("create", &beside))?);
        ids.write_all(&[0; HEADER_BYTES]).map_err(Error::io("write", &beside))?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // How many starts there are is known at the end: until then they have a nameless file of their own.
        let starts = BufWriter::new(tempfile::tempfile_in(folder).map_err(Error::io("write in", folder))?);
        Ok(TokenWriter { path: path.to_path_buf(), beside, key, ids, starts, n_lines: 0, n_tokens: 0 })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The disk is full.
    pub fn push(&mut self, ids: &[u32]) -> Result<()> {
        let start = self.n_tokens.to_le_bytes();
        let written = self.starts.write_all(&start);
        let written =
            written.and_then(|()| ids.iter().try_for_each(|id| self.ids.write_all(&(*id as u16).to_le_bytes())));
        (self.n_lines, self.n_tokens) = (self.n_lines + 1, self.n_tokens + ids.len() as u64);
        written.map_err(Error::io("write", &self.beside))
    }

    /// Puts starts and header to the ids, and gives the file its name.
    ///
    /// # Errors
    /// The disk is full; the file cannot be renamed.
    pub fn finish(mut self) -> Result<()> {
        self.write_rest().map_err(Error::io("write", &self.beside))?;
        std::fs::rename(&self.beside, &self.path).map_err(Error::io("write", &self.path))
    }

    fn write_rest(&mut self) -> std::io::Result<()> {
        self.starts.write_all(&self.n_tokens.to_le_bytes())?;
        self.starts.flush()?;
        let filling = (2 * self.n_tokens).next_multiple_of(8) - 2 * self.n_tokens;
        self.ids.write_all(&[0; 8][..filling as usize])?;
        let starts = self.starts.get_mut();
        starts.seek(SeekFrom::Start(0))?;
        std::io::copy(starts, &mut self.ids)?;
        let mut header = MAGIC.to_vec();
        [VERSION, self.key, self.n_lines, self.n_tokens].iter().for_each(|n| header.extend(n.to_le_bytes()));
        self.ids.seek(SeekFrom::Start(0))?; // flushes what came before
        self.ids.write_all(&header)?;
        self.ids.flush()?;
        self.ids.get_ref().sync_all()
    }
}

impl Drop for TokenWriter {
    fn drop(&mut self) {
        // Nothing is there any more if it was finished; else half a file is in the way of everybody.
        let _ = std::fs::remove_file(&self.beside);
    }
}

/// Maps the cache file of that name and key; one that is missing, older, cut off or foreign is written anew by `fill`.
pub(super) fn cached(
    cache: &Path,
    name: &str,
    key: u64,
    fill: impl FnOnce(&mut TokenWriter) -> Result<()>,
) -> Result<TokenFile> {
    let path = cache.join(format!("{name}-{key:016x}.bin"));
    if let Some(file) = TokenFile::open(&path, key) {
        return Ok(file);
    }
    let mut writer = TokenWriter::create(&path, key)?;
    fill(&mut writer)?;
    writer.finish()?;
    let damaged = || {
        Error::bad(Place::file(&path), "other bytes than were just written", "a disk that keeps them")
            .hint("give another folder with --cache")
    };
    TokenFile::open(&path, key).ok_or_else(damaged)
}

/// Calls `each` with the ids of every line that is not blank; stops at the first fault.
pub(super) fn tokenize(
    source: &Source,
    tokenizer: &Tokenizer,
    mut each: impl FnMut(&[u32]) -> Result<()>,
) -> Result<()> {
    let mut done = Ok(());
    each_line(&source.path, |line| {
        if done.is_ok() {
            done = tokenizer.text_ids(line).and_then(|ids| each(&ids));
        }
    })?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(path: &Path, key: u64, lines: &[Vec<u32>]) {
        let mut writer = TokenWriter::create(path, key).unwrap();
        lines.iter().for_each(|line| writer.push(line).unwrap());
        writer.finish().unwrap();
    }

    proptest! {
        #[test]
        fn what_is_mapped_is_what_was_written(lines in prop::collection::vec(prop::collection::vec(0u32..65_536, 0..9), 0..20)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.bin");
            write(&path, 7, &lines);
            let file = TokenFile::open(&path, 7).unwrap();
            let mapped: Vec<Vec<u32>> = (0..file.n_lines()).map(|i| file.line(i).collect()).collect();
            prop_assert_eq!(file.n_tokens(), lines.iter().map(Vec::len).sum::<usize>());
            prop_assert!((0..file.n_lines()).all(|i| file.line_tokens(i) == lines[i].len()));
            prop_assert_eq!(mapped, lines);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_that_is_cut_off_damaged_foreign_or_of_another_key_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, 7, &[vec![1, 2, 3], vec![], vec![4, 65_535]]);
        let whole = std::fs::read(&path).unwrap();
        assert!(TokenFile::open(&path, 8).is_none());
        assert!(TokenFile::open(&dir.path().join("none"), 7).is_none());
        let opens = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            TokenFile::open(&path, 7).is_some()
        };
        for n in 0..whole.len() {
            assert!(!opens(&whole[..n]), "cut off after {n} bytes");
        }
        // Every byte of the header, and the starts 3, 3, 5 out of order or past the end.
        for at in (0..HEADER_BYTES).chain([HEADER_BYTES + 16, whole.len() - 24, whole.len() - 8]) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(!opens(&damaged), "byte {at}");
        }
        assert!(!opens(&[0xFF; 200]));
        assert!(!opens(&[&whole[..], &[0; 8]].concat()));
        assert!(opens(&whole));
    }

    #[test]
    fn a_writer_that_is_not_finished_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, 7, &[vec![1]]);
        let mut writer = TokenWriter::create(&path, 7).unwrap();
        writer.push(&[2, 3]).unwrap();
        drop(writer);
        assert_eq!(TokenFile::open(&path, 7).unwrap().line(0).collect::<Vec<_>>(), [1]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
