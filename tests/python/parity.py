"""What Rasid trains opens in Python and says the same there, family by family: `make parity` runs this.

From each tiny checkpoint of tests/fixtures/families a model is trained by the program, exported by the program, opened by
transformers (AutoModel, AutoModelForSequenceClassification, pipeline) and by ONNX Runtime, and compared with `rasid classify`.
The tokenizers are compared too: ids by transformers' own tokenizer, made from the exported folder.

`own`: the same for networks of our own architecture, which bring their Python and their lexicon. `lexicon`: the terms that this Python
finds with the shipped lexicon in written sentences are those of `rasid classify --explain`.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast, pipeline

ROOT = Path(__file__).resolve().parents[2]
RASID = ROOT / "target/release/rasid"
FAMILIES = ["bert", "xlm-roberta", "distilbert", "modernbert", "deberta-v2"]
LANGUAGES = ["ar", "ckb", "en", "fa", "fr", "kmr", "tr"]
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


def written(n):
    """Sentences of labels/written, n of each language, from all over the file."""
    texts = []
    for language in LANGUAGES:
        lines = (ROOT / f"labels/written/{language}.jsonl").read_text(encoding="utf-8").splitlines()
        texts += [json.loads(line)["text"] for line in lines[:: len(lines) // n][:n]]
    return texts


def train(base, folder, more=()):
    labels = folder / "labels.jsonl"
    records = [
        {"article_id": f"a{i}", "language": "und", "text": text, "incident": incident, "perpetrator": perpetrator, "split": split}
        for split in ("train", "dev")
        for i, (text, incident, perpetrator) in enumerate((f"{t} {split}", a, b) for t, a, b in LABELLED)
    ]
    for record in records:
        record["article_id"] += record["split"]
    labels.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    settings = ["model.ngrams=false", "input.context=none", "input.max_tokens=32", "training.epochs=6", "training.learning_rate=3e-3",
                "model.weights_dtype=f32", *more]
    # What is exported are heads, each by itself, so none may know of the other here.
    schema, model = folder / "schema.toml", folder / "model"
    schema.write_text((ROOT / "labels/schema.toml").read_text(encoding="utf-8").split("[[never]]")[0], encoding="utf-8")
    rasid("train", "--quiet", "--labels", labels, "--schema", schema, "--base", base, "--output", model,
          *(part for setting in settings for part in ("--set", setting)))
    return model


def classified(texts, model, folder, *more, titles=None):
    """The program's lines, one a sentence, each text an article."""
    articles = folder / "articles.jsonl"
    records = [{"id": str(i), "text": text, "title": title} for i, (text, title) in enumerate(zip(texts, titles or [None] * len(texts)))]
    articles.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    said = rasid("classify", articles, "--model", model, "--format", "jsonl", "--precision", "f32", *more)
    return [json.loads(line) for line in said.splitlines()]


def tags(model, folder):
    """Probabilities by head, one row a text."""
    lines = classified(TEXTS, model, folder)
    assert len(lines) == len(TEXTS), [l["text"] for l in lines]
    heads = {}
    for line in lines:
        for head in ("incident", "perpetrator"):
            heads.setdefault(head, []).append(line[head]["probabilities"])
    return heads


def check(family):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = train(ROOT / "tests/fixtures/families" / family, folder, ["model.lexicon=false"])
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


