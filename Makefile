# Everything from a clone: `make serve` to use it, `make test` before a commit, `make bench` for the figures.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/.uv/bin/uv

# Without its bytecode kept, every start of the program would compile all of it anew: half a second each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-test peers serve test lint types check bench crash lock clean

setup: $(VENV)/.serve
setup-test: $(VENV)/.test

$(UV):
	@$(PYTHON) deploy/bootstrap.py $(VENV)

$(VENV)/.serve: locks/serve.txt pyproject.toml | $(UV)
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r locks/serve.txt
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: locks/test.txt $(VENV)/.serve
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r locks/test.txt
	@touch $@

serve: setup
	@echo "make serve: webhooks may reach this machine's loopback addresses (--allow-network 127.0.0.0/8,::1/128)"
	@exec $(BIN)/columba serve --allow-network 127.0.0.0/8 --allow-network ::1/128

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup-test
	$(BIN)/mypy

# Programs of others that the tests talk to.
peers:
	@$(PYTHON) deploy/peers.py

# While the types are checked the tests are read once: pytest's processes then find them compiled.
test: lint peers
	@$(BIN)/pytest --collect-only -qq -n 0 >/dev/null & $(MAKE) --no-print-directory types; types=$$?; wait; exit $$types
	$(BIN)/pytest

bench: setup-test peers
	$(BIN)/python -m bench

crash: setup-test
	$(BIN)/python -m bench.crash

# Names, versions and hashes only: no index is named in a lock.
lock: | $(UV)
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra build pyproject.toml -o locks/serve.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra build --extra test pyproject.toml -o locks/test.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
