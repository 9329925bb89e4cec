//! A name as it stands in a text → what grammar puts before it, the name, and what grammar puts behind it. Proclitics and case
//! endings stay where they are when names change places, for they say who acts on whom.

use super::turkish;
use crate::letters::endings::is_ending;
use crate::letters::folded_words;

/// A name in a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    /// Arabic proclitics: و ف, then ب ل ك س.
    before: String,
    /// The name itself, with its article.
    pub bare: String,
    /// An ending of Turkish, Kurmanji, Persian or Sorani.
    after: String,
    /// The ending is spelled as the name before it wants.
    is_turkish: bool,
}

/// Letters of the longest ending.
const LONGEST: usize = 7;

impl Name {
    /// Takes a name apart; `is_name` says whether what is left is still a name. The shortest one is taken.
    pub fn new(text: &str, language: &str, is_name: impl Fn(&str) -> bool) -> Name {
        let (before, bare) = proclitics(text)
            .into_iter()
            .rev()
            .find(|(before, bare)| before.is_empty() || is_name(bare))
            .unwrap_or((String::new(), text.to_string()));
        if language == "tr" {
            let (name, after) = bare.split_at(bare.rfind(['\'', '’']).unwrap_or(bare.len()));
            let (bare, after) = match turkish::after_apostrophe(after) {
                n if n > 0 && n == after.len() => (name, after),
                _ => bare.split_at(turkish::cuts(&bare).find(|at| is_name(&bare[..*at])).unwrap_or(bare.len())),
            };
            return Name { before, bare: bare.into(), after: after.into(), is_turkish: true };
        }
        let letters: Vec<usize> = bare.char_indices().map(|(at, _)| at).collect();
        let cuts = (1..=LONGEST.min(letters.len().saturating_sub(1))).rev().map(|n| letters[letters.len() - n]);
        let cut = cuts.into_iter().find(|at| {
            let (stem, ending) = bare.split_at(*at);
            ending.chars().all(char::is_alphabetic) && is_ending(&folded_words(ending), language) && is_name(stem)
        });
        let (bare, after) = bare.split_at(cut.unwrap_or(bare.len()));
        Name { before, bare: bare.into(), after: after.into(), is_turkish: false }
    }

    /// Another name in this one's place.
    pub fn with(&self, bare: &str) -> String {
        if self.is_turkish {
            return turkish::inflect(bare, &self.after);
        }
        // ل and the article are written together.
        match (self.before.strip_suffix('ل'), bare.strip_prefix("ال")) {
            (Some(_), Some(rest)) => format!("{}ل{rest}{}", self.before, self.after),
            _ => format!("{}{bare}{}", self.before, self.after),
        }
    }
}

/// The ways to take proclitics off, none first.
fn proclitics(text: &str) -> Vec<(String, String)> {
    let mut ways = vec![(String::new(), text.to_string())];
    ways.extend(
        text.strip_prefix(['و', 'ف']).map(|rest| (text[..text.len() - rest.len()].to_string(), rest.to_string())),
    );
    for (before, rest) in ways.clone() {
        if let Some(noun) = rest.strip_prefix(['ب', 'ل', 'ك', 'س']) {
            ways.push((format!("{before}{}", &rest[..rest.len() - noun.len()]), noun.to_string()));
        }
        if let Some(noun) = rest.strip_prefix("لل") {
            ways.push((format!("{before}ل"), format!("ال{noun}")));
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name taken apart, where these are all the names there are.
    fn apart(text: &str, language: &str, names: &[&str]) -> Name {
        Name::new(text, language, |bare| names.contains(&bare))
    }

    #[test]
    fn what_grammar_adds_stays_in_its_place() {
        for (language, text, names, other, expected) in [
            ("ar", "لتنظيم داعش", ["تنظيم داعش", ""], "البيشمركة", "للبيشمركة"),
            ("ar", "للبيشمركة", ["البيشمركة", ""], "تنظيم داعش", "لتنظيم داعش"),
            ("ar", "وبالجيش", ["الجيش", ""], "داعش", "وبداعش"),
            ("ar", "بدر", ["بدر", ""], "داعش", "داعش"),
            ("ar", "كتائب حزب الله", ["كتائب حزب الله", ""], "داعش", "داعش"),
            ("tr", "milislere", ["milisler", "milislere"], "Irak ordusu", "Irak ordusuna"),
            ("tr", "IŞİD’in", ["IŞİD", ""], "Peşmerge", "Peşmerge'nin"),
            ("tr", "Peşmerge", ["Peşmerge", ""], "IŞİD", "IŞİD"),
            ("fr", "miliciens", ["milicien", "miliciens"], "soldats", "soldats"),
        ] {
            assert_eq!(apart(text, language, &names).with(other), expected, "{text}");
        }
    }
}
