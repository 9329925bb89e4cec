//! Tags of other models, as `rasid classify` writes them → sentences to learn from without labels (Hinton, Vinyals and Dean, 2015).

use crate::article::SentenceInput;
use crate::error::{Error, Place, Result};
use crate::schema::{Head, Schema};
use crate::sentences::looks_like_headline;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A sentence and what other models say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftExample {
    /// ISO 639 code.
    pub language: String,
    /// The article's headline.
    pub title: Option<String>,
    /// The sentence before.
    pub previous: Option<String>,
    /// The sentence.
    pub text: String,
    /// One list a head: the probability of each class, the mean over the models.
    pub shares: Vec<Vec<f32>>,
}

impl SoftExample {
    /// What a classifier sees of it.
    pub fn input(&self) -> SentenceInput<'_> {
        SentenceInput::of(&self.language, &self.text, &self.title, &self.previous)
    }
}

/// Reads JSON lines of `rasid classify`, a file a model; the probabilities of each sentence are averaged over the files. The order is
/// that of articles and sentences by name and number, whatever the order of the files.
///
/// # Errors
/// A file that cannot be read; a line that holds no tags of this schema; a sentence that stands in a file twice, or not in every
/// file: told by file and line.
pub fn read_tags(paths: &[PathBuf], schema: &Schema) -> Result<Vec<SoftExample>> {
    // By article, then by place in it.
    let mut articles: BTreeMap<(String, String), BTreeMap<u64, Said>> = BTreeMap::new();
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    paths.sort(); // sums of numbers depend on the order
    for (n, path) in paths.iter().enumerate() {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
        if lines.peek().is_none() {
            let error = Error::bad(Place::file(path), "no tags", "JSON lines of `rasid classify`");
            return Err(error.hint("rasid classify TEXT --format jsonl --output FILE writes them"));
        }
        for (i, line) in lines {
            let place = Place::line(path, i as u64 + 1);
            let (key, index, example) = sentence(line, schema, &place)?;
            let sentences = articles.entry(key).or_default();
            match sentences.get_mut(&index) {
                None if n > 0 => {
                    let found = format!("sentence {index} of an article that is not in {}", paths[0].display());
                    return Err(Error::bad(place, found, SAME).hint(CLASSIFY));
                }
                None => _ = sentences.insert(index, Said { example, place, n_files: 1 }),
                Some(known) if known.n_files > n || known.example.text != example.text => {
                    let found = format!("sentence {index} of an article once more, first at {}", known.place);
                    return Err(Error::bad(place, found, SAME).hint(CLASSIFY));
                }
                Some(known) => {
                    let sums = known.example.shares.iter_mut().flatten().zip(example.shares.iter().flatten());
                    sums.for_each(|(sum, share)| *sum += share);
                    known.n_files += 1;
                }
            }
        }
    }
    let said = articles.values().flat_map(BTreeMap::values);
    if let Some(said) = said.into_iter().find(|said| said.n_files < paths.len()) {
        let found = format!("a sentence that stands in {} of {} files", said.n_files, paths.len());
        return Err(Error::bad(said.place.clone(), found, SAME).hint(CLASSIFY));
    }
    Ok(articles.into_values().flat_map(|sentences| in_context(sentences, paths.len())).collect())
}

const SAME: &str = "each sentence once in every file, with the same words";
const CLASSIFY: &str = "classify the same paths, written the same way, with each model";

/// A sentence, where it was first read, and how many files have spoken of it.
struct Said {
    example: SoftExample,
    place: Place,
    n_files: usize,
}

/// The sentences of an article with means for sums, and with headline and sentence before as `rasid classify` had them.
fn in_context(sentences: BTreeMap<u64, Said>, n_files: usize) -> Vec<SoftExample> {
    // Of a plain text the headline is its first line; a sentence without a final mark ends only where its line does.
    let first = sentences.get(&0).map(|said| &said.example).filter(|e| e.title.is_none() && sentences.len() > 1);
    let headline = first.map(|e| e.text.clone()).filter(|text| looks_like_headline(text));
    let mut before: Option<(u64, String)> = None;
    let mut examples = Vec::new();
    for (index, Said { mut example, .. }) in sentences {
        example.shares.iter_mut().flatten().for_each(|share| *share /= n_files as f32);
        // A sentence that --only left out is not known; nor is then what stood before.
        example.previous = before.filter(|(last, _)| last + 1 == index).map(|(_, text)| text);
        example.title = example.title.or_else(|| headline.clone().filter(|_| index > 0));
        before = Some((index, example.text.clone()));
        examples.push(example);
    }
    examples
}

