//! The table for a terminal: tags, the sentence, the groups named in it; counts at the end.
//!
//! On a terminal the sentence is wrapped, and a right-to-left line is set flush right between U+2067 and U+2069: a terminal
//! that knows bidirectional text keeps its punctuation and Latin names in place, one that does not shows nothing extra. Piped,
//! a sentence stays one clean line, for `grep`.

use super::{Context, Counts, Direction, Report, percent, plural};
use crate::article::{GroupMatch, TaggedArticle, TaggedSentence, TermEvidence};
use anstyle::{Ansi256Color, AnsiColor, Color, Style};
use std::io::{self, Write};
use unicode_width::UnicodeWidthChar;

/// How the table is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// Colours and bold type; what they say is also said in words.
    pub color: bool,
    /// Columns to wrap to; none leaves each sentence on one line, without marks of direction.
    pub width: Option<usize>,
}

/// Writes the table.
pub struct Table {
    context: Context,
    layout: Layout,
    counts: Counts,
}

/// Columns before the sentence.
const INDENT: usize = 6;
/// Longer lines are hard to read, however wide the terminal is.
const MAX_WIDTH: usize = 104;
/// Even the narrowest terminal gets this many columns of text.
const MIN_WIDTH: usize = 16;

impl Table {
    /// A report of the run that `context` describes.
    pub fn new(context: Context, layout: Layout) -> Table {
        let counts = Counts::new(&context);
        Table { context, layout, counts }
    }

    fn sentence(
        &self,
        article: &TaggedArticle,
        (index, tagged): (usize, &TaggedSentence),
        article_direction: Direction,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        write!(out, "{index:>4}  {}", self.tags(tagged))?;
        if tagged.abstained {
            write!(out, "  {}", self.paint(Style::new().italic(), "abstained"))?;
        }
        if tagged.prediction.truncated {
            write!(out, "  {}", self.paint(Style::new().italic(), "truncated"))?;
        }
        writeln!(out)?;
        let words = printable(article.words(tagged.sentence.field, tagged.sentence.span));
        let direction = Direction::of_sentence(&words, article_direction);
        self.text(&words, direction, out)?;
        for group in group_lines(&tagged.groups).into_iter().chain(term_lines(&tagged.terms)) {
            let lines = self.columns().map_or_else(|| vec![group.clone()], |columns| wrap(&group, columns));
            for line in lines {
                writeln!(out, "{:INDENT$}{}", "", self.paint(Style::new().dimmed(), &line))?;
            }
        }
        Ok(())
    }

    /// ` is_attack  97 %  islamic_state 95 %`: the first head filled with its colour, the others bold.
    fn tags(&self, tagged: &TaggedSentence) -> String {
        let tags =
            self.context.schema.heads.iter().zip(&tagged.prediction.tags).enumerate().map(|(head_idx, (head, tag))| {
                let class = &head.classes[tag.label];
                let name = match head_idx {
                    0 if self.layout.color => self.paint(filled(class.color.as_deref()), &format!(" {} ", class.name)),
                    _ => self.paint(Style::new().bold(), &class.name),
                };
                format!("{name} {}", percent(tag.confidence()))
            });
        tags.collect::<Vec<_>>().join("  ")
    }

    fn text(&self, words: &str, direction: Direction, out: &mut dyn Write) -> io::Result<()> {
        let Some(columns) = self.columns() else {
            return writeln!(out, "{:INDENT$}{words}", "");
        };
        for line in wrap(words, columns) {
            match direction {
                Direction::LeftToRight => writeln!(out, "{:INDENT$}{line}", "")?,
                Direction::RightToLeft => {
                    let pad = INDENT + columns.saturating_sub(columns_of(&line));
                    writeln!(out, "{:pad$}\u{2067}{line}\u{2069}", "")?;
                }
            }
        }
        Ok(())
    }

