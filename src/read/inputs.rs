//! Names on the command line → files.

use crate::error::{Error, Place, Result};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path; `-` is standard input.
    pub path: PathBuf,
    /// It was found in a folder; the user did not name it.
    pub in_folder: bool,
}

/// The files that some inputs stand for, in order, found as they are asked for.
pub struct Files {
    inputs: VecDeque<Input>,
    folder: Option<Folder>,
}

enum Input {
    /// A file, a folder or `-`, as named.
    Path(PathBuf),
    /// A pattern with at least one of `*`, `?`, `[`.
    Pattern(String),
}

/// A folder being walked.
struct Folder {
    path: PathBuf,
    walk: walkdir::IntoIter,
    has_articles: bool,
}

impl Files {
    /// # Errors
    /// A malformed glob pattern.
    pub fn new(inputs: &[String]) -> Result<Self> {
        let inputs = inputs.iter().map(|input| recognise(input)).collect::<Result<_>>()?;
        Ok(Files { inputs, folder: None })
    }

    /// The file handed out last holds, or should hold, articles: its folder is not without any.
    pub fn keep(&mut self) {
        if let Some(folder) = &mut self.folder {
            folder.has_articles = true;
        }
    }

    /// The next file of the folder being walked; none at its end.
    fn next_in_folder(&mut self) -> Option<Result<File>> {
        let folder = self.folder.as_mut()?;
        while let Some(entry) = folder.walk.next() {
            match entry {
                Ok(entry) if is_hidden(&entry) => {
                    if entry.file_type().is_dir() {
                        folder.walk.skip_current_dir();
                    }
                }
                Ok(entry) if entry.file_type().is_dir() => (),
                Ok(entry) => return Some(Ok(File { path: entry.into_path(), in_folder: true })),
                Err(error) => return Some(Err(walk_error(&folder.path, error))),
            }
        }
        let Folder { path, has_articles, .. } = self.folder.take()?;
        (!has_articles).then(|| {
            Err(Error::bad(Place::file(path), "a folder without articles", "files with text, HTML, JSONL, CSV or TSV"))
        })
    }

    fn open_path(&mut self, path: PathBuf) -> Option<Result<File>> {
        if path.is_dir() {
            let walk = walkdir::WalkDir::new(&path).follow_links(true).sort_by_file_name().into_iter();
            self.folder = Some(Folder { path, walk, has_articles: false });
            return None;
        }
        Some(Ok(File { path, in_folder: false }))
    }

    /// Puts the files that match in place of the pattern.
    fn open_pattern(&mut self, pattern: &str) -> Option<Result<File>> {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let mut found: Vec<PathBuf> = match glob::glob_with(pattern, options) {
            Ok(paths) => paths.filter_map(|path| path.ok()).collect(),
            Err(error) => return Some(Err(bad_pattern(pattern, &error))),
        };
        if found.is_empty() {
            return Some(Err(Error::bad(Place::file(pattern), "nothing matches", "a pattern that matches files")));
        }
        while let Some(path) = found.pop() {
            self.inputs.push_front(Input::Path(path));
        }
        None
    }
}

impl Iterator for Files {
    type Item = Result<File>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.folder.is_some() {
                match self.next_in_folder() {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            let opened = match self.inputs.pop_front()? {
                Input::Path(path) => self.open_path(path),
                Input::Pattern(pattern) => self.open_pattern(&pattern),
            };
            if opened.is_some() {
                return opened;
            }
        }
    }
}

/// A name that exists is a path even if it looks like a pattern: file names may hold brackets.
fn recognise(input: &str) -> Result<Input> {
    if !input.contains(['*', '?', '[']) || Path::new(input).exists() {
        return Ok(Input::Path(PathBuf::from(input)));
    }
    glob::Pattern::new(input).map_err(|error| bad_pattern(input, &error))?;
    Ok(Input::Pattern(input.to_string()))
}

fn bad_pattern(pattern: &str, error: &glob::PatternError) -> Error {
    Error::Usage(format!("malformed pattern {pattern:?}: {} at character {}", error.msg, error.pos))
}

/// Whether a name found in a folder begins with a dot; the folder itself may, for the user named it.
fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}

fn walk_error(folder: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(folder).to_path_buf();
    match error.loop_ancestor() {
        Some(ancestor) => Error::bad(
            Place::file(path),
            format!("a link back to {}", ancestor.display()),
            "folders without circles; what lies there was read already",
        ),
        None => Error::io("read", path)(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path, inputs: &[&str]) -> Vec<String> {
        let inputs: Vec<String> = inputs.iter().map(|input| folder.join(input).display().to_string()).collect();
        let mut files = Files::new(&inputs).unwrap();
        let mut names = Vec::new();
        while let Some(file) = files.next() {
            match file {
                Ok(file) => {
                    files.keep();
                    names.push(file.path.strip_prefix(folder).unwrap().display().to_string());
                }
                Err(error) => names.push(error.to_string().replace(&folder.display().to_string(), "")),
            }
        }
        names
    }

    #[test]
    fn folders_are_walked_by_name_without_hidden_files_and_patterns_are_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["b.txt", "a.txt", "sub/c.txt", "sub/.git/d.txt", ".hidden.txt", "e[1].txt"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "x").unwrap();
        }
        // the temporary folder's own name begins with a dot
        assert_eq!(names(root, &[""]), ["a.txt", "b.txt", "e[1].txt", "sub/c.txt"]);
        assert_eq!(names(root, &["*.txt"]), ["a.txt", "b.txt", "e[1].txt"]);
        assert_eq!(names(root, &["**/c.*", "a.txt"]), ["sub/c.txt", "a.txt"]);
        assert_eq!(names(root, &["e[1].txt"]), ["e[1].txt"]);
        assert_eq!(names(root, &["z*"]), ["/z*: nothing matches; expected a pattern that matches files"]);
    }

    #[test]
    fn a_folder_without_articles_and_a_malformed_pattern_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = names(folder.path(), &[""]);
        assert_eq!(told, ["/: a folder without articles; expected files with text, HTML, JSONL, CSV or TSV"]);
        let error = Files::new(&["news[".to_string()]).err().unwrap();
        assert!(error.to_string().starts_with("malformed pattern \"news[\""), "{error}");
    }
}
