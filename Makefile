# One command each: `make verify`, `make test`. Both create .venv from constraints.txt when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
NOTEBOOKS := $(patsubst notebooks/%.py,notebooks/build/%.ipynb,$(wildcard notebooks/[0-9]*.py))
# One thread a worker: two workers with two threads each would fight for two cores.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

.PHONY: venv verify test test-all test-fast mutants bench notebooks literature gallery lint clean
.DELETE_ON_ERROR:

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,browser,lint,notebooks]'
	touch $@

verify: venv
	$(BIN)/itssl verify --jobs $(JOBS)

test: venv
	$(PYTEST) -m 'not slow'

test-all: venv
	$(PYTEST)

# The kernels with numba, which is then installed: compiled forms and their fallbacks give the same answers.
test-fast: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fast]'
	$(PYTEST) -m 'not slow' tests/kernels

# Would the tests notice an error? Each planted one is tried in a copy; fails if one survives.
mutants: venv
	$(BIN)/python -m experiments.mutants.run --jobs $(JOBS)

# How fast, beside other packages and the hardware's limit? About fifteen minutes of an idle machine.
bench: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fast]'
	$(BIN)/python -m experiments.benchmarks.run

# The notebooks with their outputs, in notebooks/build; one whose last cell finds its conclusion wrong stops it.
notebooks: $(NOTEBOOKS)

notebooks/build/%.ipynb: notebooks/%.py $(shell find itssl -name '*.py') | venv
	@mkdir -p $(@D)
	@$(BIN)/jupytext --quiet --to ipynb --set-kernel python3 --output $@ $<
	@TQDM_DISABLE=1 $(BIN)/jupyter execute --inplace --timeout=600 $@ # no remains of progress bars

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
	rm -rf $(VENV) itssl-report notebooks/build gallery .pytest_cache .ruff_cache .import_linter_cache
