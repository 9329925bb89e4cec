//! Heads and classes, read from a file (labels/schema.toml): which questions the model answers, and with which labels.

mod combinations;

pub use combinations::Combinations;

use crate::error::{Error, Place, Result, nearest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// The questions and their possible answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Format of this file; 1.
    pub version: u32,
    /// One classification head of the model each, in the order of the logits.
    #[serde(rename = "head")]
    pub heads: Vec<Head>,
    /// Answers of different heads that never stand together: by head the answers, of which any with any of the others is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<BTreeMap<String, Vec<String>>>,
}

/// A question: `incident` asks what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Column name in label files and key in outputs.
    pub name: String,
    /// The question in words.
    pub question: String,
    /// The answers, in the order of the logits.
    #[serde(rename = "class")]
    pub classes: Vec<Class>,
}

/// An answer: `is_attack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The label as it stands in files.
    pub name: String,
    /// What the label means, in a sentence.
    pub definition: String,
    /// Sentences that carry it.
    #[serde(default)]
    pub examples: Vec<String>,
    /// `#rrggbb`, for reports; a class without one is shown in grey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

impl Schema {
    /// Reads and checks a schema file.
    ///
    /// # Errors
    /// Unreadable file, broken TOML, an unknown key, no head, a head with fewer than two classes, a name twice, a `[[never]]` of unknown
    /// names or of one head.
    pub fn read(path: &Path) -> Result<Schema> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Schema::parse(&text, path)
    }

    /// Parses and checks the text of a schema file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Schema::read`], less the reading.
    pub fn parse(text: &str, path: &Path) -> Result<Schema> {
        let schema: Schema = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|s| 1 + text[..s.start].matches('\n').count() as u64);
            let place = Place { path: path.into(), line, offset: None };
            Error::bad(place, e.message().to_string(), "a schema: version and [[head]] tables with [[head.class]]")
        })?;
        schema.check(path)?;
        Ok(schema)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let place = || Place::file(path);
        if self.version != 1 {
            return Err(Error::bad(place(), format!("version = {}", self.version), "version = 1"));
        }
        if self.heads.is_empty() {
            return Err(Error::bad(place(), "no [[head]]", "at least one head"));
        }
        let reserved = RESERVED_COLUMNS;
        let mut head_names = HashSet::new();
        for head in &self.heads {
            if reserved.contains(&head.name.as_str()) {
                return Err(Error::bad(
                    place(),
                    format!("a head named \"{}\"", head.name),
                    "a name that is no column of label files",
                ));
            }
            if !head_names.insert(&head.name) {
                return Err(Error::bad(place(), format!("two heads named \"{}\"", head.name), "each head once"));
            }
            if head.classes.len() < 2 {
                let found = format!("head \"{}\" with {} classes", head.name, head.classes.len());
                return Err(Error::bad(place(), found, "two classes or more"));
            }
            let mut class_names = HashSet::new();
            for class in &head.classes {
                if class.name.is_empty() || !class_names.insert(&class.name) {
                    let found = format!("class \"{}\" of head \"{}\" twice or without a name", class.name, head.name);
                    return Err(Error::bad(place(), found, "each class once"));
                }
            }
        }
        for (i, never) in self.never.iter().enumerate() {
            let fault = |found: String, expected: &str| Err(Error::bad(place(), found, expected));
            if never.len() < 2 {
                let found = format!("[[never]] {} with {} heads", i + 1, never.len());
                return fault(found, "answers of two heads or more");
            }
            for (name, answers) in never {
                let Some(head) = self.head_index(name).map(|h| &self.heads[h]) else {
                    return fault(format!("[[never]] {} of head \"{name}\"", i + 1), "a head of this schema");
                };
                if answers.is_empty() {
                    return fault(format!("[[never]] {} without answers of \"{name}\"", i + 1), "one answer or more");
                }
                answers.iter().try_for_each(|answer| head.class_index(answer, &place()).map(drop))?;
            }
        }
        let n: usize = self.heads.iter().map(|head| head.classes.len()).fold(1, usize::saturating_mul);
        if !self.never.is_empty() && n > combinations::MAX_COMBINATIONS {
            let expected = format!("at most {} beside [[never]]", combinations::MAX_COMBINATIONS);
            return Err(Error::bad(place(), format!("{n} combinations of answers"), expected));
        }
        Ok(())
    }

    /// Whether a `[[never]]` holds of these answers, an index for each head that has one.
    pub fn forbids(&self, answer: impl Fn(usize) -> Option<usize>) -> bool {
        let holds = |name: &String, answers: &Vec<String>| {
            let head = self.head_index(name).and_then(|h| answer(h).map(|class| &self.heads[h].classes[class].name));
            head.is_some_and(|class| answers.contains(class))
        };
        self.never.iter().any(|never| never.iter().all(|(name, answers)| holds(name, answers)))
    }

    /// Index of a head by name.
    pub fn head_index(&self, name: &str) -> Option<usize> {
        self.heads.iter().position(|h| h.name == name)
    }

    /// Whether both have the same heads with the same classes in the same order (definitions may differ).
    pub fn same_labels(&self, other: &Schema) -> bool {
        let names = |s: &Schema| -> Vec<(String, Vec<String>)> {
            s.heads.iter().map(|h| (h.name.clone(), h.names().map(String::from).collect())).collect()
        };
        names(self) == names(other)
    }

    /// The schema as TOML text, as [`Schema::parse`] reads it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a schema holds only strings and lists")
    }
}

