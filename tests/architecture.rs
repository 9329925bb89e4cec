//! The architecture's invariants: who may import whom, who may open files, who may talk to a terminal; files stay short and
//! public items explained. What is forbidden is written here as tables, each exception with its reason.

#[path = "architecture/source.rs"]
mod source;

use source::{Source, Token};
use std::collections::BTreeMap;
use std::path::Path;

/// The modules of the crate, rung by rung from below. A module imports only lower rungs, never its neighbours.
/// The picture in src/lib.rs shows the same.
const LADDER: [&[&str]; 13] = [
    &["kernels", "error", "memo"],
    &["schema", "letters"],
    &["article"],
    &["lexicon"],
    &["read", "sentences", "language", "tokens", "dataset"],
    &["model"],
    &["metrics", "gazetteer", "baseline"],
    &["model_dir", "report"],
    &["tagger"],
    &["evaluate"],
    &["train"],
    &["pretrain"],
    &["cli"],
];

/// Who opens files, and why beside `read`, `dataset` and `model_dir`.
const OPEN_FILES: [(&str, &str); 9] = [
    ("lexicon", "folders of terms, for labels and for model directories"),
    ("read", "articles"),
    ("dataset", "labels"),
    ("model_dir", "model directories"),
    ("cli", "outputs, and files named by flags"),
    ("schema", "Schema::read is the one way to a schema file, for labels and for model directories"),
    ("tokens", "tokenizer files, and the corpora that a tokenizer learns from"),
    ("train", "recipes, checkpoints and the journal of a run"),
    ("pretrain", "corpora as token ids, checkpoints"),
];

/// Crates, modules and macros of the command line and the terminal. `anstyle` is left out: it only describes styles.
const TERMINAL: [&str; 12] = [
    "clap",
    "clap_complete",
    "clap_mangen",
    "anstream",
    "indicatif",
    "ctrlc",
    "terminal_size",
    "IsTerminal",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
];

/// Longest file in src, in lines.
const MAX_LINES: usize = 400;

/// What is needed to open, create or list files.
const FILE_ACCESS: [&str; 7] = ["File", "OpenOptions", "fs", "tempfile", "walkdir", "glob", "WalkDir"];

fn rung(module: &str) -> Option<usize> {
    LADDER.iter().position(|rung| rung.contains(&module))
}

/// Imports that go sideways, up, or to a module that stands on no rung.
fn wrong_imports(source: &Source) -> Vec<String> {
    // main.rs and lib.rs hold the ladder together; the next test looks at them.
    let Some(own) = source.module() else { return Vec::new() };
    let Some(own_rung) = rung(own) else { return vec![format!("{own} stands on no rung of the ladder")] };
    let wrong = |(line, module): &(usize, String)| -> Option<String> {
        let direction = match rung(module) {
            _ if module == own => return None,
            None => "to no rung of the ladder",
            Some(other) if other < own_rung => return None,
            Some(other) if other == own_rung => "sideways",
            Some(_) => "up",
        };
        Some(format!("{}:{line}: {own} imports {module}, {direction}", source.name))
    };
    source.imports().iter().filter_map(wrong).collect()
}

/// Names of `TERMINAL` outside cli.
fn terminal_outside_cli(source: &Source) -> Vec<String> {
    if matches!(source.module(), Some("cli")) {
        return Vec::new();
    }
    let tokens = &source.code;
    let found = tokens.iter().enumerate().filter_map(|(i, token)| {
        let called = tokens.get(i + 1).is_some_and(|next| next.text == "!");
        let name = if called { format!("{}!", token.text) } else { token.text.clone() };
        TERMINAL.contains(&name.as_str()).then(|| format!("{}:{}: {name} outside cli", source.name, token.line))
    });
    found.collect()
}

/// File access outside the modules of `OPEN_FILES`.
fn unexpected_file_access(source: &Source) -> Vec<String> {
    if source.module().is_some_and(|module| OPEN_FILES.iter().any(|(allowed, _)| *allowed == module)) {
        return Vec::new();
    }
    let starts_path = |pair: &[Token]| FILE_ACCESS.contains(&pair[0].text.as_str()) && pair[1].text == "::";
    let imports = |pair: &[Token]| pair[0].text == "::" && FILE_ACCESS.contains(&pair[1].text.as_str());
    let pairs = source.code.windows(2).filter(|pair| starts_path(pair) || imports(pair));
    pairs.map(|pair| format!("{}:{}: {}{}", source.name, pair[0].line, pair[0].text, pair[1].text)).collect()
}

fn without_docs(source: &Source) -> Vec<String> {
    source.undocumented().into_iter().map(|(line, item)| format!("{}:{line}: {item}", source.name)).collect()
}

fn too_long(source: &Source) -> Vec<String> {
    let n = source.n_lines;
    if n > MAX_LINES { vec![format!("{}: {n} lines", source.name)] } else { Vec::new() }
}

/// Applies a rule to every file of src and tells all that breaks it.
fn check(rule: fn(&Source) -> Vec<String>, advice: &str) {
    let sources = source::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 100, "only {} files found; is this the repository?", sources.len());
    let broken: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "{advice}\n  {}", broken.join("\n  "));
}

#[test]
fn imports_go_down_the_ladder() {
    check(wrong_imports, "move what is shared to a lower rung, or hand it in as an argument:");
}

#[test]
fn only_the_command_line_knows_flags_and_terminals() {
    check(terminal_outside_cli, "return a value and let cli show it:");
}

