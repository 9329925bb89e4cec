//! Fetching from a hub, here a server of the test's own on the loopback that speaks its protocol: redirects, ETags, ranges, closed
//! and gated repositories, connections that break, bytes that are wrong. Needs the feature `hub`.

#![cfg(feature = "hub")]

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NEEDED: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// What the server does wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    /// Answers with at most this many bytes and closes the connection, once.
    cut_once_after: Option<usize>,
    /// Adds one to the last byte of the weights.
    damages: bool,
    /// Sends whole files whatever range is asked for.
    knows_no_ranges: bool,
    /// Large files lie behind a redirect.
    redirects: bool,
    /// Names files so that they would land elsewhere.
    means_ill: bool,
}

struct Server {
    folder: PathBuf,
    faults: Faults,
}

/// A hub with one model, `some-one/tiny`, whose branch is `main`; `some-one/closed` wants a login, `some-one/gated` a permission.
struct Hub {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
    server: Arc<Mutex<Server>>,
    data: tempfile::TempDir,
}

impl Hub {
    fn start(faults: Faults) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families/bert");
        let (requests, server) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Server { folder, faults })));
        let (seen, of_thread) = (Arc::clone(&requests), Arc::clone(&server));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = answer(stream, &mut of_thread.lock().unwrap()).unwrap_or_default();
                seen.lock().unwrap().push(request);
            }
        });
        Hub { endpoint, requests, server, data: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("rasid").unwrap();
        for name in ["RASID_MODEL", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command.args(arguments).env("HF_ENDPOINT", &self.endpoint).env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
        for name in ["HOME", "XDG_DATA_HOME", "HF_HOME"] {
            command.env(name, self.data.path());
        }
        command.env("NO_PROXY", "127.0.0.1").timeout(std::time::Duration::from_secs(60));
        command
    }

    fn snapshot(&self) -> PathBuf {
        self.data.path().join("hub/models--some-one--tiny/snapshots").join(COMMIT)
    }

    fn blobs(&self) -> Vec<String> {
        names(&self.data.path().join("hub/models--some-one--tiny/blobs"))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Answers one request and returns its first line and its range.
fn answer(mut stream: TcpStream, server: &mut Server) -> std::io::Result<String> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let (mut range, mut is_known) = (None, false);
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        is_known |= line.to_lowercase() == "authorization: bearer hf_secret";
        if let Some(bytes) = line.to_lowercase().strip_prefix("range: bytes=") {
            let (start, end) = bytes.split_once('-').unwrap_or_default();
            range = Some((start.parse::<usize>().unwrap(), end.parse::<usize>().unwrap()));
        }
    }
    let told = format!("{request} {range:?}");
    let (method, path) = request.split_once(' ').unwrap_or_default();
    let path = path.trim_end_matches(" HTTP/1.1");
    let faults = server.faults;
    let mut reply = |status: &str, headers: &str, body: &[u8]| -> std::io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n");
        if method == "HEAD" {
            return write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len());
        }
        write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len())?;
        match server.faults.cut_once_after.filter(|n| *n < body.len()) {
            None => stream.write_all(body),
            Some(n) => {
                server.faults.cut_once_after = None;
                stream.write_all(&body[..n])
            }
        }
    };
    let missing = |code: &str| format!("X-Error-Code: {code}\r\n");
    let opened = path.replace("some-one/closed", "some-one/tiny");
    let path = if is_known { opened.as_str() } else { path };
    if path.contains("some-one/closed") {
        reply("401 Unauthorized", &missing("RepoNotFound"), b"")?;
        return Ok(told);
    }
    if path.contains("some-one/gated") {
        reply("403 Forbidden", &missing("GatedRepo"), b"")?;
        return Ok(told);
    }
    if let Some(rest) = path.strip_prefix("/api/models/some-one/tiny") {
        match rest {
            "" | "/revision/main" => {
                let about = format!(r#"{{"id": "some-one/tiny", "sha": "{COMMIT}"}}"#);
                reply("200 OK", "", about.as_bytes())?;
            }
            _ => reply("404 Not Found", &missing("RevisionNotFound"), b"")?,
        }
        return Ok(told);
    }
    let file = path.strip_prefix(&format!("/some-one/tiny/resolve/{COMMIT}/")).or(path.strip_prefix("/elsewhere/"));
    let Some(file) = file else {
        reply("404 Not Found", &missing("RepoNotFound"), b"")?;
        return Ok(told);
    };
    let Ok(mut bytes) = fs::read(server.folder.join(file)) else {
        reply("404 Not Found", &missing("EntryNotFound"), b"")?;
        return Ok(told);
    };
    let mut headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", sha256(&bytes));
    if faults.means_ill {
        headers = headers.replace("ETag: \"", "ETag: \"../../../../");
    }
    if faults.redirects && file.ends_with("safetensors") && !path.starts_with("/elsewhere/") {
        headers = headers.replace("ETag: ", "X-Linked-ETag: ");
        headers.push_str(&format!("X-Linked-Size: {}\r\nLocation: /elsewhere/{file}\r\n", bytes.len()));
        reply("302 Found", &headers, b"")?;
        return Ok(told);
    }
    if faults.damages && file.ends_with("safetensors") {
        let last = bytes.len() - 1;
        bytes[last] = bytes[last].wrapping_add(1);
    }
    match range.filter(|_| !faults.knows_no_ranges && method == "GET") {
        None => reply("200 OK", &headers, &bytes)?,
        Some((start, end)) => {
            headers.push_str(&format!("Content-Range: bytes {start}-{end}/{}\r\n", bytes.len()));
            reply("206 Partial Content", &headers, &bytes[start..(end + 1).min(bytes.len())])?;
        }
    }
    Ok(told)
}

