//! Words of the domain: an article, a sentence in it, and what the tagger says of the sentence.

use crate::error::Result;
use crate::schema::{Combinations, Schema};
use serde::{Deserialize, Serialize};

/// Half-open byte range `start..end` into a text; both lie on character borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The piece of `text` that the span covers. Panics if the span is not of this text.
    pub fn of<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }
}

/// One news article as it was read, decoded and stripped of markup; nothing normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// The record's own id, else the file name without its endings, else `stdin`.
    pub id: String,
    /// Where it came from: the path as given, with `#line` for a record of a JSONL or CSV file; `-` for standard input.
    pub source: String,
    /// The headline if the format keeps it apart from the text (HTML, a title column); plain text keeps it as its first line.
    pub title: Option<String>,
    /// The text that spans of field [`Field::Text`] point into.
    pub text: String,
}

/// Which of the two texts of an article a span points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// [`Article::title`].
    Title,
    /// [`Article::text`].
    Text,
}

/// A sentence of an article, with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// The text it stands in.
    pub field: Field,
    /// Its bytes there, without surrounding white space.
    pub span: Span,
}

/// What the model reads: a sentence and its context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceInput<'t> {
    /// ISO 639 code or `und`: decides which terms of the lexicon are looked for.
    pub language: &'t str,
    /// The sentence itself, never empty.
    pub text: &'t str,
    /// The article's headline; none for the headline itself.
    pub title: Option<&'t str>,
    /// The sentence before it in the article; none for the first.
    pub previous: Option<&'t str>,
}

impl<'t> SentenceInput<'t> {
    /// A sentence that owns its parts, as it is read.
    pub fn of(language: &'t str, text: &'t str, title: &'t Option<String>, previous: &'t Option<String>) -> Self {
        SentenceInput { language, text, title: title.as_deref(), previous: previous.as_deref() }
    }
}

/// What one head says of a sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// Index in the head's [`classes`](crate::schema::Head::classes) of the most probable class, or of that in the most probable
    /// combination of answers, where the schema forbids some.
    pub label: usize,
    /// One probability a class, summing to 1.
    pub probabilities: Vec<f32>,
}

impl Tag {
    /// The tag for a probability distribution; of equal maxima the first wins.
    pub fn from_probabilities(probabilities: Vec<f32>) -> Self {
        let mut label = 0;
        for (i, p) in probabilities.iter().enumerate() {
            if *p > probabilities[label] {
                label = i;
            }
        }
        Tag { label, probabilities }
    }

    /// Probability of the chosen class.
    pub fn confidence(&self) -> f32 {
        self.probabilities[self.label]
    }
}

/// What a classifier says of one sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// One tag a head, in the schema's order.
    pub tags: Vec<Tag>,
    /// The sentence alone was longer than the model reads; its end was not seen.
    pub truncated: bool,
}

impl Prediction {
    /// From the probabilities of each head, which are conditioned on `combinations` where there are some.
    pub fn new(mut heads: Vec<Vec<f32>>, combinations: Option<&Combinations>, truncated: bool) -> Prediction {
        let best = combinations.and_then(|combinations| combinations.condition(&mut heads));
        let mut tags: Vec<Tag> = heads.into_iter().map(Tag::from_probabilities).collect();
        if let Some(best) = best {
            tags.iter_mut().zip(best).for_each(|(tag, label)| tag.label = *label);
        }
        Prediction { tags, truncated }
    }
}

/// A named group found in a sentence: evidence, not a guess of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMatch {
    /// Identifier in labels/groups.toml.
    pub id: String,
    /// Canonical English name.
    pub name: String,
    /// network, umbrella, front name, state force, …
    pub kind: String,
    /// Identifier of the group it belongs to or fronts for.
    pub parent: Option<String>,
    /// Bytes into the same text as the sentence's span (not relative to the sentence).
    pub span: Span,
    /// The words as they stand in the text.
    pub matched: String,
}

/// A term of the lexicon found in a sentence: what the network was told about the word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermEvidence {
    /// Name of its type: `attack_verb`.
    pub term_type: String,
    /// Bytes into the same text as the sentence's span (not relative to the sentence).
    pub span: Span,
    /// The words as they stand in the text.
    pub matched: String,
}

/// A sentence with all that was found in it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaggedSentence {
    /// Where it stands.
    pub sentence: Sentence,
    /// What the classifier says.
    pub prediction: Prediction,
    /// Groups named in it, by start.
    pub groups: Vec<GroupMatch>,
    /// Terms of the lexicon in it, by start; empty unless they were asked for.
    pub terms: Vec<TermEvidence>,
    /// The confidence of at least one head is below the asked minimum.
    pub abstained: bool,
}

/// An article with all its sentences tagged, in reading order, the title first.
#[derive(Debug, Clone, PartialEq)]
pub struct TaggedArticle {
    /// The article itself.
    pub article: Article,
    /// ISO 639 code (`ar`, `en`, `fa`, `ckb`, `kmr`, `tr`, `fr`, …) or `und`.
    pub language: String,
    /// The sentences; over these and the white space between them each text is whole.
    pub sentences: Vec<TaggedSentence>,
}

impl TaggedArticle {
    /// The words of a span in one of the article's two texts.
    pub fn words(&self, field: Field, span: Span) -> &str {
        match field {
            Field::Title => span.of(self.article.title.as_deref().unwrap_or("")),
            Field::Text => span.of(&self.article.text),
        }
    }
}

/// Whatever can tag sentences: the transformer, or a baseline beside it.
pub trait Classify: Sync {
    /// The heads and classes it answers with.
    fn schema(&self) -> &Schema;

    /// One prediction an input, in the same order; an input's result does not depend on its neighbours.
    ///
    /// # Errors
    /// Fails if the underlying tensors or tokenizer fail; never because of what a sentence says.
    fn classify(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Prediction>>;
}
