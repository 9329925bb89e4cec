//! The bag of n-grams: TF-IDF vectors and one logistic regression a head.

use super::features::{Kinds, SparseVector, Vocabulary};
use super::regression::Regression;
use super::{gold_counts, shares};
use crate::article::{Classify, Prediction, SentenceInput, Tag};
use crate::dataset::Example;
use crate::error::Result;
use crate::lexicon::Lexicon;
use crate::schema::Schema;
use std::sync::Arc;

/// An n-gram must occur in one sentence, and in one more for every so many sentences: leaving rare ones out costs a little
/// (macro F1 .624 instead of .640 on some 940 sentences) but bounds the memory.
const SENTENCES_PER_MIN_DOCUMENT: usize = 5000;

/// Strength of the data against the penalty on the weights (scikit-learn's C). Of .3, 1, 3, 10 and 30, by five folds over the
/// articles of some 940 sentences, 30 is best in macro F1 and by far in calibration.
const INVERSE_PENALTY: f32 = 30.0;

/// A linear classifier on n-grams of the sentence alone. N-grams of the previous sentence and of the headline, apart from the
/// sentence's own and at .3 of their weight, did not help: by five folds over 122 written articles (1,272 sentences) macro F1
/// stays at .674 to .675 for `incident` and falls from .513 to .498 for `perpetrator`.
#[derive(Debug, Clone)]
pub struct Tfidf {
    pub(super) schema: Schema,
    pub(super) vocabulary: Vocabulary,
    pub(super) heads: Vec<HeadModel>,
}

#[derive(Debug, Clone)]
pub(super) enum HeadModel {
    Fitted(Regression),
    /// Fewer than two classes were seen: there is nothing to tell apart.
    Constant(Vec<f32>),
}

impl HeadModel {
    pub(super) fn fitted(&self) -> Option<&Regression> {
        match self {
            HeadModel::Fitted(regression) => Some(regression),
            HeadModel::Constant(_) => None,
        }
    }

    fn probabilities(&self, vector: &SparseVector) -> Vec<f32> {
        match self {
            HeadModel::Fitted(regression) => regression.probabilities(vector),
            HeadModel::Constant(shares) => shares.clone(),
        }
    }
}

impl Tfidf {
    /// Which n-grams it looks at.
    pub fn kinds(&self) -> &Kinds {
        self.vocabulary.kinds()
    }

    /// Looks into another lexicon from now on, if it looks into one at all.
    pub fn set_lexicon(&mut self, lexicon: Arc<Lexicon>) {
        self.vocabulary.set_lexicon(lexicon);
    }

    /// Logarithms of the probabilities, one list a head, for a sentence: what is added to a network's logits.
    pub fn log_probabilities(&self, input: &SentenceInput<'_>) -> Vec<Vec<f32>> {
        let vector = self.vocabulary.vector(input);
        let head = |head: &HeadModel| head.probabilities(&vector).iter().map(|p| p.max(1e-9).ln()).collect();
        self.heads.iter().map(head).collect()
    }

    /// Fits vocabulary and weights. Examples without a gold label for a head do not train that head. Deterministic.
    pub fn train(schema: &Schema, kinds: Kinds, examples: &[&Example]) -> Self {
        let inputs: Vec<_> = examples.iter().map(|e| e.input()).collect();
        let vocabulary = Vocabulary::learn(&inputs, kinds, 1 + (inputs.len() / SENTENCES_PER_MIN_DOCUMENT) as u32);
        let vectors: Vec<SparseVector> = inputs.iter().map(|input| vocabulary.vector(input)).collect();
        let fit = |(i, counts): (usize, Vec<u64>)| {
            if counts.iter().filter(|n| **n > 0).count() < 2 {
                return HeadModel::Constant(shares(&counts));
            }
            let gold = examples.iter().map(|e| e.labels[i]);
            let sentences: Vec<_> = vectors.iter().zip(gold).filter_map(|(v, gold)| Some((v, gold?))).collect();
            HeadModel::Fitted(Regression::fit(&sentences, vocabulary.len(), counts.len(), INVERSE_PENALTY))
        };
        let heads = gold_counts(schema, examples).into_iter().enumerate().map(fit).collect();
        Tfidf { schema: schema.clone(), vocabulary, heads }
    }
}

