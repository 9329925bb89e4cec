//! Raw articles that lie beside a label file: does the sentence stand where its offsets say?

use super::Example;
use std::collections::HashMap;
use std::path::PathBuf;

/// Raw articles by path, read once each.
#[derive(Default)]
pub(super) struct ArticleFiles {
    texts: HashMap<PathBuf, Option<String>>,
}

impl ArticleFiles {
    /// What is wrong with the example's byte offsets, if anything.
    ///
    /// The article is `articles/ARTICLE_ID.txt` in the label file's folder; where there is none, or one that cannot be read,
    /// only the length is checked.
    pub fn span_fault(&mut self, example: &Example) -> Option<String> {
        let (start, end) = match (example.start, example.end) {
            (None, None) => return None,
            (Some(start), Some(end)) => (start, end),
            _ => return Some("only one of start and end is given".into()),
        };
        if end.checked_sub(start) != Some(example.text.len()) {
            let n_bytes = example.text.len();
            return Some(format!(
                "start {start} and end {end} do not span the text's {n_bytes} bytes; offsets count bytes of UTF-8, not characters"
            ));
        }
        let path = example.place.path.parent()?.join("articles").join(format!("{}.txt", example.article_id));
        let article =
            self.texts.entry(path).or_insert_with_key(|path| std::fs::read_to_string(path).ok()).as_deref()?;
        match article.get(start..end) {
            Some(words) if words == example.text => None,
            Some(words) => Some(format!("the article has \"{words}\" at {start}..{end}")),
            None => Some(format!("{start}..{end} is not on character borders of the article or past its end")),
        }
    }
}
