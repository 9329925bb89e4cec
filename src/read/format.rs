//! Name and first bytes → format.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The formats that articles come in; each may be packed by gzip or zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One article a file, its headline as first line.
    Text,
    /// One article a file among menus and advertisements.
    Html,
    /// One article a line, a JSON object.
    Jsonl,
    /// One article a row, columns named by the first row, parted by commas (or semicolons).
    Csv,
    /// The same, parted by tabs.
    Tsv,
}

impl InputFormat {
    /// All formats by name, as `--input-format` takes them.
    pub const ALL: [(&'static str, InputFormat); 5] = [
        ("text", InputFormat::Text),
        ("html", InputFormat::Html),
        ("jsonl", InputFormat::Jsonl),
        ("csv", InputFormat::Csv),
        ("tsv", InputFormat::Tsv),
    ];
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = InputFormat::ALL.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for InputFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = InputFormat::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, format)| *format).ok_or_else(|| format!("{name:?} is none of text, html, jsonl, csv, tsv"))
    }
}

const PACKED: [&str; 4] = ["gz", "gzip", "zst", "zstd"];

/// Files in folders that are passed over by their name alone: their content may be text (SVG, style sheets), but is no article.
const NEVER: [&str; 40] = [
    "png", "jpg", "jpeg", "gif", "webp", "svg", "ico", "bmp", "tif", "tiff", "mp3", "mp4", "ogg", "wav", "webm", "avi",
    "mov", "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "zip", "tar", "rar", "7z", "bz2", "xz", "css",
    "js", "woff", "woff2", "ttf", "exe", "so", "parquet", "sqlite",
];

/// The format a file's name tells.
fn by_name(path: &Path) -> Option<InputFormat> {
    match ending(path).as_deref()? {
        "txt" | "text" | "md" => Some(InputFormat::Text),
        "html" | "htm" | "xhtml" => Some(InputFormat::Html),
        "jsonl" | "ndjson" | "json" => Some(InputFormat::Jsonl),
        "csv" => Some(InputFormat::Csv),
        "tsv" | "tab" => Some(InputFormat::Tsv),
        _ => None,
    }
}

/// Whether the name promises an article, so that a fault in the file is worth telling.
pub fn is_named_like_an_article(path: &Path) -> bool {
    by_name(path).is_some()
}

/// Whether a file in a folder is passed over by its name.
pub fn is_never_an_article(path: &Path) -> bool {
    ending(path).is_some_and(|ending| NEVER.contains(&ending.as_str()))
}

/// The format of a file by its name and its first bytes. A name decides between the formats of records and for HTML; text and
/// unknown names are looked into: archives keep web pages as `.txt`, and standard input has no name.
pub fn recognise(path: &Path, head: &[u8], text_field: &str) -> InputFormat {
    match by_name(path) {
        Some(InputFormat::Text) | None => by_content(head, text_field),
        Some(format) => format,
    }
}

fn by_content(head: &[u8], text_field: &str) -> InputFormat {
    // Markup and field names are ASCII; without nul bytes it reads the same in UTF-16.
    let ascii: Vec<u8> = head.iter().copied().filter(|byte| *byte != 0).collect();
    let start = String::from_utf8_lossy(&ascii);
    let start = start.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{fffd}'));
    if is_html(start) {
        return InputFormat::Html;
    }
    let first_line = start.lines().next().unwrap_or("");
    if start.starts_with('{') && is_record(first_line, start.len() == first_line.len()) {
        return InputFormat::Jsonl;
    }
    let has_column = |separator: char| {
        first_line.contains(separator)
            && first_line.split(separator).any(|name| name.trim().trim_matches('"') == text_field)
    };
    match () {
        _ if has_column('\t') => InputFormat::Tsv,
        _ if has_column(',') || has_column(';') => InputFormat::Csv,
        _ => InputFormat::Text,
    }
}

