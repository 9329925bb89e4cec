//! Quotes and brackets that are closed on their line: a sentence does not break in them.

use crate::article::Span;

/// A longer quotation is no longer kept whole: a mark left open long ago closes by chance.
const MAX_BYTES: usize = 3000;

/// How many marks may stand open; more is a flood of marks, not a text.
const MAX_OPEN: usize = 16;

/// The outermost pairs of quotes and brackets of a line, in order, marks included; they do not overlap.
pub fn find(line: &str) -> Vec<Span> {
    let mut pairs: Vec<Span> = Vec::new();
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut before = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, mark)) = chars.next() {
        let after = chars.peek().map_or(' ', |(_, c)| *c);
        let closes =
            closing_position(&open, mark).filter(|_| mark != '"' || !before.is_whitespace() || after.is_whitespace());
        if let Some(position) = closes {
            let (start, _) = open[position];
            open.truncate(position);
            let pair = Span { start, end: at + mark.len_utf8() };
            if pair.end - pair.start <= MAX_BYTES {
                while pairs.last().is_some_and(|inner| inner.start > pair.start) {
                    pairs.pop();
                }
                pairs.push(pair);
            }
        } else if let Some(closing) = closing_of(mark) {
            // ‘ and " behind a letter or before white space are apostrophes and inches, not openings
            let is_doubtful = matches!(mark, '"' | '‘') && (before.is_alphanumeric() || after.is_whitespace());
            if !is_doubtful {
                if open.len() == MAX_OPEN {
                    open.remove(0);
                }
                open.push((at, closing));
            }
        }
        before = mark;
    }
    pairs
}

/// The mark that closes what `mark` opens. In our languages' press »…« is rare, „…“ is known to Turkish and Kurmanji.
fn closing_of(mark: char) -> Option<char> {
    Some(match mark {
        '«' => '»',
        '“' => '”',
        '„' => '“',
        '‘' => '’',
        '‹' => '›',
        '"' => '"',
        '(' => ')',
        '[' => ']',
        '{' => '}',
        '﴾' => '﴿',
        '﴿' => '﴾',
        _ => return None,
    })
}

/// Which of the open marks `mark` closes: the innermost that it can; what stands open within was no opening.
fn closing_position(open: &[(usize, char)], mark: char) -> Option<usize> {
    open.iter().rposition(|(_, closing)| *closing == mark)
}

/// Whether `c` closes a quote or a bracket.
pub fn is_closing(c: char) -> bool {
    matches!(c, '»' | '”' | '“' | '’' | '›' | '"' | '\'' | ')' | ']' | '}' | '﴿' | '﴾')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outermost_pairs_are_found_and_lone_marks_are_not() {
        let cases: [(&str, &[&str]); 12] = [
            ("قال «نعم. (لا) نعم» ثم", &["«نعم. (لا) نعم»"]),
            ("(a) «b» “c” \"d\" [e]", &["(a)", "«b»", "“c”", "\"d\"", "[e]"]),
            ("قال إيران\". ثم قال \"نعم\"", &["\"نعم\""]),
            ("he said \"yes. no\" and \"no. yes\" again", &["\"yes. no\"", "\"no. yes\""]),
            ("«open. then (closed)", &["(closed)"]),
            ("the ‘first. second’ of", &["‘first. second’"]),
            ("l’armée. l’Irak", &[]),
            ("a 5\" gun. 6\" gun", &[]),
            ("1) a 2) b", &[]),
            ("„Stop. Go“ x", &["„Stop. Go“"]),
            ("\"a\"", &["\"a\""]),
            ("“عبوة ”ناسفة", &["“عبوة ”"]),
        ];
        for (line, expected) in cases {
            let found: Vec<&str> = find(line).iter().map(|pair| pair.of(line)).collect();
            assert_eq!(found, expected, "{line}");
        }
    }
}
