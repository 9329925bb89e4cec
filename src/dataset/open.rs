//! Labels of sentences that stand in open corpora, without their text: a table of hashes, and the search for the sentences.

use super::read::records;
use super::record::example;
use super::{Example, Split};
use crate::error::{Error, Place, Result};
use crate::schema::Schema;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The hash that stands for a sentence: the first 16 hex digits of SHA-256 of its UTF-8 bytes, without the white space around it.
pub fn sentence_hash(sentence: &str) -> String {
    format!("{:016x}", key(sentence))
}

fn key(sentence: &str) -> u64 {
    let hash = Sha256::digest(sentence.trim().as_bytes());
    hash[..8].iter().fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// The labels of one sentence of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRow {
    /// ISO 639 code.
    pub language: String,
    /// One entry a head of the schema.
    pub labels: Vec<Option<usize>>,
    /// Its split, if the table says so.
    pub split: Option<Split>,
    /// Where the row was read.
    pub place: Place,
}

/// Rows by source (`en/centcom`), then by hash.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenTable(pub BTreeMap<String, BTreeMap<u64, OpenRow>>);

impl OpenTable {
    /// Reads a table: tab-separated, with the columns `source`, `hash`, `language`, the schema's heads and `split`.
    ///
    /// # Errors
    /// The file cannot be read, a column is missing, a cell is not what it should be, a sentence has two rows that differ.
    pub fn read(path: &Path, schema: &Schema) -> Result<OpenTable> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .quoting(false)
            .from_path(path)
            .map_err(|e| Error::io("read", path)(std::io::Error::other(e)))?;
        let broken = |e: csv::Error| match e.position().map(csv::Position::line) {
            Some(line) => {
                Error::bad(Place::line(path, line), format!("a broken row ({e})"), "as many cells as the header has")
            }
            None => Error::io("read", path)(e.into()),
        };
        let header = reader.headers().map_err(broken)?.clone();
        let column = |name: &str| header.iter().position(|column| column.trim_start_matches('\u{FEFF}') == name);
        let needed = |name: &str| {
            let found = format!("the columns {}", header.iter().collect::<Vec<_>>().join(", "));
            let missing =
                || Error::bad(Place::line(path, 1), found, format!("tab-separated columns, \"{name}\" among them"));
            column(name).ok_or_else(missing)
        };
        let (source, hash, language) = (needed("source")?, needed("hash")?, needed("language")?);
        let heads = schema.heads.iter().map(|head| needed(&head.name)).collect::<Result<Vec<_>>>()?;
        let split = column("split");
        let mut table = OpenTable::default();
        for row in reader.records() {
            let row = row.map_err(broken)?;
            let place = Place::line(path, row.position().map_or(1, csv::Position::line));
            let cell = |column: usize| row.get(column).unwrap_or_default().trim();
            let bad = |what: &str, expected: &str| Err(Error::bad(place.clone(), what, expected));
            let (source, hash) = (cell(source), cell(hash));
            check_source(source, &place)?;
            let key = match u64::from_str_radix(hash, 16) {
                Ok(key) if hash.len() == 16 && !hash.starts_with('+') => key,
                _ => return bad(&format!("hash \"{hash}\""), "16 hex digits"),
            };
            if cell(language).is_empty() {
                return bad("no language", "an ISO 639 code such as ar, en, fa, ckb, kmr, tr, fr, or und");
            }
            let label = |(head, column): (&crate::schema::Head, &usize)| match cell(*column) {
                "" => Ok(None),
                label => head.class_index(label, &place).map(Some),
            };
            let labels = schema.heads.iter().zip(&heads).map(label).collect::<Result<Vec<_>>>()?;
            if labels.iter().all(Option::is_none) {
                return bad("no label", "a label of at least one head");
            }
            let split = match split.map_or("", cell) {
                "" => None,
                name => match Split::from_name(name) {
                    None => return bad(&format!("split \"{name}\""), "train, dev, test or nothing"),
                    split => split,
                },
            };
            table.insert(
                source,
                key,
                OpenRow { language: cell(language).into(), labels, split, place: place.clone() },
            )?;
        }
        if table.0.is_empty() {
            return Err(Error::bad(Place::file(path), "no rows", "at least one labelled sentence"));
        }
        Ok(table)
    }

    /// The table of labelled sentences with their text (JSONL, CSV, TSV: `source`, `language`, `text`, the heads, `split`).
    /// A record that [`Search`] made is taken back: its source is in its article's id.
    ///
    /// # Errors
    /// A file that cannot be read or a record that cannot be understood; a sentence of a source that has two different labels.
    pub fn of_sentences(path: &Path, schema: &Schema) -> Result<OpenTable> {
        let mut faults = Vec::new();
        let mut table = OpenTable::default();
        for mut record in records(path, &mut faults)? {
            // The article is what the search finds; only labelled articles need it here.
            let source = record.fields.get("source").cloned().unwrap_or_default();
            record.fields.entry("article_id").or_insert(source);
            match example(record, schema) {
                Ok(example) => {
                    let source = match example.source.as_deref() {
                        None | Some(SOURCE) => example.article_id.rsplit_once('#').map_or("", |(source, _)| source),
                        Some(source) => source,
                    };
                    let row = OpenRow {
                        language: example.language,
                        labels: example.labels,
                        split: example.split,
                        place: example.place.clone(),
                    };
                    let put = check_source(source, &example.place)
                        .and_then(|()| table.insert(source, key(&example.text), row));
                    faults.extend(put.err());
                }
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() && table.0.is_empty() {
            return Err(Error::bad(Place::file(path), "no records", "at least one labelled sentence"));
        }
        match faults.len() {
            0 => Ok(table),
            1 => Err(faults.remove(0)),
            n_faults => {
                faults.truncate(20);
                Err(Error::Several { faults, n_faults })
            }
        }
    }

    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether there is no sentence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table as text, sorted by source and hash; [`OpenTable::read`] reads the same back.
    pub fn to_tsv(&self, schema: &Schema) -> String {
        let heads: Vec<&str> = schema.heads.iter().map(|head| head.name.as_str()).collect();
        let mut text = format!("source\thash\tlanguage\t{}\tsplit\n", heads.join("\t"));
        for (source, rows) in &self.0 {
            for (hash, row) in rows {
                let label = |(head, label): (&crate::schema::Head, &Option<usize>)| {
                    label.map_or("", |class| head.classes[class].name.as_str()).to_string()
                };
                let labels: Vec<String> = schema.heads.iter().zip(&row.labels).map(label).collect();
                let split = row.split.map_or("", Split::name);
                text += &format!("{source}\t{hash:016x}\t{}\t{}\t{split}\n", row.language, labels.join("\t"));
            }
        }
        text
    }

    fn insert(&mut self, source: &str, hash: u64, row: OpenRow) -> Result<()> {
        let rows = self.0.entry(source.to_string()).or_default();
        match rows.get(&hash) {
            Some(other) if (&other.language, &other.labels, other.split) != (&row.language, &row.labels, row.split) => {
                let found = format!(
                    "other labels, language or split than in {} for the same sentence of {source}",
                    other.place
                );
                Err(Error::bad(row.place, found, "one labelling a sentence").hint("remove one of the two"))
            }
            _ => {
                rows.insert(hash, row);
                Ok(())
            }
        }
    }
}

fn check_source(source: &str, place: &Place) -> Result<()> {
    let is_name = |part: &str| !part.is_empty() && !part.contains(['/', '\\', '\t', '#']) && !part.starts_with('.');
    match source.split_once('/') {
        Some((language, name)) if is_name(language) && is_name(name) => Ok(()),
        _ => {
            let found = format!("source \"{source}\"");
            Err(Error::bad(place.clone(), found, "the corpus file as LANGUAGE/NAME, without its endings: en/centcom"))
        }
    }
}

/// What `source` says of records that were found in an open corpus.
const SOURCE: &str = "open";

/// The search for the sentences of one source, line by line of its files.
///
/// Blank lines separate documents; where a source has none between its lines, each line is a document.
pub struct Search<'t> {
    source: &'t str,
    rows: &'t BTreeMap<u64, OpenRow>,
    found: BTreeMap<u64, (usize, Example)>,
    order: Vec<u64>,
    n_lines: usize,
    n_lines_of_file: usize,
    n_documents: usize,
    after_blank: bool,
    separated: bool,
}

