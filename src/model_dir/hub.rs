//! Models on the Hugging Face hub, fetched into the cache that all its tools share.

use super::config_json::ConfigJson;
use super::hub_cache::{self, HubId, differs};
use super::weight_files::{INDEX, PICKLE, PICKLE_INDEX, parts};
use super::{CONFIG, SCHEMA, TOKENIZER, WEIGHTS, tokenizer_files};
use crate::error::{Error, Place, Result};
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync, RepoTypeModel, split_id};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files that are fetched where there are any, beside those that every model has.
const WELCOME: [&str; 3] = ["README.md", "train.toml", "metrics.json"];

/// A dropped connection is tried again this often.
const RETRIES: usize = 3;

/// Bytes that are asked for at once: what a cut connection loses at most.
const AT_ONCE: u64 = 16 << 20;

/// Told a file's name, the bytes of it that have come and its size in bytes.
pub type OnProgress = dyn Fn(&str, u64, u64) + Send + Sync;

/// Fetches a model into the cache `root` and returns the folder of its snapshot; what lies there already is not fetched again, and
/// what came in part goes on. All files are of one commit, and each is compared with its checksum. The small files come first: a
/// repository of another kind is told before its weights come.
///
/// The address of the hub is `HF_ENDPOINT`'s, else <https://huggingface.co>; a token is taken from where the hub's own tools
/// take it (`HF_TOKEN`, or the file of a login). Nothing is fetched while `HF_HUB_OFFLINE` is 1.
///
/// # Errors
/// `HF_HUB_OFFLINE` is set; no network; no such repository, revision or file; no access; a file that is not what its checksum says;
/// a model that is not known here; the disk.
pub fn fetch(id: &HubId, root: &Path, on_progress: &OnProgress) -> Result<PathBuf> {
    if hub_cache::is_offline() {
        let error = Error::bad(Place::file("HF_HUB_OFFLINE"), "set, so nothing is fetched", "0 or nothing");
        return Err(error.hint(format!("unset it to fetch {id}; a folder copied by hand works with --model DIR")));
    }
    let agent = concat!("rasid/", env!("CARGO_PKG_VERSION"));
    let client = HFClient::builder().cache_enabled(false).user_agent(agent).retry_max_attempts(RETRIES).build();
    let unnamed = Asked { id, endpoint: "HF_ENDPOINT", root };
    let client = client.map_err(|e| unnamed.error(e))?;
    let endpoint = client.endpoint().to_string();
    let asked = Asked { endpoint: &endpoint, ..unnamed };
    let (owner, name) = split_id(&id.repository);
    let model = HFClientSync::from_inner(client).map_err(|e| asked.error(e))?.model(owner, name);
    let about = model.info().maybe_revision(id.revision.as_deref()).send().map_err(|e| asked.error(e))?;
    let commit = asked.plain(about.sha.unwrap_or_else(|| id.revision().to_string()))?;
    let fetch = Fetch { asked, model, commit: commit.clone(), folder: id.folder(root), on_progress };

    let config_path = fetch.needed(CONFIG)?;
    let config = fs::read(&config_path).map_err(Error::io("read", &config_path))?;
    let config = ConfigJson::parse(&config, &Path::new(&id.repository).join(CONFIG))?;
    if config.is_ours() {
        fetch.needed(SCHEMA)?;
    }
    if fetch.file(TOKENIZER)?.is_none() {
        // What a tokenizer can be made from, or what says how to make one.
        for name in tokenizer_files::SOURCES {
            fetch.file(name)?;
        }
        let snapshot = fetch.snapshot();
        tokenizer_files::read(&snapshot)?;
    }
    for name in WELCOME {
        fetch.file(name)?;
    }
    fetch.weights()?;
    let refs = fetch.folder.join("refs").join(id.revision());
    let parent = refs.parent().unwrap_or(&refs);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    fs::write(&refs, &commit).map_err(Error::io("write", &refs))?;
    Ok(fetch.snapshot())
}

/// One model at one commit, on its way.
struct Fetch<'a> {
    asked: Asked<'a>,
    model: HFRepositorySync<RepoTypeModel>,
    commit: String,
    folder: PathBuf,
    on_progress: &'a OnProgress,
}

