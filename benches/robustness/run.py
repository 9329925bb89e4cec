"""The same test in other spellings: what a model loses when text is written as people write it.

    python3 benches/robustness/run.py [--model models/default] [--labels FILE …] [--language ar] [--split test]

Each variant changes the text of every sentence (and its headline and the sentence before) and is scored by `rasid evaluate`. The
same changes in every run: they are drawn with a fixed seed. Needs nothing but Python and target/release/rasid.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RASID = ROOT / "target/release/rasid"
ARABIC = "\u0621-\u064a\u066e-\u06d3"
DIACRITICS = "\u064e\u064f\u0650\u0652\u0651"


def diacritics(text, draw):
    """A vowel sign behind every second letter."""
    return re.sub(f"([{ARABIC}])", lambda m: m[1] + (draw.choice(DIACRITICS) if draw.random() < 0.5 else ""), text)


def alef_and_ya(text, draw):
    """Hamza carriers as bare alef, final ya as alef maqsura, ta marbuta as ha."""
    text = re.sub("[أإآ]", "ا", text)
    text = re.sub(rf"ي(?![{ARABIC}])", "ى", text)
    return re.sub(rf"ة(?![{ARABIC}])", "ه", text)


def tatweel(text, draw):
    """Lengthened by one tatweel in every fourth word."""
    def longer(match):
        word = match[0]
        at = draw.randrange(1, len(word) - 1)
        return word[:at] + "ـ" + word[at:] if draw.random() < 0.25 else word
    return re.sub(f"[{ARABIC}]{{4,}}", longer, text)


def persian_digits(text, draw):
    return text.translate({ord(d): chr(0x6F0 + i) for digits in ("0123456789", "٠١٢٣٤٥٦٧٨٩") for i, d in enumerate(digits)})


def mistyped(text, draw):
    """2 % of the letters doubled, dropped, or exchanged with the next."""
    letters = list(text)
    i = 0
    while i < len(letters) - 1:
        if letters[i].isalpha() and draw.random() < 0.02:
            kind = draw.randrange(3)
            if kind == 0:
                letters[i] = ""
            elif kind == 1:
                letters[i] *= 2
            else:
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
            i += 1
        i += 1
    return "".join(letters)


def hashtags(text, draw):
    """Every fifth longer word with a hash sign."""
    return re.sub(r"\w{5,}", lambda m: "#" + m[0] if draw.random() < 0.2 else m[0], text)


def terms(types):
    """Whole-word terms of these types of the lexicon, by language."""
    found = {}
    for path in (ROOT / "labels/lexicon").glob("*.toml"):
        if path.stem != "types":
            by_type = tomllib.loads(path.read_text(encoding="utf-8"))["terms"]
            texts = {t for kind in types for t in by_type.get(kind, []) if not set("*{}") & set(t) and len(t) > 3}
            found[path.stem] = re.compile(r"\b(" + "|".join(map(re.escape, sorted(texts, key=len, reverse=True))) + r")\b", re.I)
    return found


def mask(types):
    by_language = terms(types)
    return lambda text, draw, language: by_language[language].sub("…", text) if language in by_language else text


VARIANTS = {
    "as it is": lambda text, draw: text,
    "diacritics added": diacritics,
    "alef, ya and ta marbuta without their marks": alef_and_ya,
    "tatweel": tatweel,
    "Persian digits": persian_digits,
    "2 % of the letters mistyped": mistyped,
    "hashtags": hashtags,
    "names of places masked": mask(["place_iraq", "place_syria", "place_other"]),
    "names of armed groups masked": mask(["is_name", "militia_name"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="models/default")
    parser.add_argument("--labels", nargs="+", type=Path, default=[ROOT / "labels/written/ar.jsonl", ROOT / "labels/seeds.jsonl"])
    parser.add_argument("--language", default="ar")
    parser.add_argument("--split", default="test")
    parser.add_argument("--work", type=Path, default=ROOT / "target/robustness")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for path in options.labels for line in path.read_text(encoding="utf-8").splitlines()]
    records = [r for r in records if r["language"] == options.language and r["split"] == options.split]
    baseline = None
    print("| variant | incident macro F1 | perpetrator macro F1 | lost, points |\n|---|---|---|---|")
    for name, change in VARIANTS.items():
        draw = random.Random(7)
        needs_language = name.startswith("names")
        file = options.work / "labels.jsonl"
        with file.open("w", encoding="utf-8") as out:
            for record in records:
                changed = dict(record, start=None, end=None)
                for key in ("text", "title", "previous"):
                    if record[key]:
                        more = (record["language"],) if needs_language else ()
                        changed[key] = change(record[key], draw, *more)
                out.write(json.dumps(changed, ensure_ascii=False) + "\n")
        command = [RASID, "evaluate", "--model", options.model, "--labels", file, "--split", options.split, "--format", "json"]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT)
        if done.returncode:
            sys.exit(done.returncode)
        f1 = [head["macro_f1"] for head in json.loads(done.stdout)["heads"].values()]
        baseline = baseline or f1
        lost = " / ".join(f"{100 * (a - b):.1f}" for a, b in zip(baseline, f1))
        print(f"| {name} | {f1[0]:.3f} | {f1[1]:.3f} | {lost} |", flush=True)


if __name__ == "__main__":
    main()
