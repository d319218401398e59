# Two commands set everything up: `make demo` shows the doctor at work, `make test` passes its tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are cores: some tests wait for a process that ends or hangs.
WORKERS := -n $(shell expr $$(nproc) + 1) --dist loadfile --no-loadscope-reorder
# Once, for the hundreds of doctors that the tests start: with PYTHONDONTWRITEBYTECODE none would keep it for the next.
COMPILE := $(BIN)/python -m compileall -q opv2v_doctor checks

.PHONY: demo test test-fast nightly lint lowest bench fuzz mutants clean

demo: $(VENV)/installed
	rm -rf demo
	$(BIN)/opv2v-doctor demo demo
	$(BIN)/opv2v-doctor run-all --repo demo --output demo-report.json
	@echo "the report: demo-report.json (the same in markdown: --output demo-report.md)"

test: $(VENV)/tested
	@$(COMPILE)
	$(BIN)/python -m pytest $(WORKERS)

# What needs no trained repository, no browser and no second.
test-fast: $(VENV)/tested
	@$(COMPILE)
	$(BIN)/python -m pytest $(WORKERS) --fast

# Without a bound: every Python of pyproject.toml that is here, what takes minutes, long fuzzing, coverage, mutants.
nightly: $(VENV)/tested
	.ci/nightly

lint: $(VENV)/tested node_modules/.bin/eslint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy opv2v_doctor checks tests benchmarks exam fuzz .ci/lowest.py
	node_modules/.bin/eslint --max-warnings 0 opv2v_doctor

# The lower bounds of pyproject.toml are true. The newest versions are what $(VENV) itself is made of.
lowest:
	$(PYTHON) .ci/lowest.py

bench: $(VENV)/tested
	$(BIN)/python -m benchmarks

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	$(BIN)/pip check
	touch $@

node_modules/.bin/eslint: package.json
	npm install --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@

fuzz: $(VENV)/tested
	for subject in logs checkpoints answers settings records git serve audit; do \
		$(BIN)/python -m fuzz $$subject --seconds $(or $(SECONDS),600) || exit 1; done

mutants:
	.ci/mutants $(FAMILY) $(MODULE)

clean:
	rm -rf $(VENV) node_modules demo demo-report.* build dist *.egg-info
