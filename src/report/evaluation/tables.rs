//! Which figures a reader is shown, and in which order.

use super::document::{Block, Cell, Document, Table};
use super::{ComparisonReport, EvaluationReport, charts};
use crate::metrics::bootstrap::{Bootstrap, Interval};
use crate::metrics::compare::{Difference, McNemar};
use crate::metrics::cross_validation::CrossValidation;
use crate::metrics::evaluation::{Breakdown, Evaluation};
use crate::metrics::head::{FIGURES, HeadScores};

/// Headline figures, then each head class by class, then the parts.
pub fn evaluation(report: &EvaluationReport) -> Document {
    let evaluation = &report.evaluation;
    let mut blocks = vec![Block::Line(counts(evaluation, report.split.as_deref())), headline(evaluation)];
    for (name, head) in &evaluation.heads {
        blocks.extend(head_blocks(name, head));
    }
    blocks.extend(report.by.iter().flat_map(breakdown));
    blocks.push(Block::Heading("How to read this".into()));
    blocks.push(Block::Line(intervals(&evaluation.bootstrap, evaluation.articles)));
    blocks.push(Block::Line(
        "Macro figures average the classes with gold support. — is undefined (nothing to divide by).".into(),
    ));
    Document { title: format!("Evaluation of {}", report.model), blocks }
}

fn counts(evaluation: &Evaluation, split: Option<&str>) -> String {
    let Evaluation { sentences, articles, truncated, .. } = evaluation;
    let split = split.map_or("every split".to_string(), |s| format!("split {s}"));
    let truncated = if *truncated > 0 { format!("; {truncated} longer than the model reads") } else { String::new() };
    format!("{sentences} sentences of {articles} articles, {split}{truncated}")
}

fn intervals(bootstrap: &Bootstrap, n_articles: usize) -> String {
    let Bootstrap { resamples, seed } = bootstrap;
    match n_articles {
        0 | 1 => "No intervals: they need two articles or more.".to_string(),
        2..10 => format!(
            "[95 % intervals] resample whole articles ({resamples} times, seed {seed}); {n_articles} articles are few, so take them as a rough guide."
        ),
        _ => format!("[95 % intervals] resample whole articles ({resamples} times, seed {seed})."),
    }
}

/// The figures of a head that stand on top, as rows.
const HEADLINES: [&str; 6] =
    ["macro_f1", "micro_f1", "weighted_f1", "accuracy", "macro_average_precision", "expected_calibration_error"];

fn headline(evaluation: &Evaluation) -> Block {
    let mut header = vec![String::new()];
    header.extend(evaluation.heads.iter().map(|(name, _)| name.clone()));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    // Of contrast and role pairs what counts is that both members are right.
    let are_pairs = evaluation.sentences == 2 * evaluation.articles;
    let is_shown = |name: &str| HEADLINES.contains(&name) || are_pairs && name == "article_accuracy";
    for figure in FIGURES.iter().filter(|f| is_shown(f.name)) {
        let title = if figure.higher_is_better {
            figure.title.to_string()
        } else {
            format!("{} (less is better)", figure.title)
        };
        let cell =
            |(_, head): &(String, HeadScores)| Cell::from(with_interval((figure.of)(head), (figure.interval)(head)));
        rows.push(std::iter::once(title.into()).chain(evaluation.heads.iter().map(cell)).collect());
    }
    let joint = with_interval(evaluation.joint_accuracy, evaluation.joint_accuracy_ci);
    rows.push(vec![format!("every head right (of {} sentences)", evaluation.joint_sentences).into(), joint.into()]);
    Block::Table(Table { header, rows })
}

