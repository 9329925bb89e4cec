//! What `evaluate` and `compare` share: which sentences are scored, which models answer.

use super::precision::Precision;
use crate::article::{Classify, Prediction};
use crate::baseline::{Kinds, Majority, Tfidf};
use crate::dataset::{Example, Split};
use crate::error::{Error, Place, Result};
use crate::evaluate::predict;
use crate::lexicon::Lexicon;
use crate::model::NumberFormat;
use crate::report::evaluation::Format;
use crate::schema::Schema;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads label files against a schema.
pub type ReadExamples<'a> = dyn Fn(&[PathBuf], &Schema) -> Result<Vec<Example>> + 'a;

/// Opens a model by folder or name, for products in the given format.
pub type OpenModel<'a> = dyn Fn(&str, NumberFormat) -> Result<Box<dyn Classify>> + 'a;

/// Where models, labels and the schema come from; a test gives its own.
pub struct Sources<'a> {
    /// The schema of baselines, where none is named and no folder brings its own.
    pub schema: &'a dyn Fn() -> Result<Schema>,
    /// Opens a model by folder or name, for products in the given format.
    pub open_model: &'a OpenModel<'a>,
    /// Reads label files against a schema.
    pub read_examples: &'a ReadExamples<'a>,
}

/// Names that stand for a baseline instead of a folder.
pub const BASELINES: [&str; 4] = ["majority", "tfidf", "lexicon", "tfidf-lexicon"];

/// The sentences to score, and the models in the order they were named, with one schema.
pub struct Scored {
    /// Heads and classes of all models.
    pub schema: Schema,
    /// The sentences.
    pub examples: Vec<Example>,
    /// The models.
    pub models: Vec<Box<dyn Classify>>,
}

/// Opens the models and reads the sentences. A baseline learns from `train`, and from the records of `labels` that say
/// `"split": "train"`; never from an article that it is then scored on. The labels are those of `schema_file`, else those of
/// the first folder among the models, else those of [`Sources::schema`].
///
/// # Errors
/// A model or a file cannot be read, the models differ in their labels from each other or from the schema file, no sentence
/// is left, or a baseline has nothing (honest) to learn from.
pub fn open(
    names: &[(&str, Precision)],
    labels: &[PathBuf],
    train: &[PathBuf],
    split: Option<Split>,
    schema_file: Option<&Path>,
    sources: &Sources<'_>,
) -> Result<Scored> {
    let is_baseline = |name: &str| BASELINES.contains(&name);
    let mut opened = Vec::new();
    for (name, precision) in names {
        opened.push(if is_baseline(name) { None } else { Some((sources.open_model)(name, precision.format())?) });
    }
    let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let schema = match (schema_file, opened.iter().flatten().next()) {
        (Some(path), _) => Schema::read(path)?,
        (None, Some(model)) => model.schema().clone(),
        (None, None) => (sources.schema)()?,
    };
    if let Some(path) = schema_file
        && let Some((name, model)) = names.iter().zip(&opened).find_map(|(n, m)| m.as_ref().map(|m| (n, m)))
        && !model.schema().same_labels(&schema)
    {
        let error = Error::bad(Place::file(path), "other labels", format!("those of the model {name}"));
        return Err(error.hint("a model folder brings its own schema; leave --schema out"));
    }
    if opened.iter().flatten().any(|model| !model.schema().same_labels(&schema)) {
        return Err(Error::Usage(format!(
            "{} answer with different labels; compare models of one schema",
            names.join(" and ")
        )));
    }
    let all = (sources.read_examples)(labels, &schema)?;
    let mut training: Vec<Example> = Vec::new();
    if names.iter().any(|name| is_baseline(name)) {
        training = if train.is_empty() { Vec::new() } else { (sources.read_examples)(train, &schema)? };
        training.extend(all.iter().filter(|e| e.split == Some(Split::Train)).cloned());
    }
    let examples: Vec<Example> = all.into_iter().filter(|e| split.is_none() || e.split == split).collect();
    if examples.is_empty() {
        let what =
            split.map_or("no sentence".to_string(), |s| format!("no sentence with \"split\": \"{}\"", split_name(s)));
        return Err(Error::Usage(format!("{what} in the label files; nothing to score")));
    }
    if names.iter().any(|name| is_baseline(name)) {
        check_training(&training, &examples)?;
    }
    let training: Vec<&Example> = training.iter().collect();
    let model = |(name, opened): (&&str, Option<Box<dyn Classify>>)| -> Result<Box<dyn Classify>> {
        Ok(match opened {
            Some(model) => model,
            None if *name == "majority" => Box::new(Majority::train(&schema, &training)),
            None => Box::new(Tfidf::train(&schema, kinds(name)?, &training)),
        })
    };
    let models = names.iter().zip(opened).map(model).collect::<Result<_>>()?;
    Ok(Scored { schema, examples, models })
}

