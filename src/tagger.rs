//! Articles → tagged articles: language, sentences, the classifier's answers, the groups named.
//!
//! ```text
//! Article → segment → SegmentedArticle → tag_all → TaggedArticle
//! ```
//!
//! [`batches`] takes articles off a stream of any length a bounded handful at a time; one handful becomes one call of the
//! classifier, which packs many sentences better than few.

use crate::article::{
    Article, Classify, Field, Prediction, Sentence, Span, TaggedArticle, TaggedSentence, TermEvidence,
};
use crate::error::{Error, Result};
use crate::gazetteer::Gazetteer;
use crate::lexicon::{Lexicon, TermMatch};
use crate::{language, sentences};

/// A batch is full with this many articles,
pub const MAX_BATCH_ARTICLES: usize = 64;
/// or with this many sentences; also the most that one call of the classifier gets, however long an article is,
pub const MAX_BATCH_SENTENCES: usize = 512;
/// or with this many bytes of text.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// An article with its language and its sentences, not yet tagged.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentedArticle {
    /// The article itself.
    pub article: Article,
    /// ISO 639 code or `und`.
    pub language: String,
    /// The sentences in reading order, the title first.
    pub sentences: Vec<Sentence>,
}

/// Identifies the language of an article and splits it into sentences.
pub fn segment(article: Article) -> SegmentedArticle {
    // Of title and text the text decides, unless there is hardly any: a headline is short and full of names.
    let sample = match &article.title {
        Some(title) if article.text.len() < title.len() => format!("{title}\n{}", article.text),
        _ => String::new(),
    };
    let language = language::identify(if sample.is_empty() { &article.text } else { &sample }).to_string();
    let sentences = sentences::split(&article, &language);
    SegmentedArticle { article, language, sentences }
}

/// Tags one article: the same as [`tag_all`] with a batch of one.
///
/// # Errors
/// The classifier fails.
pub fn tag(
    article: Article,
    classify: &dyn Classify,
    gazetteer: &Gazetteer,
    min_confidence: f32,
) -> Result<TaggedArticle> {
    let mut tagged = tag_all(vec![segment(article)], classify, gazetteer, min_confidence)?;
    Ok(tagged.pop().expect("one article in, one article out"))
}

/// Tags articles, order kept, handing the sentences of all of them to the classifier together.
///
/// A sentence abstains when the confidence of any head is below `min_confidence` (0 to 1); its labels stay.
///
/// # Errors
/// The classifier fails.
pub fn tag_all(
    articles: Vec<SegmentedArticle>,
    classify: &dyn Classify,
    gazetteer: &Gazetteer,
    min_confidence: f32,
) -> Result<Vec<TaggedArticle>> {
    let mut predictions = predict(&articles, classify)?.into_iter();
    let tagged = articles.into_iter().map(|segmented| {
        let SegmentedArticle { article, language, sentences } = segmented;
        // Once an article: a name that needs a cue has the whole of it searched.
        let in_title = gazetteer.in_article(article.title.as_deref().unwrap_or(""), &language);
        let in_text = gazetteer.in_article(&article.text, &language);
        let sentences = sentences
            .into_iter()
            .zip(&mut predictions)
            .map(|(sentence, prediction)| {
                let groups = match sentence.field {
                    Field::Title => in_title.find(sentence.span),
                    Field::Text => in_text.find(sentence.span),
                };
                let abstained = prediction.tags.iter().any(|tag| tag.confidence() < min_confidence);
                TaggedSentence { sentence, prediction, groups, terms: Vec::new(), abstained }
            })
            .collect();
        TaggedArticle { article, language, sentences }
    });
    Ok(tagged.collect())
}

/// Notes in each sentence the terms of the lexicon that stand in it.
pub fn explain(article: &mut TaggedArticle, lexicon: &Lexicon) {
    for i in 0..article.sentences.len() {
        let Sentence { field, span, .. } = article.sentences[i].sentence;
        let words = article.words(field, span);
        let evidence = |m: &TermMatch| TermEvidence {
            term_type: lexicon.types()[m.term_type].name.clone(),
            span: Span { start: span.start + m.span.start, end: span.start + m.span.end },
            matched: m.span.of(words).to_string(),
        };
        let terms = lexicon.find(words, &article.language).iter().map(evidence).collect();
        article.sentences[i].terms = terms;
    }
}

/// One prediction a sentence, over all articles in order.
fn predict(articles: &[SegmentedArticle], classify: &dyn Classify) -> Result<Vec<Prediction>> {
    let inputs: Vec<_> =
        articles.iter().flat_map(|a| sentences::inputs(&a.article, &a.sentences, &a.language)).collect();
    let mut predictions = Vec::with_capacity(inputs.len());
    for chunk in inputs.chunks(MAX_BATCH_SENTENCES) {
        let answers = classify.classify(chunk)?;
        assert_eq!(answers.len(), chunk.len(), "a classifier answers every sentence once");
        predictions.extend(answers);
    }
    Ok(predictions)
}

/// Consecutive articles of a stream, enough of them to fill a call of the classifier.
#[derive(Debug, Default)]
pub struct Batch {
    /// The articles that could be read, in order.
    pub articles: Vec<SegmentedArticle>,
    /// Why others between them could not.
    pub faults: Vec<Error>,
}

