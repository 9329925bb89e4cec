//! What is counted over all articles of a report.

use super::Context;
use crate::article::{TaggedArticle, TaggedSentence};
use std::collections::BTreeMap;

/// Counts over the sentences shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Articles, also those without a sentence to show.
    pub n_articles: usize,
    /// Sentences.
    pub n_sentences: usize,
    /// Sentences by head and class, in the schema's order.
    pub by_label: Vec<Vec<usize>>,
    /// Sentences below the asked confidence.
    pub n_abstained: usize,
    /// Sentences that were longer than the model reads.
    pub n_truncated: usize,
    groups: BTreeMap<String, GroupCount>,
}

/// How often a group was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCount {
    /// Canonical name.
    pub name: String,
    /// Mentions.
    pub n_mentions: usize,
}

impl Counts {
    /// Nothing counted yet.
    pub fn new(context: &Context) -> Counts {
        let by_label = context.schema.heads.iter().map(|head| vec![0; head.classes.len()]).collect();
        Counts { n_articles: 0, n_sentences: 0, by_label, n_abstained: 0, n_truncated: 0, groups: BTreeMap::new() }
    }

    /// Counts an article and those of its sentences that are shown.
    pub fn add(&mut self, context: &Context, article: &TaggedArticle) {
        self.n_articles += 1;
        context.shown(article).for_each(|(_, sentence)| self.add_sentence(sentence));
    }

    fn add_sentence(&mut self, sentence: &TaggedSentence) {
        self.n_sentences += 1;
        self.n_abstained += usize::from(sentence.abstained);
        self.n_truncated += usize::from(sentence.prediction.truncated);
        for (head, tag) in sentence.prediction.tags.iter().enumerate() {
            self.by_label[head][tag.label] += 1;
        }
        for group in &sentence.groups {
            let new = || GroupCount { name: group.name.clone(), n_mentions: 0 };
            self.groups.entry(group.id.clone()).or_insert_with(new).n_mentions += 1;
        }
    }

    /// The groups named, the most frequent first, equals by name.
    pub fn groups(&self) -> Vec<&GroupCount> {
        let mut groups: Vec<_> = self.groups.values().collect();
        groups.sort_by(|a, b| b.n_mentions.cmp(&a.n_mentions).then_with(|| a.name.cmp(&b.name)));
        groups
    }
}
