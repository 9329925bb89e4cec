//! Label files → everything that would make a score dishonest, and counts.

use super::article_files::ArticleFiles;
use super::near::near_pairs;
use super::read::read;
use super::{Example, Split};
use crate::error::{Error, Result};
use crate::letters::folded_words;
use crate::schema::Schema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// Texts of fewer words may stand in several splits: bylines, "read also", agency codes.
const MIN_WORDS_OF_A_LEAK: usize = 5;

/// A sentence longer than this is most often a paragraph.
const MAX_CHARS: usize = 2_000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The file or record is not as the schema says, an unknown label or an empty text included.
    Schema,
    /// Labels of different heads that the schema says never stand together.
    Combination,
    /// Start and end do not span the text.
    Span,
    /// An article in two splits, or partly in one.
    ArticleInTwoSplits,
    /// The same text in two splits.
    Leak,
    /// Almost the same text in two splits.
    NearLeak,
    /// The same text twice, in one split or where no split is given; in one article behind the same headline and sentence.
    Duplicate,
    /// Almost the same text in two articles of one split, or of none.
    NearDuplicate,
    /// The same text with different labels, which in one article another headline or sentence before may explain.
    Conflict,
    /// The same id twice.
    RepeatedId,
    /// A text that is too long for one sentence.
    LongText,
    /// A class that the train split never shows.
    Unseen,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// File and line, as one reads them.
    pub place: String,
    /// The particulars in words.
    pub message: String,
}

/// How often each class of a head is given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadCounts {
    /// Name of the head.
    pub head: String,
    /// Every class of the schema, in its order.
    pub classes: Vec<ClassCounts>,
    /// Sentences that are not labelled for this head.
    pub unlabelled: usize,
}

/// How often a class is given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCounts {
    /// Name of the class.
    pub class: String,
    /// Sentences a split; `none` where no split is given.
    pub splits: BTreeMap<String, usize>,
}

/// How much a split holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SplitCounts {
    /// Sentences in it.
    pub sentences: usize,
    /// Articles in it.
    pub articles: usize,
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Files read.
    pub files: usize,
    /// Sentences that could be read.
    pub sentences: usize,
    /// Articles that they stand in.
    pub articles: usize,
    /// What makes scores on these files dishonest or the files unreadable.
    pub errors: Vec<Finding>,
    /// What may be meant.
    pub warnings: Vec<Finding>,
    /// Sentences and articles a split; `none` where no split is given.
    pub splits: BTreeMap<String, SplitCounts>,
    /// Sentences a language and split.
    pub languages: BTreeMap<String, BTreeMap<String, usize>>,
    /// Sentences a class and split.
    pub heads: Vec<HeadCounts>,
}

impl CheckReport {
    /// Whether a score on these files would be honest.
    pub fn is_honest(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Reads label files and looks for faults, leaks between splits, duplicates, conflicts and gaps.
///
/// # Errors
/// A file that cannot be read or is no UTF-8. Faults of records are findings, not errors.
pub fn check(paths: &[PathBuf], schema: &Schema) -> Result<CheckReport> {
    let reading = read(paths, schema)?;
    let examples = &reading.examples;
    let mut findings: Vec<(bool, Finding)> = reading.faults.iter().map(schema_finding).collect();
    check_combinations(examples, schema, &mut findings);
    check_spans_and_lengths(examples, &mut findings);
    check_ids(examples, &mut findings);
    check_articles(examples, &mut findings);
    check_duplicates(examples, schema, &mut findings);
    let heads = count_classes(examples, schema);
    check_unseen(&heads, examples, &mut findings);

    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(|(is_error, _)| *is_error);
    let articles =
        |examples: &mut dyn Iterator<Item = &Example>| examples.map(|e| &e.article_id).collect::<BTreeSet<_>>().len();
    let mut splits = BTreeMap::new();
    let mut languages: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for split in examples.iter().map(|e| e.split).collect::<BTreeSet<_>>() {
        let of_split = || examples.iter().filter(|e| e.split == split);
        splits.insert(
            split_name(split).into(),
            SplitCounts { sentences: of_split().count(), articles: articles(&mut of_split()) },
        );
    }
    for example in examples {
        *languages.entry(example.language.clone()).or_default().entry(split_name(example.split).into()).or_default() +=
            1;
    }
    Ok(CheckReport {
        files: reading.n_files,
        sentences: examples.len(),
        articles: articles(&mut examples.iter()),
        errors: errors.into_iter().map(|(_, finding)| finding).collect(),
        warnings: warnings.into_iter().map(|(_, finding)| finding).collect(),
        splits,
        languages,
        heads,
    })
}

fn split_name(split: Option<Split>) -> &'static str {
    split.map_or("none", Split::name)
}

fn schema_finding(fault: &Error) -> (bool, Finding) {
    let text = fault.to_string();
    let (place, message) = match fault {
        Error::Bad { place, .. } => {
            let place = place.to_string();
            let message = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text).to_string();
            (place, message)
        }
        _ => (String::new(), text),
    };
    (true, Finding { kind: FindingKind::Schema, place, message })
}