/// What a linear baseline looks at: `tfidf`, `lexicon` or `tfidf-lexicon`.
///
/// # Errors
/// Never in a release: the lexicon compiled in is whole.
pub fn kinds(name: &str) -> Result<Kinds> {
    let lexicon = if name == "tfidf" { None } else { Some(Arc::new(Lexicon::shipped()?)) };
    Ok(Kinds { letters: name != "lexicon", lexicon })
}

fn check_training(training: &[Example], examples: &[Example]) -> Result<()> {
    if training.is_empty() {
        let message =
            "a baseline must learn first: no record of the label files says \"split\": \"train\"; add --train FILE";
        return Err(Error::Usage(message.to_string()));
    }
    let learned: HashSet<&str> = training.iter().map(|e| e.article_id.as_str()).collect();
    match examples.iter().find(|e| learned.contains(e.article_id.as_str())) {
        Some(example) => Err(Error::Usage(format!(
            "article \"{}\" would be learned by the baseline and then scored; add --split test or --split dev",
            example.article_id
        ))),
        None => Ok(()),
    }
}

/// Predictions with a progress bar on stderr, if that is a terminal.
///
/// # Errors
/// The classifier fails.
pub fn predict_with_progress(model: &dyn Classify, examples: &[Example]) -> Result<Vec<Prediction>> {
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new(examples.len() as u64) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} sentences, {eta} left") {
        bar.set_style(style);
    }
    let predictions = predict(model, examples, |done| {
        bar.set_position(done as u64);
        Ok(())
    });
    bar.finish_and_clear();
    predictions
}

/// Name of a split in label files and on the command line.
pub fn split_name(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Dev => "dev",
        Split::Test => "test",
    }
}

/// Parses `--split`.
pub fn split_parser() -> impl TypedValueParser<Value = Split> {
    PossibleValuesParser::new(["train", "dev", "test"]).map(|name| match name.as_str() {
        "train" => Split::Train,
        "dev" => Split::Dev,
        _ => Split::Test,
    })
}

/// Parses `--format`.
pub fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::ALL.into_iter().find(|f| f.name() == name).unwrap_or(Format::Table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Class, Head};

    /// One head, `topic`, with two labels.
    fn topics(labels: [&str; 2]) -> Schema {
        let class = |name: &str| Class { name: name.into(), definition: name.into(), examples: vec![], color: None };
        let head = Head { name: "topic".into(), question: "?".into(), classes: labels.map(class).into() };
        Schema { version: 1, heads: vec![head], never: Vec::new() }
    }

    fn examples(_: &[PathBuf], _: &Schema) -> Result<Vec<Example>> {
        let example = |article: &str, split| Example {
            id: None,
            article_id: article.into(),
            language: "en".into(),
            title: None,
            previous: None,
            text: "The bridge was rebuilt.".into(),
            start: None,
            end: None,
            labels: vec![Some(0)],
            split: Some(split),
            source: None,
            annotator: None,
            place: Place::line("a.jsonl", 1),
        };
        Ok(vec![example("a", Split::Train), example("b", Split::Test)])
    }

    #[test]
    fn a_schema_file_names_the_labels_of_baselines_and_must_agree_with_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema.toml");
        std::fs::write(&path, topics(["building", "weather"]).to_toml()).unwrap();
        let open_model = |_: &str, _| -> Result<Box<dyn Classify>> {
            let (schema, read) = (topics(["sport", "weather"]), examples(&[], &topics(["", ""]))?);
            Ok(Box::new(Majority::train(&schema, &read.iter().collect::<Vec<_>>())))
        };
        let compiled_in = || Ok(topics(["compiled", "in"]));
        let sources = Sources { schema: &compiled_in, open_model: &open_model, read_examples: &examples };
        let scored = |name: &str, file: Option<&Path>| {
            open(&[(name, Precision::F32)], &[], &[], Some(Split::Test), file, &sources)
        };
        let first_label = |scored: Result<Scored>| scored.map(|s| s.schema.heads[0].classes[0].name.clone());
        assert_eq!(first_label(scored("majority", Some(&path))).unwrap(), "building");
        assert_eq!(first_label(scored("majority", None)).unwrap(), "compiled");
        assert_eq!(first_label(scored("folder", None)).unwrap(), "sport");
        let error = scored("folder", Some(&path)).err().unwrap().to_string();
        assert!(error.contains("other labels; expected those of the model folder"), "{error}");
    }
}
