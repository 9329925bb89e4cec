//! Misprints, made on purpose: a network that has met them while it learned is thrown by them less.

use super::batches::{Item, items, mix};
use crate::dataset::Example;
use crate::error::Result;
use crate::kernels::threads::in_parallel;
use crate::model::mode::{splitmix64, uniform};
use crate::tokens::{InputConfig, Tokenizer};
use std::borrow::Borrow;

/// Share of the sentences that are mistyped in an epoch; the others stay as they are.
const SENTENCES: f64 = 0.5;

/// Examples as a typist in a hurry would have left them: in every second sentence, with its headline and the sentence before,
/// this share of the letters is dropped, doubled or exchanged with the next. Which ones depends on `seed`, `epoch` and
/// the example's number alone, so that a run can be resumed anywhere.
///
/// # Errors
/// The tokenizer fails.
pub fn mistyped_items<E: Borrow<Example> + Sync>(
    examples: &[E],
    rate: f64,
    (seed, epoch): (u64, usize),
    (tokenizer, input): (&Tokenizer, &InputConfig),
    workers: usize,
) -> Result<Vec<Item>> {
    let numbered: Vec<(usize, &Example)> = examples.iter().map(Borrow::borrow).enumerate().collect();
    let encoded = in_parallel(&numbered, workers, |(i, example)| {
        let mut state = mix(&[seed, 3, epoch as u64, *i as u64]);
        if uniform(&mut state) >= SENTENCES {
            return items(&[*example], tokenizer, input);
        }
        let mut mistype = |text: &String| mistyped(text, rate, &mut state);
        let mut example = (*example).clone();
        example.text = mistype(&example.text);
        example.title = example.title.as_ref().map(&mut mistype);
        example.previous = example.previous.as_ref().map(&mut mistype);
        items(&[example], tokenizer, input)
    });
    let mut all = Vec::with_capacity(examples.len());
    for one in encoded {
        all.extend(one?);
    }
    Ok(all)
}

/// The text with a share of its letters dropped, doubled, or exchanged with the letter behind.
fn mistyped(text: &str, rate: f64, state: &mut u64) -> String {
    let mut letters = text.chars().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        if !letter.is_alphabetic() || uniform(state) >= rate {
            out.push(letter);
            continue;
        }
        match splitmix64(state) % 3 {
            0 => {}
            1 => out.extend([letter, letter]),
            _ => {
                out.extend(letters.next_if(|next| next.is_alphabetic()));
                out.push(letter);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_of_the_letters_is_wrong_and_nothing_else() {
        let text = "أعلن الجيش، 12 قتيلا. ".repeat(500);
        assert_eq!(mistyped(&text, 0.0, &mut 3), text);
        let wrong = mistyped(&text, 0.1, &mut 3);
        assert_eq!(wrong, mistyped(&text, 0.1, &mut 3));
        assert_ne!(wrong, mistyped(&text, 0.1, &mut 4));
        let others = |text: &str| text.chars().filter(|c| !c.is_alphabetic()).collect::<String>();
        assert_eq!(others(&wrong), others(&text));
        let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count() as f64;
        // a letter less as often as a letter more
        assert!((letters(&wrong) / letters(&text) - 1.0).abs() < 0.02);
        let same = wrong.split(' ').zip(text.split(' ')).filter(|(a, b)| a == b).count();
        let share = same as f64 / text.split(' ').count() as f64;
        assert!((0.6..0.8).contains(&share), "{share}"); // four words, of which two have four letters or more
    }
}
