//! tokenizer.json, opened: text → subword ids.

use super::input::{Encoded, InputConfig, Pieces, lay_out};
use crate::article::SentenceInput;
use crate::error::{Error, Place, Result};
use crate::lexicon::Lexicon;
use crate::memo::Memo;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Text beyond this many characters a token is not even looked at, so that a sentence of 10 MB costs no more than a long one.
const MAX_CHARS_PER_TOKEN: usize = 16;

/// Ids of the special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// `[PAD]`; never used by packed batches, kept for other tools.
    pub pad: u32,
    /// `[UNK]`: characters outside the vocabulary.
    pub unknown: u32,
    /// `[CLS]`: begins every input.
    pub cls: u32,
    /// `[SEP]`: ends the sentence and each part of context.
    pub sep: u32,
    /// `[MASK]`: a hidden word in pre-training.
    pub mask: u32,
    /// `[TITLE]`: begins the headline. In tokenizers of other programs what they put before the second text of a pair, if anything.
    pub title: Option<u32>,
    /// `[PREV]`: begins the previous sentence; elsewhere as for the headline.
    pub previous: Option<u32>,
}

impl Special {
    /// Their names, in the order of their ids in a tokenizer trained here.
    pub const NAMES: [&str; 7] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[TITLE]", "[PREV]"];

    fn is_special(&self, id: u32) -> bool {
        [self.pad, self.cls, self.sep, self.mask].contains(&id) || [self.title, self.previous].contains(&Some(id))
    }

    /// The tokens that say where sentence and context begin and end.
    pub fn marks(&self) -> Vec<u32> {
        [self.cls, self.sep].into_iter().chain(self.title).chain(self.previous).collect()
    }

    /// Of a tokenizer trained here.
    fn of_ours(inner: &tokenizers::Tokenizer) -> std::result::Result<Special, &'static str> {
        let id = |name: &'static str| inner.token_to_id(name).ok_or(name);
        let [pad, unknown, cls, sep, mask, title, previous] = Special::NAMES;
        Ok(Special {
            pad: id(pad)?,
            unknown: id(unknown)?,
            cls: id(cls)?,
            sep: id(sep)?,
            mask: id(mask)?,
            title: Some(id(title)?),
            previous: Some(id(previous)?),
        })
    }

    /// Of a tokenizer of another program: what it puts around nothing, and around two nothings, tells its marks.
    fn of_theirs(inner: &tokenizers::Tokenizer) -> Result<Option<Special>> {
        let ids = |input: tokenizers::EncodeInput<'_>| {
            let encoding = inner.encode(input, true).map_err(|e| Error::Tokenizer(e.to_string()))?;
            Ok::<_, Error>(encoding.get_ids().to_vec())
        };
        let named = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let [cls, sep] = ids("".into())?[..] else { return Ok(None) };
        let (Some(pad), Some(mask)) = (named(&["[PAD]", "<pad>", "<|pad|>"]), named(&["[MASK]", "<mask>", "<|mask|>"]))
        else {
            return Ok(None);
        };
        let mark = match ids(("", "").into())?[..] {
            [_, _, mark, _] => Some(mark),
            _ => None,
        };
        let unknown = named(&["[UNK]", "<unk>"]).unwrap_or(mask);
        Ok(Some(Special { pad, unknown, cls, sep, mask, title: mark, previous: mark }))
    }
}

/// A subword tokenizer with the special tokens of our inputs.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: Special,
    bytes: Vec<u8>,
    lexicon: Option<Arc<Lexicon>>,
    /// By language and text, a zero between them.
    read_lately: Memo<Box<str>, Pieces>,
}

/// Texts whose subwords are kept: those of a batch of articles, and more.
const REMEMBERED: usize = 4096;

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).field("special", &self.special).finish()
    }
}

