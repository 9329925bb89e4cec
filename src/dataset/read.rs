//! Label files (JSONL, CSV, TSV) → records → examples.

use super::Example;
use super::record::{Record, example};
use crate::error::{Error, Place, Result, nearest};
use crate::schema::Schema;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Faults told at once; the rest is only counted.
const MAX_FAULTS_TOLD: usize = 20;

/// Reads label files: JSONL (one object a line), CSV and TSV with a header; of folders, every such file below them.
///
/// Columns are those of [`RESERVED_COLUMNS`](crate::schema::RESERVED_COLUMNS) and the schema's head names; others are ignored.
/// `text`, `article_id` and `language` must be there. A head that is absent or null is not labelled in this record. A record
/// without any label is an error, and so is a file in which a head never occurs though another file labels it (most often a
/// misnamed column). A head that no file labels is left to the caller: one may train a single head.
///
/// # Errors
/// A file that cannot be read or is no UTF-8, and else the first 20 faults of all files, each with file and line.
pub fn read_examples(paths: &[PathBuf], schema: &Schema) -> Result<Vec<Example>> {
    let Reading { examples, mut faults, .. } = read(paths, schema)?;
    match faults.len() {
        0 => Ok(examples),
        1 => Err(faults.remove(0)),
        n_faults => {
            faults.truncate(MAX_FAULTS_TOLD);
            Err(Error::Several { faults, n_faults })
        }
    }
}

/// All that label files hold: what could be read, and what is wrong.
pub(super) struct Reading {
    pub n_files: usize,
    pub examples: Vec<Example>,
    pub faults: Vec<Error>,
}

/// As [`read_examples`], with the faults beside the examples.
pub(super) fn read(paths: &[PathBuf], schema: &Schema) -> Result<Reading> {
    let files = label_files(paths)?;
    let mut examples = Vec::new();
    let mut faults = Vec::new();
    // Which heads a file labels, to find misnamed columns.
    let mut labelled = Vec::new();
    for path in &files {
        let (first, n_faults) = (examples.len(), faults.len());
        let records = records(path, &mut faults)?;
        if records.is_empty() {
            if faults.len() == n_faults {
                faults.push(Error::bad(Place::file(path), "no records", "at least one labelled sentence"));
            }
            continue;
        }
        let columns: Vec<String> = records[0].fields.keys().cloned().collect();
        for record in records {
            match example(record, schema) {
                Ok(example) => examples.push(example),
                Err(found) => faults.extend(found),
            }
        }
        let read = &examples[first..];
        let heads: Vec<bool> = (0..schema.heads.len()).map(|h| read.iter().any(|e| e.labels[h].is_some())).collect();
        labelled.push((path, columns, read.is_empty(), heads));
    }
    for (h, head) in schema.heads.iter().enumerate() {
        if !labelled.iter().any(|(.., heads)| heads[h]) {
            continue;
        }
        for (path, columns, _, _) in labelled.iter().filter(|(_, _, empty, heads)| !empty && !heads[h]) {
            let expected = format!("labels in the column \"{}\", as in the other files", head.name);
            let error = Error::bad(Place::file(path), format!("no label of head \"{}\"", head.name), expected);
            let unknown = columns.iter().map(String::as_str).filter(|c| *c != head.name);
            faults.push(match nearest(&head.name, unknown) {
                Some(near) => error.hint(format!("is \"{near}\" meant?")),
                None => error,
            });
        }
    }
    Ok(Reading { n_files: files.len(), examples, faults })
}

fn label_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
            let entry = entry.map_err(|e| {
                let at = e.path().unwrap_or(path).to_path_buf();
                Error::io("read", at)(e.into())
            })?;
            let hidden = entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
            if entry.file_type().is_file()
                && !hidden
                && matches!(ending(entry.path()).as_str(), "jsonl" | "ndjson" | "csv" | "tsv")
            {
                files.push(entry.into_path());
            }
        }
        if files.len() == before {
            return Err(Error::bad(
                Place::file(path),
                "no label file in this folder",
                "files named *.jsonl, *.csv or *.tsv",
            ));
        }
    }
    Ok(files)
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

pub(super) fn records(path: &Path, faults: &mut Vec<Error>) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(|fault| match fault.kind() {
        std::io::ErrorKind::NotFound => Error::bad(
            Place::file(path),
            "no such file or folder",
            "a label file (JSONL, CSV or TSV) or a folder of them",
        ),
        _ => Error::io("read", path)(fault),
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        Error::bad(Place::offset(path, e.valid_up_to() as u64), "bytes that are no UTF-8", "a label file in UTF-8")
    })?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    match ending(path).as_str() {
        "csv" | "tsv" => csv_records(text, path, faults),
        "jsonl" | "ndjson" => Ok(json_records(text, path, faults)),
        _ if text.trim_start().starts_with('{') => Ok(json_records(text, path, faults)),
        _ => csv_records(text, path, faults),
    }
}

