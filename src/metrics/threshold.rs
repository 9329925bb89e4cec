//! A least value that a figure must reach: `incident.macro_f1=0.8`.

use super::evaluation::Evaluation;
use super::head::{FIGURES, Figure};
use crate::error::{Error, Result, nearest};
use crate::schema::Schema;

/// A figure and the value that it must not be below.
#[derive(Debug, Clone)]
pub struct Threshold {
    /// The figure as the user named it.
    pub name: String,
    /// The least value that passes.
    pub minimum: f64,
    figure: Asked,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Joint,
    Head { head: usize, figure: Figure },
    Class { head: usize, class: usize, figure: ClassFigure },
}

#[derive(Debug, Clone, Copy)]
enum ClassFigure {
    Precision,
    Recall,
    F1,
    AveragePrecision,
}

const CLASS_FIGURES: [(&str, ClassFigure); 4] = [
    ("precision", ClassFigure::Precision),
    ("recall", ClassFigure::Recall),
    ("f1", ClassFigure::F1),
    ("average_precision", ClassFigure::AveragePrecision),
];

impl Threshold {
    /// Reads `joint_accuracy=P`, `HEAD.FIGURE=P` or `HEAD.CLASS.FIGURE=P`.
    ///
    /// # Errors
    /// No `=`, no number, an unknown name (the nearest is told), or a figure of which less is better.
    pub fn parse(text: &str, schema: &Schema) -> Result<Threshold> {
        let usage = || Error::Usage(format!("\"{text}\" is no threshold; expected one like incident.macro_f1=0.8"));
        let (name, minimum) = text.split_once('=').ok_or_else(usage)?;
        let minimum: f64 = minimum.trim().parse().ok().filter(|m: &f64| m.is_finite()).ok_or_else(usage)?;
        let name = name.trim().to_string();
        let figure = find(&name, schema)?;
        if let Asked::Head { figure, .. } = figure
            && !figure.higher_is_better
        {
            let message = format!("{name}: less is better, so nothing can fail under it; ask for another figure");
            return Err(Error::Usage(message));
        }
        Ok(Threshold { name, minimum, figure })
    }

    /// The figure in an evaluation of the same schema.
    pub fn value(&self, evaluation: &Evaluation) -> Option<f64> {
        match self.figure {
            Asked::Joint => evaluation.joint_accuracy,
            Asked::Head { head, figure } => (figure.of)(&evaluation.heads[head].1),
            Asked::Class { head, class, figure } => {
                let class = &evaluation.heads[head].1.classes[class].1;
                match figure {
                    ClassFigure::Precision => class.scores.precision,
                    ClassFigure::Recall => class.scores.recall,
                    ClassFigure::F1 => class.scores.f1,
                    ClassFigure::AveragePrecision => class.average_precision,
                }
            }
        }
    }

    /// Whether the figure reaches the minimum; an undefined one does not.
    pub fn passes(&self, evaluation: &Evaluation) -> bool {
        self.value(evaluation).is_some_and(|value| value >= self.minimum)
    }
}

fn find(name: &str, schema: &Schema) -> Result<Asked> {
    let mut known = vec![("joint_accuracy".to_string(), Asked::Joint)];
    for (h, head) in schema.heads.iter().enumerate() {
        known.extend(FIGURES.map(|figure| (format!("{}.{}", head.name, figure.name), Asked::Head { head: h, figure })));
        for (class, class_name) in head.names().enumerate() {
            let entry = |(figure_name, figure)| {
                (format!("{}.{class_name}.{figure_name}", head.name), Asked::Class { head: h, class, figure })
            };
            known.extend(CLASS_FIGURES.map(entry));
        }
    }
    if let Some((_, asked)) = known.iter().find(|(n, _)| n == name) {
        return Ok(*asked);
    }
    let hint = nearest(name, known.iter().map(|(n, _)| n.as_str()));
    let hint = hint.map_or("expected one like incident.macro_f1".to_string(), |n| format!("did you mean \"{n}\"?"));
    Err(Error::Usage(format!("no figure is named \"{name}\"; {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn reads_what_it_should_and_tells_what_it_cannot() {
        let schema = Schema::read(Path::new("labels/schema.toml")).unwrap();
        for good in ["incident.macro_f1=0.8", "joint_accuracy = .5", "perpetrator.iran.recall=1"] {
            assert!(Threshold::parse(good, &schema).is_ok(), "{good}");
        }
        let message = |text: &str| Threshold::parse(text, &schema).unwrap_err().to_string();
        assert_eq!(
            message("incident.macrof1=0.8"),
            "no figure is named \"incident.macrof1\"; did you mean \"incident.macro_f1\"?"
        );
        assert!(message("incident.macro_f1").contains("is no threshold"));
        assert!(message("incident.macro_f1=NaN").contains("is no threshold"));
        assert!(message("incident.brier_loss=0.1").contains("less is better"));
    }

    #[test]
    fn an_undefined_figure_does_not_pass() {
        let schema = Schema::read(Path::new("labels/schema.toml")).unwrap();
        let none: [crate::dataset::Example; 0] = [];
        let evaluation = Evaluation::from_predictions(&schema, &none, &[]);
        assert!(!Threshold::parse("incident.macro_f1=0", &schema).unwrap().passes(&evaluation));
    }
}
