//! A file that is one article → the article: plain text, HTML.

use super::stream::Stream;
use super::{ReadOptions, decode, empty, too_long};
use crate::article::Article;
use crate::error::{Error, Place, Result};
use dom_smoothie::{Config, ParsePolicy, Readability, TextMode};
use encoding_rs::Encoding;
use std::path::Path;

/// How deep elements may lie in each other. The parser's helpers walk the tree by recursion; real pages stay below 100.
const MAX_DEPTH: usize = 1000;

/// The article of a plain text; its first line may be the headline, and stays where it is.
pub fn plain(stream: Stream, id: String, options: &ReadOptions) -> Result<Article> {
    let (path, bytes) = read_whole(stream, options)?;
    let text = decode_at(&path, &bytes, None)?;
    if text.trim().is_empty() {
        return Err(empty(Place::file(path)));
    }
    Ok(Article { id, source: path.display().to_string(), title: None, text })
}

/// The main text and the headline of a web page.
pub fn html(stream: Stream, id: String, options: &ReadOptions) -> Result<Article> {
    let (path, bytes) = read_whole(stream, options)?;
    let page = decode_at(&path, &bytes, declared_encoding(&bytes))?;
    if page.trim().is_empty() {
        return Err(empty(Place::file(path)));
    }
    let (title, text) = extract(&page, &path)?;
    if text.trim().is_empty() {
        return Err(Error::bad(Place::file(path), "a page without text", "an article")
            .hint("--input-format text reads the markup as it stands"));
    }
    let title = title.trim();
    let title = (!title.is_empty()).then(|| title.to_string());
    Ok(Article { id, source: path.display().to_string(), title, text })
}

fn read_whole(stream: Stream, options: &ReadOptions) -> Result<(std::path::PathBuf, Vec<u8>)> {
    let path = stream.path().to_path_buf();
    match stream.read_whole(options.max_article_bytes)? {
        Some(bytes) => Ok((path, bytes)),
        None => Err(too_long(Place::file(path), "an article", options)),
    }
}

fn decode_at(path: &Path, bytes: &[u8], declared: Option<&'static Encoding>) -> Result<String> {
    decode::decode(bytes, declared)
        .map(|text| text.into_owned())
        .map_err(|fault| Error::bad(Place::offset(path, fault.offset as u64), fault.found, decode::EXPECTED))
}

/// Headline and main text. Pages too small for the extraction's heuristics are taken as they are.
fn extract(page: &str, path: &Path) -> Result<(String, String)> {
    let no_article = |found: String| {
        Error::bad(Place::file(path), found, "a web page with an article")
            .hint("--input-format text reads the markup as it stands")
    };
    if depth(page) > MAX_DEPTH {
        return Err(no_article(format!("elements more than {MAX_DEPTH} deep in each other")));
    }
    let parse = |policy: Option<ParsePolicy>| {
        let config = Config { text_mode: TextMode::Formatted, ..Config::default() };
        let mut readability = Readability::new(page, None, Some(config))?;
        match policy {
            Some(policy) => readability.parse_with_policy(policy),
            None => readability.parse(),
        }
    };
    let article = parse(None)
        .or_else(|_| parse(Some(ParsePolicy::Raw)))
        .map_err(|error| no_article(format!("no main text ({error})")))?;
    Ok((article.title, article.text_content.to_string()))
}

/// An upper bound of how deep elements lie in each other: opening less closing tags, at its highest. Tags that are never closed
/// (`<p>`, `<br>`, `<img>`) are not counted, for they do not nest.
fn depth(page: &str) -> usize {
    const NOT_NESTED: [&str; 12] =
        ["p", "br", "img", "li", "meta", "link", "input", "hr", "td", "tr", "source", "option"];
    let (mut depth, mut deepest) = (0usize, 0usize);
    for after in page.split('<').skip(1) {
        let closes = after.starts_with('/');
        let name = after.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        if name.is_empty() || NOT_NESTED.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            continue;
        }
        depth = if closes { depth.saturating_sub(1) } else { depth + 1 };
        deepest = deepest.max(depth);
    }
    deepest
}

/// The encoding a page declares in its first bytes (`<meta charset=…>` or `content="text/html; charset=…"`).
/// As the HTML standard has it, within the first 1,024 bytes; pages are sloppy, so four times that.
fn declared_encoding(page: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&page[..page.len().min(4096)]).to_lowercase();
    let label = head.split("charset=").nth(1)?.trim_start_matches(['"', '\'', ' ']);
    let end = label.find(|c: char| !c.is_ascii_alphanumeric() && !"-_:.".contains(c)).unwrap_or(label.len());
    Encoding::for_label(&label.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_declares_its_encoding() {
        for page in ["<meta charset=\"windows-1256\">", "<META content='text/html; CHARSET=cp1256'>"] {
            assert_eq!(declared_encoding(page.as_bytes()), Some(encoding_rs::WINDOWS_1256), "{page}");
        }
        assert_eq!(declared_encoding(b"<meta charset=>"), None);
        assert_eq!(declared_encoding(b"<p>"), None);
    }

    #[test]
    fn depth_counts_what_nests() {
        assert_eq!(depth("<div><p>a<p>b<br><span>c</span></div>"), 2);
        assert_eq!(depth("a < b </i></i><b>"), 1);
    }
}
