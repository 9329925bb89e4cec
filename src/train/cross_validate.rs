//! Every article is held out once: a model of its own for each fold and seed, scored on what it did not see.

use super::counterfactual::Rules;
use super::fit::{Event, Run};
use super::recipe::Recipe;
use super::run::{Base, prepare, with_adapters};
use crate::article::{Classify, Prediction};
use crate::baseline::{Kinds, Majority, Tfidf};
use crate::dataset::{Example, Folds, Split, folds_by_article};
use crate::error::{Error, Place, Result};
use crate::metrics::bootstrap::Bootstrap;
use crate::metrics::cross_validation::CrossValidation;
use crate::schema::Schema;
use std::sync::atomic::AtomicBool;

/// What is trained in each fold.
pub enum Learner<'a> {
    /// The transformer, by a recipe, from a base.
    Transformer(&'a Recipe, &'a Base),
    /// The most frequent label.
    Majority,
    /// n-grams of these kinds and logistic regression.
    Linear(Kinds),
}

/// The data and how it is cut.
pub struct Plan<'a> {
    /// The questions.
    pub schema: &'a Schema,
    /// Sentences that are held out fold by fold, whatever their split.
    pub examples: &'a [Example],
    /// Sentences that are never held out: split dev chooses the epoch, split test is left out, the rest is trained on.
    pub extra: &'a [Example],
    /// How sentences with other actors are made; none for none.
    pub rules: Option<&'a Rules>,
    /// How many folds.
    pub folds: Folds,
    /// One run each.
    pub seeds: Vec<u64>,
    /// Threads.
    pub workers: usize,
}

impl Plan<'_> {
    /// Trains and scores; `on_fold` is told seed, fold (from 0) and number of folds before each training.
    ///
    /// # Errors
    /// Fewer than two articles; an article both among the examples and the extra ones; a training that fails; an interrupt.
    pub fn run(
        &self,
        learner: &Learner<'_>,
        stop: &AtomicBool,
        on_fold: &mut dyn FnMut(u64, usize, usize),
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<CrossValidation> {
        let folds = folds_by_article(self.examples, self.folds);
        if folds.is_empty() {
            return Err(Error::bad(
                Place::file("the labels"),
                "fewer than two articles",
                "two or more, to hold one out",
            ));
        }
        if let Some(both) = self.extra.iter().find(|e| self.examples.iter().any(|x| x.article_id == e.article_id)) {
            let found = format!("article \"{}\" among the folds and the extra sentences", both.article_id);
            return Err(Error::bad(both.place.clone(), found, "each article on one side"));
        }
        let always: Vec<&Example> =
            self.extra.iter().filter(|e| matches!(e.split, Some(Split::Train) | None)).collect();
        let dev: Vec<&Example> = self.extra.iter().filter(|e| e.split == Some(Split::Dev)).collect();
        let mut runs = Vec::new();
        for seed in &self.seeds {
            let mut predictions: Vec<Option<Prediction>> = vec![None; self.examples.len()];
            for (i, (train, held_out)) in folds.iter().enumerate() {
                on_fold(*seed, i, folds.len());
                let train: Vec<&Example> = always.iter().chain(train).copied().collect();
                let classifier = self.learn(learner, *seed, &train, &dev, stop, on_event)?;
                let inputs: Vec<_> = held_out.iter().map(|e| e.input()).collect();
                for (example, prediction) in held_out.iter().zip(classifier.classify(&inputs)?) {
                    let at = self.examples.iter().position(|e| std::ptr::eq(e, *example));
                    predictions[at.expect("folds hold references to the examples")] = Some(prediction);
                }
            }
            let predictions: Option<Vec<Prediction>> = predictions.into_iter().collect();
            runs.push((*seed, predictions.expect("every article is held out once")));
        }
        Ok(CrossValidation::from_runs(self.schema, self.examples, folds.len(), &runs, Bootstrap::default()))
    }

    fn learn(
        &self,
        learner: &Learner<'_>,
        seed: u64,
        train: &[&Example],
        dev: &[&Example],
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Box<dyn Classify>> {
        match learner {
            Learner::Majority => Ok(Box::new(Majority::train(self.schema, train))),
            Learner::Linear(kinds) => Ok(Box::new(Tfidf::train(self.schema, kinds.clone(), train))),
            Learner::Transformer(recipe, base) => {
                let mut recipe = (*recipe).clone();
                recipe.training.seed = seed;
                let network = with_adapters(&base.config, &recipe);
                let run = Run {
                    recipe: &recipe,
                    schema: self.schema,
                    tokenizer: &base.tokenizer,
                    config: &network,
                    soft: &[],
                    rules: self.rules,
                    workers: self.workers,
                    checkpoint: None,
                    stop,
                };
                Ok(Box::new(prepare(&run, base, "fold", None, (train, dev), on_event)?.model))
            }
        }
    }
}
