# `make demo` and `make test` install what they need into a virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := $(VENV)/.ready-for-demo
# IPython warns if another virtual environment is active, and the tests treat warnings as errors.
unexport VIRTUAL_ENV
# The tests start hundreds of Python processes, which would all compile the package.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint format soak bench lowest docs lite screenshots clean

$(READY): pyproject.toml tools/setup $(wildcard labextension/*.json labextension/static/*)
	@tools/setup "$(PYTHON)" "$(VENV)" "supabase-nb, JupyterLab and the test tools" -e '.[demo,data,docs,keyring,lab,test]'
	@touch $@ $(DEMO)

$(DEMO): pyproject.toml tools/setup $(wildcard labextension/*.json labextension/static/*)
	@tools/setup "$(PYTHON)" "$(VENV)" "supabase-nb and JupyterLab" -e '.[demo,data,lab]' pandas matplotlib
	@touch $@

# In a terminal: JupyterLab on copies of the notebooks. In a pipe: the quickstart without a browser, a line per step.
demo: $(DEMO)
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/python tools/demo.py lab; else $(BIN)/python tools/demo.py run; fi

test: $(READY) lint
	@tools/browser "$(VENV)"
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Tests that take too long for every change: 50,000 requests of nonsense, 100,000 schedules of the rotation protocol.
soak: $(READY)
	SUPABASE_NB_FUZZ=50000 $(BIN)/python -m pytest tests/demo/test_demo_bad_input.py -s --timeout 1800
	SUPABASE_NB_SCHEDULES=100000 $(BIN)/python -m pytest tests/model -s --timeout 36000

# Measures performance and writes bench/results.md. `make bench BENCH="--quick calls"` measures part of it.
bench: $(READY)
	tools/bench "$(VENV)" $(BENCH)

# The core's tests with the lowest versions that pyproject.toml allows.
lowest: $(READY)
	tools/lowest "$(VENV)"

docs: $(READY)
	$(BIN)/python -m zensical build --strict --clean

# The site that runs in a browser alone, for any static host: build/lite/site. Needs npm only for its tests.
lite: $(READY)
	$(BIN)/python tools/lite.py build/lite/site

# Takes the screenshots for the documentation again.
screenshots: $(READY)
	tools/browser "$(VENV)"
	SUPABASE_NB_SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser

clean:
	rm -rf $(VENV) bench/.venv site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist tests/js/node_modules
