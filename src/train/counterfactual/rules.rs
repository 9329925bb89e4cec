//! labels/counterfactuals.toml → rules in the numbers of a schema and a lexicon.

use crate::article::Span;
use crate::error::{Error, Place, Result, nearest};
use crate::lexicon::{Lexicon, TermMatch};
use crate::schema::Schema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The rules of labels/counterfactuals.toml, compiled in.
const SHIPPED: &str = include_str!("../../../labels/counterfactuals.toml");

/// Who is an actor of which class, and what an act becomes with other actors, in the numbers of a schema and a lexicon.
#[derive(Debug)]
pub struct Rules {
    /// The head whose classes are actors.
    pub(super) head: usize,
    /// Head, and its classes of which a sentence must have one.
    only: Vec<(usize, Vec<usize>)>,
    /// By type of the lexicon: the class whose actors its terms name.
    class_of: Vec<Option<usize>>,
    rules: Vec<Rule>,
    /// By which actors are found.
    lexicon: Arc<Lexicon>,
    text: String,
}

#[derive(Debug)]
pub(super) struct Rule {
    actor: Vec<usize>,
    other: Option<Vec<usize>>,
    changed_places: bool,
    alone: bool,
    without: Vec<usize>, // types of the lexicon
    /// Head and label.
    pub(super) set: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    head: String,
    #[serde(default)]
    only: BTreeMap<String, Vec<String>>,
    actors: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    rule: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    actor: Vec<String>,
    other: Option<Vec<String>>,
    #[serde(default)]
    changed_places: bool,
    #[serde(default)]
    alone: bool,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// A name of an actor in a text.
pub(super) struct Mention {
    pub span: Span,
    pub class: usize,
}

/// Who acts, and who has the other part, in a sentence with other actors.
#[derive(Clone, Copy)]
pub(super) struct Cast {
    /// Class of the one who acts.
    pub actor: usize,
    /// Class of the other.
    pub other: usize,
    /// They changed places.
    pub changed_places: bool,
}

impl Rules {
    /// The rules compiled in; none if the schema has other heads or classes than they speak of, or the lexicon other types.
    ///
    /// # Errors
    /// Never in a release: a test reads them.
    pub fn shipped(schema: &Schema, lexicon: &Arc<Lexicon>) -> Result<Option<Rules>> {
        let path = Path::new("labels/counterfactuals.toml");
        let rules = File::parse(SHIPPED, path)?.resolve(schema, lexicon, path);
        Ok(rules.ok().map(|rules| Rules { text: SHIPPED.into(), ..rules }))
    }

    /// Reads the rules of a file.
    ///
    /// # Errors
    /// The file cannot be read or is none of rules; it names a head, class or type that the schema or the lexicon does not have.
    pub fn read(path: &Path, schema: &Schema, lexicon: &Arc<Lexicon>) -> Result<Rules> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let rules = File::parse(&text, path)?.resolve(schema, lexicon, path)?;
        Ok(Rules { text, ..rules })
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The terms in a text.
    pub(super) fn terms(&self, text: &str, language: &str) -> Vec<TermMatch> {
        self.lexicon.find(text, language)
    }

    /// The class whose actor a term names.
    pub(super) fn class(&self, term: &TermMatch) -> Option<usize> {
        self.class_of[term.term_type]
    }

    /// Whether a sentence with these labels may have a counterfactual.
    pub(super) fn allow(&self, labels: &[Option<usize>]) -> bool {
        let fits = |(head, classes): &(usize, Vec<usize>)| labels[*head].is_some_and(|l| classes.contains(&l));
        labels[self.head].is_some() && self.only.iter().all(fits)
    }

    /// The names of actors; none if two of different classes overlap, so that it is open who is meant.
    pub(super) fn mentions(&self, terms: &[TermMatch]) -> Option<Vec<Mention>> {
        let mut found: Vec<Mention> =
            terms.iter().filter_map(|t| Some(Mention { span: t.span, class: self.class(t)? })).collect();
        found.sort_by_key(|m| (m.span.start, std::cmp::Reverse(m.span.end)));
        let mut outermost: Vec<Mention> = Vec::new();
        for m in found {
            match outermost.last() {
                Some(last) if m.span.start < last.span.end => {
                    if m.class != last.class || m.span.end > last.span.end {
                        return None;
                    }
                }
                _ => outermost.push(m),
            }
        }
        Some(outermost)
    }

    /// The first rule that fits a sentence of this cast, in which these terms stand.
    pub(super) fn rule(&self, cast: Cast, terms: &[TermMatch], mentions: &[Mention]) -> Option<&Rule> {
        let third = || mentions.iter().any(|m| m.class != cast.actor && m.class != cast.other);
        self.rules.iter().find(|rule| {
            rule.actor.contains(&cast.actor)
                && rule.other.as_ref().is_none_or(|classes| classes.contains(&cast.other))
                && (cast.changed_places || !rule.changed_places)
                && !(rule.alone && third())
                && !terms.iter().any(|t| rule.without.contains(&t.term_type))
        })
    }
}

/// Where a name stands among those known.
fn index(kind: &str, name: &str, known: &[&str], path: &Path) -> Result<usize> {
    known.iter().position(|k| *k == name).ok_or_else(|| {
        let expected = format!("one of {}", known.join(", "));
        let error = Error::bad(Place::file(path), format!("{kind} \"{name}\""), expected);
        match nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

impl File {
    fn parse(text: &str, path: &Path) -> Result<File> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map(|s| 1 + text[..s.start].matches('\n').count() as u64);
            let place = Place { path: path.into(), line, offset: None };
            Error::bad(place, e.message().to_string(), "rules as in labels/counterfactuals.toml")
        })
    }

    fn resolve(&self, schema: &Schema, lexicon: &Arc<Lexicon>, path: &Path) -> Result<Rules> {
        let heads: Vec<&str> = schema.heads.iter().map(|h| h.name.as_str()).collect();
        let types: Vec<&str> = lexicon.types().iter().map(|t| t.name.as_str()).collect();
        let head = |name: &str| index("head", name, &heads, path);
        let class =
            |head: usize, name: &str| index("class", name, &schema.heads[head].names().collect::<Vec<_>>(), path);
        let term_type = |name: &String| index("type", name, &types, path);
        let classes = |head: usize, names: &[String]| names.iter().map(|name| class(head, name)).collect();
        let actor = head(&self.head)?;
        let mut class_of = vec![None; lexicon.types().len()];
        for (name, types) in &self.actors {
            for t in types {
                class_of[term_type(t)?] = Some(class(actor, name)?);
            }
        }
        let only = self.only.iter().map(|(name, labels)| {
            let head = head(name)?;
            Ok((head, classes(head, labels)?))
        });
        let rule = |rule: &FileRule| {
            let set = rule.set.iter().map(|(name, label)| {
                let head = head(name)?;
                Ok((head, class(head, label)?))
            });
            Ok(Rule {
                actor: classes(actor, &rule.actor)?,
                other: rule.other.as_ref().map(|names| classes(actor, names)).transpose()?,
                changed_places: rule.changed_places,
                alone: rule.alone,
                without: rule.without.iter().map(term_type).collect::<Result<_>>()?,
                set: set.collect::<Result<_>>()?,
            })
        };
        Ok(Rules {
            head: actor,
            only: only.collect::<Result<_>>()?,
            class_of,
            rules: self.rule.iter().map(rule).collect::<Result<_>>()?,
            lexicon: lexicon.clone(),
            text: String::new(),
        })
    }
}