impl Fetch<'_> {
    fn snapshot(&self) -> PathBuf {
        self.folder.join("snapshots").join(&self.commit)
    }

    fn needed(&self, name: &str) -> Result<PathBuf> {
        self.file(name)?.ok_or_else(|| {
            let found = format!("no file {name}, so this is no model");
            Error::bad(
                self.asked.place(),
                found,
                "the files of a model: config.json, tokenizer.json, model.safetensors",
            )
        })
    }

    fn weights(&self) -> Result<()> {
        if self.file(WEIGHTS)?.is_some() {
            return Ok(());
        }
        for index in [INDEX, PICKLE_INDEX] {
            if let Some(path) = self.file(index)? {
                for part in parts(&path)? {
                    self.needed(&part)?;
                }
                return Ok(());
            }
        }
        match self.file(PICKLE)? {
            Some(_) => Ok(()),
            None => Err(Error::bad(self.asked.place(), "no weights", format!("{WEIGHTS} or {PICKLE}"))),
        }
    }

    /// Where a file lies in the snapshot; none if the repository has none of this name.
    fn file(&self, name: &str) -> Result<Option<PathBuf>> {
        let link = self.snapshot().join(name);
        if link.is_file() {
            return Ok(Some(link));
        }
        let about = match self.model.get_file_metadata().filepath(name).revision(self.commit.as_str()).send() {
            Err(HFError::EntryNotFound { .. }) => return Ok(None),
            result => result.map_err(|e| self.asked.error(e))?,
        };
        let etag = self.asked.plain(about.etag)?;
        let blobs = self.folder.join("blobs");
        let blob = blobs.join(&etag);
        if !blob.is_file() {
            fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
            let part = blobs.join(format!("{etag}.incomplete"));
            self.bytes(name, about.file_size, &part)?;
            if let Some(found) = differs(&part, &etag)? {
                fs::remove_file(&part).map_err(Error::io("delete", &part))?;
                let place = Place::file(Path::new(&self.asked.id.repository).join(name));
                let error = Error::bad(place, found, format!("checksum {etag}"));
                return Err(error.hint("it was damaged on its way and is not kept; repeat the command"));
            }
            fs::rename(&part, &blob).map_err(Error::io("rename", &part))?;
        }
        let folder = self.snapshot();
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let target = Path::new("../../blobs").join(&etag);
        #[cfg(unix)]
        std::os::unix::fs::symlink(&target, &link).map_err(Error::io("link", &link))?;
        #[cfg(not(unix))]
        fs::copy(folder.join(target), &link).map(drop).map_err(Error::io("write", &link))?;
        Ok(Some(link))
    }

    /// Appends to `part` what it lacks of a file.
    fn bytes(&self, name: &str, size: u64, part: &Path) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(Error::io("write", part))?;
        let mut done = file.metadata().map_err(Error::io("read", part))?.len();
        while done < size {
            (self.on_progress)(name, done, size);
            let end = (done + AT_ONCE).min(size);
            let ask = self.model.download_file_to_bytes().filename(name).revision(self.commit.as_str());
            let bytes = ask.range(done..end).send().map_err(|e| self.asked.error(e))?;
            // A server that knows no ranges sends the whole file.
            let bytes = match bytes.len() as u64 {
                n if n == size && n > end - done => &bytes[done as usize..],
                n if n == 0 || n > end - done => {
                    let found = format!("{n} bytes of {name}");
                    let error = Error::bad(Place::file(self.asked.endpoint), found, format!("{}", end - done));
                    return Err(error.hint("repeat the command"));
                }
                _ => &bytes[..],
            };
            file.write_all(bytes).map_err(Error::io("write", part))?;
            done += bytes.len() as u64;
        }
        (self.on_progress)(name, done, size);
        file.sync_all().map_err(Error::io("write", part))
    }
}

/// What was asked for, for messages.
#[derive(Clone, Copy)]
struct Asked<'a> {
    id: &'a HubId,
    endpoint: &'a str,
    root: &'a Path,
}

impl Asked<'_> {
    fn place(&self) -> Place {
        Place::file(&self.id.repository)
    }

    /// A name that the server gave and that becomes a file's or a folder's: it must not lead anywhere else.
    fn plain(&self, name: String) -> Result<String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain) {
            return Ok(name);
        }
        let error =
            Error::bad(Place::file(self.endpoint), format!("\"{name}\" as a commit or checksum"), "a plain name");
        Err(error.hint("this is no hub, or one that means ill; nothing was written"))
    }

    fn error(&self, error: HFError) -> Error {
        match &error {
            HFError::RepoNotFound { .. } => self.no_repository(),
            HFError::RevisionNotFound { context: Some(c), .. } if c.error_code.as_deref() == Some("RepoNotFound") => {
                self.no_repository()
            }
            HFError::RevisionNotFound { revision, .. } => {
                let error =
                    Error::bad(self.place(), format!("no revision \"{revision}\""), "a branch, a tag or a commit");
                error.hint("without @REVISION it is main")
            }
            // The hub does not tell strangers whether a private repository exists.
            HFError::AuthRequired { .. } => self.no_repository(),
            HFError::Forbidden { .. } => {
                let error = Error::bad(self.place(), "a repository that your token may not read", "one that it may");
                error.hint(format!("ask for access on {}/{}", self.endpoint, self.id.repository))
            }
            HFError::RateLimited { .. } => {
                Error::bad(Place::file(self.endpoint), "too many requests", "fewer in a minute").hint("wait and repeat")
            }
            HFError::Request { source, .. } if source.is_decode() || source.is_body() => {
                let found = format!("an answer that cannot be read ({})", cause(&error));
                Error::bad(Place::file(self.endpoint), found, "the Hugging Face hub").hint("repeat the command")
            }
            HFError::Request { .. } => {
                let error = Error::bad(
                    Place::file(self.endpoint),
                    format!("no answer ({})", cause(&error)),
                    "the Hugging Face hub",
                );
                error.hint("check the network and HF_ENDPOINT; a folder copied by hand works with --model DIR")
            }
            HFError::Url(fault) => {
                Error::bad(Place::file("HF_ENDPOINT"), fault.to_string(), "an address such as https://huggingface.co")
            }
            HFError::Io(fault) => Error::io("write", self.root)(std::io::Error::new(fault.kind(), fault.to_string())),
            _ => Error::bad(Place::file(self.endpoint), cause(&error), "an answer of the Hugging Face hub")
                .hint("repeat the command"),
        }
    }

    fn no_repository(&self) -> Error {
        let found = format!("no such model on {}, or none that strangers may read", self.endpoint);
        Error::bad(self.place(), found, "OWNER/NAME of a model").hint("a private one needs a token in HF_TOKEN")
    }
}

/// The last and plainest of a chain of errors.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
