//! Rust source as far as the rules need it: a stream of words and signs, without comments, strings and tests.

use std::path::Path;

/// A word or sign of the source, with the line that it stands on (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// Stands for a doc comment above an item.
const DOC: &str = "///";

/// A file of src.
pub struct Source {
    /// Path from the repository's root, with `/`.
    pub name: String,
    pub n_lines: usize,
    /// The program without its tests; doc comments as [`DOC`].
    pub code: Vec<Token>,
}

/// All Rust files, style sheets and tables below `src`, by name.
pub fn read_all(src: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("src is text");
            let below = path.strip_prefix(src.parent().expect("src has a parent")).expect("found below src");
            let name = below.to_string_lossy().replace('\\', "/");
            let is_rust = path.extension().is_some_and(|ending| ending == "rs");
            let n_lines = text.lines().count();
            let source = Source::parse(&name, if is_rust { &text } else { "" });
            sources.push(Source { n_lines, ..source });
        }
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

impl Source {
    /// A file of that name with that text.
    pub fn parse(name: &str, text: &str) -> Source {
        Source { name: name.into(), n_lines: text.lines().count(), code: without_tests(tokens(text)) }
    }

    /// The top-level module it belongs to; none for lib.rs and main.rs.
    pub fn module(&self) -> Option<&str> {
        let module = self.name.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "main"].contains(&module)).then_some(module)
    }

    /// How many modules deep the file lies: 1 for src/report/mod.rs, 2 for src/report/csv.rs.
    fn depth(&self) -> usize {
        self.name.trim_start_matches("src/").trim_end_matches(".rs").split('/').filter(|part| *part != "mod").count()
    }

    /// Top-level modules named by `crate::…`, or by as many `super::` as lead to the crate's root, with the line.
    pub fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let text = |i: usize| self.code.get(i).map_or("", |token| token.text.as_str());
        let mut i = 0;
        while i < self.code.len() {
            let starts_path = i == 0 || text(i - 1) != "::";
            let mut root = 0;
            if starts_path && text(i) == "crate" && text(i + 1) == "::" {
                root = i + 2;
            } else if starts_path && text(i) == "super" {
                let supers = (0..).take_while(|n| text(i + 2 * n) == "super" && text(i + 2 * n + 1) == "::").count();
                if supers == self.depth() {
                    root = i + 2 * supers;
                }
            }
            if root > 0 {
                self.first_names(root, &mut found);
            }
            i += 1;
        }
        found
    }

    /// The name at `i`, or, of a group in braces, the first name of each member.
    fn first_names(&self, i: usize, found: &mut Vec<(usize, String)>) {
        let mut depth = 0;
        let mut expected = true;
        for token in &self.code[i.min(self.code.len())..] {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => expected = true,
                name if expected => {
                    found.push((token.line, name.to_string()));
                    expected = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }

    /// `pub` items without a doc comment, with their line. `pub mod x;` is explained in its own file; what the fields of a
    /// recipe mean stands in the recipe, so fields are left to the reader's judgement.
    pub fn undocumented(&self) -> Vec<(usize, String)> {
        let text = |i: usize| self.code.get(i).map_or("", |token| token.text.as_str());
        let mut found = Vec::new();
        for i in 0..self.code.len() {
            if text(i) != "pub" || self.has_docs(i) {
                continue;
            }
            let mut word = i + 1;
            while ["unsafe", "async", "extern"].contains(&text(word))
                || (text(word) == "const" && text(word + 1) == "fn")
            {
                word += 1;
            }
            let item = match text(word) {
                kind @ ("fn" | "struct" | "enum" | "trait" | "type" | "static" | "const" | "union") => {
                    format!("{kind} {}", text(word + 1))
                }
                _ => continue,
            };
            found.push((self.code[i].line, item));
        }
        found
    }

    /// Whether a doc comment stands before token `i`, with nothing but attributes between.
    fn has_docs(&self, mut i: usize) -> bool {
        while i > 0 {
            match self.code[i - 1].text.as_str() {
                DOC => return true,
                "]" => {
                    let opens = |token: &Token| token.text == "#";
                    match self.code[..i - 1].iter().rposition(opens) {
                        Some(start) => i = start,
                        None => return false,
                    }
                }
                _ => return false,
            }
        }
        false
    }
}

/// Words, numbers, `::`, and all other signs one by one; comments and the insides of strings are dropped.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        let mut token = String::new();
        match at(i) {
            '/' if at(i + 1) == '/' => {
                i = (i..chars.len()).find(|j| at(*j) == '\n').unwrap_or(chars.len());
                if at(start + 2) == '/' && at(start + 3) != '/' {
                    token = DOC.into();
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            '"' => i = end_of_quoted(&chars, i, '"'),
            // 'a' and '\n' are characters, 'a without a second quote is a lifetime.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => i = end_of_quoted(&chars, i, '\''),
            ':' if at(i + 1) == ':' => (token, i) = ("::".into(), i + 2),
            c if is_word(c) => {
                while is_word(at(i)) {
                    i += 1;
                }
                token = chars[start..i].iter().collect();
                let hashes = (i..).take_while(|j| at(*j) == '#').count();
                if ["r", "br", "cr"].contains(&token.as_str()) && at(i + hashes) == '"' {
                    i = end_of_raw(&chars, i, hashes);
                    token.clear();
                }
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    token = c.into();
                }
            }
        }
        if !token.is_empty() {
            tokens.push(Token { text: token, line });
        }
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Behind the closing quote of the string or character that opens at `i`.
fn end_of_quoted(chars: &[char], mut i: usize, quote: char) -> usize {
    i += 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// Behind the raw string whose `hashes` signs begin at `i`.
fn end_of_raw(chars: &[char], i: usize, hashes: usize) -> usize {
    let first = i + hashes + 1;
    let closes = |j: &usize| chars[*j] == '"' && chars[*j + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (first..chars.len()).find(closes).map_or(chars.len(), |j| j + 1 + hashes)
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let here = tokens[i..].iter().take(7).map(|token| token.text.as_str());
        if !here.eq(CFG_TEST) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        // To the end of the item: its closing brace, or a semicolon outside of all braces.
        i += 7;
        let mut depth = 0;
        while i < tokens.len() {
            let sign = tokens[i].text.as_str();
            depth += match sign {
                "{" => 1,
                "}" => -1,
                _ => 0,
            };
            i += 1;
            if depth == 0 && (sign == "}" || sign == ";") {
                break;
            }
        }
    }
    kept
}
