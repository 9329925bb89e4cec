"""Terms of typed lexicon files, found in a text as `rasid` finds them. Plain Python: no tensors, no tokens.

Spellings that a reader takes for the same fold to one form. An Arabic word may carry proclitics and a Kurdish, Persian or Turkish one an
ending; `*` makes a word of a term a stem. Letters that Unicode has added since Python's own tables are told by rasid alone.
"""

import tomllib
import unicodedata
from functools import lru_cache
from typing import NamedTuple

TYPES = "types.toml"
# A whole word of this many letters may carry an ending where its language has them.
MIN_CHARS_BEFORE_ENDING = 4
# A term of one word may be misprinted if it has this many letters; a word among others if it has as many as the second number says, and
# the others have as many together. Only so many letters of a word are looked at.
MIN_CHARS_MISPRINTED, MIN_CHARS_MISPRINTED_AMONG_OTHERS, MAX_CHARS_MISPRINTED = 7, 4, 32
# Longest folded form of a character that is kept, in bytes: ligatures that are whole sentences part words.
MAX_BYTES = 14

ARABIC_SCRIPT_ENDINGS = set(
    "ي ه ان اني يان ياني هكان هكاني هكه هكهي يش يشي ش شي دا يدا هوه يهوه يه ها هاي هايي اي هيه يهكان ييهكان يهكاني ييهكاني".split()
)
LATIN_SCRIPT_ENDINGS = set(
    "e i a u an en in un ye ya yi yu yan yen yin de da te ta den dan ten tan nin nun ne na ni nu le la yle yla ler lar lere lara leri "
    "lari lerin larin li lu liler lular lilerin lilere cu ci ciler cular ek eki yek deki daki".split()
)
ENDINGS = {"fa": ARABIC_SCRIPT_ENDINGS, "ckb": ARABIC_SCRIPT_ENDINGS, "tr": LATIN_SCRIPT_ENDINGS, "kmr": LATIN_SCRIPT_ENDINGS}

LETTER, SILENT, BREAK, STOP = "letter", "silent", "break", "stop"


def _characters(*ranges):
    return {chr(c) for r in ranges for c in range(ord(r[0]), ord(r[-1]) + 1)}


