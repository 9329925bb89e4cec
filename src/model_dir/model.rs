//! A model that is ready to classify.

use crate::article::{Classify, Prediction, SentenceInput};
use crate::baseline::Tfidf;
use crate::error::Result;
use crate::kernels::math::softmax_in_place;
use crate::kernels::threads::{default_workers, in_parallel};
use crate::lexicon::Lexicon;
use crate::model::Engine;
use crate::schema::{Combinations, Schema};
use crate::tokens::{Encoded, InputConfig, Packed, Tokenizer};
use std::sync::Arc;

/// Tokenizer, network and labels together.
pub struct Model {
    /// Name of the model in outputs.
    pub name: String,
    /// SHA-256 of the weights' file, in hexadecimal; empty for a model that is being trained.
    pub sha256: String,
    /// The questions it answers.
    pub schema: Schema,
    /// Splits text into ids.
    pub tokenizer: Arc<Tokenizer>,
    /// How much it reads.
    pub input: InputConfig,
    /// The network.
    pub engine: Engine,
    /// A linear classifier on n-grams beside it.
    pub ngrams: Option<Tfidf>,
    /// One a head: what the n-grams' logarithms of probabilities are multiplied by.
    pub ngram_weights: Vec<f32>,
    /// One a head: logits are divided by it before the softmax.
    pub temperatures: Vec<f32>,
    /// A sentence may have several labels: each has a probability of its own. Only models of other programs are so.
    pub is_multi_label: bool,
    /// Number of threads that classify.
    pub workers: usize,
}

impl Model {
    /// A model over a network; temperatures are 1 and the workers as many as cores.
    pub fn new(name: &str, schema: Schema, tokenizer: Arc<Tokenizer>, input: InputConfig, engine: Engine) -> Model {
        let temperatures = vec![1.0; schema.heads.len()];
        let (ngrams, ngram_weights) = (None, vec![0.0; schema.heads.len()]);
        let (name, sha256, workers) = (name.to_string(), String::new(), default_workers());
        Model {
            name,
            sha256,
            schema,
            tokenizer,
            input,
            engine,
            ngrams,
            ngram_weights,
            temperatures,
            is_multi_label: false,
            workers,
        }
    }

    /// The lexicon that network or n-grams look into.
    pub fn lexicon(&self) -> Option<Arc<Lexicon>> {
        let beside = self.ngrams.as_ref().and_then(|n| n.kinds().lexicon.clone());
        self.tokenizer.lexicon().cloned().or(beside)
    }

    /// Looks into another lexicon from now on, which must begin with the same types; a model without one stays without.
    pub fn set_lexicon(&mut self, lexicon: Arc<Lexicon>) {
        if self.tokenizer.lexicon().is_some()
            && let Some(tokenizer) = Arc::get_mut(&mut self.tokenizer)
        {
            tokenizer.set_lexicon(Some(lexicon.clone()));
        }
        if let Some(ngrams) = &mut self.ngrams {
            ngrams.set_lexicon(lexicon);
        }
    }

    /// Logits of every head for sentences already encoded: one vector (of L values) a head, a sentence.
    ///
    /// Sentences are packed by length and packs are spread over the workers; the order of the results is that of the
    /// input, and a sentence's logits are the same in every pack.
    ///
    /// # Errors
    /// A sentence is longer than the network reads.
    pub fn logits(&self, encoded: &[Encoded]) -> Result<Vec<Vec<Vec<f32>>>> {
        let mut order: Vec<usize> = (0..encoded.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(encoded[*i].ids.len()));
        // Fewer where there would be less than two packs for each worker.
        let n_tokens: usize = encoded.iter().map(|e| e.ids.len()).sum();
        let (least, most) = self.engine.format().tokens_at_once();
        let at_once = (n_tokens / (2 * self.workers.max(1))).clamp(least, most);
        let mut packs: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for i in order {
            let n = encoded[i].ids.len();
            match packs.last_mut() {
                Some(pack) if n <= room => pack.push(i),
                _ => {
                    packs.push(vec![i]);
                    room = at_once;
                }
            }
            room = room.saturating_sub(n);
        }
        let results = in_parallel(&packs, self.workers, |pack| {
            let batch = Packed::new(&pack.iter().map(|i| &encoded[*i]).collect::<Vec<_>>());
            self.engine.logits(&batch)
        });
        let mut logits = vec![Vec::new(); encoded.len()];
        for (pack, heads) in packs.iter().zip(results) {
            for (head, of) in heads?.iter().zip(&self.schema.heads) {
                for (i, row) in pack.iter().zip(head.chunks_exact(of.classes.len())) {
                    logits[*i].push(row.to_vec());
                }
            }
        }
        Ok(logits)
    }

    /// What the n-grams say of each sentence, one list a head; empty without n-grams.
    pub fn ngram_logits(&self, inputs: &[SentenceInput<'_>]) -> Vec<Vec<Vec<f32>>> {
        match &self.ngrams {
            Some(ngrams) => in_parallel(inputs, self.workers, |input| ngrams.log_probabilities(input)),
            None => Vec::new(),
        }
    }

    fn add_ngrams(&self, inputs: &[SentenceInput<'_>], logits: &mut [Vec<Vec<f32>>]) {
        for (heads, more) in logits.iter_mut().zip(self.ngram_logits(inputs)) {
            for ((row, more), weight) in heads.iter_mut().zip(more).zip(&self.ngram_weights) {
                row.iter_mut().zip(more).for_each(|(x, y)| *x += weight * y);
            }
        }
    }

    /// Encodes sentences with this model's tokenizer and context, in parallel.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn encode(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Encoded>> {
        in_parallel(inputs, self.workers, |input| self.tokenizer.encode(*input, &self.input)).into_iter().collect()
    }
}

impl Classify for Model {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn classify(&self, inputs: &[SentenceInput<'_>]) -> Result<Vec<Prediction>> {
        let encoded = self.encode(inputs)?;
        let mut logits = self.logits(&encoded)?;
        self.add_ngrams(inputs, &mut logits);
        let combinations = Combinations::of(&self.schema).filter(|_| !self.is_multi_label);
        let predictions = encoded.iter().zip(logits).map(|(encoded, mut heads)| {
            for (row, temperature) in heads.iter_mut().zip(&self.temperatures) {
                row.iter_mut().for_each(|x| *x /= temperature);
                match self.is_multi_label {
                    true => row.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
                    false => softmax_in_place(row),
                }
            }
            Prediction::new(heads, combinations.as_ref(), encoded.truncated)
        });
        Ok(predictions.collect())
    }
}
