//! Examples → splits and folds, always by whole articles.

use super::{Example, Split};
use std::collections::{BTreeMap, HashMap};

/// The examples of one split, in the order given.
pub fn of_split(examples: &[Example], split: Split) -> Vec<&Example> {
    examples.iter().filter(|example| example.split == Some(split)).collect()
}

/// How many folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folds {
    /// That many, at least 2, at most as many as there are articles.
    Number(usize),
    /// One a article.
    LeaveOneOut,
}

/// `(train, held_out)` a fold: every article is held out exactly once, and no article stands on both sides.
///
/// Deterministic; the sentence counts of the folds differ by at most the longest article. Both sides keep the order given.
/// Empty where there are fewer than two articles, since nothing can be held out then.
pub fn folds_by_article(examples: &[Example], n: Folds) -> Vec<(Vec<&Example>, Vec<&Example>)> {
    let mut n_sentences: BTreeMap<&str, usize> = BTreeMap::new();
    for example in examples {
        *n_sentences.entry(&example.article_id).or_default() += 1;
    }
    if n_sentences.len() < 2 {
        return Vec::new();
    }
    let n_folds = match n {
        Folds::Number(n) => n.clamp(2, n_sentences.len()),
        Folds::LeaveOneOut => n_sentences.len(),
    };
    let mut articles: Vec<(&str, usize)> = n_sentences.into_iter().collect();
    if n != Folds::LeaveOneOut {
        // Long articles first, each into the fold that is shortest so far.
        articles.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    }
    let mut sizes = vec![(0, 0); n_folds];
    let mut fold_of: HashMap<&str, usize> = HashMap::new();
    for (article, n) in articles {
        // Equal sizes: fewer articles first, so that every fold gets one.
        let fold = (0..n_folds).min_by_key(|fold| sizes[*fold]).expect("two folds or more");
        sizes[fold].0 += n;
        sizes[fold].1 += 1;
        fold_of.insert(article, fold);
    }
    (0..n_folds).map(|fold| examples.iter().partition(|example| fold_of[example.article_id.as_str()] != fold)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;
    use proptest::prelude::*;

    fn example(article: usize) -> Example {
        Example {
            id: None,
            article_id: format!("a{article}"),
            language: "en".into(),
            title: None,
            previous: None,
            text: "x".into(),
            start: None,
            end: None,
            labels: vec![Some(0)],
            split: None,
            source: None,
            annotator: None,
            place: Place::file("x"),
        }
    }

    #[test]
    fn leave_one_out_holds_out_each_article_in_turn() {
        let examples: Vec<_> = [0, 0, 1, 2, 2].map(example).into();
        let folds = folds_by_article(&examples, Folds::LeaveOneOut);
        let held_out: Vec<Vec<&str>> =
            folds.iter().map(|(_, h)| h.iter().map(|e| e.article_id.as_str()).collect()).collect();
        assert_eq!(held_out, [vec!["a0", "a0"], vec!["a1"], vec!["a2", "a2"]]);
        assert!(folds_by_article(&examples[..2], Folds::Number(5)).is_empty());
    }

    proptest! {
        #[test]
        fn every_sentence_is_held_out_once_and_no_article_is_parted(articles in prop::collection::vec(0usize..12, 1..80), n in 0usize..9) {
            let examples: Vec<_> = articles.iter().map(|a| example(*a)).collect();
            let folds = folds_by_article(&examples, Folds::Number(n));
            let n_articles = articles.iter().collect::<std::collections::HashSet<_>>().len();
            prop_assert_eq!(folds.len(), if n_articles < 2 { 0 } else { n.clamp(2, n_articles) });
            let longest = (0..12).map(|a| articles.iter().filter(|x| **x == a).count()).max().unwrap();
            let sizes: Vec<usize> = folds.iter().map(|(_, held_out)| held_out.len()).collect();
            if !folds.is_empty() {
                prop_assert_eq!(sizes.iter().sum::<usize>(), examples.len());
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= longest);
                prop_assert!(*sizes.iter().min().unwrap() > 0);
            }
            for (train, held_out) in &folds {
                prop_assert_eq!(train.len() + held_out.len(), examples.len());
                prop_assert!(held_out.iter().all(|h| train.iter().all(|t| t.article_id != h.article_id)));
            }
        }
    }
}
