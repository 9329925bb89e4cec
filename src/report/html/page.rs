//! The top of the page (counts, filter, legend, list of articles) and its bottom.

use super::{ContentsLine, MAX_CONTENTS, escape, label, language_name};
use crate::report::color::{is_grey, rgb};
use crate::report::{Context, Counts, percent, plural};
use crate::schema::Head;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// Everything before the first article.
pub(super) fn top(context: &Context, counts: &Counts, contents: &[ContentsLine]) -> String {
    let title = format!("{}, {}", plural(counts.n_articles, "article"), plural(counts.n_sentences, "sentence"));
    let mut html = String::new();
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Rasid: {title}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n",
        class_styles(context)
    );
    let _ = writeln!(
        html,
        "<header class=\"top\"><p class=\"brand\">Rasid</p><h1>{title}</h1>\n<p class=\"about\">{}</p></header>",
        about(context, counts)
    );
    if let Some(head) = context.schema.heads.first() {
        filter(&mut html, head, &counts.by_label[0], counts.n_sentences);
    }
    html.push_str("<section class=\"summary\" aria-label=\"Counts\">\n");
    for (head_idx, head) in context.schema.heads.iter().enumerate().skip(1) {
        head_counts(&mut html, head_idx, head, &counts.by_label[head_idx]);
    }
    group_counts(&mut html, counts);
    html.push_str("</section>\n");
    legend(&mut html, context);
    if contents.len() > 1 {
        contents_list(&mut html, context, contents, counts.n_articles);
    }
    html.push_str("<main>\n");
    if counts.n_sentences == 0 {
        html.push_str("<p class=\"nothing\">No sentence to show.</p>\n");
    }
    html
}

/// Everything behind the last article.
pub(super) fn bottom(context: &Context) -> String {
    let sha256 = context.model.sha256.as_ref();
    let sha256 = sha256.map(|sha| format!(", SHA-256 <code>{}</code>", escape(sha))).unwrap_or_default();
    format!(
        "</main>\n<footer>Tagged by Rasid {} with the model {}{sha256}. The tags are a machine's reading; the text is the evidence.\
         </footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&context.model.name),
    )
}

fn about(context: &Context, counts: &Counts) -> String {
    let mut about = format!("Model {}", escape(&context.model.name));
    if context.min_confidence > 0.0 {
        let _ = write!(about, " · {} abstained below {}", counts.n_abstained, percent(context.min_confidence));
    }
    if counts.n_truncated > 0 {
        let _ = write!(about, " · {} truncated", counts.n_truncated);
    }
    if let (false, Some(head)) = (context.only.is_empty(), context.schema.heads.first()) {
        let only: Vec<_> = context.only.iter().map(|class| label(&head.classes[*class].name)).collect();
        let _ = write!(about, " · only {}", only.join(", "));
    }
    about
}

/// A check box a class, with its count: the counts are the filter. Plain CSS hides what is not checked.
fn filter(html: &mut String, head: &Head, by_class: &[usize], n_sentences: usize) {
    let _ = writeln!(html, "<fieldset class=\"filter\"><legend>{} Show</legend>", escape(&head.question));
    for (class, (name, n)) in head.names().zip(by_class).enumerate() {
        let share = if n_sentences == 0 { 0.0 } else { *n as f32 / n_sentences as f32 };
        let _ = writeln!(
            html,
            "<label class=\"h0c{class}\"><input type=\"checkbox\" id=\"show{class}\" checked autocomplete=\"off\">\
             <span>{}</span> <b>{n}</b> <small>{}</small></label>",
            label(name),
            percent(share)
        );
    }
    stacked_bar(html, by_class);
    html.push_str("</fieldset>\n");
}

fn stacked_bar(html: &mut String, by_class: &[usize]) {
    html.push_str("<span class=\"bar\" aria-hidden=\"true\">");
    for (class, n) in by_class.iter().enumerate().filter(|(_, n)| **n > 0) {
        let _ = write!(html, "<i class=\"h0c{class}\" style=\"flex:{n}\"></i>");
    }
    html.push_str("</span>");
}

