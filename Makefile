# `make demo` and `make test` set up everything they need: a virtual environment, the package, a browser.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# IPython warns in a virtual environment that is not the active one; the tests take warnings for errors.
unexport VIRTUAL_ENV

.PHONY: demo test lint format soak bench lowest docs screenshots clean

$(READY): pyproject.toml tools/setup $(wildcard labextension/*.json labextension/static/*)
	@tools/setup "$(PYTHON)" "$(VENV)"
	@touch $@

# In a terminal: JupyterLab on copies of the notebooks. In a pipe: the quickstart without a browser, a line per step.
demo: $(READY)
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/python tools/demo.py lab; else $(BIN)/python tools/demo.py run; fi

test: $(READY) lint
	@tools/browser "$(VENV)"
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Longer than a change is worth waiting for: 50,000 requests of nonsense, 100,000 schedules of the rotation protocol.
soak: $(READY)
	SUPABASE_NB_FUZZ=50000 $(BIN)/python -m pytest tests/demo/test_demo_bad_input.py -s --timeout 1800
	SUPABASE_NB_SCHEDULES=100000 $(BIN)/python -m pytest tests/model -s --timeout 36000

# Performance, as ratios: bench/results.md. `make bench BENCH="--quick calls"`: some.
bench: $(READY)
	tools/bench "$(VENV)" $(BENCH)

# The core's tests on the lowest versions that pyproject allows.
lowest: $(READY)
	tools/lowest "$(VENV)"

docs: $(READY)
	$(BIN)/mkdocs build --strict

# Renews the pictures of the documentation.
screenshots: $(READY)
	tools/browser "$(VENV)"
	SUPABASE_NB_SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser

clean:
	rm -rf $(VENV) bench/.venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist tests/js/node_modules
