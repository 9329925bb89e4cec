//! CSV (RFC 4180, UTF-8 without a byte order mark, one header): a sentence a row, the fields of [`jsonl`](super::jsonl) laid flat.
//!
//! `schema_version, article_id, source, title, language, sentence_index, field, start, end, text`; then for each head its label under
//! its name (`incident`), `incident_confidence` and a column a class (`incident_p_is_attack`, …); `group_names` (canonical, joined by
//! `; `) and `groups` (the JSON array of the JSON lines); `abstained`, `truncated`, `model_name`, `model_sha256`. A null is an empty field.

use super::jsonl::{SCHEMA_VERSION, groups_value, six_decimals};
use super::{Context, Report};
use crate::article::{Field, TaggedArticle, TaggedSentence};
use std::io::{self, Write};

/// Writes CSV.
pub struct Csv {
    context: Context,
}

impl Csv {
    /// A report of the run that `context` describes.
    pub fn new(context: Context) -> Csv {
        Csv { context }
    }

    fn header(&self) -> Vec<String> {
        let mut header: Vec<String> = BEFORE.map(String::from).into();
        for head in &self.context.schema.heads {
            header.push(head.name.clone());
            header.push(format!("{}_confidence", head.name));
            header.extend(head.names().map(|class| format!("{}_p_{class}", head.name)));
        }
        header.extend(AFTER.map(String::from));
        header
    }

    fn row(&self, article: &TaggedArticle, index: usize, tagged: &TaggedSentence) -> Vec<String> {
        let (article_, sentence, model) = (&article.article, tagged.sentence, &self.context.model);
        let field = match sentence.field {
            Field::Title => "title",
            Field::Text => "text",
        };
        let mut row = vec![
            SCHEMA_VERSION.to_string(),
            article_.id.clone(),
            article_.source.clone(),
            article_.title.clone().unwrap_or_default(),
            article.language.clone(),
            index.to_string(),
            field.to_string(),
            sentence.span.start.to_string(),
            sentence.span.end.to_string(),
            article.words(sentence.field, sentence.span).to_string(),
        ];
        for (head, tag) in self.context.schema.heads.iter().zip(&tagged.prediction.tags) {
            row.push(head.classes[tag.label].name.clone());
            row.push(six_decimals(tag.confidence()).to_string());
            row.extend(tag.probabilities.iter().map(|p| six_decimals(*p).to_string()));
        }
        let mut names: Vec<&str> = tagged.groups.iter().map(|group| group.name.as_str()).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        row.push(names.join("; "));
        row.push(groups_value(&tagged.groups).to_string());
        row.push(tagged.abstained.to_string());
        row.push(tagged.prediction.truncated.to_string());
        row.push(model.name.clone());
        row.push(model.sha256.clone().unwrap_or_default());
        row
    }
}

/// Columns before those of the heads, and after them.
const BEFORE: [&str; 10] =
    ["schema_version", "article_id", "source", "title", "language", "sentence_index", "field", "start", "end", "text"];
const AFTER: [&str; 6] = ["group_names", "groups", "abstained", "truncated", "model_name", "model_sha256"];

impl Report for Csv {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = ::csv::Writer::from_writer(out);
        writer.write_record(self.header())?;
        writer.flush()
    }

    fn article(&mut self, article: &TaggedArticle, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = ::csv::Writer::from_writer(out);
        for (index, sentence) in self.context.shown(article) {
            writer.write_record(self.row(article, index, sentence))?;
        }
        writer.flush()
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