fn head_counts(html: &mut String, head_idx: usize, head: &Head, by_class: &[usize]) {
    let _ = write!(html, "<div><h2>{}</h2><ul>", escape(&head.question));
    for (class, (name, n)) in head.names().zip(by_class).enumerate() {
        let none = if *n == 0 { " none" } else { "" };
        let _ = write!(html, "<li class=\"h{head_idx}c{class}{none}\"><span>{}</span> <b>{n}</b></li>", label(name));
    }
    html.push_str("</ul></div>\n");
}

fn group_counts(html: &mut String, counts: &Counts) {
    let groups = counts.groups();
    if groups.is_empty() {
        return;
    }
    html.push_str("<div><h2>Groups named</h2><ul class=\"groups\">");
    for group in groups {
        let _ = write!(html, "<li><span>{}</span> <b>{}</b></li>", escape(&group.name), group.n_mentions);
    }
    html.push_str("</ul></div>\n");
}

fn legend(html: &mut String, context: &Context) {
    html.push_str(
        "<details class=\"legend\"><summary>How to read this page</summary>\n\
         <p>The tint of a sentence and the word in the margin say what happened; below it stands who did it. \
         A <u>name underlined</u> is an armed group from the list of groups, with its canonical name in the margin. \
         Point at a sentence, or reach it with the Tab key, for the probabilities. The boxes above show and hide sentences. \
         Every tag is one of these:</p>\n",
    );
    for (head_idx, head) in context.schema.heads.iter().enumerate() {
        let _ = write!(html, "<h3>{}</h3><dl>", escape(&head.question));
        for (class_idx, class) in head.classes.iter().enumerate() {
            let (name, definition) = (label(&class.name), escape(&class.definition));
            let _ = write!(html, "<div><dt class=\"h{head_idx}c{class_idx}\">{name}</dt><dd>{definition}</dd></div>");
        }
        html.push_str("</dl>\n");
    }
    html.push_str("</details>\n");
}

fn contents_list(html: &mut String, context: &Context, contents: &[ContentsLine], n_articles: usize) {
    html.push_str("<nav aria-label=\"Articles\"><ol>\n");
    for line in contents {
        let _ = write!(
            html,
            "<li><a href=\"#a{}\"><bdi lang=\"{}\">{}</bdi></a> <small>{}</small>",
            line.n_article,
            escape(&line.language),
            escape(&line.headline),
            language_name(&line.language),
        );
        stacked_bar(html, &line.by_class);
        if let Some(head) = context.schema.heads.first() {
            let counts = head.names().zip(&line.by_class).filter(|(_, n)| **n > 0);
            let words: Vec<_> = counts.map(|(name, n)| format!("{} {n}", label(name))).collect();
            let _ = write!(html, "<span class=\"inwords\">{}</span>", words.join(", "));
        }
        html.push_str("</li>\n");
    }
    html.push_str("</ol>");
    if n_articles > MAX_CONTENTS {
        let _ = write!(html, "<p>… and {} more</p>", n_articles - MAX_CONTENTS);
    }
    html.push_str("</nav>\n");
}

/// Colours by head and class, and the rules by which a check box hides the sentences of its class.
fn class_styles(context: &Context) -> String {
    let mut css = String::new();
    for (head_idx, head) in context.schema.heads.iter().enumerate() {
        for (class_idx, class) in head.classes.iter().enumerate() {
            let [r, g, b] = class.color.as_deref().and_then(rgb).unwrap_or([0x75, 0x75, 0x75]);
            // A grey class is most of the page: its tint is hardly there.
            let tint = if is_grey([r, g, b]) { "0%" } else { "15%" };
            let row = if head_idx == 0 { format!(",.i{class_idx}") } else { String::new() };
            let _ = writeln!(css, ".h{head_idx}c{class_idx}{row}{{--c:#{r:02x}{g:02x}{b:02x};--tint:{tint}}}");
            if head_idx == 0 {
                let unchecked = format!("body:has(#show{class_idx}:not(:checked)) .s.i{class_idx}");
                let _ = writeln!(css, "{unchecked}:not(.headline){{display:none}}");
                let _ = writeln!(css, "{unchecked}.headline{{--tint:0%}}");
            }
        }
    }
    css
}
