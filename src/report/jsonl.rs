//! JSON lines: one object a sentence, UTF-8, no blank lines. The format is stable; a change that could break a reader
//! raises [`SCHEMA_VERSION`], a new key does not.
//!
//! | key | type | meaning |
//! |---|---|---|
//! | `schema_version` | integer | version of this format: 1 |
//! | `article_id` | string | the record's own id, else the file name without its endings, else `stdin` |
//! | `source` | string | path as given, with `#line` for a record of a JSONL or CSV file; `-` is standard input |
//! | `title` | string or null | the headline, where the input keeps it apart from the text |
//! | `language` | string | ISO 639 code (`ar`, `en`, `fa`, `ckb`, `kmr`, `tr`, `fr`, …) or `und` |
//! | `sentence_index` | integer | place in the article, from 0, the title first; counts sentences that `--only` leaves out |
//! | `field` | string | `title` or `text`: where `start` and `end` point into |
//! | `start`, `end` | integer | bytes of the sentence in that field, half-open |
//! | `text` | string | the sentence, exactly as it stands there |
//! | `incident` | object | what happened: `label`, `confidence` and `probabilities` as below |
//! | `perpetrator` | object | who did it: the same, and `groups` |
//! | `….label` | string | the most probable label of labels/schema.toml |
//! | `….confidence` | number | its probability, 0 to 1, six decimals |
//! | `….probabilities` | object | label → probability, in the schema's order |
//! | `perpetrator.groups` | array | armed groups named in the sentence: `id`, `name` (canonical), `kind`, `parent` (id or null), `start`, `end` (bytes in the field), `matched` (the words there) |
//! | `terms` | array | with `--explain`: terms of the lexicon in the sentence: `type`, `start`, `end` (bytes in the field), `matched` |
//! | `abstained` | boolean | a confidence is below `--min-confidence` |
//! | `truncated` | boolean | the sentence was longer than the model reads; its end was not seen |
//! | `model` | object | `name` and `sha256` (of the weights; null for a classifier without any) |
//!
//! A model trained with other heads has those in place of `incident` and `perpetrator`; without a head `perpetrator`, `groups`
//! stands beside the heads.

use super::{Context, GROUPS_HEAD, Report};
use crate::article::{GroupMatch, Tag, TaggedArticle, TaggedSentence, TermEvidence};
use crate::schema::Head;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Version of the format.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes JSON lines.
pub struct Jsonl {
    context: Context,
}

impl Jsonl {
    /// A report of the run that `context` describes.
    pub fn new(context: Context) -> Jsonl {
        Jsonl { context }
    }
}

impl Report for Jsonl {
    fn begin(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn article(&mut self, article: &TaggedArticle, out: &mut dyn Write) -> io::Result<()> {
        for (index, sentence) in self.context.shown(article) {
            serde_json::to_writer(&mut *out, &object(&self.context, article, index, sentence))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn object(context: &Context, article: &TaggedArticle, index: usize, tagged: &TaggedSentence) -> Map<String, Value> {
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| object.insert(key.to_string(), value);
    set("schema_version", json!(SCHEMA_VERSION));
    set("article_id", json!(article.article.id));
    set("source", json!(article.article.source));
    set("title", json!(article.article.title));
    set("language", json!(article.language));
    set("sentence_index", json!(index));
    set("field", json!(tagged.sentence.field));
    set("start", json!(tagged.sentence.span.start));
    set("end", json!(tagged.sentence.span.end));
    set("text", json!(article.words(tagged.sentence.field, tagged.sentence.span)));
    let mut groups = Some(groups_value(&tagged.groups));
    for (head, tag) in context.schema.heads.iter().zip(&tagged.prediction.tags) {
        let mut answer = tag_value(head, tag);
        if head.name == GROUPS_HEAD {
            answer.insert("groups".into(), groups.take().unwrap_or_default());
        }
        set(&head.name, Value::Object(answer));
    }
    if let Some(groups) = groups {
        set("groups", groups);
    }
    if context.explain {
        let one = |term: &TermEvidence| json!({ "type": term.term_type, "start": term.span.start, "end": term.span.end, "matched": term.matched });
        set("terms", Value::Array(tagged.terms.iter().map(one).collect()));
    }
    set("abstained", json!(tagged.abstained));
    set("truncated", json!(tagged.prediction.truncated));
    set("model", json!({ "name": context.model.name, "sha256": context.model.sha256 }));
    object
}

fn tag_value(head: &Head, tag: &Tag) -> Map<String, Value> {
    let probabilities: Map<_, _> =
        head.names().zip(&tag.probabilities).map(|(name, p)| (name.to_string(), json!(six_decimals(*p)))).collect();
    let mut value = Map::new();
    value.insert("label".into(), json!(head.classes[tag.label].name));
    value.insert("confidence".into(), json!(six_decimals(tag.confidence())));
    value.insert("probabilities".into(), Value::Object(probabilities));
    value
}

/// The groups as a JSON array, as this format and the CSV column `groups` hold them.
pub(super) fn groups_value(groups: &[GroupMatch]) -> Value {
    let one = |group: &GroupMatch| {
        json!({
            "id": group.id,
            "name": group.name,
            "kind": group.kind,
            "parent": group.parent,
            "start": group.span.start,
            "end": group.span.end,
            "matched": group.matched,
        })
    };
    Value::Array(groups.iter().map(one).collect())
}

/// More digits than a probability of a network carries, few enough to read and to compare between machines.
pub(super) fn six_decimals(probability: f32) -> f64 {
    (f64::from(probability) * 1e6).round() / 1e6
}
