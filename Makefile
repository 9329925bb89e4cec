# The verbs of this repository; `make` alone lists them. CI calls the same.

LABELS  ?= labels/seeds.jsonl labels/written labels/variants $(OPEN)
MODEL   ?= models/default
RECIPE  ?= models/recipes/default.toml
# What training starts from: the base pre-trained on CORPORA, else the shipped one, else nothing.
CORPORA ?=
# Sources of CORPORA that are not learned from: old novels, a dialect corpus.
LEAVE_OUT ?= fr/eltec,ckb/cordi,weak
# With CORPORA, the real sentences of labels/open.tsv with their text.
OPEN    := $(if $(CORPORA),target/open.jsonl)
BASE    ?= $(if $(CORPORA),target/base,$(or $(wildcard models/base),none))
OUTPUT  ?= target/trained

RASID     := target/release/rasid
TRIPLE    = $(shell rustc -vV | awk '/^host:/ { print $$2 }')
HOST      = $(shell echo $(TRIPLE) | tr a-z- A-Z_)
SCORES    := target/scores
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
PYTHON    := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help build test test-hub parity memcheck asan lint format bench bench-peers precision pretrain train evaluate cross-validate notebooks reproduce reproduce-tiny

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  LABELS, MODEL, RECIPE, BASE, OUTPUT and CORPORA can be given, as in: make train OUTPUT=/tmp/mine"

build: ## build target/release/rasid
	cargo build --release

test: ## run all tests, offline (the release profile, so that the dependencies are built once)
	cargo test --release

test-hub: ## the tests of fetching from a hub (builds some 300 packages more)
	cargo test --release --features hub --test hub --test models

PARITY := target/parity
parity: build $(PARITY)/bin/python ## does Python say the same of what is trained here? transformers and ONNX Runtime from PyPI (some gigabytes)
	$(PARITY)/bin/python tests/python/parity.py

$(PARITY)/bin/python: tests/python/requirements.txt
	python3 -m venv $(PARITY)
	$@ -m pip install --quiet --requirement $<
	touch $@

memcheck: ## run the kernels' tests under valgrind, which knows AVX2 and plain code but no AVX-512
	CARGO_TARGET_$(HOST)_RUNNER="valgrind -q --error-exitcode=9" PROPTEST_CASES=12 \
	  cargo test --release --lib -- kernels::panels kernels::int8 kernels::norm kernels::activation --test-threads=1

asan: ## run the kernels' tests under AddressSanitizer, which sees all but the tile registers' assembly; builds all anew
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
	  cargo test --release --lib --target $(TRIPLE) --target-dir target/asan -- kernels --test-threads=1

lint: ## check format and lints; warnings are errors
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings

format: ## format the code
	cargo fmt

bench: ## measure kernels, and whole articles a second
	cargo bench --bench speed

PEERS := target/peers
bench-peers: $(PEERS)/venv ## measure beside ONNX Runtime, OpenVINO, PyTorch and candle-transformers (needs a network the first time; half an hour)
	CARGO_TARGET_DIR=$(PEERS)/candle-target cargo build --release --manifest-path benches/peers/candle/Cargo.toml
	$(PEERS)/venv/bin/python benches/peers/run.py $(PEER_OPTIONS)

$(PEERS)/venv: benches/peers/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --requirement $<
	touch $@

precision: build $(OPEN) ## what int8 and bf16 change in the tags of MODEL
	for other in int8 bf16; do \
	  $(RASID) compare $(MODEL) $(MODEL) --precision f32,$$other --labels $(LABELS) --split test || exit 1; \
	done