fn head_blocks(name: &str, head: &HeadScores) -> Vec<Block> {
    let header = ["class", "precision", "recall", "F1", "95 % interval", "average precision", "support", "predicted"];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (class, scores) in &head.classes {
        rows.push(vec![
            class.as_str().into(),
            number(scores.scores.precision).into(),
            number(scores.scores.recall).into(),
            number(scores.scores.f1).into(),
            bounds(scores.f1_ci).unwrap_or_else(|| UNDEFINED.into()).into(),
            number(scores.average_precision).into(),
            scores.support.to_string().into(),
            scores.predicted.to_string().into(),
        ]);
    }
    let sentences = head.sentences.to_string();
    let average = |what: String, precision, recall, f1, ci: Option<Interval>, ap| -> Vec<Cell> {
        let ci = bounds(ci).unwrap_or_else(|| UNDEFINED.into());
        [what, number(precision), number(recall), number(f1), ci, ap, sentences.clone(), sentences.clone()]
            .map(Cell::from)
            .to_vec()
    };
    let over = format!("macro ({} classes)", head.macro_classes);
    let ap = number(head.macro_average_precision);
    rows.push(average(over, head.macro_precision, head.macro_recall, head.macro_f1, head.macro_f1_ci, ap));
    let (p, r, f1) = (head.weighted_precision, head.weighted_recall, head.weighted_f1);
    rows.push(average("weighted".into(), p, r, f1, head.weighted_f1_ci, UNDEFINED.into()));
    vec![
        Block::Heading(format!("{name}: classes")),
        Block::Table(Table { header: header.map(String::from).to_vec(), rows }),
        Block::Heading(format!("{name}: confusion (row gold, column predicted)")),
        confusion(head),
        Block::Charts(vec![charts::precision_recall(head), charts::calibration(head)]),
    ]
}

fn confusion(head: &HeadScores) -> Block {
    let (names, counts) = (&head.confusion.names, &head.confusion.counts);
    let row = |gold: usize| {
        let cell = |predicted: usize| {
            let (n, support) = (counts.at(gold, predicted), counts.support(gold));
            Cell { text: n.to_string(), shade: (n > 0).then(|| n as f64 / support as f64) }
        };
        std::iter::once(names[gold].as_str().into()).chain((0..names.len()).map(cell)).collect()
    };
    let header = std::iter::once("gold").chain(names.iter().map(String::as_str)).map(String::from).collect();
    Block::Table(Table { header, rows: (0..names.len()).map(row).collect() })
}

fn breakdown(breakdown: &Breakdown) -> Vec<Block> {
    let mut header = vec![breakdown.by.name().to_string(), "sentences".into(), "articles".into()];
    if let Some((_, first)) = breakdown.groups.first() {
        header
            .extend(first.heads.iter().flat_map(|(name, _)| [format!("{name} macro F1"), format!("{name} accuracy")]));
    }
    header.push("every head right".into());
    let row = |(name, evaluation): &(String, Evaluation)| -> Vec<Cell> {
        let mut row = vec![name.clone(), evaluation.sentences.to_string(), evaluation.articles.to_string()];
        for (_, head) in &evaluation.heads {
            row.push(with_interval(head.macro_f1, head.macro_f1_ci));
            row.push(number(head.accuracy));
        }
        row.push(number(evaluation.joint_accuracy));
        row.into_iter().map(Cell::from).collect()
    };
    let rows = breakdown.groups.iter().map(row).collect();
    vec![Block::Heading(format!("By {}", breakdown.by.name())), Block::Table(Table { header, rows })]
}