def check_own(name, *settings):
    """A network from nothing, trained, exported, opened with the Python that lies beside it."""
    sizes = ["hidden_size=32", "intermediate_size=48", "num_hidden_layers=3", "num_attention_heads=4", "max_position_embeddings=64"]
    texts = [*TEXTS, "[MASK] داعش [SEP] ISIS", *written(20)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = train("none", folder, [f"model.{size}" for size in [*sizes, *settings]])
        lines = classified(texts, model, folder)
        exported = folder / "exported"
        rasid("models", "export", model, "--to", "transformers", "--output", exported)
        # A tokenizer without the class: what the ids are by tokenizer.json alone.
        plain = PreTrainedTokenizerFast(tokenizer_file=str(exported / "incident/tokenizer.json"), split_special_tokens=True)
        worst, n_terms = 0.0, 0
        for head in ("incident", "perpetrator"):
            at = {"pretrained_model_name_or_path": exported / head, "trust_remote_code": True}
            classifier, tokenizer = AutoModelForSequenceClassification.from_pretrained(**at).eval(), AutoTokenizer.from_pretrained(**at)
            labels = [classifier.config.id2label[i] for i in range(classifier.config.num_labels)]
            ours = np.array([[line[head]["probabilities"][label] for label in labels] for line in lines], dtype=np.float32)
            assert all(list(line[head]["probabilities"]) == labels for line in lines)
            said = {"text": [line["text"] for line in lines], "language": [line["language"] for line in lines], "truncation": True}
            together = tokenizer(**said, padding=True, return_tensors="pt")
            alone = tokenizer(**said)
            assert alone["input_ids"] == plain(said["text"], truncation=True, max_length=32)["input_ids"]
            assert ("term_types" in together) == (tokenizer.lexicon is not None) == ("lexicon=false" not in settings)
            tokenizer.padding_side = "left"
            with torch.no_grad():
                left = tokenizer.pad(alone, return_tensors="pt")
                logits = [classifier(**together).logits, classifier(**left).logits]
                logits.append(torch.cat([classifier(**tokenizer(text, language=language, truncation=True, return_tensors="pt")).logits
                                         for text, language in zip(said["text"], said["language"])]))
                if "term_types" in together:
                    n_terms = int((together["term_types"] != 0).sum())
                    without = classifier(together["input_ids"], together["attention_mask"]).logits
                    assert (without - logits[0]).abs().max() > CLOSE, "the terms change nothing"
            worst = max(worst, *(float(np.abs(torch.softmax(rows, -1).numpy() - ours).max()) for rows in logits))
            assert max((rows - logits[0]).abs().max() for rows in logits) < CLOSE, (name, head)

            labelled = classifier(**together, labels=torch.zeros(len(lines), dtype=torch.long))
            assert torch.isfinite(labelled.loss) and labelled.loss.requires_grad
            encoder = AutoModel.from_pretrained(**at).eval()
            with torch.no_grad():
                states = encoder(**together, output_hidden_states=True)
                assert states.last_hidden_state.shape == (*together["input_ids"].shape, 32) and len(states.hidden_states) == 4
                assert torch.isfinite(states.last_hidden_state).all() and states.hidden_states[-1].equal(states.last_hidden_state)
            ask = pipeline("text-classification", model=str(exported / head), trust_remote_code=True)
            answers = ask([lines[0]["text"], lines[-1]["text"]], language=lines[0]["language"], truncation=True, batch_size=2)
            assert answers[0]["label"] == lines[0][head]["label"] and abs(answers[0]["score"] - lines[0][head]["confidence"]) < CLOSE
            # Saved again, it opens as before.
            for part in (classifier, tokenizer):
                part.save_pretrained(folder / "saved" / head)
            again = {**at, "pretrained_model_name_or_path": folder / "saved" / head}
            inputs = AutoTokenizer.from_pretrained(**again)(texts[0], return_tensors="pt")
            with torch.no_grad():
                saved = AutoModelForSequenceClassification.from_pretrained(**again).eval()(**inputs).logits
                assert saved.equal(classifier(**tokenizer(texts[0], return_tensors="pt")).logits), (name, head)
        assert worst < CLOSE, (name, worst)
        print(f"own, {name}: {len(lines)} sentences, 2 heads, {n_terms} tokens in terms, largest distance of a probability {worst:.1e}")


def check_headline():
    """A network that reads headlines says the same when it is given the parts by hand, as the tokenizer's class tells."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = ["hidden_size=32", "intermediate_size=48", "num_attention_heads=4", "max_position_embeddings=64"]
        settings = [*(f"model.{size}" for size in sizes), "input.context=title", "input.max_tokens=64"]
        model, texts = train("none", folder, settings), written(3)
        lines = classified(texts, model, folder, titles=texts[::-1])
        rasid("models", "export", model, "--to", "transformers", "--output", folder / "exported")
        at = {"pretrained_model_name_or_path": folder / "exported/incident", "trust_remote_code": True}
        classifier, tokenizer = AutoModelForSequenceClassification.from_pretrained(**at).eval(), AutoTokenizer.from_pretrained(**at)
        worst, n_checked = 0.0, 0
        for line in lines:
            if line["field"] == "title":
                continue
            text, title = (tokenizer(line[part], language=line["language"]) for part in ("text", "title"))
            ids = [*text["input_ids"], tokenizer.convert_tokens_to_ids("[TITLE]"), *title["input_ids"][1:]]
            kinds = [0] * len(text["input_ids"]) + [1] * len(title["input_ids"])
            if len(ids) <= 64:
                inputs = {"input_ids": ids, "token_type_ids": kinds, "term_types": text["term_types"] + title["term_types"]}
                with torch.no_grad():
                    logits = classifier(**{key: torch.tensor([row]) for key, row in inputs.items()}).logits[0]
                theirs, ours = torch.softmax(logits, -1).numpy(), np.array(list(line["incident"]["probabilities"].values()))
                worst, n_checked = max(worst, float(np.abs(theirs - ours).max())), n_checked + 1
        assert worst < CLOSE and n_checked > 10, (worst, n_checked)
        print(f"own, with headlines: {n_checked} sentences, largest distance of a probability {worst:.1e}")


def check_lexicon():
    """The terms with their types and their places in the text."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = written(100)
        # A word or two tell no language: then the terms of all are looked for.
        texts += [" ".join(text.split()[:n]) for text in texts for n in (1, 2)]
        lines = classified(texts, ROOT / "models/default", folder, "--explain")
        rasid("models", "export", ROOT / "models/default", "--to", "transformers", "--output", folder / "exported")
        lexicon = AutoTokenizer.from_pretrained(folder / "exported/incident", trust_remote_code=True).lexicon
        n_terms, languages = 0, Counter()
        for line in lines:
            text, language = line["text"], line["language"]
            found = [(lexicon.types[m.term_type], *(line["start"] + len(text[:at].encode()) for at in m[:2])) for m in lexicon.find(text, language)]
            told = [(term["type"], term["start"], term["end"]) for term in line["terms"]]
            assert found == told, (language, text, set(found) ^ set(told))
            n_terms += len(told)
            languages[language] += 1
        assert len(lines) >= len(texts) and {"und", *LANGUAGES} <= set(languages), languages
        print(f"lexicon: {n_terms} terms in {len(lines)} sentences, the same in Python: {dict(languages)}")


CHECKS = {family: partial(check, family) for family in FAMILIES}
CHECKS["own"] = lambda: [
    check_own("mean"),
    check_own("first token, windows, int8", "classifier_pooling=cls", "global_attn_every_n_layers=2", "local_attention=6", "weights_dtype=int8"),
    check_own("no lexicon", "lexicon=false"),
    check_headline(),
]
CHECKS["lexicon"] = check_lexicon

for asked in sys.argv[1:] or CHECKS:
    CHECKS[asked]()
