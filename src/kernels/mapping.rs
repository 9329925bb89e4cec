//! Files as slices: read where they lie, when they are needed, in memory that the system can take back.

use memmap2::{Mmap, MmapAsRawDesc};
use std::io;

/// Maps a file that is open for reading. Whoever maps a file must not write into it, nor cut it short, while the map is held.
///
/// # Errors
/// The system cannot map it.
pub fn map(file: impl MmapAsRawDesc) -> io::Result<Mmap> {
    // SAFETY: the files are ours, or the user's models, which are replaced as whole folders and never written into in place; a
    // program that does so all the same can make us read other numbers, or be ended by the system, as with any mapped file.
    unsafe { Mmap::map(file) }
}
