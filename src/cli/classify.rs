//! `rasid classify`: articles in, tagged sentences out.

use super::knowledge::{gazetteer, lexicon};
use super::precision::Precision;
use super::{Output, Progress, definition, interrupt, model_lookup, say, say_error};
use crate::article::Classify;
use crate::error::{Error, Place, Result};
use crate::gazetteer::Gazetteer;
use crate::lexicon::Lexicon;
use crate::read::{self, InputFormat, ReadOptions};
use crate::report::csv::Csv;
use crate::report::html::Html;
use crate::report::jsonl::Jsonl;
use crate::report::table::{Layout, Table};
use crate::report::{Context, ModelName, Report};
use crate::schema::Schema;
use crate::tagger::{Batch, batches, explain, tag_all};
use clap::ValueEnum;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

/// Options of `rasid classify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders (with their subfolders), glob patterns, or - for standard input; plain text, HTML, JSONL, CSV or TSV,
    /// each also compressed by gzip or zstd [default: standard input, if something is piped into it]
    #[arg(value_name = "INPUT")]
    inputs: Vec<String>,

    /// Model directory, its name, or hub:OWNER/NAME[@REVISION] [default: $RASID_MODEL, else models/default here, beside the executable's repository or in the user's
    /// data folder, else the model compiled into the binary]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// What to write: a table to read, JSON lines or CSV to compute with, or one HTML page to pass on
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Write here; the file appears, or is replaced, only when it is complete [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Mark a sentence as abstained if the confidence of an answer is below this probability, from 0 to 1; labels are kept
    #[arg(long, value_name = "P", default_value = "0", value_parser = probability)]
    min_confidence: f32,

    /// Show only sentences with these incident labels, separated by commas [default: all]
    #[arg(long, value_name = "INCIDENT", value_delimiter = ',')]
    only: Vec<String>,

    /// Colours in the table; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    color: When,

    /// Numbers that the network computes with; auto: int8 where the processor has VNNI or dot products, else f32
    #[arg(long, value_enum, default_value_t = Precision::Auto)]
    precision: Precision,

    /// Number of threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// No progress and no closing note on standard error; errors are still told
    #[arg(long, short)]
    quiet: bool,

    /// Read every input as this format [default: recognised by content and name]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<Input>,

    /// JSONL key or CSV column that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_field: String,

    /// JSONL key or CSV column that holds the headline, if there is one
    #[arg(long, value_name = "NAME", default_value = "title")]
    title_field: String,

    /// JSONL key or CSV column that holds the article's id, if there is one
    #[arg(long, value_name = "NAME", default_value = "id")]
    id_field: String,

    /// Longest article, in bytes; a longer one is told and skipped
    #[arg(long, value_name = "BYTES", default_value_t = ReadOptions::default().max_article_bytes)]
    max_article_bytes: usize,

    /// Show the terms of the lexicon that stand in each sentence, by type: evidence beside the tags (not in CSV)
    #[arg(long)]
    explain: bool,

    /// More terms for the lexicon, in the format of labels/lexicon; a file's name ends with its language: mine.ar.toml; may be
    /// given often [default: none]
    #[arg(long, value_name = "FILE")]
    terms: Vec<PathBuf>,

    /// Names of armed groups, in the format of labels/groups.toml [default: the list compiled into the binary]
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Jsonl,
    Csv,
    Html,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Input {
    Text,
    Html,
    Jsonl,
    Csv,
    Tsv,
}

/// Up to here the page waits in memory for its counts, from here on in a temporary file.
const SPOOL_BYTES_IN_MEMORY: usize = 8 << 20;

/// Tags the articles.
///
/// # Errors
/// Anything that stops the run; an article that cannot be read does not, it makes the exit code 2 at the end.
pub fn execute(args: Args) -> Result<ExitCode> {
    let inputs = inputs(&args.inputs, io::stdin().is_terminal())?;
    match args.color {
        When::Auto => {}
        When::Always => anstream::ColorChoice::Always.write_global(),
        When::Never => anstream::ColorChoice::Never.write_global(),
    }
    if let Some(threads) = args.threads {
        // Fails only where a pool exists already, as in tests; then the wish comes too late.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
    }
    // The list of groups is read while the model is.
    let groups = args.groups.clone();
    let gazetteer = std::thread::spawn(move || gazetteer(groups.as_deref()));
    // What can go wrong at once goes wrong here, before the model is loaded.
    let output = Output::create(args.output.as_deref())?;
    // From here on a thread reads and splits articles, ahead of the network by one batch.
    let batches = in_background(batches(read::articles(&inputs, &read_options(&args))?));
    let progress = Progress::start(!args.quiet && !output.is_terminal());
    progress.set("loading the model".into());
    let model = model_lookup::open(args.model.as_deref(), args.precision.format());
    let gazetteer = gazetteer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let mut model = model?;
    let lexicon = lexicon(&mut model, &args.terms, args.explain)?;
    let context = Context {
        schema: model.schema().clone(),
        model: ModelName { name: model.name.clone(), sha256: Some(model.sha256.clone()) },
        min_confidence: args.min_confidence,
        only: only(&args.only, model.schema())?,
        explain: args.explain,
    };
    let mut report = report(args.format, context, layout(args.color, &output));
    interrupt::close_on_interrupt(output.shared())?;
    let run = Run {
        classify: &model,
        gazetteer: &gazetteer,
        lexicon: lexicon.as_deref().filter(|_| args.explain),
        min_confidence: args.min_confidence,
        progress: &progress,
    };
    let tally = run.classify(batches, report.as_mut(), &output)?;
    if tally.n_articles == 0 && tally.n_faults > 0 && args.output.is_some() {
        // Nothing to show: better the old file than an empty one.
        drop(output);
    } else {
        output.finish()?;
    }
    if !args.quiet && tally.n_faults > 0 {
        let (n, of) = (tally.n_faults, tally.n_faults + tally.n_articles);
        progress.aside(|| say(&format!("note: {n} of {of} articles could not be read; the others are tagged\n")));
    }
    Ok(ExitCode::from(if tally.n_faults > 0 { 2 } else { 0 }))
}

/// What tags, and whom to tell how far it is.
struct Run<'a> {
    classify: &'a dyn Classify,
    gazetteer: &'a Gazetteer,
    /// Its terms are shown.
    lexicon: Option<&'a Lexicon>,
    min_confidence: f32,
    progress: &'a Progress,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    n_articles: usize,
    n_sentences: usize,
    n_faults: usize,
}

