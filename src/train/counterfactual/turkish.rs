//! Turkish case endings: cut off a name, and put on another by vowel harmony (Lewis, Turkish Grammar, 2000, chapter 2): IŞİD'e, but
//! Peşmerge'ye; ordunun, but milislerin. The case says who acts on whom; it must stay, and be spelled as the new name wants it.

use crate::letters::folded_words;

/// Endings of the cases, folded (ı as i, ü as u), the longest first.
const CASES: [&str; 32] = [
    "ndan", "nden", "dan", "den", "tan", "ten", "nda", "nde", "nin", "nun", "yla", "yle", "da", "de", "ta", "te", "in",
    "un", "ya", "ye", "na", "ne", "yi", "yu", "ni", "nu", "la", "le", "a", "e", "i", "u",
];

/// Words that end like a possessive and are none.
const NO_POSSESSIVES: [&str; 4] = ["sabi", "saabi", "vatani", "husi"];

/// The ways to cut a name into stem and case ending, the longest ending first. A last vowel after a second word is no case: the
/// `u` of `Irak ordusu` says that the army is Iraq's.
pub(super) fn cuts(name: &str) -> impl Iterator<Item = usize> + '_ {
    let letters: Vec<usize> = name.char_indices().map(|(at, _)| at).collect();
    CASES.iter().filter_map(move |case| {
        let cut = *letters.get(letters.len().checked_sub(case.chars().count())?)?;
        let (stem, ending) = name.split_at(cut);
        let is_case = ending.chars().all(char::is_alphabetic) && folded_words(ending) == *case;
        (is_case && !stem.is_empty() && (case.len() > 1 || !stem.contains(' '))).then_some(cut)
    })
}

/// Bytes of the case ending behind an apostrophe at the start of `text`, the apostrophe included; 0 if there is none.
pub(super) fn after_apostrophe(text: &str) -> usize {
    let Some(letters) = text.strip_prefix(['\'', '’']) else { return 0 };
    let end = letters.find(|c: char| !c.is_alphabetic()).unwrap_or(letters.len());
    let is_case = end > 0 && CASES.contains(&folded_words(&letters[..end]).as_str());
    if is_case { text.len() - letters.len() + end } else { 0 }
}

/// The ending of another name, with its apostrophe if it had one, as this name wants it.
pub(super) fn inflect(name: &str, ending: &str) -> String {
    let letters = ending.trim_start_matches(['\'', '’']);
    if letters.is_empty() {
        return name.into();
    }
    let sound = Sound::of(name);
    let core = without_buffer(letters);
    let is_vowel_first = core.starts_with(is_vowel);
    let is_genitive = is_vowel_first && core.ends_with('n');
    let buffer = match (is_vowel_first, core.chars().next()) {
        (true, _) if sound.possessive || (sound.ends_in_vowel && is_genitive) => "n",
        (true, _) if sound.ends_in_vowel => "y",
        (false, Some('d' | 't')) if sound.possessive => "n",
        (false, Some('l')) if sound.ends_in_vowel && core.chars().count() == 2 => "y",
        _ => "",
    };
    let mut out = String::from(name);
    if sound.capital {
        out.push('\'');
    }
    out.push_str(buffer);
    let (mut vowel, mut first) = (sound.vowel, true);
    for c in core.chars() {
        let c = match c {
            'd' | 't' if first && sound.voiceless => 't',
            'd' | 't' if first => 'd',
            'a' | 'e' => {
                if "aıou".contains(vowel) {
                    'a'
                } else {
                    'e'
                }
            }
            'ı' | 'i' | 'u' | 'ü' => match vowel {
                'a' | 'ı' => 'ı',
                'e' | 'i' => 'i',
                'o' | 'u' => 'u',
                _ => 'ü',
            },
            c => c,
        };
        (vowel, first) = (if is_vowel(c) { c } else { vowel }, false);
        out.push(c);
    }
    out
}

/// An ending without the consonant that stands between it and a vowel: `ye`, `na`, `ndan`, `yla`.
fn without_buffer(ending: &str) -> &str {
    let mut letters = ending.chars();
    match (letters.next(), letters.next()) {
        (Some('y' | 'n'), Some(second)) if is_vowel(second) || "dtl".contains(second) => &ending[1..],
        _ => ending,
    }
}

