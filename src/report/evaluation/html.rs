//! A document as one HTML page that needs nothing beside it.

use super::document::{Block, Cell, Document, Table};

/// The whole page.
pub fn page(document: &Document) -> String {
    let title = escape(&document.title);
    let body: String = document.blocks.iter().map(block).collect();
    let style = include_str!("page.css");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Text that is safe inside an element or an attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(heading) => format!("<h2>{}</h2>\n", escape(heading)),
        Block::Line(line) => format!("<p>{}</p>\n", escape(line)),
        Block::Table(table) => table_element(table),
        Block::Charts(charts) => format!("<div class=\"charts\">{}</div>\n", charts.concat()),
    }
}

fn table_element(table: &Table) -> String {
    let header: String = table.header.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
    let row = |row: &Vec<Cell>| {
        let cell = |(i, cell): (usize, &Cell)| match (i, cell.shade) {
            (0, _) => format!("<th scope=\"row\"><bdi>{}</bdi></th>", escape(&cell.text)),
            (_, Some(shade)) => {
                let (alpha, ink) = (shade * 0.85, if shade > 0.6 { "#fff" } else { "inherit" });
                format!("<td style=\"background:rgba(21,101,192,{alpha:.2});color:{ink}\">{}</td>", escape(&cell.text))
            }
            (_, None) => format!("<td>{}</td>", escape(&cell.text)),
        };
        format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = table.rows.iter().map(row).collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}