fn json_records(text: &str, path: &Path, faults: &mut Vec<Error>) -> Vec<Record> {
    let mut records = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let place = Place::line(path, number);
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(fields)) => records.push(Record { place, fields }),
            Ok(_) => faults.push(Error::bad(place, "JSON that is no object", "one JSON object a line")),
            Err(e) => {
                // serde_json counts lines from the start of this one.
                let what = e.to_string();
                let what = what.split(" at line ").next().unwrap_or_default();
                let found = format!("broken JSON at column {} ({what})", e.column());
                faults.push(Error::bad(place, found, "one JSON object a line"));
            }
        }
    }
    records
}

fn csv_records(text: &str, path: &Path, faults: &mut Vec<Error>) -> Result<Vec<Record>> {
    let header = text.lines().next().unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter(header, path)).from_reader(text.as_bytes());
    let bad_csv = |e: csv::Error| {
        let line = e.position().map(|position| position.line());
        let place = Place { path: path.into(), line, offset: None };
        Error::bad(place, format!("a broken row ({e})"), "as many cells as the header has columns")
    };
    let columns = reader.headers().map_err(bad_csv)?.clone();
    if !columns.iter().any(|column| column == "text") {
        let found = format!("the columns {}", columns.iter().collect::<Vec<_>>().join(", "));
        let error = Error::bad(Place::line(path, 1), found, "a header that names the columns, \"text\" among them");
        let is_table = columns.iter().any(|column| column == "hash");
        faults.push(if is_table {
            error.hint("`rasid labels join` finds the sentences of a table of hashes")
        } else {
            error
        });
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    for row in reader.records() {
        match row {
            Ok(row) => {
                let line = row.position().map_or(1, csv::Position::line);
                let cell = |cell: &str| if cell.is_empty() { Value::Null } else { Value::from(cell) };
                let fields: Map<_, _> = columns.iter().zip(&row).map(|(c, v)| (c.to_string(), cell(v))).collect();
                records.push(Record { place: Place::line(path, line), fields });
            }
            Err(e) => faults.push(bad_csv(e)),
        }
    }
    Ok(records)
}

