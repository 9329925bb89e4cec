"""Writes the text of label files as a corpus, a folder a language and an article a document: what `make reproduce-tiny` pre-trains on.

    python3 notebooks/text_of_labels.py FOLDER FILE.jsonl …

Sentences of split test are left out. Needs nothing but Python.
"""

import json
import sys
from itertools import groupby
from pathlib import Path

folder = Path(sys.argv[1])
for name in sys.argv[2:]:
    path = Path(name)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records = [record for record in records if record["split"] != "test"]
    for language, of_language in groupby(records, key=lambda record: record["language"]):
        documents = groupby(of_language, key=lambda record: record["article_id"])
        text = "\n\n".join("\n".join(record["text"] for record in sentences) for _, sentences in documents)
        (folder / language).mkdir(parents=True, exist_ok=True)
        (folder / language / f"{path.stem}.txt").write_text(text + "\n", encoding="utf-8")
