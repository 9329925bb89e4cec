//! Two labelings of the same sentences → how far they agree beyond chance.

use super::Example;
use crate::error::{Error, Result};
use crate::schema::Schema;
use serde::Serialize;
use std::collections::HashMap;

/// How far two labelings agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Sentences in both.
    pub shared: usize,
    /// Sentences in the first only.
    pub only_a: usize,
    /// Sentences in the second only.
    pub only_b: usize,
    /// One entry a head of the schema.
    pub heads: Vec<HeadAgreement>,
}

/// How far two labelings agree on one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadAgreement {
    /// Name of the head.
    pub head: String,
    /// Sentences that both labelled.
    pub sentences: usize,
    /// Share with the same label; none without sentences.
    pub observed: Option<f64>,
    /// Share with the same label that chance would give: Σ over classes of p_a · p_b.
    pub expected: Option<f64>,
    /// Cohen's κ = (observed − expected) / (1 − expected); none where both use one and the same label throughout.
    /// J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960).
    pub kappa: Option<f64>,
    /// Labels, in the order of `confusion`.
    pub classes: Vec<String>,
    /// `confusion[a][b]`: sentences with class `a` in the first labeling and `b` in the second.
    pub confusion: Vec<Vec<usize>>,
}

/// Compares two labelings sentence by sentence: by id where all sentences of both have one, else by article and text (of equal
/// ones the first with the first).
///
/// # Errors
/// No sentence is in both, or one id stands for two texts.
pub fn agreement(a: &[Example], b: &[Example], schema: &Schema) -> Result<Agreement> {
    let by_id = a.iter().chain(b).all(|example| example.id.is_some());
    let in_b: HashMap<_, _> = keyed(b, by_id).into_iter().collect();
    let mut pairs = Vec::new();
    for (key, example) in keyed(a, by_id) {
        let Some(other) = in_b.get(&key) else { continue };
        if example.text != other.text {
            let found = format!("id \"{}\" with another text than at {}", key.1, other.place);
            return Err(Error::bad(example.place.clone(), found, "two labelings of the same sentences"));
        }
        pairs.push((example, *other));
    }
    if pairs.is_empty() {
        return Err(Error::Usage(
            "the two labelings have no sentence in common (compared by id, else by article_id and text)".into(),
        ));
    }
    let heads = (0..schema.heads.len()).map(|h| head_agreement(&pairs, h, schema)).collect();
    Ok(Agreement { shared: pairs.len(), only_a: a.len() - pairs.len(), only_b: b.len() - pairs.len(), heads })
}

/// Article, id or text, and how many with the same came before.
type Key<'e> = (&'e str, &'e str, usize);

fn keyed(examples: &[Example], by_id: bool) -> Vec<(Key<'_>, &Example)> {
    let mut n_before: HashMap<(&str, &str), usize> = HashMap::new();
    let mut keyed = Vec::with_capacity(examples.len());
    for example in examples {
        let (article, what) = match example.id.as_deref() {
            Some(id) if by_id => ("", id),
            _ => (example.article_id.as_str(), example.text.as_str()),
        };
        let n = n_before.entry((article, what)).or_default();
        keyed.push(((article, what, *n), example));
        *n += 1;
    }
    keyed
}

fn head_agreement(pairs: &[(&Example, &Example)], h: usize, schema: &Schema) -> HeadAgreement {
    let head = &schema.heads[h];
    let n_classes = head.classes.len();
    let mut confusion = vec![vec![0; n_classes]; n_classes];
    for (a, b) in pairs {
        if let (Some(a), Some(b)) = (a.labels[h], b.labels[h]) {
            confusion[a][b] += 1;
        }
    }
    let sentences: usize = confusion.iter().flatten().sum();
    let share = |n: usize| n as f64 / sentences as f64;
    let observed = share((0..n_classes).map(|c| confusion[c][c]).sum());
    let expected = (0..n_classes)
        .map(|c| share(confusion[c].iter().sum()) * share(confusion.iter().map(|row| row[c]).sum()))
        .sum::<f64>();
    let any = sentences > 0;
    // 1 − expected is 0 only if both always give the same one label: then agreement says nothing.
    let one_label = confusion.iter().enumerate().any(|(c, row)| row[c] == sentences);
    HeadAgreement {
        head: head.name.clone(),
        sentences,
        observed: any.then_some(observed),
        expected: any.then_some(expected),
        kappa: (any && !one_label).then(|| (observed - expected) / (1.0 - expected)),
        classes: head.names().map(String::from).collect(),
        confusion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;
    use std::path::Path;

    fn schema() -> Schema {
        let text = "version = 1\n[[head]]\nname='h'\nquestion='?'\n\
                    [[head.class]]\nname='yes'\ndefinition=''\n[[head.class]]\nname='no'\ndefinition=''\n";
        Schema::parse(text, Path::new("s")).unwrap()
    }

    fn labelled(labels: &[usize], with_id: bool) -> Vec<Example> {
        let example = |(i, label): (usize, &usize)| Example {
            id: with_id.then(|| i.to_string()),
            article_id: "a".into(),
            language: "en".into(),
            title: None,
            previous: None,
            text: "the same".into(),
            start: None,
            end: None,
            labels: vec![Some(*label)],
            split: None,
            source: None,
            annotator: None,
            place: Place::line("x", i as u64 + 1),
        };
        labels.iter().enumerate().map(example).collect()
    }

    #[test]
    fn kappa_of_the_textbook_table() {
        // 50 grant applications: both yes 20, only A yes 5, only B yes 10, both no 15.
        // observed = 35/50; expected = 25/50·30/50 + 25/50·20/50 = .5; κ = (.7 − .5) / .5 = .4
        let a: Vec<usize> = [vec![0; 25], vec![1; 25]].concat();
        let b: Vec<usize> = [vec![0; 20], vec![1; 5], vec![0; 10], vec![1; 15]].concat();
        for with_id in [true, false] {
            let head = &agreement(&labelled(&a, with_id), &labelled(&b, with_id), &schema()).unwrap().heads[0];
            assert_eq!(head.confusion, [[20, 5], [10, 15]]);
            assert!((head.observed.unwrap() - 35.0 / 50.0).abs() < 1e-12);
            assert!((head.expected.unwrap() - 0.5).abs() < 1e-12);
            assert!((head.kappa.unwrap() - 0.4).abs() < 1e-12);
        }
    }

    #[test]
    fn opposite_labels_are_below_chance_and_one_label_throughout_is_undefined() {
        let opposite = agreement(&labelled(&[0, 1], true), &labelled(&[1, 0], true), &schema()).unwrap();
        assert_eq!(opposite.heads[0].kappa, Some((0.0 - 0.5) / 0.5));
        let same = agreement(&labelled(&[0, 0, 0], true), &labelled(&[0, 0], true), &schema()).unwrap();
        assert_eq!((same.heads[0].kappa, same.heads[0].observed, same.shared, same.only_a), (None, Some(1.0), 2, 1));
    }

    #[test]
    fn different_sentences_cannot_be_compared() {
        let a = labelled(&[0], true);
        let mut b = labelled(&[0], true);
        b[0].text = "another".into();
        assert!(agreement(&a, &b, &schema()).unwrap_err().to_string().contains("id \"0\" with another text"));
        b[0].id = Some("9".into());
        assert!(agreement(&a, &b, &schema()).unwrap_err().to_string().contains("no sentence in common"));
    }
}