// Spreadsheets of many countries write semicolons into .csv.
fn delimiter(header: &str, path: &Path) -> u8 {
    if ending(path) == "tsv" {
        return b'\t';
    }
    let count = |delimiter: u8| header.bytes().filter(|b| *b == delimiter).count();
    [b',', b'\t', b';'].into_iter().rev().max_by_key(|d| count(*d)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Split, write_examples};

    fn schema() -> Schema {
        Schema::read(Path::new("labels/schema.toml")).unwrap()
    }

    fn read_text(name: &str, text: &str) -> Result<Vec<Example>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_examples(&[path], &schema())
    }

    fn fault(name: &str, text: &str) -> String {
        let message = read_text(name, text).unwrap_err().to_string();
        message.lines().map(|line| line.split_once(name).map_or(line, |(_, rest)| rest)).collect::<Vec<_>>().join("\n")
    }

    const GOOD: &str = r#"{"id":"a-0","article_id":"a","language":"en","title":null,"text":"Rockets fell.","start":0,"end":13,"incident":"militia_attack","perpetrator":"unidentified","split":"train","note":[1]}"#;

    #[test]
    fn a_record_becomes_an_example() {
        let examples =
            read_text("x.jsonl", &format!("\u{FEFF}{GOOD}\n\n{}\n", GOOD.replace("\"train\"", "null"))).unwrap();
        assert_eq!(examples.len(), 2);
        let first = &examples[0];
        assert_eq!(
            (first.id.as_deref(), first.title.as_deref(), first.start, first.end),
            (Some("a-0"), None, Some(0), Some(13))
        );
        assert_eq!(first.labels, [Some(1), Some(5)]);
        assert_eq!((first.split, examples[1].split), (Some(Split::Train), None));
        assert_eq!(examples[1].place.line, Some(3));
    }

    #[test]
    fn csv_and_tsv_and_semicolons_read_the_same_as_jsonl() {
        let csv = "text,article_id,language,incident,perpetrator\n\"One, \"\"two\"\".\",7,en,other,\n";
        let expected = read_text("a.csv", csv).unwrap();
        assert_eq!((expected[0].text.as_str(), expected[0].article_id.as_str()), ("One, \"two\".", "7"));
        assert_eq!(expected[0].labels, [Some(3), None]);
        for (name, text) in [
            ("a.csv", "text;article_id;language;incident\n\"One, \"\"two\"\".\";7;en;other\n"),
            ("a.tsv", "text\tarticle_id\tlanguage\tincident\n\"One, \"\"two\"\".\"\t7\ten\tother\n"),
            ("a.jsonl", r#"{"text":"One, \"two\".","article_id":7,"language":"en","incident":"other"}"#),
            ("a.txt", r#"{"text":"One, \"two\".","article_id":7,"language":"en","incident":"other"}"#),
        ] {
            let read = read_text(name, text).unwrap();
            assert_eq!(
                (&read[0].text, &read[0].article_id, &read[0].labels),
                (&expected[0].text, &expected[0].article_id, &expected[0].labels),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut examples = read_text("x.jsonl", GOOD).unwrap();
        write_examples(&path, &schema(), &examples).unwrap();
        let read = read_examples(std::slice::from_ref(&path), &schema()).unwrap();
        examples[0].place = Place::line(&path, 1);
        assert_eq!(read, examples);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn faults_name_file_line_and_way_out() {
        assert!(
            fault("x.jsonl", &GOOD.replace("militia_attack", "militia_atack"))
                .starts_with(" line 1: incident \"militia_atack\" is not in the label set")
        );
        assert!(
            fault("x.jsonl", &GOOD.replace("militia_attack", "militia_atack"))
                .ends_with("did you mean \"militia_attack\"?")
        );
        assert!(
            fault("x.jsonl", &GOOD.replace("\"article_id\"", "\"articleid\""))
                .contains("because splits, folds and intervals are by article")
        );
        assert!(
            fault("x.jsonl", &GOOD.replace("\"article_id\"", "\"articleid\"")).ends_with("is \"articleid\" meant?")
        );
        assert!(fault("x.jsonl", &GOOD.replace("Rockets fell.", " ")).contains("no \"text\""));
        assert!(
            fault("x.jsonl", &GOOD.replace("\"train\"", "\"dve\""))
                .contains("split \"dve\"; expected train, dev, test or null")
        );
        assert!(fault("x.jsonl", &GOOD.replace(":13", ":-1")).contains("end \"-1\""));
        assert!(fault("x.jsonl", &GOOD.replace("\"Rockets fell.\"", "[1]")).contains("\"text\" is a list"));
        assert!(
            fault("x.jsonl", r#"{"text":"a","article_id":"b","language":"en"}"#)
                .contains("a label in at least one of the columns incident, perpetrator")
        );
        assert!(fault("x.jsonl", "").contains("no records"));
        assert!(fault("x.csv", "txt,article_id\na,b\n").contains("line 1: the columns txt, article_id"));
        assert!(fault("x.csv", "text,article_id\na,b\na,b,c\n").contains("line 3: a broken row"));
        let mut lines = vec![GOOD.to_string(); 30];
        lines[16] = "{\"text\": \"cut".into();
        assert!(fault("x.jsonl", &lines.join("\n")).starts_with(" line 17: broken JSON"));
        let all = fault("x.jsonl", &vec!["{"; 30].join("\n"));
        assert!(all.starts_with("30 faults, of which the first 20:\n line 1: broken"), "{all}");
        assert_eq!(all.lines().count(), 21);
    }

    #[test]
    fn unreadable_files_and_empty_folders_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.jsonl");
        let told = read_examples(&[missing], &schema()).unwrap_err().to_string();
        assert!(told.contains("no such file or folder; expected a label file"), "{told}");
        assert!(
            read_examples(&[folder.path().into()], &schema())
                .unwrap_err()
                .to_string()
                .contains("no label file in this folder")
        );
        let latin = folder.path().join("latin.jsonl");
        std::fs::write(&latin, b"{\"text\":\"\xe9\"}").unwrap();
        assert!(
            read_examples(&[folder.path().into()], &schema())
                .unwrap_err()
                .to_string()
                .contains("byte 9: bytes that are no UTF-8")
        );
    }

    #[test]
    fn a_head_labelled_in_one_file_only_is_a_misnamed_column() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jsonl"), GOOD).unwrap();
        std::fs::write(folder.path().join("b.jsonl"), GOOD.replace("\"perpetrator\"", "\"perpetrater\"")).unwrap();
        let message = read_examples(&[folder.path().into()], &schema()).unwrap_err().to_string();
        assert!(
            message.contains("b.jsonl: no label of head \"perpetrator\"")
                && message.ends_with("is \"perpetrater\" meant?"),
            "{message}"
        );
    }
}
