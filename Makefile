# `make` lists what can be called. Every target sets up what it needs; a second call installs nothing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python 3 that runs, of any age: scripts/bootstrap.py finds or fetches the one the package needs.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# LightGBM's threads wait by spinning: beside a second test process one each is much faster.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
DEMO_DIR ?= demo

# What `make bench` runs: which program, pixels along a side of the tile, parcels, runs of each entry, where tiles are kept.
BENCH ?= *
SIZE ?= 10980
PARCELS ?= 100000
REPEATS ?= 3
BENCH_DATA ?= benchmarks/data

# Debian packages that test-full uses where it may install them: QGIS opens what is published.
SYSTEM_PACKAGES := qgis python3-qgis

# What no tracked file may hold: hosts and addresses of package registries. The brackets keep this line from matching.
REGISTRIES := py[p]i\.org|python[h]osted|registry\.[n]pmjs|deb\.[d]ebian\.org|index[-]url|extra[-]index

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: setup-demo ## a synthetic rice valley end to end, offline: from imagery to risk maps, into ./demo
	$(BIN)/rs-forecast demo --out $(DEMO_DIR)

.PHONY: test
test: setup-dev ## the tests but the slow ones (at most 10 minutes on 2 cores)
	$(PYTEST) -m "not slow and not qgis and not chromium"

.PHONY: test-quick
test-quick: setup-dev ## the tests without those that run the whole line; stops at the first failure (2 minutes)
	$(PYTEST) -m "not slow and not qgis and not chromium and not end_to_end" --exitfirst

.PHONY: test-full
test-full: setup-dev system-packages ## all tests
	$(PYTEST)

.PHONY: lint
lint: setup-dev ## format, style, types, layers, and no registry named in a file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/make_tables.py --check
	@if git rev-parse --is-inside-work-tree >/dev/null 2>&1 && git grep --untracked -nIE '$(REGISTRIES)' -- .; then \
		echo 'These lines name a package registry; take the host or the option out.' >&2; exit 1; fi

.PHONY: format
format: setup-dev ## put the code in order: ruff's formatter and its safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: setup-dev ## benchmarks beside the peers (BENCH=signals one of them; SIZE, PARCELS, REPEATS; README in benchmarks/)
	@shopt -s nullglob; programs=(benchmarks/bench_$(BENCH).py); \
	if (( $${#programs[@]} == 0 )); then echo 'benchmarks/ holds no bench_$(BENCH).py'; exit 1; fi; \
	for program in "$${programs[@]}"; do echo "$$program"; \
		$(BIN)/python "$$program" --size $(SIZE) --parcels $(PARCELS) --repeats $(REPEATS) --data $(BENCH_DATA); done

.PHONY: lock
lock: need-python ## resolve the newest versions pyproject.toml allows; rewrites the lock files
	@$(PYTHON) scripts/bootstrap.py lock

.PHONY: clean
clean: ## remove caches, builds and the demo; never data/, models/ or the environment
	rm -rf build dist demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find rs_forecast tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: system-packages
system-packages: ## install the Debian packages that test-full can use (as root; else says what is missing)
	@missing=(); for package in $(SYSTEM_PACKAGES); do \
		dpkg-query -W -f '$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); done; \
	if (( $${#missing[@]} == 0 )); then echo 'system packages: none to install'; \
	elif (( EUID == 0 )) && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$${missing[@]}"; \
	else echo "system packages: tests that need these are skipped: $${missing[*]}"; fi

.PHONY: setup-demo setup-dev need-python
setup-demo: need-python
	@$(PYTHON) scripts/bootstrap.py demo

setup-dev: need-python
	@$(PYTHON) scripts/bootstrap.py dev

need-python:
	@[ -n "$(PYTHON)" ] || { echo 'No Python 3 runs here. Install one (Debian: apt install python3 python3-venv), or name' \
		'one: make PYTHON=/path/to/python3' >&2; exit 1; }
