# Everything a newcomer needs: make run. Nothing here needs root.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup asterisk run demo test check lint types fmt docs lock hooks bench-calls bench-ledger bench-plan bench-coverage bench-emergency bench-purge bench-report clean distclean

help:  ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(READY): requirements.lock setup.cfg pyproject.toml tools/setup_venv.py
	@$(PYTHON) tools/setup_venv.py
	@touch $@

setup: $(READY)  ## virtual environment from the lock file

asterisk: $(READY)  ## a private Asterisk and SIPp, unless the machine has new enough ones
	@$(BIN)/python -m ari_app.private

run: asterisk  ## the whole node in the foreground, with a sample account and one test call
	@$(BIN)/python -m ari_app.demo run

demo: asterisk  ## six calls and one to 999, with their CDRs; two made-up years purged, reported on and proven; then the end
	@$(BIN)/python -m ari_app.demo demo

test: lint types asterisk  ## everything, on a real Asterisk and a real PostgreSQL
	@$(BIN)/python tools/run_tests.py

check: lint types  ## what can be checked in a minute, without Asterisk
	@$(BIN)/python -m pytest -m "not asterisk"

lint: $(READY)  ## style, format and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(READY)  ## mypy --strict
	@$(BIN)/mypy

fmt: $(READY)  ## put the style right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY)  ## the command reference from the commands
	@$(BIN)/python tools/command_reference.py

hooks: $(READY)  ## run the checks before each commit
	@$(BIN)/pre-commit install

lock:  ## work requirements.lock out anew (needs uv)
	@uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links --extra dev --python-version 3.11 \
		--custom-compile-command "make lock" setup.cfg -o requirements.lock

bench-calls: asterisk  ## calls through Ringfence against plain Dial(), in turn
	@$(BIN)/python -m bench.calls --json

bench-ledger: $(READY)  ## a million ledger lines booked
	@$(BIN)/python -m bench.ledger --json

bench-plan: $(READY)  ## a plan of a million numbers
	@$(BIN)/python -m bench.plan --json

bench-coverage: $(READY)  ## 999 addresses of a million numbers counted
	@$(BIN)/python -m bench.coverage --json

bench-emergency: asterisk  ## set-up of a call to 999 against plain Dial(), in turn
	@$(BIN)/python -m bench.emergency --json

bench-purge: $(READY)  ## ten million calls purged, beside one raw DELETE
	@$(BIN)/python -m bench.purge --json

bench-report: $(READY)  ## the retention report over twelve million calls
	@$(BIN)/python -m bench.report --json

clean:  ## caches, builds and what runs left behind
	@rm -rf build dist var *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -exec rm -rf {} +

distclean: clean  ## and the virtual environment
	@rm -rf .venv