impl Classify for Tfidf {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn classify(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Prediction>> {
        let predict = |input: &SentenceInput<'_>| {
            let vector = self.vocabulary.vector(input);
            let tags = self.heads.iter().map(|head| Tag::from_probabilities(head.probabilities(&vector)));
            Prediction { tags: tags.collect(), truncated: false }
        };
        Ok(inputs.iter().map(predict).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Majority;
    use crate::error::Place;
    use std::path::Path;

    fn example(text: &str, incident: &str) -> Example {
        let gold = shipped().heads[0].names().position(|n| n == incident);
        Example {
            id: None,
            article_id: "a".into(),
            language: "ar".into(),
            title: None,
            previous: None,
            text: text.into(),
            start: None,
            end: None,
            labels: vec![gold, None],
            split: None,
            source: None,
            annotator: None,
            place: Place::line("x.jsonl", 1),
        }
    }

    fn shipped() -> Schema {
        Schema::read(Path::new("labels/schema.toml")).unwrap()
    }

    fn examples() -> Vec<Example> {
        let texts = [
            ("هاجم مسلحون من داعش نقطة للجيش", "is_attack"),
            ("هجوم لتنظيم داعش يقتل جنديين", "is_attack"),
            ("دعا رئيس الوزراء إلى انسحاب القوات", "policy_statement"),
            ("أعلن رئيس الوزراء موعد الانسحاب", "policy_statement"),
            ("اشترك في النشرة البريدية", "other"),
        ];
        texts.iter().map(|(text, label)| example(text, label)).collect()
    }

    #[test]
    fn learns_words_and_answers_equal_shares_where_nothing_was_labelled() {
        let (schema, examples) = (shipped(), examples());
        let tfidf = Tfidf::train(&schema, Kinds::letters(), &examples.iter().collect::<Vec<_>>());
        let input = SentenceInput {
            language: "und", text: "مقتل جنود في هجوم شنه داعش", title: None, previous: None
        };
        let prediction = &tfidf.classify(&[input]).unwrap()[0];
        assert_eq!(schema.heads[0].classes[prediction.tags[0].label].name, "is_attack");
        assert!(prediction.tags[1].probabilities.iter().all(|p| (p - 1.0 / 7.0).abs() < 1e-6));
    }

    #[test]
    fn training_twice_gives_the_same_and_neighbours_change_nothing() {
        let (schema, examples) = (shipped(), examples());
        let references: Vec<_> = examples.iter().collect();
        let inputs: Vec<_> = examples.iter().map(Example::input).collect();
        let (a, b) = (
            Tfidf::train(&schema, Kinds::letters(), &references),
            Tfidf::train(&schema, Kinds::letters(), &references),
        );
        let together = a.classify(&inputs).unwrap();
        assert_eq!(together, b.classify(&inputs).unwrap());
        assert_eq!(together[2], a.classify(&inputs[2..3]).unwrap()[0]);
    }

    #[test]
    fn no_examples_and_odd_sentences_are_no_panic() {
        let schema = shipped();
        for classifier in
            [&Tfidf::train(&schema, Kinds::letters(), &[]) as &dyn Classify, &Majority::train(&schema, &[])]
        {
            let input = |text| SentenceInput { language: "und", text, title: None, previous: None };
            let predictions = classifier.classify(&[input("😀😀"), input("\0"), input("ـ")]).unwrap();
            assert!(predictions.iter().all(|p| p.tags.len() == 2 && p.tags[0].label == 0));
        }
    }

    #[test]
    fn the_majority_is_the_most_frequent_class_with_its_share() {
        let (schema, mut examples) = (shipped(), examples());
        examples.push(example("x", "other"));
        examples.push(example("y", "other"));
        let majority = Majority::train(&schema, &examples.iter().collect::<Vec<_>>());
        let prediction = &majority.classify(&[examples[0].input()]).unwrap()[0];
        assert_eq!(schema.heads[0].classes[prediction.tags[0].label].name, "other");
        assert!((prediction.tags[0].confidence() - 3.0 / 7.0).abs() < 1e-6);
    }
}
