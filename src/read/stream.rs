//! A file → its bytes, unpacked, with a look at the first of them.

use crate::error::{Error, Place, Result};
use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// How much of a file is looked at to recognise its format and encoding, in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// The bytes of a file after unpacking.
pub struct Stream {
    path: PathBuf,
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    packing: Option<Packing>,
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Stream {
    /// Opens a file, or standard input for `-`, and reads its first bytes.
    ///
    /// # Errors
    /// If the file is missing or cannot be opened; faults of its content come while reading.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Stream::new(path, Box::new(io::stdin()));
        }
        let file = fs::File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::bad(Place::file(path), "no such file or folder", "a name that exists"),
            _ => Error::io("read", path)(source),
        })?;
        Stream::new(path, Box::new(file))
    }

    /// The stream of some bytes that are called `path` in messages.
    ///
    /// # Errors
    /// If the first bytes cannot be read.
    pub fn new(path: &Path, bytes: Box<dyn Read + Send>) -> Result<Self> {
        let mut bytes = BufReader::with_capacity(HEAD_BYTES, bytes);
        let packing = match bytes.fill_buf().map_err(Error::io("read", path))? {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
            _ => None,
        };
        let mut rest: Box<dyn Read + Send> = match packing {
            None => Box::new(bytes),
            Some(Packing::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Some(Packing::Zstd) => {
                Box::new(zstd::stream::read::Decoder::with_buffer(bytes).map_err(Error::io("unpack", path))?)
            }
        };
        let mut head = Vec::new();
        // What stands before a fault is kept: the fault is met again, in its place, by whoever reads on.
        if let Err(fault) = rest.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head) {
            rest = Box::new(Fault(Some(fault)));
        }
        Ok(Stream { path: path.to_path_buf(), head, rest, packing })
    }

    /// The file's name as the user gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first bytes after unpacking, up to 64 KiB.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// All bytes, or none if they are more than `limit`.
    ///
    /// # Errors
    /// If reading or unpacking fails.
    pub fn read_whole(self, limit: usize) -> Result<Option<Vec<u8>>> {
        let Stream { path, head: mut bytes, rest, packing } = self;
        let left = (limit as u64 + 1).saturating_sub(bytes.len() as u64);
        rest.take(left).read_to_end(&mut bytes).map_err(|fault| read_error(&path, packing, fault))?;
        Ok((bytes.len() <= limit).then_some(bytes))
    }

    /// A reader over all bytes, and the packing that [`read_error`] needs to explain its faults.
    pub fn into_reader(self) -> (Box<dyn Read + Send>, Option<Packing>) {
        (Box::new(Cursor::new(self.head).chain(self.rest)), self.packing)
    }
}

/// What a fault of reading means: the system refused, or the packed data is cut short or damaged.
pub fn read_error(path: &Path, packing: Option<Packing>, fault: io::Error) -> Error {
    let Some(packing) = packing else {
        return Error::io("read", path)(fault);
    };
    let name = match packing {
        Packing::Gzip => "gzip",
        Packing::Zstd => "zstd",
    };
    let found = match fault.kind() {
        io::ErrorKind::UnexpectedEof => format!("the {name} data ends early"),
        _ => format!("the {name} data is damaged ({fault})"),
    };
    Error::bad(Place::file(path), found, format!("a whole {name} file"))
}

/// A reader that fails once, then ends.
struct Fault(Option<io::Error>);

impl Read for Fault {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
