"""A public benchmark with other labels than ours: sentences of the United Nations, relevant or not, and the four quad classes.

    python3 benches/un/run.py PATH [--task ar_quadclass,ar_relevant] [--seeds 5] [--base models/base] [--set KEY=VALUE …]

PATH is the folder with ar_quadclass.tsv, ar_relevant.tsv, en_quadclass.tsv and en_relevant.tsv of javierosorio/keep_it_local on
GitHub (MIT). 15 % of the sentences, drawn by class with the seed, are the test; a further 15 % of the rest the dev set, which
chooses the epoch and the weight of the n-grams. Prints mean and standard deviation over the seeds for the model and for the
linear baseline on n-grams. Needs nothing but Python and target/release/rasid.
"""

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RASID = ROOT / "target/release/rasid"
CLASSES = {
    "quadclass": ["irrelevant", "material_conflict", "material_cooperation", "verbal_conflict", "verbal_cooperation"],
    "relevant": ["irrelevant", "relevant"],
}


def schema(kind):
    classes = "".join(
        f'\n[[head.class]]\nname = "{name}"\ndefinition = "{name.replace("_", " ")}, as its authors coded it"\n'
        f'examples = ["{name} one", "{name} two"]\n'
        for name in CLASSES[kind]
    )
    return f'version = 1\n\n[[head]]\nname = "{kind}"\nquestion = "Which class?"\n{classes}'


def sentences(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [(text.strip().strip('"').strip(), int(label)) for text, label in rows if text.strip()]


def splits(rows, seed):
    """One of test, dev, train a sentence, by class."""
    by_class = defaultdict(list)
    for i, (_, label) in enumerate(rows):
        by_class[label].append(i)
    split = ["train"] * len(rows)
    draw = random.Random(seed)
    for indices in by_class.values():
        draw.shuffle(indices)
        n_test = round(0.15 * len(indices))
        n_dev = round(0.15 * (len(indices) - n_test))
        for i in indices[:n_test]:
            split[i] = "test"
        for i in indices[n_test : n_test + n_dev]:
            split[i] = "dev"
    return split


def rasid(*arguments):
    done = subprocess.run([str(RASID), *map(str, arguments)], stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT)
    if done.returncode:
        sys.exit(f"rasid {' '.join(map(str, arguments))} failed")
    return done.stdout


def figure(report, kind):
    """Macro F1; for the relevant ones F1 of class 1, as published."""
    head = json.loads(report)["heads"][kind]
    return head["macro_f1"] if kind == "quadclass" else head["classes"]["relevant"]["f1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--task", default="ar_quadclass,ar_relevant")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--base", default="models/base")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, default=ROOT / "target/un")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for task in options.task.split(","):
        language, kind = task.split("_")
        rows = sentences(options.path / f"{task}.tsv")
        schema_file = options.work / f"{kind}.toml"
        schema_file.write_text(schema(kind), encoding="utf-8")
        scores = defaultdict(list)
        for seed in range(options.seeds):
            labels = options.work / f"{task}-{seed}.jsonl"
            with labels.open("w", encoding="utf-8") as file:
                for i, ((text, label), split) in enumerate(zip(rows, splits(rows, seed))):
                    record = {"article_id": f"{task}-{i}", "language": language, "text": text, "split": split}
                    file.write(json.dumps(record | {kind: CLASSES[kind][label]}, ensure_ascii=False) + "\n")
            model = options.work / f"{task}-{seed}"
            settings = [f"training.seed={seed + 1}", "training.label_smoothing=0.1", *options.set]
            rasid("train", "--labels", labels, "--schema", schema_file, "--base", options.base, "--output", model,
                  "--overwrite", "--quiet", *[x for s in settings for x in ("--set", s)])
            for name, extra in ((str(model), []), ("tfidf", ["--schema", schema_file])):
                report = rasid("evaluate", "--model", name, "--labels", labels, "--split", "test", "--format", "json", *extra)
                scores["rasid" if extra == [] else "tfidf"].append(figure(report, kind))
            print(task, "seed", seed, {name: round(values[-1], 4) for name, values in scores.items()}, flush=True)
        for name, values in scores.items():
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"| {task} | {name} | {statistics.mean(values):.4f} ± {spread:.4f} | {len(values)} seeds |", flush=True)


if __name__ == "__main__":
    main()
