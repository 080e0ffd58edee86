# make demo | test | docs | lowest | quality | style | bench: each makes what it needs, the virtual environment included.
PYTHON ?= python3
VENV ?= .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
CODE := ddgs_hub builder_scripts benchmarks documentation examples tests

.PHONY: demo test docs lowest quality style bench gpu clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: $(VENV)/.installed  ## the whole method on real handwritten digits, in runs/digits
	$(BIN)/ddgs-hub demo

# Two processes of one thread are faster than one of two; the longest files come first (tests/conftest.py).
test: $(VENV)/.installed  ## all tests: offline, no GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

docs: $(VENV)/.installed  ## the documentation, in site/; without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lowest:  ## all tests with the lowest versions that pyproject.toml admits
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable ".[dev]"
	touch $(LOWEST)/.installed
	$(MAKE) test VENV=$(LOWEST)

quality: $(VENV)/.installed  ## what CI checks besides the tests
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

style: $(VENV)/.installed  ## mend what can be mended mechanically
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(VENV)/.installed  ## speed against a plain implementation, in one run
	$(BIN)/python -m benchmarks

gpu: $(VENV)/.installed  ## tests, benchmarks and a base on one GPU, in runs/gpu; GPU="--toy" tries it on a CPU
	$(BIN)/python -m benchmarks.gpu $(GPU)

clean:
	rm -rf $(VENV) $(LOWEST) site .mypy_cache .ruff_cache .pytest_cache
