# One command each: `make verify`, `make test`. Both create .venv from constraints.txt when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# One thread a worker: two workers with two threads each would fight for two cores.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

.PHONY: venv verify test test-all mutants bench literature gallery lint clean

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,browser,lint]'
	touch $@

verify: venv
	$(BIN)/itssl verify --jobs $(JOBS)

test: venv
	$(PYTEST) -m 'not slow'

test-all: venv
	$(PYTEST)

# Would the tests notice an error? Each planted one is tried in a copy; fails if one survives.
mutants: venv
	$(BIN)/python -m experiments.mutants.run --jobs $(JOBS)

# How fast, beside other packages and the hardware's limit? About fifteen minutes of an idle machine.
bench: venv
	$(BIN)/python -m experiments.benchmarks.run

# The literature, repeated: the quick form of each experiment, and the page experiments/LITERATURE.md.
literature: venv
	$(BIN)/python -m experiments.literature --run

# Every picture of itssl.reports with the code that makes it, on one page: gallery/index.html, in under a minute.
gallery: venv
	$(BIN)/python -m experiments.gallery

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) itssl-report gallery .pytest_cache .ruff_cache .import_linter_cache