fn finding(kind: FindingKind, example: &Example, message: String) -> Finding {
    Finding { kind, place: example.place.to_string(), message }
}

fn check_combinations(examples: &[Example], schema: &Schema, findings: &mut Vec<(bool, Finding)>) {
    for example in examples.iter().filter(|example| schema.forbids(|head| example.labels[head])) {
        let labels = schema.heads.iter().zip(&example.labels);
        let given: Vec<&str> = labels.filter_map(|(head, label)| Some(head.classes[(*label)?].name.as_str())).collect();
        let message = format!("{} never stand together, says a [[never]] of the schema", given.join(" and "));
        findings.push((true, finding(FindingKind::Combination, example, message)));
    }
}

fn check_spans_and_lengths(examples: &[Example], findings: &mut Vec<(bool, Finding)>) {
    let mut articles = ArticleFiles::default();
    for example in examples {
        if let Some(fault) = articles.span_fault(example) {
            findings.push((true, finding(FindingKind::Span, example, fault)));
        }
        let n_chars = example.text.chars().count();
        if n_chars > MAX_CHARS {
            let message = format!("a text of {n_chars} characters (more than {MAX_CHARS}): is it one sentence?");
            findings.push((false, finding(FindingKind::LongText, example, message)));
        }
    }
}

fn check_ids(examples: &[Example], findings: &mut Vec<(bool, Finding)>) {
    let mut first: HashMap<&str, &Example> = HashMap::new();
    for example in examples {
        let Some(id) = example.id.as_deref() else { continue };
        if let Some(other) = first.get(id) {
            let message = format!("id \"{id}\" also at {}", other.place);
            findings.push((false, finding(FindingKind::RepeatedId, example, message)));
        } else {
            first.insert(id, example);
        }
    }
}

fn check_articles(examples: &[Example], findings: &mut Vec<(bool, Finding)>) {
    let mut first: HashMap<&str, &Example> = HashMap::new();
    let mut told: BTreeSet<(&str, Option<Split>)> = BTreeSet::new();
    for example in examples {
        let other = *first.entry(&example.article_id).or_insert(example);
        if other.split == example.split || !told.insert((&example.article_id, example.split)) {
            continue;
        }
        let message = format!(
            "article {} is in {} here and in {} at {}",
            example.article_id,
            split_name(example.split),
            split_name(other.split),
            other.place
        );
        // A split that is not given may be meant to be the same.
        let is_error = example.split.is_some() && other.split.is_some();
        findings.push((is_error, finding(FindingKind::ArticleInTwoSplits, example, message)));
    }
}

fn check_duplicates(examples: &[Example], schema: &Schema, findings: &mut Vec<(bool, Finding)>) {
    let mut groups: BTreeMap<String, Vec<&Example>> = BTreeMap::new();
    for example in examples {
        groups.entry(folded_words(&example.text)).or_default().push(example);
    }
    // A text without letters or digits says nothing that could leak.
    groups.remove("");
    for (folded, group) in &groups {
        let long = n_words(folded) >= MIN_WORDS_OF_A_LEAK;
        for (i, example) in group.iter().enumerate().skip(1) {
            // A copy in another split weighs more than one nearby.
            let across = group[..i].iter().find(|other| in_two_splits(example, other));
            let Some(other) = across.or_else(|| group[..i].iter().find(|other| !in_other_context(example, other)))
            else {
                continue;
            };
            findings.push(duplicate(example, other, long, None));
            if let Some(conflict) = conflict(example, other, schema) {
                findings.push((false, finding(FindingKind::Conflict, example, conflict)));
            }
        }
    }
    let texts: Vec<&str> = groups.keys().map(String::as_str).collect();
    let groups: Vec<&Vec<&Example>> = groups.values().collect();
    for pair in near_pairs(&texts) {
        let (a, b) = (groups[pair.a], groups[pair.b]);
        let long = n_words(texts[pair.a]).min(n_words(texts[pair.b])) >= MIN_WORDS_OF_A_LEAK;
        let across = b.iter().flat_map(|b| a.iter().map(move |a| (b, a))).find(|(b, a)| in_two_splits(b, a));
        let mut pairs = b.iter().flat_map(|b| a.iter().map(move |a| (b, a)));
        let apart = across.or_else(|| pairs.find(|(b, a)| b.article_id != a.article_id));
        // Sentences of one article may resemble each other: variants of a frame are such an article.
        if let Some((example, other)) = apart {
            findings.push(duplicate(example, other, long, Some(pair.similarity)));
        }
    }
}

