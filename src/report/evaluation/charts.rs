//! Two charts as SVG: precision against recall a class, and accuracy against confidence.

use super::html::escape;
use crate::metrics::head::HeadScores;

/// Side of the square that 0..=1 × 0..=1 is drawn in, in pixels.
const SIDE: f64 = 260.0;
/// Room for the axis labels, in pixels.
const MARGIN: f64 = 40.0;
/// Room for the legend, in pixels.
const LEGEND: f64 = 150.0;

/// Colours that also people with colour blindness tell apart (Okabe & Ito 2008); more classes begin again, dashed.
const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// One line a class, from its highest threshold down; classes without gold support have none.
pub fn precision_recall(head: &HeadScores) -> String {
    let mut marks = String::new();
    for (i, (name, class)) in head.classes.iter().enumerate().filter(|(_, (_, class))| !class.curve.is_empty()) {
        let points: Vec<String> =
            class.curve.iter().map(|p| format!("{:.1},{:.1}", x(p.recall), y(p.precision))).collect();
        let (color, dash) = (COLORS[i % COLORS.len()], if i < COLORS.len() { "" } else { " stroke-dasharray='4 3'" });
        marks +=
            &format!("<polyline points='{}' fill='none' stroke='{color}' stroke-width='1.8'{dash}/>", points.join(" "));
        let (left, top) = (MARGIN + SIDE + 12.0, 20.0 + 17.0 * i as f64);
        marks += &format!("<text x='{left}' y='{top}' fill='{color}'>{}</text>", escape(name));
    }
    chart("recall", "precision", "Precision against recall, one class against the rest", &marks)
}

/// One bar a bin, its height the accuracy; on the diagonal the confidence is what it says.
pub fn calibration(head: &HeadScores) -> String {
    let mut marks = String::new();
    for bin in &head.calibration {
        if let (Some(accuracy), Some(confidence)) = (bin.accuracy, bin.confidence) {
            let (left, width, top) = (x(bin.from), x(bin.to) - x(bin.from), y(accuracy));
            let title = format!("{} sentences, confidence {confidence:.3}, accuracy {accuracy:.3}", bin.sentences);
            marks += &format!(
                "<rect x='{left:.1}' y='{top:.1}' width='{width:.1}' height='{:.1}' class='bar'><title>{title}</title></rect>",
                y(0.0) - top
            );
        }
    }
    marks += &format!("<line x1='{}' y1='{}' x2='{}' y2='{}' class='diagonal'/>", x(0.0), y(0.0), x(1.0), y(1.0));
    chart("confidence", "accuracy", "Accuracy against confidence", &marks)
}

fn x(value: f64) -> f64 {
    MARGIN + value * SIDE
}

fn y(value: f64) -> f64 {
    8.0 + (1.0 - value) * SIDE
}

fn chart(x_title: &str, y_title: &str, description: &str, marks: &str) -> String {
    let (width, height) = (MARGIN + SIDE + LEGEND, SIDE + 50.0);
    let mut axes = String::new();
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (bottom, left) = (y(0.0) + 14.0, MARGIN - 5.0);
        axes += &format!("<line x1='{0}' y1='{1}' x2='{0}' y2='{2}' class='grid'/>", x(tick), y(0.0), y(1.0));
        axes += &format!("<line x1='{0}' y1='{1}' x2='{2}' y2='{1}' class='grid'/>", x(0.0), y(tick), x(1.0));
        axes += &format!("<text x='{}' y='{bottom}' text-anchor='middle'>{tick}</text>", x(tick));
        axes += &format!("<text x='{left}' y='{}' text-anchor='end'>{tick}</text>", y(tick) + 4.0);
    }
    axes += &format!("<text x='{}' y='{}' text-anchor='middle'>{x_title}</text>", x(0.5), y(0.0) + 32.0);
    axes += &format!("<text transform='translate(10 {}) rotate(-90)' text-anchor='middle'>{y_title}</text>", y(0.5));
    format!(
        "<svg viewBox='0 0 {width} {height}' width='{width}' role='img' aria-label='{description}'>{axes}{marks}</svg>"
    )
}
