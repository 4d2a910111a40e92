# `make demo` and `make test` set up everything they need: a virtual environment, the package, a browser.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint format soak screenshots clean

$(READY): pyproject.toml tools/setup
	tools/setup "$(PYTHON)" "$(VENV)"
	@touch $@

# In a terminal: JupyterLab on the quickstart. In a pipe: the quickstart without a browser, a line per step.
demo: $(READY)
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/python tools/demo.py lab; else $(BIN)/python tools/demo.py run; fi

test: $(READY) lint
	tools/browser "$(VENV)"
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist tests/js/node_modules