impl<'t> Search<'t> {
    /// Looks for the sentences of `rows`, nothing found yet.
    pub fn new(source: &'t str, rows: &'t BTreeMap<u64, OpenRow>) -> Search<'t> {
        let (found, order) = (BTreeMap::new(), Vec::new());
        Search {
            source,
            rows,
            found,
            order,
            n_lines: 0,
            n_lines_of_file: 0,
            n_documents: 0,
            after_blank: true,
            separated: false,
        }
    }

    /// The languages of the sentences; most often one.
    pub fn languages(&self) -> Vec<&'t str> {
        let mut languages: Vec<&str> = self.rows.values().map(|row| row.language.as_str()).collect();
        languages.sort_unstable();
        languages.dedup();
        languages
    }

    /// A file begins, and with it a document.
    pub fn begin_file(&mut self) {
        (self.after_blank, self.n_lines_of_file) = (true, 0);
    }

    /// The next line; an empty one ends a document.
    pub fn begin_line(&mut self, line: &str) {
        if line.is_empty() {
            self.after_blank = true;
            return;
        }
        self.n_lines += 1;
        self.n_lines_of_file += 1;
        if self.after_blank {
            self.n_documents += 1;
            self.separated |= self.n_lines_of_file > 1;
            self.after_blank = false;
        }
    }

    /// A sentence of the line, or the line itself: is it one of those looked for? The first place counts.
    pub fn look_at(&mut self, text: &str) {
        let text = text.trim();
        let hash = key(text);
        let Some(row) = self.rows.get(&hash) else { return };
        if self.found.contains_key(&hash) {
            return;
        }
        let example = Example {
            id: Some(format!("{}#{hash:016x}", self.source)),
            article_id: format!("{}#{}", self.source, self.n_documents),
            language: row.language.clone(),
            title: None,
            previous: None,
            text: text.to_string(),
            start: None,
            end: None,
            labels: row.labels.clone(),
            split: row.split,
            source: Some(SOURCE.into()),
            annotator: None,
            place: row.place.clone(),
        };
        self.found.insert(hash, (self.n_lines, example));
        self.order.push(hash);
    }

    /// Whether there is nothing left to look for.
    pub fn is_complete(&self) -> bool {
        self.found.len() == self.rows.len()
    }

    /// What was found, in the corpus's order.
    pub fn finish(mut self) -> Vec<Example> {
        let mut examples = Vec::with_capacity(self.order.len());
        for hash in &self.order {
            let Some((line, mut example)) = self.found.remove(hash) else { continue };
            if !self.separated {
                example.article_id = format!("{}#{line}", self.source);
            }
            examples.push(example);
        }
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_trimmed_bytes() {
        // printf 'Rockets fell.' | sha256sum
        assert_eq!(sentence_hash(" Rockets fell.\u{a0}\n"), sentence_hash("Rockets fell."));
        assert_eq!(sentence_hash("abc"), "ba7816bf8f01cfea"); // FIPS 180-2, appendix B.1
    }

    #[test]
    fn documents_are_separated_by_blank_lines_or_are_lines() {
        let row = OpenRow { language: "en".into(), labels: vec![Some(0), None], split: None, place: Place::file("t") };
        let rows: BTreeMap<u64, OpenRow> = ["One.", "Two."].iter().map(|s| (key(s), row.clone())).collect();
        let articles = |lines: &[&str]| {
            let mut search = Search::new("en/x", &rows);
            search.begin_file();
            for line in lines {
                search.begin_line(line);
                search.look_at(line);
            }
            search.finish().into_iter().map(|e| e.article_id).collect::<Vec<_>>()
        };
        assert_eq!(articles(&["", "a", "One.", "", "", "Two.", ""]), ["en/x#1", "en/x#2"]);
        assert_eq!(articles(&["Two.", "a", "One.", "Two.", ""]), ["en/x#1", "en/x#3"]);
    }
}
