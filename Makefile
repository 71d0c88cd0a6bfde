# Needs Python 3.11 or newer, make and git. Everything else goes into .venv.
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
# Tests at a time: one more than two cores, because some of them mostly wait.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check

# One environment and three stamps. A new runtime lock rebuilds it from nothing, a new dev lock adds to it,
# and a changed pyproject.toml installs only the project again.
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
PROJECT := $(VENV)/.stamp-project

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check bench soak faults campaign ordeals why lock format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(PROJECT) ## set up what running needs, then run the demo
	$(BIN)/argus demo

test: $(DEV) $(PROJECT) ## run the tests
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

check: $(DEV) $(PROJECT) ## formatting, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

bench: $(DEV) $(PROJECT) ## run the benchmarks
	$(BIN)/python -m benchmarks

soak: $(DEV) $(PROJECT) ## run the daemon beside the sandbox for SECONDS (1800), or DAYS of half a minute, and look at what grows
	$(BIN)/python -m benchmarks.soak $(if $(DAYS),--days $(DAYS),$(if $(SECONDS),--seconds $(SECONDS)))

faults: $(DEV) $(PROJECT) ## an hour of the feed's time in three minutes, in which everything goes wrong twice; SEED, VENUE
	$(BIN)/python -m benchmarks.faults $(if $(SEED),--seed $(SEED)) $(if $(VENUE),--venue $(VENUE))

campaign: $(DEV) $(PROJECT) ## the property tests, with 20,000 examples each
	ARGUS_CAMPAIGN=1 $(BIN)/python -m pytest -q -m property --hypothesis-profile=campaign -n $(JOBS) --dist worksteal

# One at a time: most of them judge by the clock.
ordeals: $(DEV) $(PROJECT) ## kill, stop, flood and roll over real daemons, hundreds of times
	ARGUS_CAMPAIGN=1 $(BIN)/python -m pytest -q -m ordeal

why: $(DEV) $(PROJECT) ## ask `argus why` about 200 bars of each of three sessions, and try every answer
	ARGUS_CAMPAIGN=1 $(BIN)/python -m pytest -q -s tests/daemon/test_why_campaign.py

format: $(DEV) ## format the code and fix what can be fixed safely
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Pins that still fit are kept; `make lock UPGRADE=1` moves all of them to their newest release.
LOCK_VENV := .venv-lock
# One release of each library for every Python, so that a result does not depend on which one runs it.
COMPILE = $(LOCK_VENV)/bin/uv --no-config pip compile --quiet --generate-hashes --python-version 3.11 --universal \
	--fork-strategy fewest --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
	pyproject.toml --group build --extra tables --extra report --extra indicators --extra live --extra notify

lock: ## write requirements.txt and requirements-dev.txt again from pyproject.toml
	$(PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet --no-input --disable-pip-version-check uv
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	rm -rf $(LOCK_VENV)

clean: ## remove .venv, builds and caches; sessions in var/ stay
	rm -rf $(VENV) $(LOCK_VENV) build dist *.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

$(RUNTIME): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("Argus needs Python 3.11 or newer: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV), which takes a minute or two the first time"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Adding the development tools"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

$(PROJECT): pyproject.toml $(RUNTIME)
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
