"""A Rasid tokenizer: tokenizer.json, and beside each token's id the types of the lexicon's terms that it lies in."""

from pathlib import Path

from transformers import PreTrainedTokenizerFast
from transformers.utils.hub import cached_file

from .lexicon_rasid import Lexicon

FOLDER = "lexicon"
# What says where a file of a model lies.
PLACE = ["cache_dir", "force_download", "token", "revision", "local_files_only", "subfolder"]


class RasidTokenizer(PreTrainedTokenizerFast):
    """Also returns `term_types`, of the shape of `input_ids`: bit i says that the token lies in a term of the lexicon's type i.

    Terms of one language are looked for if it is named, as in `tokenizer(texts, language="ar")` or
    `pipeline("text-classification", …)(texts, language="ar")`: an ISO 639 code (`ar`, `ckb`, `en`, `fa`, `fr`, `kmr`, `tr`), or one a
    text. The program identifies the language of each article and names that; without one, the terms of all languages are looked for.

    A sentence is read alone: pairs are refused, and all tokens are of the kind of the sentence. A model trained with a headline and the
    sentence before can be given them in `input_ids` and `token_type_ids`: `[CLS] sentence [SEP]` (0), `[TITLE] headline [SEP]` (1),
    `[PREV] sentence before [SEP]` (2).
    """

    model_input_names = ["input_ids", "attention_mask", "term_types"]
    lexicon = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        place = {key: kwargs[key] for key in PLACE if kwargs.get(key) is not None}
        tokenizer = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        names = tokenizer.init_kwargs.get("lexicon_files")
        if names:
            paths = [cached_file(pretrained_model_name_or_path, f"{FOLDER}/{name}", **place) for name in names]
            tokenizer.lexicon = Lexicon({name: Path(path).read_text(encoding="utf-8") for name, path in zip(names, paths)})
        return tokenizer

    def _save_pretrained(self, save_directory, file_names, legacy_format=None, filename_prefix=None):
        written = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        for name, text in self.lexicon.files.items() if self.lexicon else ():
            path = Path(save_directory, FOLDER, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written += (str(path),)
        return written

    def __call__(self, text, text_pair=None, *, language=None, return_tensors=None, is_split_into_words=False, **kwargs):
        is_batch = not isinstance(text, str)
        if text_pair is not None or is_split_into_words or (is_batch and not all(isinstance(one, str) for one in text)):
            raise ValueError("expected a text or a list of texts; a sentence's context and pairs are not read by this tokenizer")
        encoded = super().__call__(text, **kwargs)
        is_nested = is_batch or kwargs.get("return_overflowing_tokens", False)
        if self.lexicon:
            texts = list(text) if is_batch else [text]
            languages = [language or "und"] * len(texts) if language is None or isinstance(language, str) else language
            terms = [self.lexicon.find(*one) for one in zip(texts, languages, strict=True)]
            samples = encoded.get("overflow_to_sample_mapping", range(len(texts)))
            rows = [types_by_token(terms[i], encoding.offsets) for i, encoding in zip(samples, encoded.encodings)]
            encoded["term_types"] = rows if is_nested else rows[0]
        return encoded.convert_to_tensors(return_tensors, prepend_batch_axis=not is_nested)

    def _pad(self, encoded_inputs, *args, padding_side=None, **kwargs):
        padded = super()._pad(encoded_inputs, *args, padding_side=padding_side, **kwargs)
        if "term_types" in padded:
            row = list(padded["term_types"])
            more = [0] * (len(padded["input_ids"]) - len(row))
            padded["term_types"] = more + row if (padding_side or self.padding_side) == "left" else row + more
        return padded


def types_by_token(terms, offsets):
    """For each token, given as characters of the text, the types of the terms that it lies in or touches, as bits of an int64."""
    # Marks and padding lie nowhere: their offsets are empty.
    row = [0] * len(offsets)
    for term in terms:
        for i, (start, end) in enumerate(offsets):
            if start < term.end and end > term.start:
                row[i] |= 1 << term.term_type
    return [bits - (1 << 64) if bits >> 63 else bits for bits in row]
