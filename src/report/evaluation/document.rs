//! A report as headings, lines, tables and charts, before it is text, Markdown or HTML.

use unicode_width::UnicodeWidthStr;

/// A report.
pub struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

/// A part of a report.
pub enum Block {
    Heading(String),
    Line(String),
    Table(Table),
    /// SVG elements side by side; only HTML shows them.
    Charts(Vec<String>),
}

/// The first column is left-aligned and names the row; the others are right-aligned.
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// A figure or a name in a table.
#[derive(Clone)]
pub struct Cell {
    pub text: String,
    /// 0 to 1: how dark HTML colours the cell.
    pub shade: Option<f64>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell { text, shade: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::from(text.to_string())
    }
}

impl Document {
    /// For a terminal: columns aligned with spaces.
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for block in &self.blocks {
            match block {
                Block::Heading(heading) => out += &format!("\n{heading}\n"),
                Block::Line(line) => out += &format!("{line}\n"),
                Block::Table(table) => out += &table.aligned(|line| line.trim_end().to_string(), None),
                Block::Charts(_) => {}
            }
        }
        out
    }

    /// GitHub's Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# {}\n", escape_markdown(&self.title));
        for block in &self.blocks {
            match block {
                Block::Heading(heading) => out += &format!("\n## {}\n", escape_markdown(heading)),
                Block::Line(line) => out += &format!("\n{}\n", escape_markdown(line)),
                Block::Table(table) => {
                    out += "\n";
                    out += &table.escaped().aligned(|line| format!("| {line} |"), Some(()));
                }
                Block::Charts(_) => {}
            }
        }
        out
    }
}

impl Table {
    /// Lines of equal width. With `rule`, columns are parted by bars and a rule follows the header.
    fn aligned(&self, finish: impl Fn(String) -> String, rule: Option<()>) -> String {
        let columns = 0..self.header.len();
        let text = |row: &[Cell], c: usize| row.get(c).map_or(String::new(), |cell| cell.text.clone());
        let width = |c: usize| {
            let cells = self.rows.iter().map(|row| text(row, c).width());
            cells.chain([self.header[c].width(), 3]).max().unwrap_or(3)
        };
        let widths: Vec<usize> = columns.clone().map(width).collect();
        let pad = |c: usize, text: &str| {
            let space = " ".repeat(widths[c] - text.width());
            if c == 0 { format!("{text}{space}") } else { format!("{space}{text}") }
        };
        let gap = if rule.is_some() { " | " } else { "  " };
        let line = |cells: Vec<String>| finish(cells.join(gap)) + "\n";
        let mut out = line(columns.clone().map(|c| pad(c, &self.header[c])).collect());
        if rule.is_some() {
            let dashes = |c: usize| if c == 0 { "-".repeat(widths[c]) } else { "-".repeat(widths[c] - 1) + ":" };
            out += &line(columns.clone().map(dashes).collect());
        }
        for row in &self.rows {
            out += &line(columns.clone().map(|c| pad(c, &text(row, c))).collect());
        }
        out
    }

    fn escaped(&self) -> Table {
        let cell = |cell: &Cell| Cell { text: escape_markdown(&cell.text), shade: cell.shade };
        Table {
            header: self.header.iter().map(|h| escape_markdown(h)).collect(),
            rows: self.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
        }
    }
}

fn escape_markdown(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '\\') {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
        out
    })
}
