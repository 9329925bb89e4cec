//! Every wrong sentence with what the classifier said of it, one record each, in the order of the examples.

use crate::article::{Prediction, Tag};
use crate::dataset::Example;
use crate::schema::{Head, Schema};
use serde_json::{Map, Value, json};
use std::borrow::Borrow;

/// How the wrong sentences are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorsFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated with a header.
    Csv,
    /// Tab-separated with a header.
    Tsv,
}

/// The sentences on which at least one head is wrong, and their number.
///
/// JSONL: `file`, `line`, `id`, `article_id`, `language`, `source`, `title`, `previous`, `text`, `truncated`, `wrong` (the
/// heads that are) and for each head `{gold, predicted, confidence, probabilities}`. CSV and TSV hold the same in columns
/// `<head>_gold`, `<head>_predicted`, `<head>_confidence`, `<head>_p_<class>`.
pub fn errors<E>(format: ErrorsFormat, schema: &Schema, examples: &[E], predictions: &[Prediction]) -> (String, usize)
where
    E: Borrow<Example>,
{
    let wrong: Vec<(&Example, &Prediction)> = (examples.iter().map(Borrow::borrow))
        .zip(predictions)
        .filter(|(example, prediction)| wrong_heads(schema, example, prediction).next().is_some())
        .collect();
    let text = match format {
        ErrorsFormat::Jsonl => wrong.iter().map(|(e, p)| format!("{}\n", record(schema, e, p))).collect(),
        ErrorsFormat::Csv => separated(b',', schema, &wrong),
        ErrorsFormat::Tsv => separated(b'\t', schema, &wrong),
    };
    (text, wrong.len())
}

fn wrong_heads<'a>(
    schema: &'a Schema,
    example: &'a Example,
    prediction: &'a Prediction,
) -> impl Iterator<Item = &'a str> {
    let heads = schema.heads.iter().zip(&example.labels).zip(&prediction.tags);
    heads.filter(|((_, gold), tag)| gold.is_some_and(|g| g != tag.label)).map(|((head, _), _)| head.name.as_str())
}

fn record(schema: &Schema, example: &Example, prediction: &Prediction) -> Value {
    let mut record = json!({
        "file": example.place.path.display().to_string(),
        "line": example.place.line,
        "id": example.id,
        "article_id": example.article_id,
        "language": example.language,
        "source": example.source,
        "title": example.title,
        "previous": example.previous,
        "text": example.text,
        "truncated": prediction.truncated,
        "wrong": wrong_heads(schema, example, prediction).collect::<Vec<_>>(),
    });
    for ((head, gold), tag) in schema.heads.iter().zip(&example.labels).zip(&prediction.tags) {
        let classes = head.names().zip(&tag.probabilities);
        let probabilities: Map<String, Value> = classes.map(|(name, p)| (name.to_string(), json!(p))).collect();
        record[&head.name] = json!({
            "gold": gold.map(|g| class_name(head, g)),
            "predicted": class_name(head, tag.label),
            "confidence": tag.confidence(),
            "probabilities": probabilities,
        });
    }
    record
}

fn class_name(head: &Head, class: usize) -> &str {
    &head.classes[class].name
}

fn separated(delimiter: u8, schema: &Schema, wrong: &[(&Example, &Prediction)]) -> String {
    let columns =
        ["file", "line", "id", "article_id", "language", "source", "title", "previous", "text", "truncated", "wrong"];
    let mut header: Vec<String> = columns.map(String::from).to_vec();
    for head in &schema.heads {
        header.extend(["gold", "predicted", "confidence"].map(|what| format!("{}_{what}", head.name)));
        header.extend(head.names().map(|class| format!("{}_p_{class}", head.name)));
    }
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    let rows = wrong.iter().map(|(example, prediction)| row(schema, example, prediction));
    for row in std::iter::once(header).chain(rows) {
        writer.write_record(row).expect("rows are equally long and memory takes every write");
    }
    let bytes = writer.into_inner().expect("memory takes every write");
    String::from_utf8(bytes).expect("made of strings")
}

fn row(schema: &Schema, example: &Example, prediction: &Prediction) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut row = vec![
        example.place.path.display().to_string(),
        example.place.line.map(|l| l.to_string()).unwrap_or_default(),
        text(&example.id),
        example.article_id.clone(),
        example.language.clone(),
        text(&example.source),
        text(&example.title),
        text(&example.previous),
        example.text.clone(),
        prediction.truncated.to_string(),
        wrong_heads(schema, example, prediction).collect::<Vec<_>>().join(" "),
    ];
    for ((head, gold), tag) in schema.heads.iter().zip(&example.labels).zip(&prediction.tags) {
        let tag: &Tag = tag;
        row.push(gold.map(|g| class_name(head, g).to_string()).unwrap_or_default());
        row.push(class_name(head, tag.label).to_string());
        row.push(tag.confidence().to_string());
        row.extend(tag.probabilities.iter().map(f32::to_string));
    }
    row
}
