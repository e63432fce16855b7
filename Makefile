# Sluice: `make` alone lists the targets. Nothing needs to be installed first but Python 3.11 or 3.12 and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
PORT ?=
CONFIG ?=
BIN := .venv/bin
RUN_READY := .venv/.ready
TEST_READY := .venv/.ready-for-tests

.PHONY: help serve demo validate validate-full anova improvement plan report frontier test test-full test-faults test-gpu check format bench-engine bench-policies bench-gpu train evaluate clean

help: ## List the targets, one line each
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(RUN_READY) ## Start the image server on 127.0.0.1:8000 (PORT=, CONFIG= change that); Ctrl-C stops it
	@exec $(BIN)/python -m serve $(if $(CONFIG),--config "$(CONFIG)") $(if $(PORT),--port "$(PORT)")

demo: $(RUN_READY) ## Overload the server with and without early exit, hold a queueing model against it, write a report (8 min)
	@exec $(BIN)/python -m analysis demo $(if $(CONFIG),--config "$(CONFIG)")

validate: $(RUN_READY) ## Measure six loads on the server and hold every model against them (10 min, nothing else running)
	@exec $(BIN)/python -m analysis validate

validate-full: $(RUN_READY) ## The same with all twelve loads, longer (25 min, nothing else running)
	@exec $(BIN)/python -m analysis validate --full

anova: $(RUN_READY) ## What execution time and unpredictability depend on: factorial experiment, variance by cause, report (9 min)
	@$(BIN)/python -m analysis anova
	@$(BIN)/python -m analysis unpredictability
	@$(BIN)/python -m analysis report

improvement: $(RUN_READY) ## Early exit against full service on paired loads, in percent with intervals (12 min, nothing else running)
	@exec $(BIN)/python -m analysis improvement

plan: $(RUN_READY) ## Engines, thresholds, quality and cost for 10, 1,000 and 100,000 requests/s (2 min)
	@exec $(BIN)/python -m analysis plan --study

report: $(RUN_READY) ## Gather the latest results in one HTML and one PDF, analysis/results/report/
	@exec $(BIN)/python -m analysis report

frontier: $(RUN_READY) ## Set every policy and baseline side by side: deadline violations against quality, simulated
	@exec $(BIN)/python -m analysis frontier --out analysis/benchmarks/frontier

test: $(TEST_READY) ## Run the tests (half an hour on two cores)
	@exec $(BIN)/python -m pytest

test-full: $(TEST_READY) ## Run all tests, also those that only try more of the same (half an hour on two cores)
	@exec $(BIN)/python -m pytest -m ""

test-faults: $(TEST_READY) ## Kill, stop and break every part of a running server, and keep what it cost (8 min)
	@FAULTS_OUT=analysis/benchmarks/faults.json exec $(BIN)/python -m pytest tests/faults/test_matrix.py tests/faults/storm.py

test-gpu: $(TEST_READY) ## Tests that need a CUDA card (8 min); without one each is skipped by name
	@exec $(BIN)/python -m pytest tests/gpu -rs --no-fold-skipped

check: $(TEST_READY) ## Format, lint, strict types, import contract, fast tests (6 min)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -m "not ray and not slow and not full"

format: $(TEST_READY) ## Format the code and sort its imports
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

bench-engine: $(RUN_READY) ## Measure the engine beside the library's pipeline, on this processor (8 min, nothing else running)
	@exec $(BIN)/python -m pipelines.benchmarks engine --out analysis/benchmarks/engine.json

bench-policies: $(RUN_READY) ## Time the dispatcher and the simulators, and hold these against reference values (3 min, nothing else running)
	@$(BIN)/python -m analysis bench-dispatcher --out analysis/benchmarks/dispatcher
	@$(BIN)/python -m analysis bench-simulator --out analysis/benchmarks/simulator
	@$(BIN)/python -m analysis textbook --all --out analysis/benchmarks/textbook

bench-gpu: $(RUN_READY) ## Measure full-size architectures on a CUDA card; without one, say what was not measured
	@exec $(BIN)/python -m pipelines.benchmarks gpu --out analysis/benchmarks/gpu.json

train: $(RUN_READY) ## Train the embedded model anew from seeds (hours on two cores; resumes where it stopped)
	@exec $(BIN)/python -m pipelines.embedded.training

evaluate: $(RUN_READY) ## Measure the committed weights again and rewrite the model card
	@exec $(BIN)/python -m pipelines.embedded.training --only-evaluate

clean: ## Remove the virtual environment and caches; runs/ and training/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(RUN_READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Sluice needs Python 3.11 or 3.12; name one with PYTHON=/path/to/python3.11."; exit 2; }
	@echo "Setting up .venv (once; a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(TEST_READY): tests/requirements.txt $(RUN_READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@
