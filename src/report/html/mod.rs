//! One self-contained page: no network, no script, no font of its own; it can be mailed, printed and read by keyboard.
//!
//! Counts stand on top, but are known last: the articles wait in a [`Spool`] (memory, then a temporary file) until
//! [`Report::end`] writes the page.

mod page;
mod sentence;

use super::{Context, Counts, Direction, Report};
use crate::article::{Field, TaggedArticle};
use crate::sentences;
use sentence::Row;
use std::io::{self, Read, Seek, Write};

/// Where the articles wait for the counts: written once, read once.
pub trait Spool: Read + Write + Seek {}

impl<T: Read + Write + Seek> Spool for T {}

/// Writes the page.
pub struct Html {
    context: Context,
    counts: Counts,
    contents: Vec<ContentsLine>,
    spool: Box<dyn Spool>,
}

/// A line of the list of articles.
struct ContentsLine {
    n_article: usize,
    headline: String,
    language: String,
    by_class: Vec<usize>,
}

/// Longer lists help nobody, and the page must not keep a line for each of a million articles.
const MAX_CONTENTS: usize = 500;

impl Html {
    /// A report of the run that `context` describes; `spool` is empty.
    pub fn new(context: Context, spool: Box<dyn Spool>) -> Html {
        let counts = Counts::new(&context);
        Html { context, counts, contents: Vec::new(), spool }
    }

    fn remember(&mut self, article: &TaggedArticle, headline: &str) {
        if self.contents.len() < MAX_CONTENTS {
            let mut by_class = vec![0; self.context.schema.heads[0].classes.len()];
            self.context.shown(article).for_each(|(_, s)| by_class[s.prediction.tags[0].label] += 1);
            let mut short: String = headline.chars().take(140).collect();
            if short.len() < headline.len() {
                short.push('…');
            }
            let language = article.language.clone();
            self.contents.push(ContentsLine { n_article: self.counts.n_articles, headline: short, language, by_class });
        }
    }
}

impl Report for Html {
    fn begin(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn article(&mut self, article: &TaggedArticle, _: &mut dyn Write) -> io::Result<()> {
        self.counts.add(&self.context, article);
        let n_article = self.counts.n_articles;
        let sentences: Vec<_> = article.sentences.iter().map(|tagged| tagged.sentence).collect();
        let headline = sentences::headline(&article.article, &sentences);
        let words = |i: usize| article.words(sentences[i].field, sentences[i].span);
        let name = headline.map_or(article.article.id.as_str(), words);
        let opening = sentences.first().map_or(name, |_| words(0));
        self.remember(article, headline.map_or(opening, words));

        let direction = Direction::of_article(&article.article.text);
        let out = &mut self.spool;
        writeln!(
            out,
            "<article id=\"a{n_article}\" lang=\"{}\" dir=\"{}\">",
            escape(&article.language),
            direction.html()
        )?;
        match headline {
            // The headline stays where the reader looks for it, tagged or not.
            Some(i) if !self.context.shows(&article.sentences[i]) => writeln!(out, "<h2>{}</h2>", escape(words(i)))?,
            Some(_) => {}
            None => writeln!(out, "<h2 class=\"id\"><bdi>{}</bdi></h2>", escape(name))?,
        }
        let source = format!(
            "<p class=\"source\" lang=\"en\" dir=\"ltr\"><bdi>{}</bdi> · {} · {}</p>\n",
            escape(&article.article.source),
            language_name(&article.language),
            super::plural(sentences.len(), "sentence"),
        );
        let mut shown: Vec<_> = self.context.shown(article).collect();
        // A headline further down (a masthead before it) still leads the article.
        if let Some(at) = shown.iter().position(|(i, _)| Some(*i) == headline) {
            let first = shown.remove(at);
            let row = Row {
                context: &self.context,
                article,
                direction,
                n_article,
                is_headline: true,
                starts_paragraph: false,
            };
            row.write(first, out)?;
        }
        out.write_all(source.as_bytes())?;
        for (i, tagged) in shown {
            let starts_paragraph = i == 0 || starts_paragraph(article, i);
            let row =
                Row { context: &self.context, article, direction, n_article, is_headline: false, starts_paragraph };
            row.write((i, tagged), out)?;
        }
        writeln!(out, "</article>")
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(page::top(&self.context, &self.counts, &self.contents).as_bytes())?;
        self.spool.rewind()?;
        io::copy(&mut self.spool, out)?;
        out.write_all(page::bottom(&self.context).as_bytes())
    }
}

/// Whether a line break stands between the sentence and the one before.
fn starts_paragraph(article: &TaggedArticle, i: usize) -> bool {
    let (before, sentence) = (article.sentences[i - 1].sentence, article.sentences[i].sentence);
    before.field != sentence.field
        || sentence.field == Field::Text
            && article.article.text.get(before.span.end..sentence.span.start).is_none_or(|gap| gap.contains('\n'))
}

/// The text as HTML, in elements and in quoted attributes; control characters, which HTML forbids, become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A label for readers: `is_attack` → `is attack`.
fn label(name: &str) -> String {
    escape(&name.replace('_', " "))
}

/// A language by its English name, where it is one of ours.
fn language_name(code: &str) -> String {
    let name = match code {
        "ar" => "Arabic",
        "en" => "English",
        "fa" => "Persian",
        "ckb" => "Sorani Kurdish",
        "kmr" => "Kurmanji Kurdish",
        "tr" => "Turkish",
        "fr" => "French",
        "und" => "language unknown",
        other => return escape(other),
    };
    name.to_string()
}
