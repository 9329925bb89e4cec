//! The folder in which Hugging Face's tools keep what they fetched, shared with them: what Python's `huggingface_hub` fetched is
//! found here without a network, and the other way round.
//!
//! ```text
//! models--OWNER--NAME/refs/main                    the commit that a branch or tag was at
//! models--OWNER--NAME/snapshots/COMMIT/config.json a link into
//! models--OWNER--NAME/blobs/ETAG                   the file
//! ```

use crate::error::{Error, Place, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What stands before the name of a repository where a folder could stand.
pub const SCHEME: &str = "hub:";

/// What a repository's folder begins with.
const MODELS: &str = "models--";

/// A repository of models, perhaps at a branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubId {
    /// `OWNER/NAME`, or `NAME` of the first models.
    pub repository: String,
    /// Branch, tag or commit; none is `main`.
    pub revision: Option<String>,
}

impl HubId {
    /// Reads `OWNER/NAME`, `OWNER/NAME@REVISION`, each with `hub:` before or without.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<HubId> {
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let (repository, revision) = match rest.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (rest, None),
        };
        // Both become names of folders, so neither may lead anywhere else.
        let is_name = |part: &str, more: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !part.is_empty() && !part.starts_with('.') && !part.contains("..") && part.chars().all(plain)
        };
        let parts: Vec<&str> = repository.split('/').collect();
        let is_repository = parts.len() <= 2 && parts.iter().all(|part| is_name(part, "-_."));
        if !is_repository || revision.is_some_and(|revision| !is_name(revision, "-_./")) {
            let expected = "OWNER/NAME or OWNER/NAME@REVISION, as in https://huggingface.co/OWNER/NAME";
            return Err(Error::bad(Place::file(text), "no name of a model on the hub", expected));
        }
        Ok(HubId { repository: repository.into(), revision: revision.map(String::from) })
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// Where the cache `root` keeps the repository.
    pub fn folder(&self, root: &Path) -> PathBuf {
        root.join(format!("{MODELS}{}", self.repository.replace('/', "--")))
    }

    /// The snapshot in the cache `root`, if a configuration lies in it.
    pub fn snapshot(&self, root: &Path) -> Option<PathBuf> {
        let folder = self.folder(root);
        let commit = fs::read_to_string(folder.join("refs").join(self.revision()));
        let commit = commit.map_or_else(|_| self.revision().to_string(), |commit| commit.trim().to_string());
        let snapshot = folder.join("snapshots").join(commit);
        snapshot.join(super::CONFIG).is_file().then_some(snapshot)
    }
}

impl std::fmt::Display for HubId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.repository)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

/// The cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `huggingface` of the user's folder of caches. None where the system
/// has no such folder.
pub fn root() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || given("HF_HOME").or_else(|| Some(of_caches()?.join("huggingface")));
    given("HF_HUB_CACHE").or_else(|| Some(home()?.join("hub")))
}

/// Where Python's tools look on every system, which is not the system's own place everywhere.
fn of_caches() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    given.or_else(|| Some(dirs::home_dir()?.join(".cache")))
}

/// Whether `HF_HUB_OFFLINE` forbids to fetch, as `huggingface_hub` reads it.
pub fn is_offline() -> bool {
    says_offline(std::env::var("HF_HUB_OFFLINE").ok().as_deref())
}

fn says_offline(value: Option<&str>) -> bool {
    value.is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()))
}

/// Every snapshot in the cache, by repository and commit; those without a configuration are left out.
pub fn snapshots(root: &Path) -> Vec<(HubId, PathBuf)> {
    let mut all = Vec::new();
    for folder in entries(root) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(repository) = repository_of(&name) else { continue };
        for snapshot in entries(&folder.join("snapshots")) {
            if snapshot.join(super::CONFIG).is_file() {
                let commit = snapshot.file_name().unwrap_or_default().to_string_lossy().into_owned();
                all.push((HubId { repository: repository.clone(), revision: Some(commit) }, snapshot));
            }
        }
    }
    all.sort();
    all
}