#[test]
fn a_model_is_fetched_into_the_shared_cache_and_found_there_without_a_network() {
    for redirects in [false, true] {
        let hub = Hub::start(Faults { redirects, ..Faults::default() });
        let told = format!("{}\n", hub.snapshot().display());
        hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().success().stdout(told.clone()).stderr("");
        assert_eq!(names(&hub.snapshot()), NEEDED, "what was not asked for is not fetched");
        let refs = hub.data.path().join("hub/models--some-one--tiny/refs/main");
        assert_eq!(fs::read_to_string(refs).unwrap(), COMMIT);
        for file in NEEDED {
            let theirs = fs::read(hub.server.lock().unwrap().folder.join(file)).unwrap();
            assert_eq!(fs::read(hub.snapshot().join(file)).unwrap(), theirs, "{file}");
            let link = fs::read_link(hub.snapshot().join(file)).unwrap();
            assert_eq!(link, Path::new("../../blobs").join(sha256(&theirs)), "{file}");
        }
        // Again: nothing but the question for the commit goes over the line.
        hub.requests.lock().unwrap().clear();
        hub.run(&["models", "pull", "hub:some-one/tiny", "--quiet"]).assert().success().stdout(told);
        let requests = hub.requests.lock().unwrap().join("\n");
        assert!(!requests.contains("safetensors"), "{requests}");
        // And offline it is used as it lies there.
        let mut offline = hub.run(&["models", "info", "hub:some-one/tiny"]);
        offline.env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", "http://127.0.0.1:1");
        offline.assert().success().stdout(contains("attack, statement, nothing"));
    }
}

#[test]
fn a_base_named_by_its_id_is_fetched_and_trained_from() {
    let hub = Hub::start(Faults::default());
    let labels = hub.data.path().join("labels.jsonl");
    let line = |i: usize, label: &str| {
        format!(
            "{{\"article_id\": \"a{i}\", \"language\": \"en\", \"text\": \"rockets {i}\", \"incident\": \"{label}\", \"perpetrator\": \"{}\"}}\n",
            if i % 2 == 0 { "none" } else { "militia" }
        )
    };
    let text: String = (0..4).map(|i| line(i, if i % 2 == 0 { "other" } else { "militia_attack" })).collect();
    fs::write(&labels, text).unwrap();
    let output = hub.data.path().join("m");
    let arguments = [
        "train",
        "--labels",
        labels.to_str().unwrap(),
        "--base",
        "hub:some-one/tiny",
        "--output",
        output.to_str().unwrap(),
        "--set",
        "input.max_tokens=32",
        "--set",
        "training.epochs=1",
    ];
    hub.run(&arguments).assert().success();
    assert!(output.join("model.safetensors").is_file() && hub.snapshot().is_dir());
}

#[test]
fn a_broken_connection_goes_on_where_it_broke() {
    let hub = Hub::start(Faults::default());
    let weights = fs::read(hub.server.lock().unwrap().folder.join("model.safetensors")).unwrap();
    // What an earlier attempt left: the first half.
    let blobs = hub.data.path().join("hub/models--some-one--tiny/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", sha256(&weights)));
    fs::write(&part, &weights[..weights.len() / 2]).unwrap();
    hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().success();
    assert_eq!(fs::read(hub.snapshot().join("model.safetensors")).unwrap(), weights);
    let requests = hub.requests.lock().unwrap().join("\n");
    let range = format!("Some(({}, {}))", weights.len() / 2, weights.len() - 1);
    assert!(requests.contains(&range), "{range} in\n{requests}");
    assert!(!part.exists());

    // A connection that breaks in the middle: the command fails or tries again, and the next one is whole.
    let hub = Hub::start(Faults { cut_once_after: Some(60_000), ..Faults::default() });
    let first = hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert();
    if !first.get_output().status.success() {
        first.code(2).stderr(contains("repeat the command").or(contains("check the network")));
        hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().success();
    }
    assert_eq!(fs::read(hub.snapshot().join("model.safetensors")).unwrap(), weights);
    assert_eq!(hub.blobs().len(), NEEDED.len(), "nothing half-fetched is left");
}

