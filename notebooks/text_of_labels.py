"""Writes the text of label files as a corpus, a folder a language and an article a document: what a base is pre-trained on last.

    python3 notebooks/text_of_labels.py FOLDER FILE.jsonl … [--suffix=-labels]

Only sentences of split train, so that the base reads none of these files' held-out text. With a suffix the folders are ar-labels,
en-labels, …: beside a large corpus they then count as languages of their own, which are drawn more often than their size says.
Needs nothing but Python.
"""

import argparse
import json
from itertools import groupby
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder", type=Path)
parser.add_argument("files", type=Path, nargs="+")
parser.add_argument("--suffix", default="")
options = parser.parse_args()

for path in options.files:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records = [record for record in records if record["split"] == "train"]
    for language, of_language in groupby(records, key=lambda record: record["language"]):
        documents = groupby(of_language, key=lambda record: record["article_id"])
        text = "\n\n".join("\n".join(record["text"] for record in sentences) for _, sentences in documents)
        folder = options.folder / (language + options.suffix)
        folder.mkdir(parents=True, exist_ok=True)
        # The folders of labels hold files of one name.
        (folder / f"{path.parent.name}_{path.stem}.txt").write_text(text + "\n", encoding="utf-8")