/// The repository that a folder of the cache belongs to, by the folder's name; the other way round than [`HubId::folder`].
pub fn repository_of(folder: &str) -> Option<String> {
    Some(folder.strip_prefix(MODELS)?.replacen("--", "/", 1))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Deletes all that the cache holds of a repository, whatever its revision; returns the bytes that are free now.
///
/// # Errors
/// There is nothing of it; the system refuses.
pub fn remove(id: &HubId, root: &Path) -> Result<u64> {
    let folder = id.folder(root);
    if !folder.is_dir() {
        let error = Error::bad(Place::file(&folder), "nothing", format!("what was fetched of {}", id.repository));
        return Err(error.hint("`rasid models list` tells what is there"));
    }
    // Links count for nothing: what they point at lies among the blobs.
    let files = walkdir::WalkDir::new(&folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let bytes = files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    fs::remove_dir_all(&folder).map_err(Error::io("delete", &folder))?;
    Ok(bytes)
}

/// What is wrong with a file whose name on the hub is `etag`: SHA-256 of large files, Git's SHA-1 of small ones. Other names tell
/// nothing.
pub fn differs(file: &Path, etag: &str) -> Result<Option<String>> {
    let is_hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
    let mut bytes = File::open(file).map_err(Error::io("read", file))?;
    let size = bytes.metadata().map_err(Error::io("read", file))?.len();
    let found = match etag.len() {
        64 if is_hex => hex(&digest(Sha256::new(), &mut bytes, file)?),
        40 if is_hex => {
            let start = Sha1::new().chain_update(format!("blob {size}\0"));
            hex(&digest(start, &mut bytes, file)?)
        }
        _ => return Ok(None),
    };
    Ok((found != etag.to_lowercase()).then(|| format!("{size} bytes with checksum {found}")))
}

fn digest<D: Digest>(mut hash: D, bytes: &mut File, path: &Path) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match bytes.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(hash.finalize().to_vec()),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_with_and_without_its_parts_and_leads_nowhere_else() {
        let id = HubId::parse("hub:intfloat/multilingual-e5-small@v1.0").unwrap();
        assert_eq!((id.repository.as_str(), id.revision()), ("intfloat/multilingual-e5-small", "v1.0"));
        assert_eq!(id.to_string(), "intfloat/multilingual-e5-small@v1.0");
        assert_eq!(id.folder(Path::new("c")), Path::new("c/models--intfloat--multilingual-e5-small"));
        assert_eq!(HubId::parse("xlm-roberta-base").unwrap().revision(), "main");
        assert_eq!(HubId::parse("a/b@refs/pr/1").unwrap().revision(), "refs/pr/1");
        for wrong in [
            "",
            "hub:",
            "a/b/c",
            "/a",
            "a/",
            "a/..",
            "../b",
            "a/b c",
            "https://huggingface.co/a/b",
            "a/ب",
            "a/b@",
            "a/b@../c",
        ] {
            assert!(HubId::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_another_tool_fetched_is_found_by_branch_and_by_commit_and_can_be_deleted() {
        let root = tempfile::tempdir().unwrap();
        let id = HubId::parse("a/b").unwrap();
        assert_eq!(id.snapshot(root.path()), None);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let folder = id.folder(root.path());
        let snapshot = folder.join("snapshots").join(commit);
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::create_dir_all(&snapshot).unwrap();
        fs::write(folder.join("refs/main"), commit).unwrap();
        assert_eq!(id.snapshot(root.path()), None, "without a configuration there is nothing");
        fs::write(snapshot.join("config.json"), "{}").unwrap();
        assert_eq!(id.snapshot(root.path()), Some(snapshot.clone()));
        let by_commit = HubId::parse(&format!("a/b@{commit}")).unwrap();
        assert_eq!(by_commit.snapshot(root.path()), Some(snapshot.clone()));
        assert_eq!(snapshots(root.path()), [(by_commit, snapshot)]);
        assert_eq!(remove(&id, root.path()).unwrap(), 2 + commit.len() as u64);
        assert!(remove(&id, root.path()).unwrap_err().to_string().contains("models--a--b: nothing"));
    }

    #[test]
    fn offline_is_what_the_hubs_own_tools_take_it_for() {
        assert!(["1", "true", "YES", "on"].iter().all(|value| says_offline(Some(value))));
        assert!([None, Some(""), Some("0"), Some("false")].iter().all(|value| !says_offline(*value)));
    }

    #[test]
    fn checksums_are_gits_and_sha_256() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hello\n").unwrap();
        let path = file.path();
        assert_eq!(differs(path, "ce013625030ba8dba906f756967f9e9ca394464a").unwrap(), None);
        assert_eq!(differs(path, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03").unwrap(), None);
        assert_eq!(differs(path, "a-name-that-tells-nothing").unwrap(), None);
        let wrong = differs(path, "de013625030ba8dba906f756967f9e9ca394464a").unwrap().unwrap();
        assert!(wrong.contains("6 bytes with checksum ce013625"), "{wrong}");
    }
}
