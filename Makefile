# The two commands of the README are `make run` and `make test`; the others are for who works on Lensmith.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check soak bench screenshots demo lock clean

run: $(VENV)/.installed ## start Lensmith and print the address
	@$(BIN)/lensmith up

test: $(VENV)/.installed-test ## every test but the soak; under 15 minutes on two cores
	@$(BIN)/python -m pytest -m "not soak"

check: $(VENV)/.installed-test ## style, types, layers
	$(BIN)/ruff check app engine tests sample_data
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.installed-test ## the same promises at full counts; hours
	$(BIN)/python -m pytest -m soak

bench: $(VENV)/.installed ## the figures of BENCHMARKS.md on this machine
	$(BIN)/lensmith bench

demo: $(VENV)/.installed ## from the sample data to a report and a bundle, without a browser
	$(BIN)/lensmith demo

screenshots: $(VENV)/.installed-test ## every screen, light and dark, wide and narrow
	$(BIN)/python -m tests.e2e.screenshots screenshots

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lensmith needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 (or newer)."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python cannot make environments here; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing Lensmith's libraries into $(VENV): about 5 GB with the CUDA libraries, a few minutes once."
	@$(BIN)/python -m pip install -q --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed constraints-test.txt
	@$(BIN)/python -m pip install -q --require-hashes -r constraints-test.txt
	@touch $@

lock: ## pin the newest libraries again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q \
		pyproject.toml -o constraints.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q \
		--extra test -c constraints.txt pyproject.toml -o constraints-test.txt

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