/// Which article (source and id), which sentence of it, and what is said of it.
fn sentence(line: &str, schema: &Schema, place: &Place) -> Result<((String, String), u64, SoftExample)> {
    let bad = |found: String| {
        Error::bad(place.clone(), found, "an object of `rasid classify --format jsonl`, made with the same schema")
    };
    let value: Value = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
    let object = value.as_object().ok_or_else(|| bad("no object".into()))?;
    let string = |key: &str| -> Result<String> {
        object.get(key).and_then(Value::as_str).map(String::from).ok_or_else(|| bad(format!("no text under \"{key}\"")))
    };
    let index = object.get("sentence_index").and_then(Value::as_u64);
    let index = index.ok_or_else(|| bad("no number under \"sentence_index\"".into()))?;
    let is_title = object.get("field").and_then(Value::as_str) == Some("title");
    let title = object.get("title").and_then(Value::as_str).filter(|_| !is_title).map(String::from);
    let shares = schema.heads.iter().map(|head| shares(object, head).map_err(&bad)).collect::<Result<_>>()?;
    let example = SoftExample { language: string("language")?, title, previous: None, text: string("text")?, shares };
    Ok(((string("source")?, string("article_id")?), index, example))
}

fn shares(object: &Map<String, Value>, head: &Head) -> std::result::Result<Vec<f32>, String> {
    let said = object.get(&head.name).and_then(|tag| tag.get("probabilities")).and_then(Value::as_object);
    let said = said.ok_or_else(|| format!("no probabilities of \"{}\"", head.name))?;
    let share = |name: &str| said.get(name).and_then(Value::as_f64).map(|share| share as f32);
    let shares: Option<Vec<f32>> = head.names().map(share).collect();
    let shares = shares.filter(|shares| shares.len() == said.len());
    let shares = shares
        .ok_or_else(|| format!("other classes of \"{}\" than {:?}", head.name, head.names().collect::<Vec<_>>()))?;
    let sum: f32 = shares.iter().sum();
    match shares.iter().all(|share| *share >= 0.0) && (sum - 1.0).abs() < 0.01 {
        true => Ok(shares.iter().map(|share| share / sum).collect()),
        false => Err(format!("probabilities of \"{}\" with the sum {sum}", head.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn schema() -> Schema {
        Schema::read(Path::new("labels/schema.toml")).unwrap()
    }

    fn line(index: u64, text: &str, first: f32) -> String {
        json!({"source": "a.txt", "article_id": "a", "language": "en", "sentence_index": index, "field": "text", "title": "T", "text": text,
            "incident": {"probabilities": {"is_attack": first, "militia_attack": 1.0 - first, "policy_statement": 0, "other": 0}},
            "perpetrator": {"probabilities": {"islamic_state": 1, "militia": 0, "iran": 0, "coalition": 0, "other_actor": 0,
                "unidentified": 0, "none": 0}}})
        .to_string()
    }

    fn read(files: &[Vec<String>]) -> Result<Vec<SoftExample>> {
        let folder = tempfile::tempdir().unwrap();
        let path = |(i, lines): (usize, &Vec<String>)| {
            let path = folder.path().join(format!("{i}.jsonl"));
            std::fs::write(&path, lines.join("\n")).unwrap();
            path
        };
        read_tags(&files.iter().enumerate().map(path).collect::<Vec<_>>(), &schema())
    }

    #[test]
    fn models_are_averaged_and_the_sentence_before_is_found() {
        let a = vec![line(1, "two", 0.5), line(0, "one", 0.2), line(3, "four", 1.0)];
        let b = vec![line(3, "four", 1.0), line(0, "one", 0.6), line(1, "two", 0.5)];
        let examples = read(&[a, b]).unwrap();
        let previous: Vec<_> = examples.iter().map(|e| (e.text.as_str(), e.previous.as_deref())).collect();
        assert_eq!(previous, [("one", None), ("two", Some("one")), ("four", None)]);
        assert!((examples[0].shares[0][0] - 0.4).abs() < 1e-6 && (examples[0].shares[0][1] - 0.6).abs() < 1e-6);
        assert_eq!((examples[0].shares[1][0], examples[0].title.as_deref()), (1.0, Some("T")));
    }

    #[test]
    fn other_lines_are_refused_by_file_and_line() {
        let one = || line(0, "one", 0.2);
        let message = |files: &[Vec<String>]| read(files).unwrap_err().to_string();
        let broken = message(&[vec![one(), "{}".into()]]);
        assert!(broken.contains("0.jsonl line 2") && broken.contains("rasid classify"), "{broken}");
        let renamed = message(&[vec![one().replace("militia_attack", "arson")]]);
        assert!(renamed.contains("other classes of \"incident\""), "{renamed}");
        let half = message(&[vec![one().replace("\"islamic_state\":1", "\"islamic_state\":0.5")]]);
        assert!(half.contains("sum 0.5"), "{half}");
        assert!(message(&[vec![]]).contains("0.jsonl: no tags"));
        for files in [
            vec![vec![one()], vec![line(0, "two", 0.2)]],
            vec![vec![one(), one()]],
            vec![vec![one()], vec![one(), line(1, "two", 0.2)]],
            vec![vec![one(), line(1, "two", 0.2)], vec![one()]],
        ] {
            let told = message(&files);
            assert!(told.contains("expected each sentence once in every file") && told.contains(" line "), "{told}");
        }
    }
}