fn n_words(folded: &str) -> usize {
    folded.split(' ').count()
}

/// The same words in one article behind another headline or sentence: what they point at may be another thing.
fn in_other_context(a: &Example, b: &Example) -> bool {
    a.article_id == b.article_id && (&a.title, &a.previous) != (&b.title, &b.previous)
}

fn in_two_splits(a: &Example, b: &Example) -> bool {
    a.split.is_some() && b.split.is_some() && a.split != b.split
}

fn duplicate(example: &Example, other: &Example, long: bool, similarity: Option<f64>) -> (bool, Finding) {
    let across = in_two_splits(example, other);
    let kind = match (across, similarity) {
        (true, None) => FindingKind::Leak,
        (true, Some(_)) => FindingKind::NearLeak,
        (false, None) => FindingKind::Duplicate,
        (false, Some(_)) => FindingKind::NearDuplicate,
    };
    let what = similarity.map_or("same text as".into(), |s| format!("{:.0} % the text of", 100.0 * s));
    let splits = if across {
        format!(" ({} and {})", split_name(example.split), split_name(other.split))
    } else {
        String::new()
    };
    let mut message = format!("{what} {}{splits}: {}", other.place, shortened(&example.text));
    if across && !long {
        message.push_str(" (fewer than 5 words, so only a warning)");
    }
    (across && long, finding(kind, example, message))
}

fn conflict(example: &Example, other: &Example, schema: &Schema) -> Option<String> {
    let differing: Vec<String> = schema
        .heads
        .iter()
        .zip(example.labels.iter().zip(&other.labels))
        .filter_map(|(head, (a, b))| match (a, b) {
            (Some(a), Some(b)) if a != b => {
                Some(format!("{} {} here and {}", head.name, head.classes[*a].name, head.classes[*b].name))
            }
            _ => None,
        })
        .collect();
    (!differing.is_empty())
        .then(|| format!("{} at {}: {}", differing.join(", "), other.place, shortened(&example.text)))
}

fn shortened(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 60;
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

fn count_classes(examples: &[Example], schema: &Schema) -> Vec<HeadCounts> {
    let mut heads = Vec::new();
    for (h, head) in schema.heads.iter().enumerate() {
        let none = |class: &str| ClassCounts { class: class.into(), splits: BTreeMap::new() };
        let mut classes: Vec<ClassCounts> = head.names().map(none).collect();
        let mut unlabelled = 0;
        for example in examples {
            match example.labels[h] {
                Some(class) => *classes[class].splits.entry(split_name(example.split).into()).or_default() += 1,
                None => unlabelled += 1,
            }
        }
        heads.push(HeadCounts { head: head.name.clone(), classes, unlabelled });
    }
    heads
}

fn check_unseen(heads: &[HeadCounts], examples: &[Example], findings: &mut Vec<(bool, Finding)>) {
    let Some(example) = examples.iter().find(|e| e.split == Some(Split::Train)) else { return };
    for head in heads.iter().filter(|head| head.unlabelled < examples.len()) {
        let unseen = head.classes.iter().filter(|class| !class.splits.contains_key("train"));
        let unseen: Vec<&str> = unseen.map(|class| class.class.as_str()).collect();
        if !unseen.is_empty() {
            let message = format!("train has no {} {}, which therefore cannot be learnt", head.head, unseen.join(", "));
            let place = example.place.path.display().to_string();
            findings.push((false, Finding { kind: FindingKind::Unseen, place, message }));
        }
    }
}