pretrain: build ## pre-train a base on CORPORA, then a larger one around it, also on the labels' text, into target/base; goes on where it was stopped
	$(RASID) pretrain --corpus $(CORPORA) --leave-out $(LEAVE_OUT) --cache target/tokens --output target/base-general --resume
	rm -rf target/labels-text.new
	python3 notebooks/text_of_labels.py target/labels-text.new labels/written/*.jsonl labels/variants/*.jsonl --suffix=-labels
	# Other text or another start is another run.
	diff -rq target/labels-text target/labels-text.new >/dev/null 2>&1 && \
	  [ target/base -nt target/base-general/model.safetensors ] || rm -rf target/base target/base.training
	rm -rf target/labels-text && mv target/labels-text.new target/labels-text
	$(RASID) pretrain --corpus $(CORPORA) target/labels-text --leave-out $(LEAVE_OUT) --cache target/tokens --base target/base-general --grow \
	  --config models/recipes/pretrain_last.toml --output target/base --resume

target/open.jsonl: labels/open.tsv | build
	$(RASID) labels join $< --corpora $(CORPORA) --output $@

train: build $(OPEN) $(if $(CORPORA),pretrain) ## train on LABELS by RECIPE from BASE; writes the model directory OUTPUT
	$(RASID) labels check $(LABELS)
	$(RASID) train --labels $(LABELS) --config $(RECIPE) --base $(BASE) --output $(OUTPUT) $(TRAIN_OPTIONS)

evaluate: build $(OPEN) ## score MODEL and the baselines on the test split: the tables of the README
	mkdir -p $(SCORES)
	for model in $(MODEL) tfidf-lexicon tfidf majority; do \
	  $(RASID) evaluate --model $$model --precision f32 --labels $(LABELS) --split test --by source,language \
	    --format json --output $(SCORES)/$$(basename $$model).json || exit 1; \
	done
	python3 notebooks/scores.py $(SCORES)/$$(basename $(MODEL)).json $(SCORES)/tfidf-lexicon.json $(SCORES)/tfidf.json $(SCORES)/majority.json
	$(RASID) evaluate --model $(MODEL) --precision f32 --labels labels/contrast.jsonl --split test
	$(RASID) evaluate --model $(MODEL) --precision f32 --labels labels/roles.jsonl --split test --by language

cross-validate: build ## train and score with each of the five real articles held out in turn, over three seeds
	mkdir -p $(SCORES)
	for model in transformer tfidf-lexicon tfidf majority; do \
	  $(RASID) cross-validate --labels labels/seeds.jsonl --extra labels/written labels/variants $(OPEN) --folds leave-one-out --seeds 3 \
	    --model $$model --config $(RECIPE) --base $(BASE) --format json --output $(SCORES)/folds-$$model.json || exit 1; \
	done
	python3 notebooks/scores.py $(SCORES)/folds-transformer.json $(SCORES)/folds-tfidf-lexicon.json $(SCORES)/folds-tfidf.json $(SCORES)/folds-majority.json

notebooks: build $(PYTHON) ## run the notebooks from top to bottom; pages in target/notebooks
	RASID_MODEL=$(abspath $(MODEL)) $(PYTHON) -m nbconvert --execute --to html --output-dir target/notebooks $(NOTEBOOKS)

$(PYTHON): notebooks/requirements.txt
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --requirement $<
	touch $@

reproduce: ## the whole path: [pre-training on CORPORA,] training, scores on held-out articles and over folds
	$(MAKE) train TRAIN_OPTIONS=--overwrite
	$(MAKE) evaluate MODEL=$(OUTPUT)
	$(MAKE) cross-validate

TINY := target/tiny
reproduce-tiny: build ## the same path in minutes: a tiny base from the labels' text, a tiny model, its scores
	rm -rf $(TINY)
	python3 notebooks/text_of_labels.py $(TINY)/corpus labels/written/*.jsonl labels/variants/*.jsonl
	$(RASID) pretrain --corpus $(TINY)/corpus --output $(TINY)/base-general --set model.hidden_size=64 --set model.intermediate_size=64 \
	  --set model.num_hidden_layers=2 --set model.num_attention_heads=2 --set training.steps=60 --set training.batch_tokens=1024 \
	  --set training.evaluate_every=30 --set data.held_out_lines=10 --set data.parallel_share=0
	$(RASID) pretrain --corpus $(TINY)/corpus --base $(TINY)/base-general --grow --output $(TINY)/base --config models/recipes/pretrain_last.toml \
	  --set model.hidden_size=96 --set model.intermediate_size=96 --set model.num_hidden_layers=2 --set model.num_attention_heads=3 \
	  --set training.steps=20 --set training.batch_tokens=1024 --set data.held_out_lines=10 --set data.parallel_share=0
	$(RASID) train --labels labels/seeds.jsonl labels/written labels/variants --base $(TINY)/base --output $(TINY)/model --set training.epochs=2
	$(RASID) evaluate --model $(TINY)/model --labels labels/seeds.jsonl labels/written --split test \
	  --fail-under incident.macro_f1=0.6 --fail-under perpetrator.macro_f1=0.5
	$(RASID) classify --model $(TINY)/model --format jsonl --output $(TINY)/tags.jsonl labels/articles
