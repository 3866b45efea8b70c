# Needs Python 3.11 or 3.12 and make; everything else is installed into .venv from requirements.lock.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do $$p -c 'import sys; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
export UV_PYTHON_DOWNLOADS = never
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo app test lint bench study docs lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(VENV)/.ready  ## make .venv and install the lock

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "regulars needs Python 3.11 or 3.12 on PATH; or name one: make PYTHON=/path/to/python3.12 setup"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet uv==$$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)
	$(BIN)/uv pip sync --python $(PY) --require-hashes requirements.lock
	$(BIN)/uv pip install --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## build a snapshot from The Complete Journey and open the app
	$(BIN)/regulars demo

app: setup  ## open the app on the current snapshot
	$(BIN)/regulars app

test: setup  ## all tests
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup  ## ruff, types, layers, SQL subset
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(PY) -m regulars.sql.portable

bench: setup  ## speed against rivals, into docs/benchmarks.md
	$(PY) bench/run.py

study: setup  ## long statistical studies, into docs/studies.md, and the properties at length
	$(PY) bench/study.py
	CAMPAIGNS=10000 HISTORIES=200 $(PY) -m pytest -q tests/properties

docs: setup  ## data dictionary, query reference and the SQL user's script
	$(PY) docs/generate.py

lock: setup  ## pin everything anew
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade --quiet --output-file requirements.lock

clean:  ## remove what was made
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis demo-warehouse
