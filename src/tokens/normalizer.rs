//! The folding of script variants, as normalizers that are stored in tokenizer.json; the rules are data, in normalizer.toml.

use crate::error::{Error, Place, Result};
use serde::Deserialize;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFKC, NormalizerWrapper, Replace, Sequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::tokenizer::SplitDelimiterBehavior;

const RULES: &str = include_str!("normalizer.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    replace: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "why")]
    _why: String,
    pattern: String,
    content: String,
}

/// NFKC, lower case, then the rules of normalizer.toml in their order.
pub(super) fn normalizer() -> Result<Sequence> {
    let fault =
        |found: String| Error::bad(Place::file("src/tokens/normalizer.toml"), found, "rules with a valid pattern");
    let rules: Rules = toml::from_str(RULES).map_err(|e| fault(e.to_string()))?;
    let mut steps = vec![NormalizerWrapper::NFKC(NFKC), NormalizerWrapper::Lowercase(Lowercase)];
    for rule in rules.replace {
        let replace =
            Replace::new(ReplacePattern::Regex(rule.pattern), rule.content).map_err(|e| fault(e.to_string()))?;
        steps.push(NormalizerWrapper::Replace(replace));
    }
    Ok(Sequence::new(steps))
}

/// White space, punctuation and runs of digits end a word, and each word begins with ▁. So a word has the same ids behind a
/// quote or a bracket as behind a space.
pub(super) fn pre_tokenizer() -> PreTokenizers {
    PreTokenizers::new(vec![
        PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit),
        PreTokenizerWrapper::Punctuation(Punctuation::new(SplitDelimiterBehavior::Isolated)),
        PreTokenizerWrapper::Digits(Digits::new(false)),
        PreTokenizerWrapper::Metaspace(Metaspace::new('▁', PrependScheme::Always, true)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::{NormalizedString, Normalizer};

    fn normalized(text: &str) -> String {
        let mut string = NormalizedString::from(text);
        normalizer().unwrap().normalize(&mut string).unwrap();
        string.get().to_owned()
    }

    #[test]
    fn variants_become_one_spelling() {
        let cases = [
            ("أإآٱا", "ااااا"),
            ("على علي علی", "علي علي علي"),
            ("كتاب کتاب", "كتاب كتاب"),
            ("مُحَمَّـــد", "محمد"),
            ("ﷲ ﻻ ﺍﻟﻌﺮﺍﻕ", "الله لا العراق"),
            ("می‌کند", "ميكند"),
            ("ئه‌و ئەو", "ئهو ئهو"),
            ("هه‌ڵمه‌ت", "ههڵمهت"),
            ("۱۲۳ ١٢٣", "123 123"),
            ("İSTANBUL ISPARTA ısparta", "istanbul isparta isparta"),
            ("«قال» “said”", "\"قال\" \"said\""),
            ("#تنظيم_الدولة", "#تنظيم الدولة"),
            ("مدرسة كتابه", "مدرسة كتابه"),
            ("Şêx Çîya Éluard", "şêx çîya éluard"),
            ("مؤسسه رئيس", "موسسه رئيس"),
            ("؟،؛", "?,;"),
        ];
        for (text, expected) in cases {
            assert_eq!(normalized(text), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn normalising_twice_changes_nothing(text in "[\\PCء-ۿİıIiﷺﻻ‌ـً ]{0,40}") {
            let once = normalized(&text);
            prop_assert_eq!(normalized(&once), once);
        }
    }
}
