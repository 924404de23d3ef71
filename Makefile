# `make demo` and `make test` set up everything they need; a second run finds it done.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.done

.PHONY: help demo test bench lint wheel clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    build the Pico image, flash it, drift, adapt on the board, report'
	@echo 'make test    lint, then every test: kernels, host, device, end to end'
	@echo 'make bench   cycles, memory and throughput of the emulated Pico'
	@echo 'make lint    ruff alone'
	@echo 'make wheel   dist/*.whl, with the Pico image and its emulator inside'
	@echo 'make clean   removes what make made here; the cache outside stays'

demo: $(DONE)/demo
	$(BIN)/host demo $(DEMO)

test: lint
	$(BIN)/pytest --ignore=tests/bench $(PYTEST)

bench: $(DONE)/test
	$(BIN)/host bench $(BENCH)
	$(BIN)/pytest tests/bench

lint: $(DONE)/test
	$(BIN)/ruff check host tests
	$(BIN)/ruff format --check host tests

wheel: $(DONE)/test
	$(BIN)/python -m fieldtune.wheel

clean:
	rm -rf $(VENV) build dist host/fieldtune/_images .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The compilers. As root they are installed, otherwise the line to type is printed.
$(DONE)/packages: host/fieldtune/setup/packages.py
	PYTHONPATH=host $(PYTHON) -B -m fieldtune.setup.packages
	@mkdir -p $(@D) && touch $@

# --clear would take $(DONE) along; venv itself mends a half-made environment.
$(DONE)/venv: | $(DONE)/packages
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What `test` installs has everything that `demo` needs.
$(DONE)/test: pyproject.toml $(DONE)/venv
	$(BIN)/python -m pip install -q -e '.[test]'
	@touch $(DONE)/demo $@

$(DONE)/demo: pyproject.toml $(DONE)/venv
	$(BIN)/python -m pip install -q -e '.[demo]'
	@touch $@
