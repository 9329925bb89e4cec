//! Names and cues → folded patterns, in all the ways their articles are written.

use super::groups_file::{Condition, GroupsFile};
use crate::error::{Error, Place, Result};
use crate::letters::{Class, Folder, folded_words};
use std::collections::BTreeMap;
use std::path::Path;

/// What it means when a pattern stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A name of a group, perhaps under a condition.
    Name { group: usize, condition: Option<usize> },
    /// A word that decides what an ambiguous name means.
    Cue(usize),
}

/// A name or cue as it is searched for; its folded letters are the key beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub meaning: Use,
    /// Folded bytes before which a new word begins.
    pub breaks: Vec<usize>,
    /// Only in capitals: an acronym.
    pub capitals: bool,
    /// Written in Arabic letters.
    pub arabic_script: bool,
    /// The name begins with the Arabic article, which the folded letters lack because it may be written لل.
    pub article: bool,
    /// Any ending may follow.
    pub stem: bool,
}

impl Pattern {
    /// Whether the Arabic article may stand before a name that is written without it.
    pub fn may_take_article(&self) -> bool {
        !matches!(self.meaning, Use::Name { condition: Some(_), .. })
    }
}

/// All patterns by their folded letters.
///
/// # Errors
/// A name without letters or with punctuation, one name for two groups without a condition, a cue that stands in its own name.
pub(super) fn all(file: &GroupsFile, path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<Pattern>>> {
    let mut patterns: BTreeMap<Vec<u8>, Vec<Pattern>> = BTreeMap::new();
    let folded_cues: Vec<String> = file.cues.iter().map(|cue| folded_words(cue)).collect();
    for (g, group) in file.groups.iter().enumerate() {
        for name in &group.names {
            let meaning = Use::Name { group: g, condition: name.condition };
            for (folded, pattern) in variants(&name.words, meaning, path)? {
                let others = patterns.entry(folded).or_default();
                if name.condition.is_none()
                    && let Some(Use::Name { group: other, .. }) = others
                        .iter()
                        .map(|p| p.meaning)
                        .find(|m| matches!(m, Use::Name { group, condition: None } if *group != g))
                {
                    let found = format!("\"{}\" names {} and {}", name.words, file.groups[other].id, group.id);
                    return Err(Error::bad(Place::file(path), found, "one group a name")
                        .hint("move it to [[group.ambiguous]] with a cue"));
                }
                if !others.contains(&pattern) {
                    others.push(pattern);
                }
            }
            if let Some(condition) = name.condition {
                check_cues(&file.conditions[condition], &name.words, &folded_cues, path)?;
            }
        }
    }
    for (cue, words) in file.cues.iter().enumerate() {
        let stem = words.ends_with('*');
        for (folded, mut pattern) in variants(words.trim_end_matches('*'), Use::Cue(cue), path)? {
            pattern.stem = stem;
            patterns.entry(folded).or_default().push(pattern);
        }
    }
    Ok(patterns)
}

// Otherwise the name would vouch for itself.
fn check_cues(condition: &Condition, name: &str, folded_cues: &[String], path: &Path) -> Result<()> {
    let folded_name = format!(" {} ", folded_words(name));
    for cue in condition.cues.iter().chain(&condition.not_cues) {
        let cue = &folded_cues[*cue];
        if folded_name.contains(&format!(" {cue} ")) {
            let found = format!("\"{cue}\" as a cue of \"{name}\", in which it stands");
            return Err(Error::bad(Place::file(path), found, "cues that stand elsewhere"));
        }
    }
    Ok(())
}

fn variants(words: &str, meaning: Use, path: &Path) -> Result<Vec<(Vec<u8>, Pattern)>> {
    let mut parts = folded_parts(words).ok_or_else(|| {
        Error::bad(
            Place::file(path),
            format!("\"{words}\" among the names and cues"),
            "letters, digits, spaces, hyphens, apostrophes",
        )
    })?;
    let arabic_script = ('\u{600}'..'\u{700}').contains(&parts[0].chars().next().unwrap_or(' '));
    // A name that is nothing but the article and a word of one letter is left as it is.
    let article = arabic_script && parts[0].len() > "ال".len() + 2 && parts[0].starts_with("ال");
    if article {
        parts[0].drain(.."ال".len());
    }
    let capitals = words.chars().any(char::is_uppercase) && !words.chars().any(char::is_lowercase);
    let mut spelt: Vec<(Vec<u8>, Vec<usize>)> = vec![(Vec::new(), Vec::new())];
    for (i, part) in parts.iter().enumerate() {
        let choices = match parts.get(i + 1) {
            Some(next) if !arabic_script && is_article(part, next) => articles(next, i == 0),
            _ => vec![part.clone()],
        };
        let mut longer = Vec::with_capacity(spelt.len() * choices.len());
        for (bytes, breaks) in &spelt {
            for choice in &choices {
                let (mut bytes, mut breaks) = (bytes.clone(), breaks.clone());
                if !bytes.is_empty() && !choice.is_empty() {
                    breaks.push(bytes.len());
                }
                bytes.extend_from_slice(choice.as_bytes());
                longer.push((bytes, breaks));
            }
        }
        spelt = longer;
    }
    let pattern = |breaks| Pattern { meaning, breaks, capitals, arabic_script, article, stem: false };
    Ok(spelt.into_iter().map(|(bytes, breaks)| (bytes, pattern(breaks))).collect())
}

// None if there are no letters, or characters that no name crosses.
fn folded_parts(words: &str) -> Option<Vec<String>> {
    let folder = Folder::new();
    let mut parts = vec![String::new()];
    for c in words.chars() {
        let folded = folder.fold(c);
        match folded.class {
            Class::Letter => parts.last_mut()?.push_str(std::str::from_utf8(folded.as_bytes()).ok()?),
            Class::Silent | Class::Apostrophe => {}
            Class::Joint | Class::Space => parts.push(String::new()),
            Class::Stop => return None,
        }
    }
    parts.retain(|part| !part.is_empty());
    (!parts.is_empty()).then_some(parts)
}

// al-, el-, ul-, and before "sun letters" as it is spoken: an-Nujaba, eş-Şüheda, ash-Shuhada.
fn is_article(part: &str, next: &str) -> bool {
    matches!(part, "al" | "el" | "ul" | "il")
        || ((2..=3).contains(&part.len())
            && part.starts_with(['a', 'e'])
            && sun_letters(next).is_some_and(|sun| &part[1..] == sun))
}

fn sun_letters(word: &str) -> Option<&str> {
    ["sh", "ch", "th", "dh", "t", "d", "r", "z", "s", "n"].into_iter().find(|sun| word.starts_with(sun))
}

fn articles(next: &str, leading: bool) -> Vec<String> {
    let mut articles: Vec<String> = ["al", "el", "ul"].map(String::from).into();
    if let Some(sun) = sun_letters(next) {
        articles.extend(["a", "e"].map(|vowel| format!("{vowel}{sun}")));
    }
    // Inside a name the article is often left out: Harakat Nujaba. Before it, what remains may be another word.
    if !leading {
        articles.push(String::new());
    }
    articles
}