    /// Columns for the sentence, if it is wrapped. One stays free: a line that fills the last one makes some terminals add
    /// an empty line.
    fn columns(&self) -> Option<usize> {
        self.layout.width.map(|width| width.min(MAX_WIDTH).saturating_sub(INDENT + 1).max(MIN_WIDTH))
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.layout.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

impl Report for Table {
    fn begin(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn article(&mut self, article: &TaggedArticle, out: &mut dyn Write) -> io::Result<()> {
        self.counts.add(&self.context, article);
        let n_shown = self.context.shown(article).count();
        if n_shown == 0 && !article.sentences.is_empty() {
            return Ok(());
        }
        let source = self.paint(Style::new().bold().underline(), &printable(&article.article.source));
        writeln!(out, "{source}  {}, {}", article.language, plural(n_shown, "sentence"))?;
        let direction = Direction::of_article(&article.article.text);
        for indexed in self.context.shown(article) {
            self.sentence(article, indexed, direction, out)?;
        }
        writeln!(out)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let counts = &self.counts;
        write!(out, "{}, {}", plural(counts.n_articles, "article"), plural(counts.n_sentences, "sentence"))?;
        if counts.n_abstained > 0 {
            write!(out, ", {} abstained (below {})", counts.n_abstained, percent(self.context.min_confidence))?;
        }
        if counts.n_truncated > 0 {
            write!(out, ", {} truncated", counts.n_truncated)?;
        }
        writeln!(out)?;
        let label_width = self.context.schema.heads.iter().map(|h| h.name.len()).max().unwrap_or(0).max("groups".len());
        for (head, by_class) in self.context.schema.heads.iter().zip(&counts.by_label) {
            let parts = head.names().zip(by_class).map(|(name, n)| format!("{name} {n}")).collect();
            self.count_line(&head.name, label_width, parts, out)?;
        }
        let groups = counts.groups();
        if !groups.is_empty() {
            let parts = groups.iter().map(|group| format!("{} {}", group.name, group.n_mentions)).collect();
            self.count_line("groups", label_width, parts, out)?;
        }
        Ok(())
    }
}

impl Table {
    fn count_line(&self, name: &str, name_width: usize, parts: Vec<String>, out: &mut dyn Write) -> io::Result<()> {
        // A count and its name stay on one line: wrapped at the commas only.
        let glued = parts.join(", ").replace(", ", ",\u{0}").replace(' ', "\u{a0}").replace('\u{0}', " ");
        let columns = self.layout.width.map_or(usize::MAX, |w| w.min(MAX_WIDTH).saturating_sub(name_width + 3));
        for (i, line) in wrap(&glued, columns.max(MIN_WIDTH)).iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            writeln!(out, "{name:name_width$}  {}", line.replace('\u{a0}', " "))?;
        }
        Ok(())
    }
}

/// `attack_verb: هاجم · weapon: صاروخ`: the terms of the lexicon, if they are shown.
fn term_lines(terms: &[TermEvidence]) -> Option<String> {
    let one = |term: &TermEvidence| format!("{}: {}", term.term_type, printable(&term.matched));
    (!terms.is_empty()).then(|| terms.iter().map(one).collect::<Vec<_>>().join(" · "))
}

/// `└ Islamic State (network): داعش, تنظيم الدولة`: a line a group, its different names in order.
fn group_lines(groups: &[GroupMatch]) -> Vec<String> {
    let mut by_group: Vec<(&GroupMatch, Vec<&str>)> = Vec::new();
    for group in groups {
        match by_group.iter_mut().find(|(first, _)| first.id == group.id) {
            Some((_, names)) if names.contains(&group.matched.as_str()) => {}
            Some((_, names)) => names.push(&group.matched),
            None => by_group.push((group, vec![&group.matched])),
        }
    }
    let line = |(group, names): (&GroupMatch, Vec<&str>)| {
        let parent = group.parent.as_ref().map(|parent| format!(", of {parent}")).unwrap_or_default();
        printable(&format!("└ {} ({}{parent}): {}", group.name, group.kind, names.join(", ")))
    };
    by_group.into_iter().map(line).collect()
}

/// Breaks at white space; a word longer than a line is cut. `columns` must be positive.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split([' ', '\t', '\n', '\u{3000}']).filter(|word| !word.is_empty()) {
        let word_columns = columns_of(word);
        if used > 0 && used + 1 + word_columns > columns {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            lines.last_mut().expect("never empty").push(' ');
            used += 1;
        }
        for c in word.chars() {
            let char_columns = c.width().unwrap_or(0);
            if used + char_columns > columns {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().expect("never empty").push(c);
            used += char_columns;
        }
    }
    lines
}

/// Columns on a terminal, letter by letter: terminals give lam-alef two cells, though Unicode's width of the string is one.
fn columns_of(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text without what could steer a terminal: control characters (an article may hold an escape sequence) and marks of
/// direction, which could reach beyond their sentence.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .map(|c| match c {
            '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The six levels a channel has in colours 16 to 231 of xterm's palette.
const CUBE_LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// Black or white on the class's colour, taken from the 256 colours that every terminal of today has.
fn filled(color: Option<&str>) -> Style {
    let Some([r, g, b]) = color.and_then(super::color::rgb) else {
        return Style::new().invert();
    };
    let step = |v: u8| (0..6u8).min_by_key(|i| CUBE_LEVELS[usize::from(*i)].abs_diff(v)).unwrap_or(0);
    let cube = 16 + 36 * step(r) + 6 * step(g) + step(b);
    let luma = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
    let ink = if luma > 128_000 { AnsiColor::Black } else { AnsiColor::BrightWhite };
    let paper = Ansi256Color(cube);
    Style::new().bold().fg_color(Some(Color::Ansi(ink))).bg_color(Some(Color::Ansi256(paper)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_sequence_in_an_article_does_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\td\u{9b}0m"), "a\u{fffd}[31mbc d\u{fffd}0m");
    }

    #[test]
    fn the_ink_on_a_tag_can_be_read() {
        assert_eq!(filled(Some("#e67e00")).get_fg_color(), Some(Color::Ansi(AnsiColor::Black)));
        assert_eq!(filled(Some("#c62828")).get_fg_color(), Some(Color::Ansi(AnsiColor::BrightWhite)));
        assert_eq!(filled(Some("red")), Style::new().invert());
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_letter_and_the_width(text in "[ a-zسلا\u{64b}漢]{0,80}", columns in 2usize..30) {
            let lines = wrap(&text, columns);
            let letters = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
            for line in lines {
                prop_assert!(columns_of(&line) <= columns);
            }
        }
    }
}
