//! One record of a label file → one example, or all that is wrong with it.

use super::{Example, Split};
use crate::error::{Error, Place, nearest};
use crate::schema::{RESERVED_COLUMNS, Schema};
use serde_json::{Map, Value};

/// Columns by name, as they stood in a JSONL object or a CSV row (an empty CSV cell is null).
pub(super) struct Record {
    pub place: Place,
    pub fields: Map<String, Value>,
}

/// The example that a record holds.
///
/// # Errors
/// Everything that is wrong with the record, at its line.
pub(super) fn example(record: Record, schema: &Schema) -> Result<Example, Vec<Error>> {
    let Record { place, mut fields } = record;
    let mut faults = Vec::new();
    let mut take = |name: &str, faults: &mut Vec<Error>| match as_text(fields.remove(name)) {
        Ok(value) => value,
        Err(found) => {
            faults.push(Error::bad(place.clone(), format!("\"{name}\" is {found}"), "a string or null"));
            None
        }
    };

    let text = take("text", &mut faults);
    let article_id = take("article_id", &mut faults);
    let language = take("language", &mut faults);
    let labels = schema.heads.iter().map(|head| take(&head.name, &mut faults)).collect::<Vec<_>>();
    let split = take("split", &mut faults);
    let (start, end) = (take("start", &mut faults), take("end", &mut faults));
    let [id, title, previous, source, annotator] =
        ["id", "title", "previous", "source", "annotator"].map(|name| take(name, &mut faults));
    // What is left is ignored, unless it looks like a misspelt column that is missing.
    let leftover: Vec<&str> = fields.keys().map(String::as_str).collect();
    let missing = |name: &str, why: &str| {
        let error = Error::bad(place.clone(), format!("no \"{name}\""), why);
        match nearest(name, leftover.iter().copied()) {
            Some(near) => error.hint(format!("is \"{near}\" meant?")),
            None => error,
        }
    };

    if text.as_deref().is_none_or(|text| text.trim().is_empty()) {
        faults.push(missing("text", "the sentence, not empty"));
    }
    if article_id.is_none() {
        faults.push(missing(
            "article_id",
            "the id of the article that the sentence stands in, because splits, folds and intervals are by article: \
             sentences of one article resemble each other",
        ));
    }
    if language.is_none() {
        faults.push(missing("language", "an ISO 639 code such as ar, en, fa, ckb, kmr, tr, fr, or und"));
    }
    let classes = class_indices(&labels, schema, &place, &mut faults);
    if labels.iter().all(Option::is_none) {
        let names: Vec<_> = schema.heads.iter().map(|head| head.name.as_str()).collect();
        faults.push(missing(names[0], &format!("a label in at least one of the columns {}", names.join(", "))));
    }
    let split = split.and_then(|name| {
        let split = Split::from_name(&name);
        if split.is_none() {
            faults.push(Error::bad(place.clone(), format!("split \"{name}\""), "train, dev, test or null"));
        }
        split
    });
    let start = offset("start", start, &place, &mut faults);
    let end = offset("end", end, &place, &mut faults);

    match (text, article_id, language) {
        (Some(text), Some(article_id), Some(language)) if faults.is_empty() => Ok(Example {
            id,
            article_id,
            language,
            title,
            previous,
            text,
            start,
            end,
            labels: classes,
            split,
            source,
            annotator,
            place,
        }),
        _ => Err(faults),
    }
}

/// The record that an example is written as; [`example`] reads the same back.
pub(super) fn fields(example: &Example, schema: &Schema) -> Map<String, Value> {
    let mut fields = Map::new();
    for column in RESERVED_COLUMNS {
        if column == "split" {
            for (head, label) in schema.heads.iter().zip(&example.labels) {
                let name = label.map(|class| head.classes[class].name.as_str());
                fields.insert(head.name.clone(), Value::from(name));
            }
        }
        let value = match column {
            "id" => Value::from(example.id.as_deref()),
            "article_id" => Value::from(example.article_id.as_str()),
            "language" => Value::from(example.language.as_str()),
            "title" => Value::from(example.title.as_deref()),
            "previous" => Value::from(example.previous.as_deref()),
            "text" => Value::from(example.text.as_str()),
            "start" => Value::from(example.start),
            "end" => Value::from(example.end),
            "split" => Value::from(example.split.map(Split::name)),
            "source" => Value::from(example.source.as_deref()),
            _ => Value::from(example.annotator.as_deref()),
        };
        fields.insert(column.into(), value);
    }
    fields
}

// Ids and offsets may be numbers; null, an absent column and an empty cell are the same.
fn as_text(value: Option<Value>) -> Result<Option<String>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(_)) => Err("a boolean"),
        Some(Value::Array(_)) => Err("a list"),
        Some(Value::Object(_)) => Err("an object"),
    }
}

fn class_indices(
    labels: &[Option<String>],
    schema: &Schema,
    place: &Place,
    faults: &mut Vec<Error>,
) -> Vec<Option<usize>> {
    let mut classes = Vec::with_capacity(labels.len());
    for (head, label) in schema.heads.iter().zip(labels) {
        classes.push(match label.as_deref().map(|label| head.class_index(label, place)) {
            None => None,
            Some(Ok(class)) => Some(class),
            Some(Err(fault)) => {
                faults.push(fault);
                None
            }
        });
    }
    classes
}

fn offset(name: &str, value: Option<String>, place: &Place, faults: &mut Vec<Error>) -> Option<usize> {
    let value = value?;
    match value.parse() {
        Ok(offset) => Some(offset),
        Err(_) => {
            faults.push(Error::bad(
                place.clone(),
                format!("{name} \"{value}\""),
                "a byte offset of 0 or more, or null",
            ));
            None
        }
    }
}