impl Tokenizer {
    /// Reads a tokenizer.json.
    ///
    /// # Errors
    /// The file cannot be read, or is none that [`parse`](Self::parse) accepts.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read(path).map_err(Error::io("read", path))?, path)
    }

    /// Opens the bytes of a tokenizer.json; `path` is only named in errors.
    ///
    /// # Errors
    /// The bytes are not a tokenizer of the `tokenizers` library, or it has neither all of [`Special::NAMES`] nor the marks of
    /// BERT's or RoBERTa's kind.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| {
            Error::bad(
                Place::file(path),
                format!("not a tokenizer ({e})"),
                "a tokenizer.json of the tokenizers library",
            )
        })?;
        // cut and padded by us; a text that holds the letters "[SEP]" is text
        inner.with_truncation(None).map_err(|e| Error::Tokenizer(e.to_string()))?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);

        // One of ours that lost a mark is broken, whatever else it may look like.
        let is_ours = Special::NAMES[5..].iter().any(|name| inner.token_to_id(name).is_some());
        let special = match Special::of_ours(&inner) {
            Ok(special) => Some(special),
            Err(_) if !is_ours => Special::of_theirs(&inner)?,
            Err(_) => None,
        };
        let special = special.ok_or_else(|| {
            let missing = Special::of_ours(&inner).err().unwrap_or_default();
            let expected = format!("all of {}, or the marks of BERT or RoBERTa", Special::NAMES.join(" "));
            Error::bad(Place::file(path), format!("no special token {missing}"), expected)
                .hint("train one with `rasid tokenizer train`")
        })?;
        Ok(Tokenizer { inner, special, bytes: bytes.to_vec(), lexicon: None, read_lately: Memo::new(REMEMBERED) })
    }

    /// The same tokenizer, which also tells the types of the lexicon's terms that each token lies in.
    pub fn with_lexicon(mut self, lexicon: Option<Arc<Lexicon>>) -> Self {
        self.set_lexicon(lexicon);
        self
    }

    /// Looks into this lexicon from now on.
    pub fn set_lexicon(&mut self, lexicon: Option<Arc<Lexicon>>) {
        self.lexicon = lexicon;
        self.read_lately = Memo::new(REMEMBERED);
    }

    /// The lexicon it looks into, if any.
    pub fn lexicon(&self) -> Option<&Arc<Lexicon>> {
        self.lexicon.as_ref()
    }

    /// The file as it was read, byte for byte, to be stored with a model.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of ids: every id is below it.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> Special {
        self.special
    }

    /// Id of a token, special or not, by its text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Text of a token by its id; ▁ marks the start of a word.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The subwords of a text of any length, without special tokens; empty for white space.
    ///
    /// # Errors
    /// The tokenizer refuses; one trained here does not.
    pub fn text_ids(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.pieces(text, None)?.ids)
    }

    /// A sentence with its context as the model reads it; see [`tokens`](crate::tokens) for the layout.
    ///
    /// The previous sentence is cut first, at its start and between words, then the title at its end, and the sentence only if
    /// it is too long alone: then its end is missing and `truncated` is set.
    ///
    /// # Errors
    /// `max_tokens` is too small; or the tokenizer refuses, which one trained here does not.
    pub fn encode(&self, input: SentenceInput<'_>, config: &InputConfig) -> Result<Encoded> {
        config.check()?;
        let reach = config.max_tokens.saturating_mul(MAX_CHARS_PER_TOKEN);
        let context = |wanted: bool, text: Option<&str>, cut: fn(&str, usize) -> &str| match text {
            Some(text) if wanted => self.remembered(cut(text.trim(), reach), input.language),
            _ => Ok(Arc::default()),
        };
        let sentence = input.text.trim();
        let seen = first_chars(sentence, reach);
        let pieces = self.remembered(seen, input.language)?;
        let title = context(config.context.has_title(), input.title, first_chars)?;
        let previous = context(config.context.has_previous(), input.previous, last_chars)?;

        let mut encoded = lay_out(&pieces, &title, &previous, &self.special, config.max_tokens);
        encoded.truncated |= seen.len() < sentence.len();
        Ok(encoded)
    }

    /// [`pieces`](Self::pieces), worked out once for a text that comes again soon.
    fn remembered(&self, text: &str, language: &str) -> Result<Arc<Pieces>> {
        self.read_lately.get(format!("{language}\0{text}").as_str(), || self.pieces(text, Some(language)))
    }

    /// The subwords of a text; terms of the lexicon are looked for only where a language is given.
    pub(super) fn pieces(&self, text: &str, language: Option<&str>) -> Result<Pieces> {
        let encoding = self.inner.encode(text, false).map_err(|e| Error::Tokenizer(e.to_string()))?;
        // the ids of special tokens are ours alone, whatever a foreign tokenizer makes of their names in a text
        let plain = |id: &u32| if self.special.is_special(*id) { self.special.unknown } else { *id };
        let lexicon = match (&self.lexicon, language) {
            (Some(lexicon), Some(language)) => types_by_token(lexicon, text, language, encoding.get_offsets()),
            _ => Vec::new(),
        };
        Ok(Pieces {
            lexicon,
            ids: encoding.get_ids().iter().map(plain).collect(),
            words: encoding.get_word_ids().iter().map(|word| word.unwrap_or(0)).collect(),
        })
    }
}

/// For each token, given as bytes of the text, the types of the terms that it lies in or touches.
fn types_by_token(lexicon: &Lexicon, text: &str, language: &str, offsets: &[(usize, usize)]) -> Vec<u64> {
    let mut types = vec![0; offsets.len()];
    for term in lexicon.find(text, language) {
        let first = offsets.partition_point(|(_, end)| *end <= term.span.start);
        for (bits, (start, _)) in types[first..].iter_mut().zip(&offsets[first..]) {
            if *start >= term.span.end {
                break;
            }
            *bits |= 1 << term.term_type;
        }
    }
    types
}

fn first_chars(text: &str, n_chars: usize) -> &str {
    let end = text.char_indices().nth(n_chars).map_or(text.len(), |(byte, _)| byte);
    &text[..end]
}

fn last_chars(text: &str, n_chars: usize) -> &str {
    let start = text.char_indices().rev().nth(n_chars.saturating_sub(1)).map_or(0, |(byte, _)| byte);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_characters_not_bytes() {
        assert_eq!((first_chars("قصف جوي", 3), last_chars("قصف جوي", 3)), ("قصف", "جوي"));
        assert_eq!((first_chars("قصف", 9), last_chars("قصف", 9)), ("قصف", "قصف"));
        assert_eq!(last_chars("", 9), "");
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let path = Path::new("model/tokenizer.json");
        let message = |bytes: &[u8]| Tokenizer::parse(bytes, path).unwrap_err().to_string();
        assert!(message(b"{").starts_with("model/tokenizer.json: not a tokenizer ("));
        let none = br#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":null,"post_processor":null,"decoder":null,
            "model":{"type":"WordLevel","vocab":{"[PAD]":0,"[UNK]":1},"unk_token":"[UNK]"}}"#;
        assert_eq!(
            message(none),
            "model/tokenizer.json: no special token [CLS]; expected all of [PAD] [UNK] [CLS] [SEP] [MASK] [TITLE] [PREV], \
             or the marks of BERT or RoBERTa; train one with `rasid tokenizer train`"
        );
    }
}
