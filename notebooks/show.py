"""What the notebooks need: the `rasid` command, files of labels, colours, tables that read from right to left."""

import html
import json
import os
import subprocess
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import HTML

ROOT = Path(__file__).resolve().parent.parent
RASID = Path(os.environ.get("RASID", ROOT / "target/release/rasid"))

RIGHT_TO_LEFT = {"ar", "fa", "ckb", "ur", "he"}
LANGUAGES = {
    "ar": "Arabic", "en": "English", "fa": "Persian", "ckb": "Sorani", "kmr": "Kurmanji", "tr": "Turkish", "fr": "French",
}  # in the order of this project
SPLITS = ["train", "dev", "test"]
SPLIT_COLORS = {"train": "#4c72b0", "dev": "#a6bddb", "test": "#dd8452"}

plt.rcParams.update({
    "figure.dpi": 110, "savefig.bbox": "tight", "font.size": 9.5, "axes.titlesize": 10.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.8, "legend.frameon": False,
})


def rasid(*arguments, accept=(0,)):
    """Standard output of the command. Exit codes other than `accept` are an error, told with the command's own words."""
    command = [str(RASID), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in accept:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def rasid_json(*arguments, accept=(0,)):
    return json.loads(rasid(*arguments, "--format", "json", accept=accept))


def read_jsonl(*paths):
    """Records of JSONL files, and of folders of them."""
    files = [file for path in map(Path, paths) for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line]


def read_schema(path=ROOT / "labels/schema.toml"):
    """Head → class → definition and colour."""
    schema = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    return {head["name"]: {c["name"]: c for c in head["class"]} for head in schema["head"]}


def language_name(code):
    return LANGUAGES.get(code, code)


def languages_of(codes):
    """Those that occur, in the project's order, others behind."""
    codes = set(codes)
    return [code for code in LANGUAGES if code in codes] + sorted(codes - set(LANGUAGES))


def words(label):
    """`militia_attack` as a reader writes it."""
    return label.replace("_", " ")


def heat_map(axis, counts, rows, columns, title="", x_label="", y_label=""):
    """Counts in the cells; the shade is the share of the row, so that rare classes are as readable as common ones."""
    shares = [[n / max(sum(row), 1) for n in row] for row in counts]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(counts):
        for x, n in enumerate(row):
            color = "white" if shares[y][x] > 0.55 else "#333333" if n else "#bbbbbb"
            axis.text(x, y, n, ha="center", va="center", color=color)
    axis.set_xticks(range(len(columns)), [words(c) for c in columns], rotation=35, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(rows)), [words(r) for r in rows])
    axis.set(title=title, xlabel=x_label, ylabel=y_label)
    axis.grid(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


# Doubled and marked as important: the pages of nbconvert set all cells to the right, in columns of equal width.
STYLE = """<style>
.rasid.rasid { border-collapse: collapse; width: 100%; font-size: 13px; table-layout: auto !important; }
.rasid.rasid th, .rasid.rasid td { text-align: left !important; vertical-align: top !important; padding: 6px 10px; border-bottom: 1px solid #e3e3e3; }
.rasid.rasid th { border-bottom: 2px solid #999; white-space: nowrap; }
.rasid.rasid td.number { text-align: right !important; font-variant-numeric: tabular-nums; white-space: nowrap; }
.rasid.rasid th.number { text-align: right !important; }
.rasid.rasid td.text { width: 60%; line-height: 1.6; white-space: normal; }
.rasid.rasid td[dir=rtl] { text-align: right !important; font-size: 15px; line-height: 1.8; }
.rasid .tag { display: inline-block; color: white; border-radius: 3px; padding: 0 6px; margin: 1px 0; white-space: nowrap; }
</style>"""


class Text:
    """A cell with a sentence, in the direction of its language."""

    def __init__(self, text, language):
        self.text, self.language = text, language

    def cell(self):
        direction = "rtl" if self.language in RIGHT_TO_LEFT else "ltr"
        return f'<td class="text" dir="{direction}" lang="{html.escape(self.language)}">{html.escape(self.text)}</td>'


class Tags:
    """A cell with labels, each a name and its colour."""

    def __init__(self, *labels):
        self.labels = labels

    def cell(self):
        tags = [f'<span class="tag" style="background:{color}">{html.escape(words(name))}</span>' for name, color in self.labels]
        return f"<td>{'<br>'.join(tags)}</td>"


def table(header, rows):
    """An HTML table: strings, numbers (two decimals; None is —), `Text` and `Tags`."""

    def cell(value):
        if isinstance(value, (Text, Tags)):
            return value.cell()
        if value is None or isinstance(value, (int, float)):
            shown = "—" if value is None else f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
            return f'<td class="number">{shown}</td>'
        return f"<td>{html.escape(str(value))}</td>"

    def title(name, column):
        numbers = all(value is None or isinstance(value, (int, float)) for value in column)
        return f"<th{' class=number' if numbers else ''}>{html.escape(name)}</th>"

    head = "".join(map(title, header, zip(*rows) if rows else [()] * len(header)))
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return HTML(f'{STYLE}<table class="rasid"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')