impl Run<'_> {
    /// Tags a stream of articles and writes each as soon as its batch is done; an article that cannot be read is told and skipped.
    fn classify(
        &self,
        batches: impl Iterator<Item = Batch>,
        report: &mut dyn Report,
        output: &Output,
    ) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut lines = Vec::new();
        let refused = || Error::io("write", output.path());
        report.begin(&mut lines).map_err(refused())?;
        output.write_whole(&lines)?;
        for batch in batches {
            for fault in &batch.faults {
                self.progress.aside(|| say_error(fault));
            }
            tally.n_faults += batch.faults.len();
            for mut article in tag_all(batch.articles, self.classify, self.gazetteer, self.min_confidence)? {
                if let Some(lexicon) = self.lexicon {
                    explain(&mut article, lexicon);
                }
                lines.clear();
                report.article(&article, &mut lines).map_err(refused())?;
                output.write_whole(&lines)?;
                tally.n_articles += 1;
                tally.n_sentences += article.sentences.len();
            }
            self.progress.set(self.pace(&tally));
        }
        // Not through `lines`: the page comes out here, and it may be larger than memory.
        report.end(&mut &*output).map_err(refused())?;
        Ok(tally)
    }

    fn pace(&self, tally: &Tally) -> String {
        let per_second = tally.n_sentences as f64 / self.progress.elapsed().as_secs_f64().max(1e-3);
        format!("{} articles, {} sentences, {per_second:.0} sentences/s", tally.n_articles, tally.n_sentences)
    }
}

/// Runs an iterator on a thread of its own, one item ahead. The thread ends with the iterator, or once its items are no longer
/// wanted; until its next item it may then wait for a silent pipe, which the end of the process does not wait for.
fn in_background<T: Send + 'static>(items: impl Iterator<Item = T> + Send + 'static) -> impl Iterator<Item = T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || items.map(|item| sender.send(item)).take_while(|sent| sent.is_ok()).for_each(drop));
    receiver.into_iter()
}

fn inputs(asked: &[String], stdin_is_terminal: bool) -> Result<Vec<String>> {
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    if stdin_is_terminal {
        let mut definition = definition();
        if let Some(classify) = definition.find_subcommand_mut("classify") {
            say(&format!("{}\n", classify.render_help().ansi()));
        }
        return Err(Error::Usage("no INPUT, and nothing is piped into standard input".into()));
    }
    Ok(vec!["-".into()])
}

