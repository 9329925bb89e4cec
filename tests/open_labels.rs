//! Labels without text: a table of hashes, and the sentences found again in the corpora they come from.

use assert_cmd::Command;
use std::fs;
use std::path::Path;

fn rasid(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("rasid").unwrap().current_dir(folder).args(arguments).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The same text as `fixtures/labels/open_corpus.txt.xz`.
const STRIKES: &str = "Strikes in Iraq\nNear Rawah, one airstrike hit a tunnel. Near Mosul, two strikes hit a bridge.\n\n\
                       Strikes in Syria\nNear Raqqa, one strike hit a unit.\n";

fn corpora(folder: &Path) {
    for language in ["en", "ar"] {
        fs::create_dir_all(folder.join("corpora").join(language)).unwrap();
    }
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/labels/open_corpus.txt.xz");
    fs::copy(packed, folder.join("corpora/en/strikes.txt.xz")).unwrap();
    fs::write(folder.join("corpora/ar/news.txt"), "  قصف على مواقع داعش \nوصل الوفد. قال الوزير إن الجيش تقدم.\n")
        .unwrap();
}

const SENTENCES: &str = "source\tlanguage\ttext\tincident\tperpetrator\tsplit\n\
    en/strikes\ten\tNear Mosul, two strikes hit a bridge.\tother\tcoalition\ttrain\n\
    en/strikes\ten\tNear Raqqa, one strike hit a unit. \tother\tcoalition\ttrain\n\
    en/strikes\ten\tNear Raqqa, one strike hit a unit.\tother\tcoalition\ttrain\n\
    ar/news\tar\tقصف على مواقع داعش\tother\tunidentified\t\n\
    ar/news\tar\tقال الوزير إن الجيش تقدم.\tother\t\tdev\n";

#[test]
fn what_was_taken_out_is_found_again_in_plain_and_packed_corpora() {
    let dir = tempfile::tempdir().unwrap();
    corpora(dir.path());
    fs::write(dir.path().join("sentences.tsv"), SENTENCES).unwrap();
    let made = rasid(dir.path(), &["labels", "open", "sentences.tsv", "--output", "open.tsv"]).success().stdout("");
    assert_eq!(text(&made.get_output().stderr), "4 sentences of 2 sources\n");
    let table = fs::read_to_string(dir.path().join("open.tsv")).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[0], "source\thash\tlanguage\tincident\tperpetrator\tsplit");
    assert!(rows[1..].is_sorted() && rows.len() == 5, "{table}");
    assert!(!table.contains("Mosul") && !table.contains("داعش"), "no text in the table");

    let join = ["labels", "join", "open.tsv", "--corpora", "corpora", "--output", "found.jsonl"];
    let joined = rasid(dir.path(), &join).success().stdout("");
    assert_eq!(text(&joined.get_output().stderr), "4 of 4 sentences found\n");
    let found = fs::read_to_string(dir.path().join("found.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let column = |name: &str| records.iter().map(|r| r[name].as_str().unwrap_or("null")).collect::<Vec<_>>();
    // A line of ar/news, which has no blank lines, is a document; en/strikes has two.
    assert_eq!(column("article_id"), ["ar/news#1", "ar/news#2", "en/strikes#1", "en/strikes#2"]);
    assert_eq!(column("text")[0], "قصف على مواقع داعش");
    assert_eq!(column("text")[2], "Near Mosul, two strikes hit a bridge.");
    assert_eq!(column("perpetrator"), ["unidentified", "null", "coalition", "coalition"]);
    assert_eq!(column("split"), ["null", "dev", "train", "train"]);
    assert_eq!((column("source"), column("previous")), (vec!["open"; 4], vec!["null"; 4]));
    let hash = rows[3].split('\t').nth(1).unwrap();
    assert!(column("id").contains(&format!("en/strikes#{hash}").as_str()), "{found}");

    // The found sentences make the same table, the plain text the same sentences, and they are sound labels.
    rasid(dir.path(), &["labels", "open", "found.jsonl", "--output", "again.tsv"]).success();
    assert_eq!(fs::read_to_string(dir.path().join("again.tsv")).unwrap(), table);
    fs::remove_file(dir.path().join("corpora/en/strikes.txt.xz")).unwrap();
    fs::write(dir.path().join("corpora/en/strikes.txt"), STRIKES).unwrap();
    let plain = rasid(dir.path(), &["labels", "join", "open.tsv", "--corpora", "corpora", "--output", "-"]).success();
    assert_eq!(text(&plain.get_output().stdout), found);
    rasid(dir.path(), &["labels", "check", "found.jsonl"]).success();
}

#[test]
fn what_is_not_found_is_told_by_source_and_nothing_at_all_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    corpora(dir.path());
    let more = "en/strikes\ten\tNot there.\tother\tnone\t\nfr/absent\tfr\tAbsente.\tother\tnone\t\n";
    fs::write(dir.path().join("sentences.tsv"), format!("{SENTENCES}{more}")).unwrap();
    rasid(dir.path(), &["labels", "open", "sentences.tsv", "--output", "open.tsv"]).success();
    let join = ["labels", "join", "open.tsv", "--corpora", "corpora", "--output", "found.jsonl"];
    let told = text(&rasid(dir.path(), &join).success().get_output().stderr);
    assert!(
        told.starts_with("en/strikes: 1 of 3 sentences not found\nfr/absent: no such file below --corpora"),
        "{told}"
    );
    assert!(told.contains("another version") && told.ends_with("4 of 6 sentences found\n"), "{told}");

    fs::remove_file(dir.path().join("found.jsonl")).unwrap();
    fs::write(dir.path().join("sentences.tsv"), SENTENCES.lines().next().unwrap().to_owned() + "\n" + more).unwrap();
    rasid(dir.path(), &["labels", "open", "sentences.tsv", "--output", "open.tsv"]).success();
    let told = text(&rasid(dir.path(), &join).code(2).stdout("").get_output().stderr);
    assert!(
        told.contains("corpora: none of the 2 sentences of open.tsv; expected the text that was labelled"),
        "{told}"
    );
    assert!(!dir.path().join("found.jsonl").exists());
}

#[test]
fn contradictions_and_broken_tables_are_refused_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    corpora(dir.path());
    let refused = |command: &[&str]| {
        let told = text(&rasid(dir.path(), command).code(2).stdout("").get_output().stderr);
        assert!(!dir.path().join("out").exists(), "{told}");
        told
    };
    let open = |sentences: String| {
        fs::write(dir.path().join("s.tsv"), sentences).unwrap();
        refused(&["labels", "open", "s.tsv", "--output", "out"])
    };
    let header = SENTENCES.lines().next().unwrap();
    let told = open(format!("{header}\nen/x\ten\tOne.\tother\tnone\t\nen/x\ten\t One.\tis_attack\tnone\t\n"));
    assert!(told.contains("s.tsv line 3: other labels, language or split than in s.tsv line 2"), "{told}");
    let told = open(format!("{header}\nx\ten\tOne.\tother\tnone\t\n"));
    assert!(told.contains("s.tsv line 2: source \"x\"; expected the corpus file as LANGUAGE/NAME"), "{told}");
    let told = open(format!("{header}\nen/x\ten\tOne.\tothr\tnone\t\n"));
    assert!(told.contains("s.tsv line 2: incident \"othr\"") && told.contains("did you mean \"other\"?"), "{told}");

    let join = |table: String| {
        fs::write(dir.path().join("t.tsv"), table).unwrap();
        refused(&["labels", "join", "t.tsv", "--corpora", "corpora", "--output", "out"])
    };
    let header = "source\thash\tlanguage\tincident\tperpetrator\tsplit";
    let told = join(format!("{header}\nen/x\tba7816bf8f01\ten\tother\tnone\t\n"));
    assert!(told.contains("t.tsv line 2: hash \"ba7816bf8f01\"; expected 16 hex digits"), "{told}");
    let told = join(format!("{header}\nen/x\tba7816bf8f01cfea\ten\tother\tnone\tdve\n"));
    assert!(told.contains("t.tsv line 2: split \"dve\"; expected train, dev, test or nothing"), "{told}");
    let told = join(format!("{header}\nen/x\tba7816bf8f01cfea\n"));
    assert!(told.contains("t.tsv line 2: a broken row"), "{told}");
    assert!(join("source\thash\n".into()).contains("\"language\" among them"));
    assert!(join(format!("{header}\n")).contains("no rows"));
    let told = refused(&["labels", "join", "none.tsv", "--corpora", "corpora", "--output", "out"]);
    assert!(told.contains("could not read none.tsv"), "{told}");
    // A table of hashes is no label file, and the message says what to do.
    fs::write(dir.path().join("t.tsv"), format!("{header}\nen/x\tba7816bf8f01cfea\ten\tother\tnone\t\n")).unwrap();
    let told = text(&rasid(dir.path(), &["train", "--labels", "t.tsv", "--output", "out"]).code(2).get_output().stderr);
    assert!(told.contains("rasid labels join"), "{told}");
}
