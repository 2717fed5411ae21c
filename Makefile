# One command each; `make help` lists them. The environment in .venv is made on first use.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= 4
TESTERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
SMOKE_DIR ?= smoke

.PHONY: help run smoke test lint figure report publish status clean setup

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
	@echo "  variables: CORES=$(CORES) TESTERS=$(TESTERS) (processes of the tests) PYTHON=$(PYTHON) ARGS='further snakemake or pytest arguments'"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "error: '$(PYTHON)' is not Python >= 3.11; install one, or name it: make PYTHON=python3.12 <target>" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "error: '$(PYTHON)' cannot make environments; install its venv package (Debian: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## make the environment only

run: $(STAMP) ## the main job: config/reference.yaml, from nothing to results/summary.md
	$(SNAKEMAKE) $(ARGS)

smoke: $(STAMP) ## the same workflow with tiny settings, in smoke/ (minutes)
	$(SNAKEMAKE) --directory $(SMOKE_DIR) --configfile config/smoke.yaml $(ARGS)

test: $(STAMP) ## unit tests and the smoke workflow in a temporary folder
	$(BIN)/python -m pytest --numprocesses $(TESTERS) $(ARGS)

lint: $(STAMP) ## ruff, snakefmt and the workflow linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

figure: $(STAMP) ## one figure and only what it needs: make figure NAME=<name>
	@test -n "$(NAME)" || { echo "error: which figure? make figure NAME=<name>; names: $$($(BIN)/python -m synapnet_edge info --figures)" >&2; exit 1; }
	$(SNAKEMAKE) results/figures/$(NAME).pdf $(ARGS)

report: $(STAMP) ## HTML report of the finished run: results/report.html
	$(BIN)/snakemake --report results/report.html $(ARGS)

publish: $(STAMP) ## copy summary, tables and figures of a finished run with its manifest to docs/results, headline table to README.md
	$(BIN)/python -m synapnet_edge publish --readme README.md $(ARGS)

status: $(STAMP) ## what is done, what is left, about how many minutes
	$(BIN)/python -m synapnet_edge status --cores $(CORES) $(ARGS)

clean: ## remove results, logs and workflow state; keeps .venv
	rm -rf .snakemake logs benchmarks smoke .pytest_cache .ruff_cache .hypothesis
	find results -mindepth 1 ! -name README.md -delete
