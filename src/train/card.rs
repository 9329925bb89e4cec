//! The model card: what a stranger needs to know before trusting a model.

use super::recipe::Recipe;
use crate::dataset::Example;
use crate::metrics::evaluation::Evaluation;
use crate::model::Weights;
use crate::schema::Schema;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the card tells.
pub struct Card<'a, E: Borrow<Example>> {
    /// Name of the model.
    pub name: &'a str,
    /// Its questions.
    pub schema: &'a Schema,
    /// How it was trained.
    pub recipe: &'a Recipe,
    /// What it started from: a name, or nothing.
    pub base: Option<&'a str>,
    /// What it learned from.
    pub train: &'a [E],
    /// Number of sentences without labels whose tags by other models it learned from.
    pub n_soft: usize,
    /// Number of sentences that were made from those of `train`, with other actors.
    pub n_counterfactuals: usize,
    /// What the epoch was chosen on.
    pub dev: &'a [E],
    /// Its weights.
    pub weights: &'a Weights,
    /// Scores on dev, where there is a dev set.
    pub evaluation: Option<&'a Evaluation>,
    /// The epoch chosen, from 1.
    pub best_epoch: usize,
}

impl<E: Borrow<Example>> Card<'_, E> {
    /// The card in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("a string takes any text");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let origin = match self.base {
            Some(base) => format!("fine-tuned from `{base}`"),
            None => "trained from nothing but the data below".to_string(),
        };
        // What the hub and `rasid models list` read.
        let mut languages: BTreeMap<&str, usize> = BTreeMap::new();
        self.train.iter().for_each(|e| *languages.entry(e.borrow().language.as_str()).or_default() += 1);
        let languages: Vec<&str> = languages.into_keys().filter(|language| *language != "und").collect();
        writeln!(out, "---\nlanguage: [{}]\npipeline_tag: text-classification\n---\n", languages.join(", "))?;
        writeln!(out, "# {}\n", self.name)?;
        writeln!(out, "A Rasid model: it reads a sentence of a news article and answers")?;
        for head in &self.schema.heads {
            let names: Vec<_> = head.names().map(|n| format!("`{n}`")).collect();
            writeln!(out, "- **{}** ({}) {}", head.name, head.question, names.join(", "))?;
        }
        let m = &self.recipe.model;
        writeln!(
            out,
            "\nAn encoder of {} layers of {} ({} parameters with the embeddings), {origin}. The recipe is in `train.toml`, the labels' definitions in `schema.toml`.\n",
            m.num_hidden_layers,
            m.hidden_size,
            self.weights.n_parameters()
        )?;
        writeln!(out, "## Data\n")?;
        writeln!(out, "| split | articles | sentences | by language |\n|---|---|---|---|")?;
        for (name, examples) in [("train", self.train), ("dev", self.dev)] {
            let articles: std::collections::BTreeSet<_> =
                examples.iter().map(|e| e.borrow().article_id.as_str()).collect();
            let languages = counts(examples.iter().map(|e| e.borrow().language.as_str()));
            writeln!(out, "| {name} | {} | {} | {languages} |", articles.len(), examples.len())?;
        }
        writeln!(out)?;
        if self.n_soft > 0 {
            writeln!(
                out,
                "- besides, {} sentences without labels, with the tags that other models gave them",
                self.n_soft
            )?;
        }
        if self.n_counterfactuals > 0 {
            let n = self.n_counterfactuals;
            writeln!(
                out,
                "- besides, {n} sentences made from those of train, with other actors and the labels that then hold"
            )?;
        }
        for (h, head) in self.schema.heads.iter().enumerate() {
            let labels = self.train.iter().filter_map(|e| e.borrow().labels[h]).map(|l| head.classes[l].name.as_str());
            writeln!(out, "- `{}` in train: {}", head.name, counts(labels))?;
        }
        writeln!(out, "\n## Scores on dev\n")?;
        match self.evaluation {
            None => writeln!(
                out,
                "There was no dev set: the last epoch was taken, confidences are not calibrated, and nothing is known of its quality."
            )?,
            Some(evaluation) => {
                writeln!(
                    out,
                    "Epoch {} was chosen and the confidences were calibrated on these sentences, so a held-out test will score lower.\n",
                    self.best_epoch
                )?;
                writeln!(
                    out,
                    "| head | macro F1 | 95 % interval over articles | accuracy | sentences |\n|---|---|---|---|---|"
                )?;
                for (name, scores) in &evaluation.heads {
                    let interval =
                        scores.macro_f1_ci.map_or("—".into(), |[low, high]| format!("{low:.3} to {high:.3}"));
                    let (f1, accuracy) = (figure(scores.macro_f1), figure(scores.accuracy));
                    writeln!(out, "| {name} | {f1} | {interval} | {accuracy} | {} |", scores.sentences)?;
                }
                writeln!(out, "\nClass by class: `metrics.json`.")?;
            }
        }
        writeln!(out, "\n## Limits\n")?;
        writeln!(
            out,
            "- It tags sentences of news on the subject of its labels; on other text its answers mean nothing."
        )?;
        writeln!(
            out,
            "- It reads {} tokens at most; what is cut is reported as `truncated`.",
            self.recipe.input.max_tokens
        )?;
        writeln!(
            out,
            "- A tag is what the sentence reports, not what happened; check the source before acting on it."
        )?;
        writeln!(
            out,
            "- Languages with few sentences in the table above are served worse; measure on your own labels with `rasid evaluate`."
        )?;
        writeln!(
            out,
            "\n## Licence\n\nMIT OR Apache-2.0 for the weights, as far as the labels and the base they were trained on allow it."
        )
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("—".to_string(), |v| format!("{v:.3}"))
}

/// "ar 120, en 30", the most frequent first.
fn counts<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut n: BTreeMap<&str, usize> = BTreeMap::new();
    values.for_each(|v| *n.entry(v).or_default() += 1);
    let mut n: Vec<_> = n.into_iter().collect();
    n.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    n.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
