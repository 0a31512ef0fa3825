# Everything a contributor, an operator or CI types. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SETUP := $(VENV)/.setup
DEV := $(VENV)/.dev
RUNS ?= 1000000

.DEFAULT_GOAL := help
.PHONY: help setup run test check demo bench faults parts fuzz audit sbom lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

$(SETUP): requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Leadwire needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make setup PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV): $(SETUP) requirements/dev.txt
	@echo "Installing what the tests and checks need ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(SETUP) ## make .venv with the locked dependencies

run: $(SETUP) ## start receivers and worker on http://127.0.0.1:8080
	@$(BIN)/leadwire serve

parts: $(DEV) ## install the real parts that the tests talk to: Azurite, PostgreSQL, Chromium
	@sh scripts/parts.sh

test: parts ## run the whole suite
	@$(BIN)/pytest -n 2 --dist loadgroup

check: $(DEV) ## lint, types, import rules, Dockerfile
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >.lint-imports.log 2>&1 || { cat .lint-imports.log; exit 1; }
	@$(BIN)/python scripts/check_dockerfile.py
	@echo "make check: nothing wrong"

demo: parts ## all four destinations against stand-ins on this machine: a tour of five minutes
	@PYTHONPATH=. $(BIN)/python scripts/demo.py

bench: parts ## measure, as ratios in one run: docs/performance.md
	@sh scripts/parts.sh bench
	@$(BIN)/python -m bench

faults: parts ## kill, cut and confuse everything while leads come in: docs/reliability.md (SEED=7 repeats, FULL=1 goes on longer)
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(FULL),--full)

fuzz: $(DEV) ## look for bodies that break the parser (Linux): make fuzz RUNS=10000000
	@$(PIP) install --require-hashes -r requirements/fuzz.txt
	@PYTHONPATH=. $(BIN)/python -m tests.fuzz.parser -runs=$(RUNS) -print_final_stats=1

audit: $(DEV) ## ask whether a vulnerability is known of anything that is locked (asks a service outside)
	@$(BIN)/python scripts/audit.py

sbom: $(DEV) ## write a bill of materials: build/sbom.json (CycloneDX)
	@mkdir -p build
	@$(BIN)/python scripts/sbom.py build/sbom.json

lock: ## resolve the dependencies again (needs uv)
	uv --no-config pip compile pyproject.toml --group build --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o requirements/runtime.txt
	uv --no-config pip compile pyproject.toml --group build --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o requirements/dev.txt
	uv --no-config pip compile --group fuzz --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o requirements/fuzz.txt

clean: ## remove what setup made (never var/, where the leads are)
	rm -rf $(VENV) node_modules bench/node-red/node_modules build dist .mypy_cache .ruff_cache .pytest_cache
