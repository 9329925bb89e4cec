//! Model directories on the Hugging Face hub.

use super::config_json::ConfigJson;
use super::{CONFIG, SCHEMA, TOKENIZER, WEIGHTS, open};
use crate::error::{Error, Place, Result};
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync, RepoTypeModel, split_id};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files without which there is no model, the small ones first: a repository of another kind is told before its weights come.
const NEEDED: [&str; 4] = [CONFIG, SCHEMA, TOKENIZER, WEIGHTS];

/// Files that are fetched where there are any.
const WELCOME: [&str; 3] = ["README.md", "train.toml", "metrics.json"];

/// A dropped connection is tried again this often.
const RETRIES: usize = 3;

/// Told a file's name, the bytes of it that have come and its size in bytes (0 where the hub does not say).
pub type OnProgress = dyn Fn(&str, u64, u64) + Send + Sync;

/// Fetches the model `repository` (OWNER/NAME) as of `revision` (a branch, tag or commit; none is `main`) into the folder
/// `into` and checks that it opens; returns the commit that was fetched. All files are of that one commit.
///
/// The address of the hub is `HF_ENDPOINT`'s, else <https://huggingface.co>; a token is taken from where the hub's own tools
/// take it (`HF_TOKEN`, or the file of a login). Nothing is fetched while `HF_HUB_OFFLINE` is 1.
///
/// # Errors
/// `HF_HUB_OFFLINE` is set; no network; no such repository, revision or file; no access; it is no whole Rasid model; the disk.
pub fn fetch(repository: &str, revision: Option<&str>, into: &Path, on_progress: Arc<OnProgress>) -> Result<String> {
    check_online(std::env::var("HF_HUB_OFFLINE").ok().as_deref())?;
    let agent = concat!("rasid/", env!("CARGO_PKG_VERSION"));
    // The hub's cache would keep a second copy of every model.
    let client = HFClient::builder().cache_enabled(false).user_agent(agent).retry_max_attempts(RETRIES).build();
    let unnamed = Asked { repository, revision, endpoint: "HF_ENDPOINT", into };
    let client = client.map_err(|e| unnamed.error(e))?;
    let endpoint = client.endpoint().to_string();
    let asked = Asked { endpoint: &endpoint, ..unnamed };
    let (owner, name) = split_id(repository);
    let model = HFClientSync::from_inner(client).map_err(|e| asked.error(e))?.model(owner, name);
    let about = model.info().maybe_revision(revision).send().map_err(|e| asked.error(e))?;
    let commit = about.sha.unwrap_or_else(|| revision.unwrap_or("main").to_string());

    let mut steps: Vec<(&str, bool)> = NEEDED.map(|file| (file, true)).into();
    steps.splice(3..3, WELCOME.map(|file| (file, false)));
    for (file, is_needed) in steps {
        match download(&model, &commit, file, into, &on_progress) {
            Err(HFError::EntryNotFound { .. }) if !is_needed => {}
            result => drop(result.map_err(|e| asked.error(e))?),
        }
        if file == CONFIG {
            asked.check_config()?;
        }
    }
    open(into).map_err(|e| asked.told_of_the_repository(e))?;
    Ok(commit)
}

fn check_online(offline: Option<&str>) -> Result<()> {
    // As huggingface_hub reads it.
    let is_offline = offline.is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()));
    if !is_offline {
        return Ok(());
    }
    let error = Error::bad(Place::file("HF_HUB_OFFLINE"), "set, so nothing is fetched", "0 or nothing");
    Err(error.hint("unset it to fetch; a folder copied by hand works with --model DIR"))
}

/// Passes the hub's events on, for one file.
struct Handler {
    file: String,
    on_progress: Arc<OnProgress>,
}

impl ProgressHandler for Handler {
    fn on_progress(&self, event: &ProgressEvent) {
        let (done, of) = match event {
            ProgressEvent::Download(DownloadEvent::Start { total_bytes, .. }) => (0, *total_bytes),
            ProgressEvent::Download(DownloadEvent::Progress { files }) => match files.last() {
                Some(file) => (file.bytes_completed, file.total_bytes),
                None => return,
            },
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, total_bytes, .. }) => {
                (*bytes_completed, *total_bytes)
            }
            _ => return,
        };
        (self.on_progress)(&self.file, done, of);
    }
}

fn download(
    model: &HFRepositorySync<RepoTypeModel>,
    commit: &str,
    file: &str,
    into: &Path,
    on_progress: &Arc<OnProgress>,
) -> hf_hub::HFResult<PathBuf> {
    let handler = Handler { file: file.to_string(), on_progress: Arc::clone(on_progress) };
    model.download_file().filename(file).revision(commit).local_dir(into).progress(handler).send()
}

/// What was asked for, for messages.
#[derive(Clone, Copy)]
struct Asked<'a> {
    repository: &'a str,
    revision: Option<&'a str>,
    endpoint: &'a str,
    into: &'a Path,
}

impl Asked<'_> {
    fn place(&self) -> Place {
        Place::file(self.repository)
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
                error.hint("without --revision it is main")
            }
            HFError::EntryNotFound { path, .. } => {
                let files = format!("the files of a Rasid model: {}", NEEDED.join(", "));
                Error::bad(self.place(), format!("no file {path}, so this is no Rasid model"), files)
            }
            // The hub does not tell strangers whether a private repository exists.
            HFError::AuthRequired { .. } => self.no_repository(),
            HFError::Forbidden { .. } => {
                let error = Error::bad(self.place(), "a repository that your token may not read", "one that it may");
                error.hint(format!("ask for access on {}/{}", self.endpoint, self.repository))
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
            HFError::Io(fault) => Error::io("write", self.into)(std::io::Error::new(fault.kind(), fault.to_string())),
            _ => Error::bad(Place::file(self.endpoint), cause(&error), "an answer of the Hugging Face hub")
                .hint("repeat the command"),
        }
    }

    fn no_repository(&self) -> Error {
        let found = format!("no such model on {}, or none that strangers may read", self.endpoint);
        Error::bad(self.place(), found, "OWNER/NAME of a model").hint("a private one needs a token in HF_TOKEN")
    }

    /// Before the weights are fetched.
    fn check_config(&self) -> Result<()> {
        let path = self.into.join(CONFIG);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        ConfigJson::parse(&bytes, &path).map(drop).map_err(|e| self.told_of_the_repository(e))
    }

    /// The user knows the repository, not the folder that its files pass through.
    fn told_of_the_repository(&self, error: Error) -> Error {
        match error {
            Error::Bad { place, found, expected, .. } => {
                let path = match place.path.strip_prefix(self.into) {
                    Ok(file) => Path::new(self.repository).join(file),
                    Err(_) => place.path.clone(),
                };
                let revision = self.revision.unwrap_or("main");
                Error::bad(Place { path, ..place }, found, expected)
                    .hint(format!("this is no whole Rasid model at revision {revision}; nothing was kept"))
            }
            other => other,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_is_what_the_hubs_own_tools_take_it_for() {
        for value in ["1", "true", "YES", "on"] {
            let error = check_online(Some(value)).unwrap_err().to_string();
            assert!(error.starts_with("HF_HUB_OFFLINE: set, so nothing is fetched"), "{error}");
        }
        for value in [None, Some(""), Some("0"), Some("false")] {
            check_online(value).unwrap();
        }
    }
}