# Python's isspace takes four control characters more.
WHITE_SPACE = _characters("\t\r", " ", "\x85", "\xa0", "\u1680", "\u2000\u200a", "\u2028\u2029", "\u202f", "\u205f", "\u3000")
# Tatweel, hamza on the line, soft hyphen, direction marks and isolates, zero-width joiner, word joiner, BOM, variation selectors.
SILENT_NAMED = _characters(
    "\u0640", "\u0621", "\xad", "\u061c", "\u200d\u200f", "\u202a\u202e", "\u2060", "\u2066\u2069", "\ufeff", "\ufe00\ufe0f"
)
# Apostrophes; hyphens and the zero-width non-joiner; what parts words of one phrase.
BREAKS = _characters(*"'`´‘’‛′ˈ", "\u02b9\u02bf") | set("-‐‑−\u200b\u200c") | set('_#"“”„‟«»‹›″') | WHITE_SPACE
UNIFIED = str.maketrans("ٱىیېێےکڪةەھہۃۆۊۇۈڵڕڤı٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "ايييييككهههههوووولرفi01234567890123456789")


def _class_by_name(c):
    return SILENT if c in SILENT_NAMED else BREAK if c in BREAKS else None


def _is_alphanumeric(c):
    # Unicode calls the letters in squares and circles alphabetic, Python does not.
    return unicodedata.category(c)[0] in "LN" or "\U0001f150" <= c <= "\U0001f169" or "\U0001f170" <= c <= "\U0001f189"


def _is_mark(c):
    return unicodedata.category(c)[0] == "M"


@lru_cache(maxsize=1 << 16)
def fold(c):
    """What a character does to the words around it, and its folded letters."""
    if by_name := _class_by_name(c):
        return by_name, ""
    low = (low for part in unicodedata.normalize("NFKD", c) for low in part.lower())
    kept = "".join(c for c in low if _is_alphanumeric(c) and not _is_mark(c) and _class_by_name(c) is None).translate(UNIFIED)
    if len(kept.encode()) > MAX_BYTES:
        return BREAK, ""
    if not kept:
        return (SILENT if _is_mark(c) or _is_alphanumeric(c) else STOP), ""
    return LETTER, kept


class Word:
    """A run of letters between spaces, hyphens, apostrophes or punctuation."""

    __slots__ = ("folded", "start", "end", "after_stop", "capitals")

    def __init__(self, start, after_stop):
        self.folded, self.start, self.end, self.after_stop, self.capitals = "", start, start, after_stop, True


def words(text):
    found, inside, stop = [], False, False
    for at, c in enumerate(text):
        kind, letters = fold(c)
        if kind == LETTER:
            if not inside:
                found.append(Word(at, stop))
                inside, stop = True, False
            word = found[-1]
            word.folded, word.end = word.folded + letters, at + 1
            word.capitals &= not c.islower()
        elif kind == SILENT:
            if inside:
                found[-1].end = at + 1
        elif kind == BREAK:
            inside = False
        else:
            # The points of U.S. and P.K.K. end no phrase.
            is_initial = c == "." and inside and len(found[-1].folded) == 1
            inside, stop = False, stop or not is_initial
    return found


def forms(word):
    """The word, and what is left of it without Arabic proclitics: و ف, then ب ل ك س, then the article."""
    if word[0] not in "وفبلكسا":
        return {word}
    found = [word]
    found += [word[1:]] if word[0] in "وف" else []
    for form in [form for form in found if len(form) > 1]:
        found += [form[1:]] if form[0] in "بلكس" else []
        found += [form[2:]] if form.startswith("لل") else []
    found += [form[2:] for form in found if form.startswith("ال")]
    return {word} | {form for form in found if len(form) > 1}


def alternatives(text):
    """`{a,b,}c` → `ac`, `bc`, `c`; braces are not nested."""
    before, brace, rest = text.partition("{")
    inside, end, after = rest.partition("}")
    if not brace or not end:
        return [text]
    tails = alternatives(after)
    return [before + choice + tail for choice in inside.split(",") for tail in tails]


def is_slip(word, meant):
    """Whether `word` is `meant` with one letter dropped, doubled or exchanged with the next; the first letter stays, the last is not dropped."""
    same = next((i for i, (a, b) in enumerate(zip(word, meant)) if a != b), min(len(word), len(meant)))
    rest, of = word[same:], meant[same:]
    if same == 0:
        return False
    is_dropped = rest and rest == of[1:]
    is_doubled = rest and rest[0] == word[same - 1] and rest[1:] == of
    is_exchanged = len(rest) > 1 and len(of) > 1 and (rest[0], rest[1]) == (of[1], of[0]) and rest[2:] == of[2:]
    return bool(is_dropped or is_doubled or is_exchanged)


def slips(word):
    """What to look up to find the words that `word` is a slip of, among them and among them without one letter."""
    yield word
    for i in range(1, len(word)):
        if word[i] == word[i - 1]:
            yield word[:i] + word[i + 1 :]
        elif i + 1 < len(word):
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


class Node:
    """A place in the tree of words: where whole words and stems lead, and which terms end here: type, and whether only in capitals."""

    __slots__ = ("whole", "stems", "ends", "by_slip")

    def __init__(self):
        self.whole, self.stems, self.ends, self.by_slip = {}, {}, set(), None

    def meant(self, word):
        """The long words that `word` is a slip of: number of letters, where each leads, whether it is a stem."""
        if self.by_slip is None:
            self.by_slip = {}
            for edges, is_stem in ((self.whole, False), (self.stems, True)):
                for text, node in edges.items():
                    if len(text) >= MIN_CHARS_MISPRINTED_AMONG_OTHERS:
                        for look_up in {text} | {text[:i] + text[i + 1 :] for i in range(1, len(text))}:
                            self.by_slip.setdefault(look_up, []).append((text, node, is_stem))
        found = [edge for look_up in slips(word) for edge in self.by_slip.get(look_up, ()) if is_slip(word, edge[0])]
        return {(len(text), node, is_stem) for text, node, is_stem in found}


class Match(NamedTuple):
    """A term in a text: characters `start` to `end`, and the number of its type."""

    start: int
    end: int
    term_type: int


class Lexicon:
    """The files of a lexicon by name, as text: types.toml, and `LANGUAGE.toml` or `NAME.LANGUAGE.toml` with terms."""

    def __init__(self, files):
        self.files = dict(files)
        types = tomllib.loads(self.files[TYPES])["type"]
        self.types = [one["name"] for one in types]
        self.is_name = [one.get("is_name", False) for one in types]
        self.languages = sorted({self._language_of(name) for name in self.files if name != TYPES})
        self._trees = {}

    @staticmethod
    def _language_of(name):
        while name.endswith(".toml"):
            name = name.removesuffix(".toml")
        return name.rsplit(".", 1)[-1]

    def _tree(self, language):
        """Built when the first text of the language comes."""
        if language not in self._trees:
            root = self._trees[language] = Node()
            for name in sorted(self.files):
                if name != TYPES and self._language_of(name) == language:
                    for term_type, texts in tomllib.loads(self.files[name])["terms"].items():
                        for text in (one for text in texts for one in alternatives(text)):
                            self._add(root, text, self.types.index(term_type))
        return self._trees[language]

    @staticmethod
    def _add(node, text, term_type):
        n_words = 0
        for part in text.split():
            parts = words(part.rstrip("*"))
            for i, word in enumerate(parts):
                is_stem = part.endswith("*") and i + 1 == len(parts)
                node = (node.stems if is_stem else node.whole).setdefault(word.folded, Node())
            n_words += len(parts)
        is_acronym = n_words == 1 and any(map(str.isupper, text)) and not any(map(str.islower, text))
        node.ends.add((term_type, is_acronym))

    def find(self, text, language="und"):
        """The terms of `language` in a text by start; of all languages if it has none of that one's. Matches may overlap, but one inside
        a longer one of its type does not count, nor does a name inside a longer name."""
        in_text, found = words(text), set()
        for one in [language] if language in self.languages else self.languages:
            for first in range(len(in_text)):
                self._walk(self._tree(one), in_text, first, first, ENDINGS.get(one, ()), found, 0, 0)

        def hides(longer, m):
            both_names = self.is_name[longer.term_type] and self.is_name[m.term_type]
            is_inside = longer.start <= m.start and m.end <= longer.end and longer[:2] != m[:2]
            return is_inside and (longer.term_type == m.term_type or both_names)

        return sorted(m for m in found if not any(hides(longer, m) for longer in found))

    def _walk(self, node, in_text, first, i, endings, found, exact, misprinted):
        """`exact`: letters of the words so far that stand as in the term; `misprinted`: letters of the one that does not, 0 for none."""
        if i == len(in_text) or (i > first and in_text[i].after_stop):
            return
        reached = []
        for form in forms(in_text[i].folded):
            reached += [(node.whole[form], exact + len(form), misprinted)] if form in node.whole else []
            for at in range(1, len(form) + 1):
                start = form[:at]
                if start in node.stems:
                    reached.append((node.stems[start], exact + at, misprinted))
                if MIN_CHARS_BEFORE_ENDING <= at < len(form) and start in node.whole and form[at:] in endings:
                    reached.append((node.whole[start], exact + at, misprinted))
        if not reached and not misprinted:
            for form in forms(in_text[i].folded):
                for at in range(MIN_CHARS_MISPRINTED_AMONG_OTHERS - 1, min(len(form), MAX_CHARS_MISPRINTED) + 1):
                    meant = node.meant(form[:at])
                    reached += [(to, exact, n) for n, to, is_stem in meant if at == len(form) or is_stem or form[at:] in endings]
        for following, exact, misprinted in reached:
            is_alone = i == first
            if not misprinted or (misprinted >= MIN_CHARS_MISPRINTED if is_alone else exact >= MIN_CHARS_MISPRINTED_AMONG_OTHERS):
                for term_type, is_acronym in following.ends:
                    if not is_acronym or in_text[first].capitals:
                        found.add(Match(in_text[first].start, in_text[i].end, term_type))
            self._walk(following, in_text, first, i + 1, endings, found, exact, misprinted)
