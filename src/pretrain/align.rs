//! Which line of one file says what which line of another file says: alignment of translated lines that are in the same order.
//!
//! The files of a parallel corpus seldom have the same number of lines once duplicates were removed from each, and the same
//! number does not say that line i is line i. Lines are matched by their lengths (Gale and Church, A Program for Aligning
//! Sentences in Bilingual Corpora, Computational Linguistics 19, 1993) and by the numbers that stand in them.

/// What the alignment sees of a line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    n_chars: f32,
    numbers: Vec<u64>, // rising, each once
}

impl Shape {
    /// The shape of a line.
    pub fn of(line: &str) -> Shape {
        let mut numbers = Vec::new();
        let mut in_number = false;
        for c in line.chars() {
            let digit = match c {
                '0'..='9' => Some(c as u64 - '0' as u64),
                '٠'..='٩' => Some(c as u64 - '٠' as u64),
                '۰'..='۹' => Some(c as u64 - '۰' as u64),
                _ => None,
            };
            match (digit, numbers.last_mut()) {
                (Some(digit), Some(number)) if in_number => *number = digit + 10u64.wrapping_mul(*number),
                (Some(digit), _) => numbers.push(digit),
                (None, _) => (),
            }
            in_number = digit.is_some();
        }
        numbers.sort_unstable();
        numbers.dedup();
        Shape { n_chars: line.chars().count() as f32, numbers }
    }
}

/// Cost of a line without a counterpart.
const SKIP: f32 = 6.0;
/// How far the matching may stray from the straight line between the files' corners, in lines.
const STRAY: usize = 100;
/// The most steps that are looked at: a byte each.
const MAX_CELLS: usize = 100_000_000;
/// Mean cost by length above which two files are no translations of each other: translations have about 0.2, chance 1.2.
const MAX_MEAN_COST: f32 = 0.6;

/// Why two files cannot be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unaligned {
    /// There are too many lines, or too many more in one than in the other.
    TooLong,
    /// Lengths and numbers do not look like those of translations in the same order.
    Unlike,
}

/// Pairs of lines (of `a`, of `b`), rising in both.
///
/// # Errors
/// The files are no translations of each other in the same order, or too long to tell.
pub fn align(a: &[Shape], b: &[Shape]) -> Result<Vec<(usize, usize)>, Unaligned> {
    let (n, m) = (a.len(), b.len());
    // Column k of row i is line i + k - below of b.
    let below = n.saturating_sub(m) + STRAY;
    let width = below + m.saturating_sub(n) + STRAY + 1;
    if (n + 1).checked_mul(width).is_none_or(|cells| cells > MAX_CELLS) {
        return Err(Unaligned::TooLong);
    }
    // A line's mean length, not the file's: lines may be missing on one side.
    let mean_chars = |lines: &[Shape]| {
        let n_chars: f64 = lines.iter().map(|line| f64::from(line.n_chars)).sum();
        n_chars.max(1.0) / lines.len().max(1) as f64
    };
    let ratio = (mean_chars(b) / mean_chars(a)) as f32;
    let mut steps = vec![Step::None; (n + 1) * width];
    let mut row = vec![f32::INFINITY; width];
    for i in 0..=n {
        let mut next = vec![f32::INFINITY; width];
        for k in 0..width {
            let Some(j) = (i + k).checked_sub(below).filter(|j| *j <= m) else { continue };
            let mut best = if i + j == 0 { (0.0, Step::None) } else { (f32::INFINITY, Step::None) };
            let mut offer = |cost: f32, step| {
                if cost < best.0 {
                    best = (cost, step);
                }
            };
            if i > 0 && j > 0 {
                let (a, b) = (&a[i - 1], &b[j - 1]);
                offer(row[k] + length_cost(a, b, ratio) + number_cost(a, b), Step::Match);
            }
            if i > 0 && k + 1 < width {
                offer(row[k + 1] + SKIP, Step::SkipA);
            }
            if j > 0 && k > 0 {
                offer(next[k - 1] + SKIP, Step::SkipB);
            }
            (next[k], steps[i * width + k]) = best;
        }
        row = next;
    }
    let (mut i, mut j, mut pairs, mut cost) = (n, m, Vec::new(), 0.0);
    loop {
        match steps[i * width + (j + below - i)] {
            Step::Match => {
                (i, j) = (i - 1, j - 1);
                cost += length_cost(&a[i], &b[j], ratio);
                pairs.push((i, j));
            }
            Step::SkipA => i -= 1,
            Step::SkipB => j -= 1,
            Step::None => break,
        }
    }
    pairs.reverse();
    let is_like = 2 * pairs.len() >= n.min(m) && cost <= MAX_MEAN_COST * pairs.len() as f32;
    if is_like { Ok(pairs) } else { Err(Unaligned::Unlike) }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    None,
    Match,
    SkipA,
    SkipB,
}