/// Whether a line is a JSON object; one longer than what was looked at has to begin like one.
fn is_record(line: &str, may_be_cut: bool) -> bool {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) {
        Ok(_) => true,
        Err(error) => (error.is_eof() && may_be_cut) || line[1..].trim_start().starts_with('"'),
    }
}

fn is_html(start: &str) -> bool {
    const OPENINGS: [&str; 14] = [
        "<!doctype",
        "<html",
        "<head",
        "<body",
        "<div",
        "<p",
        "<article",
        "<meta",
        "<title",
        "<h1",
        "<section",
        "<main",
        "<!--",
        "<?xml",
    ];
    let lower: String = start.chars().take(200).collect::<String>().to_lowercase();
    OPENINGS.iter().any(|opening| {
        lower.strip_prefix(opening).is_some_and(|rest| {
            let name_ends = !rest.starts_with(|c: char| c.is_alphanumeric());
            name_ends && (!opening.starts_with("<?xml") || lower.contains("html"))
        })
    })
}

/// The last ending of a file's name in lower case, after that of the packing.
fn ending(path: &Path) -> Option<String> {
    let lower = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match lower(path)? {
        packed if PACKED.contains(&packed.as_str()) => lower(&path.with_extension("")),
        ending => Some(ending),
    }
}

/// The file's name without folder and without the endings that tell packing and format.
pub fn name_without_endings(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let strip = |name: &str, is_ending: &dyn Fn(&str) -> bool| match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && is_ending(&ending.to_lowercase()) => stem.to_string(),
        _ => name.to_string(),
    };
    let unpacked = strip(&name, &|ending| PACKED.contains(&ending));
    strip(&unpacked, &|ending| ending.len() <= 6 && ending.chars().any(|c| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_content_tell_the_format() {
        let cases = [
            ("a.txt", "خبر", InputFormat::Text),
            ("a.txt", "\u{feff} <!DOCTYPE html><p>x", InputFormat::Html),
            ("a", "<p>x</p>", InputFormat::Html),
            ("a", "<3 love", InputFormat::Text),
            ("a", "<people say", InputFormat::Text),
            ("a.HTM", "x", InputFormat::Html),
            ("a.jsonl.gz", "x", InputFormat::Jsonl),
            ("-", "{\"text\":\"x\"}\n", InputFormat::Jsonl),
            ("-", "{\"text\":\"x", InputFormat::Jsonl),
            ("-", "{\"text\": oops}\n{}", InputFormat::Jsonl),
            ("-", "{ad} is not JSON\n", InputFormat::Text),
            ("-", "id,text\n1,x", InputFormat::Csv),
            ("-", "id;\"text\"\n1;x", InputFormat::Csv),
            ("-", "id\ttext\n1\tx", InputFormat::Tsv),
            ("-", "a text, as it were", InputFormat::Text),
            ("x.csv.zst", "", InputFormat::Csv),
            ("x.tsv", "", InputFormat::Tsv),
        ];
        for (name, head, format) in cases {
            assert_eq!(recognise(Path::new(name), head.as_bytes(), "text"), format, "{name} {head}");
        }
        let utf16: Vec<u8> = "<html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(recognise(Path::new("a"), &utf16, "text"), InputFormat::Html);
    }

    #[test]
    fn the_name_without_endings_is_the_id() {
        for (path, id) in
            [("x/a.jsonl.gz", "a"), ("2023.12.31.txt", "2023.12.31"), ("2023.12.31", "2023.12.31"), (".a", ".a")]
        {
            assert_eq!(name_without_endings(Path::new(path)), id);
        }
    }

    #[test]
    fn every_format_is_known_by_its_name() {
        for (name, format) in InputFormat::ALL {
            assert_eq!(name.parse(), Ok(format));
            assert_eq!(format.to_string(), name);
        }
        assert!("pdf".parse::<InputFormat>().is_err());
    }
}
