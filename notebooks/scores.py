"""Prints the tables of scores in the README, from the JSON of `rasid evaluate` or `rasid cross-validate`.

    python3 notebooks/scores.py MODEL.json [BASELINE.json …]

Needs nothing but Python.
"""

import json
import sys
from pathlib import Path


def number(value):
    """Two decimals; undefined is not zero."""
    return "—" if value is None else f"{value:.2f}"


def with_interval(scores, figure):
    """`0.71 [0.60, 0.80]`"""
    interval = scores.get(f"{figure}_ci")
    return number(scores[figure]) + (f" [{number(interval[0])}, {number(interval[1])}]" if interval else "")


def with_spread(spread):
    """`0.71 ± 0.02`, mean and standard deviation over the seeds."""
    if spread is None:
        return "—"
    return number(spread["mean"]) + (f" ± {number(spread['std'])}" if spread["std"] else "")


def print_table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def heads_header(report):
    return [f"{head} macro F1" for head in report["heads"]] + ["all heads right"]


def scores_row(scores):
    heads = [with_interval(head, "macro_f1") for head in scores["heads"].values()]
    return heads + [with_interval(scores, "joint_accuracy")]


def counts(scores):
    n = scores["articles"]
    return f"{scores['sentences']} sentences of {n} article{'s' * (n != 1)}"


def print_evaluations(reports):
    """One table for the real articles, one for everything held out, one by language for the first model."""
    first = next(iter(reports.values()))
    parts = {"All held-out articles": lambda report: report}
    if "seed" in first.get("by", {}).get("source", {}):
        parts = {"Held-out real articles": lambda report: report["by"]["source"]["seed"]} | parts
    for title, part in parts.items():
        print(f"{title}: {counts(part(first))}\n")
        print_table(["model"] + heads_header(first), [[name] + scores_row(part(report)) for name, report in reports.items()])
    if "language" in first.get("by", {}):
        name = next(iter(reports))
        print(f"{name} by language\n")
        rows = [[language, counts(scores)] + scores_row(scores) for language, scores in first["by"]["language"].items()]
        print_table(["language", "held out"] + heads_header(first), rows)


def print_folds(reports):
    """Each article held out in turn: mean ± standard deviation over the seeds."""
    first = next(iter(reports.values()))
    print(f"Each of {first['folds']} folds held out in turn: {counts(first['runs'][0])}, {len(first['seeds'])} seeds\n")

    def row(name, report):
        heads = [with_spread(head["macro_f1"]) for head in report["heads"].values()]
        return [name] + heads + [with_spread(report["joint_accuracy"])]

    print_table(["model"] + heads_header(first), [row(name, report) for name, report in reports.items()])


def main(paths):
    reports = {path.stem.removeprefix("folds-"): json.loads(path.read_text(encoding="utf-8")) for path in map(Path, paths)}
    if not reports:
        sys.exit(__doc__)
    (print_folds if "folds" in next(iter(reports.values())) else print_evaluations)(reports)


if __name__ == "__main__":
    main(sys.argv[1:])