/// Half the square of the difference in length, in standard deviations: a quarter of the mean length, and a few characters.
fn length_cost(a: &Shape, b: &Shape, ratio: f32) -> f32 {
    let expected = a.n_chars * ratio;
    let deviation = 0.125 * (expected + b.n_chars);
    let difference = b.n_chars - expected;
    0.5 * difference * difference / (deviation * deviation + 20.0)
}

/// From 3 where no number is in both lines to -3 where all are; 0 where there is none.
fn number_cost(a: &Shape, b: &Shape) -> f32 {
    if a.numbers.is_empty() && b.numbers.is_empty() {
        return 0.0;
    }
    let shared = a.numbers.iter().filter(|number| b.numbers.binary_search(number).is_ok()).count();
    let all = a.numbers.len() + b.numbers.len() - shared;
    3.0 - 6.0 * shared as f32 / all as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mode::splitmix64;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Lines of random lengths, some with a number, and a "translation" a fifth longer, give or take.
    fn translated(n: usize, seed: u64) -> (Vec<Shape>, Vec<Shape>) {
        let mut state = seed;
        let mut below = |n: u64| splitmix64(&mut state) % n;
        let line = |_| {
            let n_chars = 30 + below(150) as usize;
            let number = if below(5) == 0 { format!(" {}", below(1000)) } else { String::new() };
            let other = n_chars * 6 / 5 + below(20) as usize;
            (Shape::of(&("a".repeat(n_chars) + &number)), Shape::of(&("b".repeat(other) + &number)))
        };
        (0..n).map(line).unzip()
    }

    #[test]
    fn a_shape_has_the_numbers_in_any_digits() {
        assert_eq!(Shape::of("في 12 و ٣٤ و ۵۶، 12").numbers, [12, 34, 56]);
        assert_eq!(Shape::of("1,000").numbers, [0, 1]);
        assert_eq!(Shape::of("بغداد").n_chars, 5.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn lines_that_were_removed_on_either_side_are_found(
            seed: u64, out_of_a in prop::collection::hash_set(0usize..200, 0..12), out_of_b in prop::collection::hash_set(0usize..200, 0..20),
        ) {
            let (a, b) = translated(200, seed);
            let kept = |out: &HashSet<usize>| -> Vec<usize> { (0..200).filter(|i| !out.contains(i)).collect() };
            let (in_a, in_b) = (kept(&out_of_a), kept(&out_of_b));
            let shapes = |lines: &[Shape], kept: &[usize]| kept.iter().map(|i| lines[*i].clone()).collect::<Vec<_>>();
            let pairs = align(&shapes(&a, &in_a), &shapes(&b, &in_b)).unwrap();
            let right = pairs.iter().filter(|(i, j)| in_a[*i] == in_b[*j]).count();
            // Next to a gap two lines of like lengths may be taken for each other.
            let n_gaps = out_of_a.len() + out_of_b.len();
            prop_assert!(right + 2 * n_gaps >= pairs.len(), "{right} of {}", pairs.len());
            prop_assert!(pairs.len() + 2 * n_gaps >= 200, "{}", pairs.len());
            prop_assert!(pairs.windows(2).all(|p| p[0].0 < p[1].0 && p[0].1 < p[1].1));
        }
    }

    #[test]
    fn files_that_are_no_translations_or_too_long_are_refused() {
        let (a, b) = translated(300, 1);
        let (_, other) = translated(300, 2);
        assert_eq!(align(&a, &b).map(|pairs| pairs.len()), Ok(300));
        assert_eq!(align(&a, &other), Err(Unaligned::Unlike));
        let same_lengths = vec![Shape::default(); 30_000];
        assert_eq!(align(&same_lengths, &same_lengths[..1]), Err(Unaligned::TooLong));
        assert_eq!(align(&[], &[]), Ok(vec![]));
    }
}
