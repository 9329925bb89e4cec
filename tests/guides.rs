//! The commands of the README's guides to other encoders, word by word, with a tiny checkpoint in the place of the base that they name.
//! (The lines of Python are run by `make parity`.)

use std::path::Path;
use std::process::Command;

const BASE: &str = "hub:jhu-clsp/mmBERT-small";

/// The commands of a section: its indented lines that begin with `rasid`.
fn commands(heading: &str) -> Vec<String> {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let section = readme.split(&format!("### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n##").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let commands = lines.filter(|line| line.starts_with("rasid "));
    commands.map(|line| line.split(" # ").next().unwrap().trim().to_string()).collect()
}

/// Runs a section's commands in a folder, less the one that fetches.
fn run(heading: &str) -> (tempfile::TempDir, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let base = root.join("tests/fixtures/families/modernbert").display().to_string();
    std::os::unix::fs::symlink(root.join("labels/articles"), folder.path().join("news")).unwrap();
    std::os::unix::fs::symlink(root.join("labels"), folder.path().join("labels")).unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    std::os::unix::fs::symlink(root.join("models/recipes"), folder.path().join("models/recipes")).unwrap();
    let mut outputs = Vec::new();
    for command in commands(heading).iter().filter(|command| !command.starts_with("rasid models pull")) {
        let mut words: Vec<String> = command.split_whitespace().skip(1).map(|word| word.replace(BASE, &base)).collect();
        // Enough for a test: the real articles alone, and no longer than the tiny base reads.
        words.retain(|word| word != "labels/written");
        if words[0] == "train" {
            words.extend(["--set", "input.max_tokens=40", "--quiet"].map(String::from));
        }
        let done = Command::new(env!("CARGO_BIN_EXE_rasid"))
            .args(&words)
            .current_dir(folder.path())
            .env_remove("RASID_MODEL")
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{command}\n{stderr}");
        outputs.push(stdout.into_owned());
    }
    (folder, outputs)
}

#[test]
fn mmbert_as_the_base() {
    let (folder, outputs) = run("Use mmBERT as the base");
    assert_eq!(outputs.len(), 3, "train, evaluate, classify");
    assert!(folder.path().join("models/mine/README.md").is_file());
    assert!(outputs[1].contains("macro F1") && outputs[2].contains("is_attack"), "{outputs:?}");
}

#[test]
fn your_model_in_python() {
    let (folder, outputs) = run("Bring your model to Python");
    assert_eq!(outputs[1], "exported/incident\nexported/perpetrator\n");
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        assert!(folder.path().join("exported/perpetrator").join(file).is_file(), "{file}");
    }
    let config = std::fs::read_to_string(folder.path().join("exported/incident/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architectures"][0], "ModernBertForSequenceClassification");
    assert_eq!((&config["id2label"]["0"], &config["label2id"]["other"]), (&"is_attack".into(), &3.into()));
    assert!(config.get("rasid_version").is_none() && config.get("heads").is_none());
}

#[test]
fn what_python_has_no_words_for_is_not_exported_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let export = |model: &str| {
        let arguments = ["models", "export", model, "--to", "transformers", "--output", output.to_str().unwrap()];
        let done = Command::new(env!("CARGO_BIN_EXE_rasid")).args(arguments).output().unwrap();
        assert_eq!((done.status.code(), output.exists()), (Some(2), false));
        String::from_utf8(done.stderr).unwrap()
    };
    let reads_lexicon = folder.path().join("reads_lexicon");
    std::fs::create_dir(&reads_lexicon).unwrap();
    let config = std::fs::read("tests/fixtures/families/modernbert/config.json").unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let ours = serde_json::json!({
        "name": "x", "rasid_version": "0.1.0", "input": { "max_tokens": 40, "context": "none" }, "heads": [], "id2label": {},
        "label2id": {}, "lexicon_types": ["weapon"],
    });
    config.as_object_mut().unwrap().extend(ours.as_object().unwrap().clone());
    std::fs::write(reads_lexicon.join("config.json"), config.to_string()).unwrap();
    let told = export(reads_lexicon.to_str().unwrap());
    assert!(told.contains("reads the lexicon") && told.contains("--set model.lexicon=false"), "{told}");
    let told = export("models/base");
    assert!(told.contains("a base, without classifiers") && told.contains("--base"), "{told}");
    let told = export("tests/fixtures/families/bert");
    assert!(told.contains("no model that `rasid train` wrote"), "{told}");
}