#[test]
fn a_server_without_ranges_sends_the_whole_file() {
    let hub = Hub::start(Faults { knows_no_ranges: true, ..Faults::default() });
    hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().success();
    hub.run(&["models", "verify", "hub:some-one/tiny"]).assert().success().stdout(contains("as its checksum says"));
}

#[test]
fn wrong_bytes_are_told_and_not_kept() {
    let hub = Hub::start(Faults { damages: true, ..Faults::default() });
    let told = contains("error: some-one/tiny/model.safetensors: ")
        .and(contains("expected checksum "))
        .and(contains("damaged on its way"));
    hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().code(2).stdout("").stderr(told);
    assert!(!hub.snapshot().join("model.safetensors").exists());
    assert_eq!(hub.blobs().len(), NEEDED.len() - 1);
    hub.server.lock().unwrap().faults.damages = false;
    hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().success();
}

#[test]
fn a_server_that_names_files_elsewhere_is_refused() {
    let hub = Hub::start(Faults { means_ill: true, ..Faults::default() });
    let told = contains("as a commit or checksum; expected a plain name").and(contains("nothing was written"));
    hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().code(2).stdout("").stderr(told);
    assert!(!hub.data.path().join("hub").exists());
}

#[test]
fn what_is_not_there_or_not_for_strangers_is_told_by_name() {
    let hub = Hub::start(Faults::default());
    let cases = [
        ("some-one/else", "error: some-one/else: no such model on http://127.0.0.1"),
        ("some-one/closed", "error: some-one/closed: no such model on http://127.0.0.1"),
        ("some-one/closed", "a private one needs a token in HF_TOKEN"),
        ("some-one/gated", "error: some-one/gated: a repository that your token may not read"),
        ("some-one/tiny@v9", "error: some-one/tiny: no revision \"v9\""),
    ];
    for (model, told) in cases {
        hub.run(&["models", "pull", model, "--quiet"]).assert().code(2).stdout("").stderr(contains(told));
        assert!(!hub.snapshot().exists(), "{model}");
    }
}

#[test]
fn a_token_opens_what_is_closed_to_strangers() {
    let hub = Hub::start(Faults::default());
    let mut command = hub.run(&["models", "pull", "some-one/closed", "--quiet"]);
    command.env_remove("HF_HUB_DISABLE_IMPLICIT_TOKEN").env("HF_TOKEN", "hf_secret");
    let told = hub.snapshot().display().to_string().replace("--tiny", "--closed");
    command.assert().success().stdout(format!("{told}\n"));
    hub.run(&["models", "info", "hub:some-one/closed"]).assert().success().stdout(contains("some-one/closed"));
}

#[test]
fn a_family_that_is_not_known_is_told_before_its_weights_come() {
    let hub = Hub::start(Faults::default());
    let folder = hub.data.path().join("remote");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), r#"{"model_type": "t5"}"#).unwrap();
    hub.server.lock().unwrap().folder = folder.clone();
    let told = contains("error: some-one/tiny/config.json: an encoder of the family \"t5\"");
    hub.run(&["models", "pull", "some-one/tiny", "--quiet"]).assert().code(2).stdout("").stderr(told);
    let requests = hub.requests.lock().unwrap().join("\n");
    assert!(requests.contains("config.json") && !requests.contains("safetensors"), "{requests}");
}

#[test]
fn without_a_network_or_offline_the_reason_is_told() {
    let hub = Hub::start(Faults::default());
    let arguments = ["models", "pull", "some-one/tiny", "--quiet"];
    let nobody =
        contains("http://127.0.0.1:1: no answer (").and(contains("refused")).and(contains("check the network"));
    hub.run(&arguments).env("HF_ENDPOINT", "http://127.0.0.1:1").assert().code(2).stdout("").stderr(nobody);
    let mut offline = hub.run(&arguments);
    offline.env("HF_HUB_OFFLINE", "1");
    let told = contains("HF_HUB_OFFLINE: set, so nothing is fetched").and(contains("--model DIR"));
    offline.assert().code(2).stdout("").stderr(told);
    assert!(hub.requests.lock().unwrap().is_empty());
}

#[test]
fn a_copy_out_of_the_cache_holds_files_and_no_links() {
    let hub = Hub::start(Faults::default());
    let output = hub.data.path().join("out/new");
    let arguments = ["models", "pull", "some-one/tiny", "--quiet", "--output", output.to_str().unwrap()];
    hub.run(&arguments).assert().success().stdout(format!("{}\n", output.display()));
    assert_eq!(
        (names(&output), names(output.parent().unwrap())),
        (NEEDED.map(String::from).into(), vec!["new".to_string()])
    );
    assert!(!fs::symlink_metadata(output.join("config.json")).unwrap().is_symlink());
    hub.run(&arguments).assert().code(2).stderr(contains("there already"));
}
