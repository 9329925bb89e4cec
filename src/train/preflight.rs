//! What is checked before the first epoch, so that a run does not fail after an hour.

use super::batches::{Item, items};
use super::fit::{Run, as_variables, heads};
use super::soft::SoftExample;
use crate::dataset::{Example, Split};
use crate::error::{Error, Place, Result};
use crate::kernels::cross_entropy::Target;
use crate::model::weights::{LEXICON_EMBEDDINGS, LORA_A};
use crate::model::{Classifier, Weights};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::Path;

/// Checks that no sentence to choose by is among those that other models have tagged.
///
/// # Errors
/// One is; the message names the place of its label.
pub fn check_tags<E: Borrow<Example>>(soft: &[SoftExample], dev: &[E]) -> Result<()> {
    let tagged: std::collections::BTreeSet<&str> = soft.iter().map(|e| e.text.trim()).collect();
    match dev.iter().map(Borrow::borrow).find(|e| tagged.contains(e.text.trim())) {
        None => Ok(()),
        Some(e) => {
            let error = Error::bad(
                e.place.clone(),
                "a dev sentence that stands in --distill too",
                "text that no score is measured on",
            );
            Err(error.hint("leave its article out of what is classified for --distill"))
        }
    }
}

/// Checks the data: something to learn from, every head labelled, no article in two splits.
///
/// # Errors
/// The first of these that does not hold.
pub fn check_data<E: Borrow<Example>>(run: &Run<'_>, train: &[E], dev: &[E]) -> Result<()> {
    let labels = || Place::file("the labels");
    if train.is_empty() {
        let error = Error::bad(labels(), "no sentence to train on", "records with split \"train\" or without a split");
        return Err(
            error.hint("records of split \"dev\" choose the epoch and records of split \"test\" are never looked at")
        );
    }
    for (h, head) in run.schema.heads.iter().enumerate() {
        let mut seen: Vec<usize> = train.iter().filter_map(|e| e.borrow().labels[h]).collect();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < 2 {
            let found = format!("head \"{}\" with {} of its classes in the train split", head.name, seen.len());
            return Err(Error::bad(labels(), found, "at least two classes"));
        }
    }
    let mut side: BTreeMap<&str, Split> = BTreeMap::new();
    let train = train.iter().map(|e| (e.borrow(), Split::Train));
    for (example, split) in train.chain(dev.iter().map(|e| (e.borrow(), Split::Dev))) {
        if *side.entry(&example.article_id).or_insert(split) != split {
            let found = format!("article \"{}\" in train and in dev", example.article_id);
            let error = Error::bad(example.place.clone(), found, "each article in one split");
            return Err(error.hint(
                "a sentence of a known article is easier than one of a new article; `rasid labels check` lists all",
            ));
        }
    }
    Ok(())
}

/// Checks that the output folder can be written and holds no model that would be lost.
///
/// # Errors
/// Something is there already, or the folder above cannot be written.
pub fn check_output(output: &Path, overwrite: bool) -> Result<()> {
    if output.exists() && !overwrite {
        let error = Error::bad(Place::file(output), "something that is there already", "a name that is free");
        return Err(
            error.hint("choose another --output, or give --overwrite to replace it when the new model is whole")
        );
    }
    let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    tempfile::tempfile_in(parent).map(drop).map_err(Error::io("write in", parent))
}

/// Runs one batch forward and backward and checks that every variable takes part, as far as it can: each gets a gradient,
/// and no gradient but an embedding's is all zero.
///
/// # Errors
/// A variable without a gradient: training would leave it as it is and look fine.
pub fn check_gradients<E: Borrow<Example>>(run: &Run<'_>, start: &Weights, train: &[E]) -> Result<()> {
    let n_layers = run.config.num_hidden_layers;
    let weights = as_variables(start, run.recipe, n_layers)?;
    let network = Classifier::new(run.config, &heads(run.schema), &weights, "the network in training".as_ref())?;
    let n = run.recipe.training.batch_size.min(train.len());
    let sample: Vec<Item> = items(&train[..n], run.tokenizer, &run.recipe.input)?;
    let batch: Vec<&Item> = sample.iter().collect();
    let objective = run.objective(train);
    let (loss, gradients) = objective.gradients(&network, &weights, &batch, run.recipe.training.seed, run.workers)?;
    if !loss.is_finite() {
        return Err(Error::Usage(format!("the loss of the first batch is {loss}; the base's weights may be damaged")));
    }
    let n_labelled = |h: usize| sample.iter().filter(|item| item.targets[h] != Target::None).count();
    for name in weights.0.iter().filter(|(_, w)| w.is_variable()).map(|(name, _)| name) {
        // A head may be without a label in this batch; its gradient is then zero and rightly so.
        let head = run.schema.heads.iter().position(|h| name.starts_with(&format!("classifier.{}.", h.name)));
        // Nor need a term of the lexicon stand in it, and an adapter's first half learns once its second is no longer zero.
        let starts_later = name == LEXICON_EMBEDDINGS || name.ends_with(LORA_A);
        let may_be_zero = head.is_some_and(|h| n_labelled(h) == 0) || starts_later;
        let taking_part = gradients.get(name).is_some_and(|g| may_be_zero || g.iter().any(|x| *x != 0.0));
        if !taking_part {
            return Err(Error::Usage(format!("weight \"{name}\" receives no gradient: it would never learn")));
        }
    }
    Ok(())
}