#[test]
fn few_modules_open_files() {
    check(
        unexpected_file_access,
        "take text or bytes as an argument, or add the module to OPEN_FILES with the reason:",
    );
}

#[test]
fn public_items_are_explained() {
    check(without_docs, "public without a doc comment:");
}

#[test]
fn files_are_short() {
    check(too_long, "split by stations of the data; the limit is 400 lines:");
}

/// A new module must be put on a rung, here and in the picture.
#[test]
fn the_ladder_the_modules_and_the_picture_are_the_same() {
    let lib = include_str!("../src/lib.rs");
    let mut ladder: Vec<&str> = LADDER.concat();
    ladder.sort_unstable();
    let mut modules: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    modules.sort_unstable();
    assert_eq!(modules, ladder, "modules of src/lib.rs, and of the ladder in this test");
    assert!(
        !lib.lines().any(|line| line.starts_with("mod ")),
        "top-level modules are public, so that they can be tested"
    );
    let table: BTreeMap<usize, Vec<&str>> = LADDER.iter().enumerate().map(|(i, rung)| (i, rung.to_vec())).collect();
    assert_eq!(picture(lib), table, "picture in src/lib.rs (left), and the ladder in this test (right)");
}

/// The rungs of the picture: lines like ` 3  read | tokens     what they do`.
fn picture(lib: &str) -> BTreeMap<usize, Vec<&str>> {
    let rung = |line| -> Option<(usize, Vec<&str>)> {
        let (number, rest) = str::strip_prefix(line, "//!")?.trim_start().split_once("  ")?;
        let names = rest.trim_start().split("  ").next()?;
        Some((number.parse().ok()?, names.split('|').map(str::trim).collect()))
    };
    lib.lines().filter_map(rung).collect()
}

/// Each rule must notice what it is for; a rule that never fires would pass for ever.
mod the_rules_notice {
    use super::*;

    fn told(rule: fn(&Source) -> Vec<String>, name: &str, text: &str) -> Vec<String> {
        rule(&Source::parse(name, text))
    }

    #[test]
    fn imports_up_and_sideways_in_every_spelling() {
        let text = "use crate::{\n    error::{Error, Result},\n    cli,\n    report::jsonl::Jsonl,\n};\nfn f() { crate::tagger::tag() }\nuse super::super::train;";
        let expected = [
            "src/report/html/mod.rs:3: report imports cli, up",
            "src/report/html/mod.rs:6: report imports tagger, up",
            "src/report/html/mod.rs:7: report imports train, up",
        ];
        assert_eq!(told(wrong_imports, "src/report/html/mod.rs", text), expected);
        let sideways = "src/tokens/input.rs:1: tokens imports read, sideways";
        assert_eq!(told(wrong_imports, "src/tokens/input.rs", "use crate::read::Stream;"), [sideways]);
        assert_eq!(told(wrong_imports, "src/tokens/mod.rs", "use super::read::Stream;").len(), 1);
        assert_eq!(told(wrong_imports, "src/tokens/mod.rs", "use crate::utilities;").len(), 1);
        assert_eq!(told(wrong_imports, "src/utilities.rs", "").len(), 1);
    }

    #[test]
    fn but_not_imports_in_comments_strings_and_tests() {
        let text = r##"
            //! See [`cli`](crate::cli).
            use super::input; use self::input; /* crate::cli /* nested */ crate::cli */
            const A: &str = "crate::cli"; const B: &str = r#"" crate::cli"#; const C: char = '"'; const D: u8 = b'\'';
            fn f<'a>(x: &'a str) -> &'a str { x }
            #[cfg(test)]
            mod tests { use crate::cli; fn g() { if true { println!("{}", 1) } } }
            #[cfg(test)]
            use crate::cli;
            use crate::error::Error;
        "##;
        assert_eq!(told(wrong_imports, "src/tokens/train.rs", text), [""; 0]);
        assert_eq!(told(terminal_outside_cli, "src/tokens/train.rs", text), [""; 0]);
    }

    #[test]
    fn terminals_and_files() {
        let text = "use clap::Parser;\nfn f() { eprintln!(\"…\"); std::fs::read(p); let profile = File::open(p); }";
        assert_eq!(told(terminal_outside_cli, "src/metrics/mod.rs", text).len(), 2);
        assert_eq!(told(terminal_outside_cli, "src/cli/mod.rs", text), [""; 0]);
        assert_eq!(told(unexpected_file_access, "src/metrics/mod.rs", text).len(), 3);
        assert_eq!(told(unexpected_file_access, "src/read/mod.rs", text), [""; 0]);
    }

    #[test]
    fn public_items_without_docs() {
        let text = "pub fn a() {}\n/// Doc.\n#[derive(Debug)]\npub struct B {\n    pub c: u8,\n}\n\
                    pub(crate) fn e() {}\npub use x::y;\npub mod z;\n/// Doc.\npub const fn g() {}\n#[inline]\npub unsafe fn h() {}";
        let expected = ["src/m.rs:1: fn a", "src/m.rs:13: fn h"];
        assert_eq!(told(without_docs, "src/m.rs", text), expected);
    }

    #[test]
    fn long_files() {
        assert_eq!(told(too_long, "src/m.rs", &"\n".repeat(401)), ["src/m.rs: 401 lines"]);
        assert_eq!(told(too_long, "src/m.rs", &"\n".repeat(400)), [""; 0]);
    }
}
