//! The tokenizer of a folder: tokenizer.json, or what it was made from.

use super::TOKENIZER;
use crate::error::{Error, Place, Result};
use serde_json::{Value, json};
use std::path::Path;

/// BERT's list of pieces, one a line.
const VOCABULARY: &str = "vocab.txt";
/// How Python is to make the tokenizer.
const SETTINGS: &str = "tokenizer_config.json";
/// What sentencepiece and byte-level tokenizers are made from, which only Python converts.
const OTHERS: [&str; 4] = ["sentencepiece.bpe.model", "spm.model", "spiece.model", "merges.txt"];

/// What is worth having where there is no tokenizer.json.
#[cfg(feature = "hub")]
pub(super) const SOURCES: [&str; 6] = [VOCABULARY, SETTINGS, OTHERS[0], OTHERS[1], OTHERS[2], OTHERS[3]];

/// The bytes of tokenizer.json; where there is only vocab.txt, it is converted.
///
/// # Errors
/// Neither is there; vocab.txt lacks one of BERT's special tokens.
pub fn read(folder: &Path) -> Result<Vec<u8>> {
    let file = folder.join(TOKENIZER);
    if file.exists() {
        return std::fs::read(&file).map_err(Error::io("read", &file));
    }
    let vocabulary = folder.join(VOCABULARY);
    if vocabulary.exists() {
        let text = std::fs::read_to_string(&vocabulary).map_err(Error::io("read", &vocabulary))?;
        let settings = std::fs::read(folder.join(SETTINGS)).ok();
        let settings = settings.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null);
        return of_word_pieces(&text, &settings, &vocabulary);
    }
    let error = match OTHERS.iter().find(|name| folder.join(name).exists()) {
        Some(other) => Error::bad(Place::file(folder), format!("{other} without tokenizer.json"), "tokenizer.json")
            .hint("let Python convert it once: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"),
        None => Error::bad(Place::file(&file), "no such file", "a file that every model directory has")
            .hint("the folder is no model or was copied in part; fetch it again, or `rasid train` writes one"),
    };
    Err(error)
}

/// The tokenizer.json of BERT's word pieces, as transformers' `BertTokenizerFast` makes it from vocab.txt.
fn of_word_pieces(vocabulary: &str, settings: &Value, path: &Path) -> Result<Vec<u8>> {
    let pieces: Vec<&str> = vocabulary.lines().map(|line| line.trim_end_matches('\r')).collect();
    let id = |name: &str| {
        pieces.iter().position(|piece| *piece == name).ok_or_else(|| {
            Error::bad(
                Place::file(path),
                format!("no {name}"),
                "BERT's pieces, one a line, with [PAD] [UNK] [CLS] [SEP] [MASK]",
            )
            .hint("the file was cut short or is of another program; fetch the folder again")
        })
    };
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut added = Vec::new();
    for name in specials {
        added.push(json!({
            "id": id(name)?, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        }));
    }
    let flag = |key: &str, default: bool| settings.get(key).and_then(Value::as_bool).unwrap_or(default);
    let vocab: serde_json::Map<String, Value> =
        pieces.iter().enumerate().map(|(id, piece)| (piece.to_string(), id.into())).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": flag("tokenize_chinese_chars", true),
            "strip_accents": settings.get("strip_accents").filter(|v| v.is_boolean()), "lowercase": flag("do_lower_case", true)
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", id("[SEP]")?], "cls": ["[CLS]", id("[CLS]")?]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocab
        }
    });
    Ok(serde_json::to_vec(&json).expect("a tokenizer is plain data"))
}
