"""What Rasid trains opens in Python and says the same there, family by family: `make parity` runs this.

From each tiny checkpoint of tests/fixtures/families a model is trained by the program, exported by the program, opened by
transformers (AutoModel, AutoModelForSequenceClassification, pipeline) and by ONNX Runtime, and compared with `rasid classify`.
The tokenizers are compared too: ids by transformers' own tokenizer, made from the exported folder.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

ROOT = Path(__file__).resolve().parents[2]
RASID = ROOT / "target/release/rasid"
FAMILIES = ["bert", "xlm-roberta", "distilbert", "modernbert", "deberta-v2"]
CLOSE = 1e-4

LABELLED = [
    ("قتل ثلاثة جنود في هجوم لتنظيم داعش شمال كركوك", "is_attack", "islamic_state"),
    ("Three rockets fell near the base in the north", "militia_attack", "unidentified"),
    ("The ministry said that the talks would go on", "policy_statement", "none"),
    ("Sê roket li nêzîkî baregehê ketin", "militia_attack", "unidentified"),
    ("next week in Baghdad", "other", "none"),
    ("داعش", "is_attack", "islamic_state"),
]
# Sentences of one line each, which no rule splits; the last is longer than the network reads.
TEXTS = [
    "قتل ثلاثة جنود في هجوم لتنظيم داعش",
    "Trois roquettes près de la base ☢ 漢字 2024",
    "a",
    "ڕۆکێت لە نزیک بنکەکە",
    "the base in the north and the talks in Baghdad " * 6,
]


def rasid(*arguments):
    done = subprocess.run([RASID, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(family, folder):
    labels = folder / "labels.jsonl"
    records = [
        {"article_id": f"a{i}", "language": "und", "text": text, "incident": incident, "perpetrator": perpetrator, "split": split}
        for split in ("train", "dev")
        for i, (text, incident, perpetrator) in enumerate((f"{t} {split}", a, b) for t, a, b in LABELLED)
    ]
    for record in records:
        record["article_id"] += record["split"]
    labels.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    settings = ["model.lexicon=false", "model.ngrams=false", "input.context=none", "input.max_tokens=32", "training.epochs=6",
                "training.learning_rate=3e-3", "model.weights_dtype=f32"]
    model = folder / "model"
    rasid("train", "--quiet", "--labels", labels, "--base", ROOT / "tests/fixtures/families" / family, "--output", model,
          *(part for setting in settings for part in ("--set", setting)))
    return model


def tags(model, folder):
    """Probabilities by head, one row a text."""
    articles = folder / "articles.jsonl"
    articles.write_text("".join(json.dumps({"id": str(i), "text": t}, ensure_ascii=False) + "\n" for i, t in enumerate(TEXTS)))
    lines = [json.loads(l) for l in rasid("classify", articles, "--model", model, "--format", "jsonl", "--precision", "f32").splitlines()]
    assert len(lines) == len(TEXTS), [l["text"] for l in lines]
    heads = {}
    for line in lines:
        for head in ("incident", "perpetrator"):
            heads.setdefault(head, []).append(line[head]["probabilities"])
    return heads


def check(family):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = train(family, folder)
        said = tags(model, folder)
        exported = folder / "exported"
        rasid("models", "export", model, "--to", "transformers", "--output", exported)
        worst = 0.0
        for head, rows in said.items():
            classifier = AutoModelForSequenceClassification.from_pretrained(exported / head).eval()
            tokenizer = AutoTokenizer.from_pretrained(exported / head)
            labels = [classifier.config.id2label[i] for i in range(classifier.config.num_labels)]
            session_path = str(folder / f"{head}.onnx")
            load(ROOT / "models/to_onnx.py").export(exported / head, session_path)
            session = onnxruntime.InferenceSession(session_path, providers=["CPUExecutionProvider"])
            for text, row in zip(TEXTS, rows):
                assert list(row) == labels, (list(row), labels)
                inputs = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
                with torch.no_grad():
                    logits = classifier(**inputs).logits[0]
                theirs = torch.softmax(logits, -1).numpy()
                ours = np.array(list(row.values()), dtype=np.float32)
                worst = max(worst, float(np.abs(theirs - ours).max()))
                onnx = session.run(None, {k: inputs[k].numpy() for k in ("input_ids", "attention_mask")})[0][0]
                assert np.abs(onnx - logits.numpy()).max() < CLOSE, (family, head, text)
            answer = pipeline("text-classification", model=str(exported / head), tokenizer=str(exported / head))(TEXTS[0])[0]
            assert answer["label"] == max(rows[0], key=rows[0].get), (family, head, answer)
            # The model itself opens as an encoder, with the same vectors as the exported one's.
            encoder, inner = AutoModel.from_pretrained(model).eval(), AutoModel.from_pretrained(exported / head).eval()
            inputs = tokenizer(TEXTS[0], return_tensors="pt")
            with torch.no_grad():
                distance = (encoder(**inputs).last_hidden_state - inner(**inputs).last_hidden_state).abs().max().item()
            assert distance < CLOSE, (family, head, distance)
        assert worst < CLOSE, (family, worst)
        print(f"{family}: {len(TEXTS)} texts, 2 heads, largest distance of a probability {worst:.1e}")


for family in sys.argv[1:] or FAMILIES:
    check(family)