fn read_options(args: &Args) -> ReadOptions {
    let format = args.input_format.map(|format| match format {
        Input::Text => InputFormat::Text,
        Input::Html => InputFormat::Html,
        Input::Jsonl => InputFormat::Jsonl,
        Input::Csv => InputFormat::Csv,
        Input::Tsv => InputFormat::Tsv,
    });
    ReadOptions {
        format,
        text_field: args.text_field.clone(),
        title_field: args.title_field.clone(),
        id_field: args.id_field.clone(),
        max_article_bytes: args.max_article_bytes,
    }
}

/// The asked labels as classes of the first head.
fn only(labels: &[String], schema: &Schema) -> Result<Vec<usize>> {
    labels.iter().map(|label| schema.heads[0].class_index(label.trim(), &Place::file("--only"))).collect()
}

fn report(format: Format, context: Context, layout: Layout) -> Box<dyn Report> {
    match format {
        Format::Table => Box::new(Table::new(context, layout)),
        Format::Jsonl => Box::new(Jsonl::new(context)),
        Format::Csv => Box::new(Csv::new(context)),
        Format::Html => Box::new(Html::new(context, Box::new(tempfile::spooled_tempfile(SPOOL_BYTES_IN_MEMORY)))),
    }
}

fn layout(color: When, output: &Output) -> Layout {
    let on_terminal = output.is_terminal();
    let auto = || on_terminal && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    let color = match color {
        When::Always => true,
        When::Never => false,
        When::Auto => auto(),
    };
    let columns = || terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    Layout { color, width: on_terminal.then(columns) }
}

fn probability(text: &str) -> std::result::Result<f32, String> {
    match text.parse::<f32>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("expected a probability from 0 to 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::article::{Article, Prediction, SentenceInput, Tag};
    use std::path::Path;

    /// Says `other` and `none` of everything.
    struct Dull(Schema);

    impl Classify for Dull {
        fn schema(&self) -> &Schema {
            &self.0
        }

        fn classify(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Prediction>> {
            let certain = |n: usize| Tag::from_probabilities((0..n).map(|i| f32::from(u8::from(i + 1 == n))).collect());
            let tags = || self.0.heads.iter().map(|head| certain(head.classes.len())).collect();
            Ok(inputs.iter().map(|_| Prediction { tags: tags(), truncated: false }).collect())
        }
    }

    fn schema() -> Schema {
        Schema::read(Path::new("labels/schema.toml")).unwrap()
    }

    fn article(id: &str) -> Result<Article> {
        let text = "The minister met the ambassador.\nThey talked for an hour.\n".into();
        Ok(Article { id: id.into(), source: format!("{id}.txt"), title: None, text })
    }

    #[test]
    fn a_bad_article_is_counted_and_the_others_are_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let output = Output::create(Some(&path)).unwrap();
        let (classify, groups, progress) = (Dull(schema()), gazetteer(None).unwrap(), Progress::start(false));
        let context = Context {
            schema: schema(),
            model: ModelName { name: "dull".into(), sha256: None },
            min_confidence: 0.0,
            only: Vec::new(),
            explain: false,
        };
        let run =
            Run { classify: &classify, gazetteer: &groups, lexicon: None, min_confidence: 0.0, progress: &progress };
        let articles = [article("a"), Err(Error::Usage("b cannot be read".into())), article("c")];
        let tally = run.classify(batches(articles.into_iter()), &mut Jsonl::new(context), &output).unwrap();
        assert_eq!(tally, Tally { n_articles: 2, n_sentences: 4, n_faults: 1 });
        output.finish().unwrap();
        let lines = std::fs::read_to_string(path).unwrap();
        let ids: Vec<_> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["article_id"].to_string())
            .collect();
        assert_eq!(ids, ["\"a\"", "\"a\"", "\"c\"", "\"c\""]);
    }

    #[test]
    fn without_input_a_pipe_is_read_and_a_terminal_is_an_error() {
        assert_eq!(inputs(&[], false).unwrap(), ["-"]);
        assert_eq!(inputs(&["a".into()], true).unwrap(), ["a"]);
        let error = inputs(&[], true).unwrap_err().to_string();
        assert_eq!(error, "no INPUT, and nothing is piped into standard input");
    }

    #[test]
    fn an_unknown_incident_names_the_nearest() {
        assert_eq!(only(&["other".into(), "is_attack".into()], &schema()).unwrap(), [3, 0]);
        let error = only(&["is_atack".into()], &schema()).unwrap_err().to_string();
        assert!(error.ends_with("did you mean \"is_attack\"?"), "{error}");
    }

    #[test]
    fn a_confidence_is_a_probability() {
        assert_eq!(probability("0.5"), Ok(0.5));
        for wrong in ["1.5", "-0.1", "NaN", "half"] {
            assert!(probability(wrong).is_err(), "{wrong}");
        }
    }
}
