//! Which way a text runs, told by its letters.

/// The direction of a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Latin, Cyrillic, …
    LeftToRight,
    /// Arabic, Hebrew, …
    RightToLeft,
}

impl Direction {
    /// The direction of most letters of a whole article; left to right where there are none.
    pub fn of_article(text: &str) -> Direction {
        let (left_to_right, right_to_left) = count_letters(text);
        if right_to_left > left_to_right { Direction::RightToLeft } else { Direction::LeftToRight }
    }

    /// The direction of a sentence: its own if all its letters agree, else its article's. The first letter does not
    /// decide, as it does in Unicode's rule P2, because an Arabic sentence may well begin with `ISIS`.
    pub fn of_sentence(text: &str, article: Direction) -> Direction {
        match count_letters(text) {
            (0, right_to_left) if right_to_left > 0 => Direction::RightToLeft,
            (left_to_right, 0) if left_to_right > 0 => Direction::LeftToRight,
            _ => article,
        }
    }

    /// The value of the HTML attribute `dir`.
    pub fn html(self) -> &'static str {
        match self {
            Direction::LeftToRight => "ltr",
            Direction::RightToLeft => "rtl",
        }
    }
}

/// Letters that run left to right, letters that run right to left.
fn count_letters(text: &str) -> (usize, usize) {
    text.chars().filter(|c| c.is_alphabetic()).fold((0, 0), |(left_to_right, right_to_left), c| {
        if is_right_to_left(c) { (left_to_right, right_to_left + 1) } else { (left_to_right + 1, right_to_left) }
    })
}

/// Blocks that Unicode reserves for right-to-left scripts (DerivedBidiClass.txt, classes R and AL).
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::Direction::{self, LeftToRight, RightToLeft};

    #[test]
    fn most_letters_decide_for_an_article_and_unanimity_for_a_sentence() {
        assert_eq!(Direction::of_article("ISIS: هاجم داعش نقطة للجيش"), RightToLeft);
        assert_eq!(Direction::of_article("123 …"), LeftToRight);
        for (sentence, article, expected) in [
            ("ISIS هاجم", RightToLeft, RightToLeft),
            ("ISIS هاجم", LeftToRight, LeftToRight),
            ("[ad_1]", RightToLeft, LeftToRight),
            ("داعش", LeftToRight, RightToLeft),
            ("2020", RightToLeft, RightToLeft),
        ] {
            assert_eq!(Direction::of_sentence(sentence, article), expected, "{sentence}");
        }
    }
}
