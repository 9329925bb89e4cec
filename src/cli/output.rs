//! Where a command's data goes: standard output, or a file that is never half-written.

use crate::error::{Error, Place, Result};
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

/// An open output. Each [`write_whole`](Output::write_whole) arrives whole or not at all as far as an interruption is concerned.
/// A regular file appears under its name at [`finish`](Output::finish); dropped before, it leaves what was there.
pub struct Output {
    sink: SharedSink,
    path: PathBuf,
}

/// The output as an interrupt sees it: taken out, it is closed, and an unfinished file is gone.
pub(super) type SharedSink = Arc<Mutex<Option<Sink>>>;

/// The open end.
pub(super) enum Sink {
    Stdout(io::Stdout),
    /// A device or a named pipe: there is nothing to rename over.
    Direct(File),
    /// A new file beside `target`.
    Beside {
        new: NamedTempFile,
        target: PathBuf,
    },
}

impl Output {
    /// Opens `path`, or standard output for none and for `-`. Call it before the long part of the work.
    ///
    /// # Errors
    /// A folder, a path in a folder that does not exist, missing rights.
    pub fn create(path: Option<&Path>) -> Result<Output> {
        let path = path.unwrap_or(Path::new("-"));
        let is_stdout = ["-", "/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"].iter().any(|name| path == Path::new(name));
        let (sink, name) = match is_stdout {
            true => (Sink::Stdout(io::stdout()), Path::new("standard output")),
            false => (open(path)?, path),
        };
        Ok(Output { sink: Arc::new(Mutex::new(Some(sink))), path: name.to_path_buf() })
    }

    /// Whether a person sees the data as it is written.
    pub fn is_terminal(&self) -> bool {
        match self.lock().as_ref() {
            Some(Sink::Stdout(stdout)) => stdout.is_terminal(),
            Some(Sink::Direct(file)) => file.is_terminal(),
            _ => false,
        }
    }

    /// Writes all of `bytes`; an interrupt waits until it is done.
    ///
    /// # Errors
    /// The file, the device or the pipe refuses.
    pub fn write_whole(&self, bytes: &[u8]) -> Result<()> {
        self.write_bytes(bytes).map_err(Error::io("write", &self.path))
    }

    /// The path as it was given, for messages; `standard output` is called so.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings everything to the disk and gives a file its name.
    ///
    /// # Errors
    /// The disk is full, or the file cannot be renamed; what was there before stays.
    pub fn finish(self) -> Result<()> {
        let sink = self.lock().take();
        let finished = match sink {
            Some(Sink::Stdout(stdout)) => stdout.lock().flush(),
            Some(Sink::Direct(mut file)) => file.flush(),
            Some(Sink::Beside { new, target }) => {
                new.as_file().sync_all().and_then(|()| new.persist(target).map(drop).map_err(|e| e.error))
            }
            None => Ok(()),
        };
        finished.map_err(Error::io("write", &self.path))
    }

    pub(super) fn shared(&self) -> SharedSink {
        Arc::clone(&self.sink)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        match self.lock().as_mut() {
            Some(Sink::Stdout(stdout)) => {
                let mut stdout = stdout.lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Some(Sink::Direct(file)) => file.write_all(bytes),
            // Through the file itself: its wrapper would name the temporary file in the message.
            Some(Sink::Beside { new, .. }) => new.as_file_mut().write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // An interrupt handler may still hold the other end of the Arc; the unfinished file must go now.
        self.lock().take();
    }
}

impl Write for &Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_bytes(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> Result<Sink> {
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(Error::bad(Place::file(path), "a folder", "a file to write to"));
    }
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return File::options().write(true).open(path).map(Sink::Direct).map_err(Error::io("write", path));
    }
    // A link stays a link: the file it points to is the one replaced.
    let target =
        if existing.is_some() { fs::canonicalize(path).map_err(Error::io("write", path))? } else { path.to_path_buf() };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::bad(Place::file(path), "its folder does not exist", "a file in an existing folder")
            .hint(format!("mkdir -p {}", folder.display())));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut builder = tempfile::Builder::new();
    let prefix = format!(".{name}.");
    builder.prefix(&prefix).suffix(".part");
    // tempfile's own default, 0600, would hide the output from everybody else; the umask still applies.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let new = builder.tempfile_in(folder).map_err(Error::io("create", path))?;
    if let Some(metadata) = existing {
        if metadata.permissions().readonly() {
            return Err(Error::io("write", path)(io::ErrorKind::PermissionDenied.into()));
        }
        fs::set_permissions(new.path(), metadata.permissions()).map_err(Error::io("create", path))?;
    }
    Ok(Sink::Beside { new, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_at_the_end_and_an_abandoned_one_leaves_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let output = Output::create(Some(&path)).unwrap();
        output.write_whole(b"one\n").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");

        let output = Output::create(Some(&path)).unwrap();
        output.write_whole(b"half").unwrap();
        let _held_by_an_interrupt_handler = output.shared();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        assert_eq!(names(folder.path()), ["out.jsonl"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let output = Output::create(Some(&link)).unwrap();
        output.write_whole(b"new").unwrap();
        output.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_directly_and_a_full_one_is_an_error() {
        let output = Output::create(Some(Path::new("/dev/full"))).unwrap();
        let error = output.write_whole(b"x").unwrap_err().to_string();
        assert!(error.starts_with("could not write /dev/full: No space left on device"), "{error}");
    }

    #[test]
    fn a_folder_or_a_path_in_no_folder_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let tell = |path: &Path| Output::create(Some(path)).err().unwrap().to_string();
        assert!(tell(folder.path()).contains("a folder; expected a file to write to"));
        assert!(tell(&folder.path().join("no/out")).contains("its folder does not exist"));
    }
}
