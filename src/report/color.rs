//! Colours of classes, as the schema writes them: `#rrggbb`.

/// The three channels; none for anything but `#` and six hexadecimal digits.
pub(super) fn rgb(color: &str) -> Option<[u8; 3]> {
    let digits = color.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let channel = |i: usize| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok();
    Some([channel(0)?, channel(1)?, channel(2)?])
}

/// A grey class is background: reports show it, but do not let it shout.
pub(super) fn is_grey([r, g, b]: [u8; 3]) -> bool {
    r.max(g).max(b) - r.min(g).min(b) < 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_hexadecimal_digits_are_a_color() {
        assert_eq!(rgb("#e67e00"), Some([0xe6, 0x7e, 0]));
        for not_a_color in ["red", "#fff", "#+67e00", "#e67e00;x", "#ééé"] {
            assert_eq!(rgb(not_a_color), None, "{not_a_color}");
        }
        assert!(is_grey([0x75, 0x75, 0x75]) && !is_grey([0x15, 0x65, 0xc0]));
    }
}