/// What B has over A, figure by figure, and whether it is more than noise.
pub fn comparison(report: &ComparisonReport) -> Document {
    let comparison = &report.comparison;
    let split = report.split.as_deref().map_or("every split".to_string(), |s| format!("split {s}"));
    let mut blocks =
        vec![Block::Line(format!("{} sentences of {} articles, {split}", comparison.sentences, comparison.articles))];
    let header = ["", "A", "B", "B − A", "95 % interval", "p"].map(String::from).to_vec();
    let row = |title: String, d: &Difference| -> Vec<Cell> {
        let ci = d.difference_ci.map_or(UNDEFINED.to_string(), |[lo, hi]| format!("[{lo:+.3}, {hi:+.3}]"));
        let difference = d.difference.map_or(UNDEFINED.to_string(), |d| format!("{d:+.3}"));
        [title, number(d.a), number(d.b), difference, ci, p_value(d.p)].map(Cell::from).to_vec()
    };
    let mut rows = Vec::new();
    let (mut tests, mut differing): (Vec<Vec<Cell>>, Vec<Vec<Cell>>) = (Vec::new(), Vec::new());
    let mut test = |title: String, m: &McNemar| {
        tests.push(
            [title, m.only_a_right.to_string(), m.only_b_right.to_string(), p_value(m.p)].map(Cell::from).to_vec(),
        );
    };
    for (name, head) in &comparison.heads {
        rows.push(row(format!("{name} macro F1"), &head.macro_f1));
        rows.push(row(format!("{name} weighted F1"), &head.weighted_f1));
        rows.push(row(format!("{name} accuracy"), &head.accuracy));
        test(name.clone(), &head.mcnemar);
        let share = head.differing.share.map_or(UNDEFINED.to_string(), |s| format!("{:.2} %", 100.0 * s));
        differing.push([name.clone(), head.differing.sentences.to_string(), share].map(Cell::from).to_vec());
    }
    rows.push(row("every head right".into(), &comparison.joint_accuracy));
    test("every head right".into(), &comparison.joint_mcnemar);
    blocks.push(Block::Table(Table { header, rows }));
    blocks.push(Block::Heading("McNemar's exact test: sentences that only one got right".into()));
    let header = ["", "only A", "only B", "p"].map(String::from).to_vec();
    blocks.push(Block::Table(Table { header, rows: tests }));
    blocks.push(Block::Heading("Sentences that the two label differently".into()));
    let header = ["", "sentences", "share"].map(String::from).to_vec();
    blocks.push(Block::Table(Table { header, rows: differing }));
    blocks.push(Block::Heading("How to read this".into()));
    blocks.push(Block::Line(intervals(&comparison.bootstrap, comparison.articles)));
    blocks.push(Block::Line(
        "An interval that holds 0 is noise. McNemar takes sentences for independent; the bootstrap does not.".into(),
    ));
    Document { title: format!("A {} and B {}", report.a, report.b), blocks }
}

/// Mean and spread over the runs.
pub fn cross_validation(report: &CrossValidation) -> Document {
    let n_seeds = report.seeds.len();
    let mut blocks = Vec::new();
    if let Some(run) = report.runs.first() {
        let (sentences, articles) = (run.sentences, run.articles);
        blocks.push(Block::Line(format!("{sentences} sentences of {articles} articles; every article held out once")));
    }
    for (i, (name, spreads)) in report.heads.iter().enumerate() {
        let mut header: Vec<String> = ["", "mean", "std", "min", "max"].map(String::from).to_vec();
        header.extend(report.seeds.iter().map(|seed| format!("seed {seed}")));
        let row = |(figure, (_, spread)): (
            &crate::metrics::head::Figure,
            &(String, Option<crate::metrics::cross_validation::Spread>),
        )| {
            let spread =
                [spread.map(|s| s.mean), spread.and_then(|s| s.std), spread.map(|s| s.min), spread.map(|s| s.max)];
            let runs = report.runs.iter().map(|run| {
                let head = &run.heads[i].1;
                with_interval((figure.of)(head), (figure.interval)(head))
            });
            std::iter::once(figure.title.to_string()).chain(spread.map(number)).chain(runs).map(Cell::from).collect()
        };
        blocks.push(Block::Heading(name.clone()));
        blocks.push(Block::Table(Table { header, rows: FIGURES.iter().zip(spreads).map(row).collect() }));
    }
    let joint = report.joint_accuracy;
    let (mean, std) = (number(joint.map(|s| s.mean)), number(joint.and_then(|s| s.std)));
    blocks.push(Block::Line(format!("Every head right: {mean} (std {std})")));
    if let Some(run) = report.runs.first() {
        blocks.extend(
            run.heads.iter().flat_map(|(name, head)| head_blocks(&format!("{name}, seed {}", report.seeds[0]), head)),
        );
    }
    Document { title: format!("Cross-validation: {} folds × {n_seeds} seeds", report.folds), blocks }
}

/// How what has no denominator is shown.
const UNDEFINED: &str = "—";

fn number(value: Option<f64>) -> String {
    value.map_or(UNDEFINED.to_string(), |v| format!("{v:.3}"))
}

fn p_value(p: Option<f64>) -> String {
    if p.is_some_and(|p| p < 0.0005) { "< 0.001".to_string() } else { number(p) }
}

fn bounds(interval: Option<Interval>) -> Option<String> {
    interval.map(|[low, high]| format!("[{low:.3}, {high:.3}]"))
}

fn with_interval(value: Option<f64>, interval: Option<Interval>) -> String {
    match bounds(interval) {
        Some(bounds) => format!("{} {bounds}", number(value)),
        None => number(value),
    }
}
