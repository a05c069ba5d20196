# `make demo` shows the product, `make test` checks everything. Both install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := worker worklist dicom_node models training db deploy tests docs

.PHONY: demo test serving install system-packages lint types imports unit docs pictures security chaos fuzz bench lock clean

demo: serving
	rm -rf demo-results
	$(BIN)/fracture-screen demo --out demo-results

test: install system-packages lint types imports unit

PIP := $(BIN)/python -m pip --disable-pip-version-check

serving: $(VENV)/.serving # what the product needs to run

install: $(VENV)/.installed # and to train, to be tested and documented

$(VENV)/.serving: deploy/requirements-cpu.lock deploy/requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || (echo "python3-venv is missing: sudo apt-get install python3-venv" && exit 1)
	@echo "Installing into $(VENV): about 145 MB to download, 550 MB on disk, once."
	@$(PIP) install --require-hashes -r deploy/requirements-cpu.lock -r deploy/requirements-build.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed: $(VENV)/.serving requirements.lock
	@echo "Adding what training, tests and documentation need: about 1 GB to download, once."
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

system-packages:
	sh tests/install-packages.sh

lint:
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

unit: # a file's tests share a process; the long files begin
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

docs: install # into site/; a warning is an error, as in the tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

pictures: install system-packages # docs/images, from the demo
	$(BIN)/python docs/_site/pictures.py

security: install # what each attack costs
	$(BIN)/python -m tests.security

chaos: install # KILLS, SEED; PRODUCTION=1 for PostgreSQL and Redis
	$(BIN)/python -m tests.chaos.run --kills $(or $(KILLS),100) --seed $(or $(SEED),1) $(if $(PRODUCTION),--production)

fuzz: install # CASES, SEED; atheris has no wheel for every Python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz --cases $(or $(CASES),20000) --seed $(or $(SEED),1)

bench: install system-packages
	$(BIN)/fracture-screen model engines
	$(BIN)/python -m tests.bench.inference
	$(BIN)/python -m tests.bench.screening
	$(BIN)/python -m tests.bench.up
	$(BIN)/python -m tests.bench.end_to_end
	$(BIN)/python -m tests.bench.receive
	$(BIN)/python -m tests.bench.worklist
	$(BIN)/python -m tests.bench.readers

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock: # needs uv: pip install uv
	$(LOCK) --extra training --extra dev pyproject.toml -o requirements.lock
	$(LOCK) -c requirements.lock pyproject.toml -o deploy/requirements-cpu.lock
	$(LOCK) -c requirements.lock --extra gpu pyproject.toml -o deploy/requirements-gpu.lock
	echo hatchling | $(LOCK) -c requirements.lock - -o deploy/requirements-build.lock
	echo 'atheris>=3.0' | uv pip compile --generate-hashes --no-header --no-annotate - -o requirements-fuzz.lock

clean:
	rm -rf $(VENV) demo-results site .pytest_cache .mypy_cache .ruff_cache