/// What of a name decides about its endings.
struct Sound {
    vowel: char, // the last
    ends_in_vowel: bool,
    voiceless: bool,  // its last consonant, where it ends in one
    possessive: bool, // a compound: Irak ordusu
    capital: bool,    // its last word is a proper name, so an apostrophe follows
}

impl Sound {
    fn of(name: &str) -> Sound {
        let word = name.rsplit([' ', '-']).next().unwrap_or(name);
        let is_spelled = word.chars().count() > 1 && !word.chars().any(char::is_lowercase);
        let letters: Vec<char> = word.chars().map(lower).collect();
        let last = letters.last().copied().unwrap_or('e');
        let before = letters.len().checked_sub(2).map(|i| letters[i]);
        let capital = word.starts_with(char::is_uppercase);
        // ABD is read a-be-de, PKK pe-ka-ka, IŞİD as a word.
        if is_spelled && !is_vowel(last) && before.is_none_or(|c| !is_vowel(c)) {
            let vowel = if last == 'k' { 'a' } else { 'e' };
            return Sound { vowel, ends_in_vowel: true, voiceless: false, possessive: false, capital };
        }
        let is_compound = name.contains(' ') && "ıiuü".contains(last);
        Sound {
            vowel: letters.iter().rev().copied().find(|c| is_vowel(*c)).unwrap_or('e'),
            ends_in_vowel: is_vowel(last),
            voiceless: "fstkçşhp".contains(last),
            possessive: is_compound && !NO_POSSESSIVES.contains(&folded_words(word).as_str()),
            capital,
        }
    }
}

fn is_vowel(c: char) -> bool {
    "aeıioöuü".contains(c)
}

/// Turkish small letters: I is that of ı.
fn lower(c: char) -> char {
    match c {
        'I' => 'ı',
        'İ' | 'î' | 'Î' => 'i',
        'â' | 'Â' => 'a',
        'û' | 'Û' => 'u',
        c => c.to_lowercase().next().unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_follow_the_name() {
        for (name, endings) in [
            ("IŞİD", ["'e", "'in", "'i", "'de", "'den", "'le"]),
            ("DEAŞ", ["'a", "'ın", "'ı", "'ta", "'tan", "'la"]),
            ("SDG", ["'ye", "'nin", "'yi", "'de", "'den", "'yle"]),
            ("PKK", ["'ya", "'nın", "'yı", "'da", "'dan", "'yla"]),
            ("Peşmerge", ["'ye", "'nin", "'yi", "'de", "'den", "'yle"]),
            ("Haşdi Şabi", ["'ye", "'nin", "'yi", "'de", "'den", "'yle"]),
            ("Devrim Muhafızları", ["'na", "'nın", "'nı", "'nda", "'ndan", "'yla"]),
            ("Irak ordusu", ["na", "nun", "nu", "nda", "ndan", "yla"]),
            ("milisler", ["e", "in", "i", "de", "den", "le"]),
            ("asker", ["e", "in", "i", "de", "den", "le"]),
        ] {
            // whatever the ending was called on the name before
            for (i, others) in [["'a", "nın", "yı", "'nda", "tan", "la"], ["ye", "'un", "ü", "te", "'nden", "yle"]]
                .into_iter()
                .flat_map(|others| others.into_iter().enumerate())
            {
                assert_eq!(inflect(name, others), format!("{name}{}", endings[i]), "{name} {others}");
            }
            assert_eq!(inflect(name, ""), name);
        }
    }

    #[test]
    fn cuts_cases_and_not_possessives() {
        let cut = |name: &str, stem: &str| cuts(name).find(|at| name[..*at] == *stem).map(|at| name[at..].to_string());
        assert_eq!(cut("milislere", "milisler").as_deref(), Some("e"));
        assert_eq!(cut("Irak ordusuna", "Irak ordusu").as_deref(), Some("na"));
        assert_eq!(cut("Irak ordusu", "Irak ordus"), None);
        assert_eq!(after_apostrophe("'nin kampı"), 4);
        assert_eq!(after_apostrophe("’e saldırdı"), "’e".len());
        assert_eq!((after_apostrophe("'liler"), after_apostrophe(" kampı"), after_apostrophe("'")), (0, 0, 0));
    }
}
