//! One sentence of the page: its tags in the margin, its text highlighted, what the model thought on a card beside it.

use super::{escape, label};
use crate::article::{GroupMatch, TaggedArticle, TaggedSentence};
use crate::report::{Context, Direction, percent};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Where the sentence stands.
pub(super) struct Row<'a> {
    pub(super) context: &'a Context,
    pub(super) article: &'a TaggedArticle,
    /// Of the article.
    pub(super) direction: Direction,
    /// Number of the article on the page, from 1.
    pub(super) n_article: usize,
    pub(super) is_headline: bool,
    pub(super) starts_paragraph: bool,
}

impl Row<'_> {
    /// Writes the sentence with its index in the article.
    pub(super) fn write(&self, (index, tagged): (usize, &TaggedSentence), out: &mut dyn Write) -> io::Result<()> {
        let words = self.article.words(tagged.sentence.field, tagged.sentence.span);
        let id = format!("a{}s{index}", self.n_article);
        let mut class = format!("s i{}", tagged.prediction.tags[0].label);
        for (name, holds) in
            [("headline", self.is_headline), ("para", self.starts_paragraph), ("abstained", tagged.abstained)]
        {
            if holds {
                class.push(' ');
                class.push_str(name);
            }
        }
        let element = if self.is_headline { "h2" } else { "p" };
        let direction = match Direction::of_sentence(words, self.direction) {
            same if same == self.direction => String::new(),
            other => format!(" dir=\"{}\"", other.html()),
        };
        writeln!(
            out,
            "<div class=\"{class}\" id=\"{id}\" role=\"group\" tabindex=\"0\" aria-describedby=\"{id}c\">\
             <div class=\"tags\" lang=\"en\" dir=\"ltr\">{tags}</div>\
             <{element} class=\"text\"{direction}><mark>{text}</mark></{element}>\
             <div class=\"card\" id=\"{id}c\" role=\"tooltip\" lang=\"en\" dir=\"ltr\">{card}</div></div>",
            tags = self.tags(tagged),
            text = underlined(words, tagged.sentence.span.start, &tagged.groups),
            card = self.card(index, tagged),
        )
    }

    fn tags(&self, tagged: &TaggedSentence) -> String {
        let mut html = String::new();
        for (head_idx, (head, tag)) in self.context.schema.heads.iter().zip(&tagged.prediction.tags).enumerate() {
            let kind = if head_idx == 0 { "tag" } else { "who" };
            let name = label(&head.classes[tag.label].name);
            let _ = write!(html, "<span class=\"{kind} h{head_idx}c{}\">{name}", tag.label);
            let _ = write!(html, " <i class=\"conf\">{}</i></span>", percent(tag.confidence()));
        }
        let mut names: Vec<&str> = Vec::new();
        for group in &tagged.groups {
            if !names.contains(&group.name.as_str()) {
                names.push(&group.name);
            }
        }
        for name in names {
            let _ = write!(html, "<span class=\"group\">{}</span>", escape(name));
        }
        if tagged.abstained {
            html.push_str("<span class=\"flag\">abstained</span>");
        }
        if tagged.prediction.truncated {
            html.push_str("<span class=\"flag\">truncated</span>");
        }
        html
    }

    fn card(&self, index: usize, tagged: &TaggedSentence) -> String {
        let mut html = String::new();
        for (head_idx, (head, tag)) in self.context.schema.heads.iter().zip(&tagged.prediction.tags).enumerate() {
            let _ = write!(html, "<b>{}</b>", escape(&head.question));
            let mut ranked: Vec<(usize, f32)> = tag.probabilities.iter().copied().enumerate().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (class, p) in ranked.into_iter().filter(|(class, p)| *class == tag.label || *p >= 0.01) {
                let _ = write!(
                    html,
                    "<span class=\"p h{head_idx}c{class}\" style=\"--p:{:.1}%\">{} <i>{}</i></span>",
                    p * 100.0,
                    label(&head.classes[class].name),
                    percent(p)
                );
            }
        }
        if !tagged.groups.is_empty() {
            html.push_str("<b>Groups named</b>");
        }
        for group in &tagged.groups {
            let _ =
                write!(html, "<span class=\"g\">{} — <bdi>{}</bdi></span>", described(group), escape(&group.matched));
        }
        if !tagged.terms.is_empty() {
            html.push_str("<b>Terms of the lexicon</b>");
        }
        for term in &tagged.terms {
            let _ = write!(
                html,
                "<span class=\"g\">{} — <bdi>{}</bdi></span>",
                label(&term.term_type),
                escape(&term.matched)
            );
        }
        if tagged.abstained {
            let asked = percent(self.context.min_confidence);
            let _ = write!(html, "<em>Abstained: a confidence is below {asked}.</em>");
        }
        if tagged.prediction.truncated {
            html.push_str("<em>Truncated: the end of this sentence was not read.</em>");
        }
        let span = tagged.sentence.span;
        let _ = write!(html, "<small>sentence {index}, bytes {}–{}</small>", span.start, span.end);
        html
    }
}

/// `Saraya Awliya al-Dam (front name, of kataib_hezbollah)`.
fn described(group: &GroupMatch) -> String {
    let parent = group.parent.as_ref().map(|parent| format!(", of {}", label(parent))).unwrap_or_default();
    format!("{} ({}{parent})", escape(&group.name), label(&group.kind))
}

/// The sentence, which starts at byte `start` of its text, with the groups underlined.
fn underlined(words: &str, start: usize, groups: &[GroupMatch]) -> String {
    let mut html = String::new();
    let mut done = 0;
    for group in groups {
        let (Some(from), Some(to)) = (group.span.start.checked_sub(start), group.span.end.checked_sub(start)) else {
            continue;
        };
        let (Some(before), Some(name)) = (words.get(done..from), words.get(from..to)) else {
            continue;
        };
        let title = described(group);
        let _ = write!(html, "{}<u title=\"{title}\">{}</u>", escape(before), escape(name));
        done = to;
    }
    html.push_str(&escape(&words[done..]));
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::article::Span;

    #[test]
    fn underlines_exactly_the_spans_and_escapes_around_them() {
        let group = |start, end| GroupMatch {
            id: "is".into(),
            name: "Islamic \"State\"".into(),
            kind: "front_name".into(),
            parent: Some("x_y".into()),
            span: Span { start, end },
            matched: String::new(),
        };
        let html = underlined("<a> داعش & co", 10, &[group(14, 22), group(0, 3), group(15, 30)]);
        assert_eq!(html, "&lt;a&gt; <u title=\"Islamic &quot;State&quot; (front name, of x y)\">داعش</u> &amp; co");
    }
}