/// Columns of label files that no head may be named after.
pub const RESERVED_COLUMNS: [&str; 11] =
    ["id", "article_id", "language", "title", "previous", "text", "start", "end", "split", "source", "annotator"];

impl Head {
    /// The labels, in the order of the logits.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|c| c.name.as_str())
    }

    /// Index of a label; an unknown one is an error that names the nearest.
    ///
    /// # Errors
    /// The label is not one of this head's classes.
    pub fn class_index(&self, label: &str, place: &Place) -> Result<usize> {
        self.names().position(|n| n == label).ok_or_else(|| {
            let expected = format!("one of {}", self.names().collect::<Vec<_>>().join(", "));
            let error =
                Error::bad(place.clone(), format!("{} \"{label}\" is not in the label set", self.name), expected);
            match nearest(label, self.names()) {
                Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                None => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Schema {
        Schema::read(Path::new("labels/schema.toml")).unwrap()
    }

    #[test]
    fn the_shipped_schema_defines_every_class_with_two_examples() {
        let schema = shipped();
        let names: Vec<_> = schema.heads.iter().map(|h| (h.name.as_str(), h.classes.len())).collect();
        assert_eq!(names, [("incident", 4), ("perpetrator", 7)]);
        for class in schema.heads.iter().flat_map(|h| &h.classes) {
            assert!(!class.definition.is_empty(), "{}", class.name);
            assert_eq!(class.examples.len(), 2, "{}", class.name);
        }
    }

    #[test]
    fn writing_and_reading_gives_the_same() {
        let schema = shipped();
        assert_eq!(Schema::parse(&schema.to_toml(), Path::new("x")).unwrap(), schema);
    }

    #[test]
    fn an_unknown_label_names_the_nearest() {
        let place = Place::line("a.jsonl", 3);
        let error = shipped().heads[0].class_index("is_atack", &place).unwrap_err().to_string();
        assert!(error.starts_with("a.jsonl line 3: incident \"is_atack\" is not in the label set"), "{error}");
        assert!(error.ends_with("did you mean \"is_attack\"?"), "{error}");
    }

    #[test]
    fn faults_are_told_with_their_line() {
        let check = |text: &str| Schema::parse(text, Path::new("s.toml")).unwrap_err().to_string();
        assert!(check("version = 1\nhead = 3\n").contains("s.toml line 2"));
        let one_class = "version = 1\n[[head]]\nname='a'\nquestion='?'\n[[head.class]]\nname='x'\ndefinition=''\n";
        assert!(check(one_class).contains("head \"a\" with 1 classes"));
        assert!(check(&one_class.replace("'a'", "'text'")).contains("a head named \"text\""));
        let shipped = std::fs::read_to_string("labels/schema.toml").unwrap();
        let with = |never: &str| check(&format!("{shipped}[[never]]\n{never}\n"));
        assert!(with("incident = ['other']").contains("[[never]] 5 with 1 heads"));
        assert!(with("incident = ['other']\nauthor = ['iran']").contains("[[never]] 5 of head \"author\""));
        assert!(with("incident = ['other']\nperpetrator = ['irna']").contains("did you mean \"iran\"?"));
        assert!(with("incident = []\nperpetrator = ['iran']").contains("[[never]] 5 without answers of \"incident\""));
    }
}