/// Groups a stream of articles into [`Batch`]es, none of them empty; memory is bounded by the limits above and one article.
pub fn batches<I: Iterator<Item = Result<Article>>>(articles: I) -> Batches<I> {
    Batches { articles }
}

/// The iterator that [`batches`] returns.
pub struct Batches<I> {
    articles: I,
}

impl<I: Iterator<Item = Result<Article>>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let (mut n_sentences, mut n_bytes) = (0, 0);
        while batch.articles.len() + batch.faults.len() < MAX_BATCH_ARTICLES
            && n_sentences < MAX_BATCH_SENTENCES
            && n_bytes < MAX_BATCH_BYTES
        {
            match self.articles.next() {
                None => break,
                Some(Err(fault)) => batch.faults.push(fault),
                Some(Ok(article)) => {
                    let segmented = segment(article);
                    n_sentences += segmented.sentences.len();
                    n_bytes += segmented.article.text.len();
                    batch.articles.push(segmented);
                }
            }
        }
        (batch.articles.len() + batch.faults.len() > 0).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::article::{SentenceInput, Tag};
    use crate::schema::Schema;
    use std::path::Path;
    use std::sync::Mutex;

    /// Answers with the length of the sentence, so that a mix-up of sentences shows.
    struct ByLength {
        schema: Schema,
        calls: Mutex<Vec<usize>>,
    }

    fn by_length() -> ByLength {
        let schema = Schema::read(Path::new("labels/schema.toml")).unwrap();
        ByLength { schema, calls: Mutex::default() }
    }

    impl Classify for ByLength {
        fn schema(&self) -> &Schema {
            &self.schema
        }

        fn classify(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Prediction>> {
            self.calls.lock().unwrap().push(inputs.len());
            Ok(inputs
                .iter()
                .map(|input| {
                    let p = 0.5 + (input.text.len() % 40) as f32 / 100.0;
                    let tags = vec![
                        Tag::from_probabilities(vec![p, 1.0 - p, 0.0, 0.0]),
                        Tag::from_probabilities(vec![0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]),
                    ];
                    Prediction { tags, truncated: false }
                })
                .collect())
        }
    }

    fn groups() -> Gazetteer {
        Gazetteer::parse(include_str!("../labels/groups.toml"), Path::new("labels/groups.toml")).unwrap()
    }

    fn article(id: usize, n_lines: usize) -> Article {
        let text = (0..n_lines).map(|i| format!("Line {} of the article{}\n", i, ".".repeat(1 + id % 3))).collect();
        Article { id: id.to_string(), source: format!("{id}.txt"), title: None, text }
    }

    #[test]
    fn a_batch_gives_what_each_article_gives_alone_in_the_same_order() {
        let (classify, gazetteer) = (by_length(), groups());
        let articles: Vec<_> = (0..5).map(|id| article(id, 3 + id)).collect();
        let together = tag_all(articles.iter().cloned().map(segment).collect(), &classify, &gazetteer, 0.0).unwrap();
        assert_eq!(*classify.calls.lock().unwrap(), [together.iter().map(|a| a.sentences.len()).sum::<usize>()]);
        for (article, tagged) in articles.into_iter().zip(together) {
            assert_eq!(tag(article, &classify, &gazetteer, 0.0).unwrap(), tagged);
        }
    }

    #[test]
    fn one_long_article_is_handed_over_in_bounded_calls() {
        let classify = by_length();
        let tagged = tag(article(0, 2 * MAX_BATCH_SENTENCES + 1), &classify, &groups(), 0.0).unwrap();
        assert_eq!(tagged.sentences.len(), 2 * MAX_BATCH_SENTENCES + 1);
        assert_eq!(*classify.calls.lock().unwrap(), [MAX_BATCH_SENTENCES, MAX_BATCH_SENTENCES, 1]);
    }

    #[test]
    fn abstains_below_the_minimum_and_keeps_the_label() {
        let tagged = tag(article(0, 1), &by_length(), &groups(), 0.95).unwrap();
        assert!(tagged.sentences[0].abstained);
        assert_eq!(tagged.sentences[0].prediction.tags[1].label, 0);
        assert!(!tag(article(0, 1), &by_length(), &groups(), 0.5).unwrap().sentences[0].abstained);
    }

    #[test]
    fn batches_are_bounded_and_lose_neither_articles_nor_faults() {
        let stream = (0..200).map(|id| match id % 10 {
            9 => Err(Error::Usage(format!("fault {id}"))),
            _ => Ok(article(id, 20)),
        });
        let all: Vec<_> = batches(stream).collect();
        let ids: Vec<_> = all.iter().flat_map(|b| &b.articles).map(|a| a.article.id.clone()).collect();
        let expected: Vec<_> = (0..200).filter(|id| id % 10 != 9).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected);
        assert_eq!(all.iter().map(|b| b.faults.len()).sum::<usize>(), 20);
        for batch in &all {
            let n_sentences: usize = batch.articles.iter().map(|a| a.sentences.len()).sum();
            assert!(n_sentences < MAX_BATCH_SENTENCES + 20, "{n_sentences}");
        }
    }
}
