# Media Enricher. `make` alone lists what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What is imported is compiled then, once, and not all that is installed: most of it never runs.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
POSTGREST := supabase_local/postgrest
DENO := supabase_local/deno
# What only tests need of npm; the last is a Next.js project that one of them builds and drives.
NODE_TESTS := tests/oracles tests/browser tests/supabase_js examples/nextjs $(DENO)

# What stands for "installed": each is newer than what it was installed from, or is made again.
PACKAGES := $(VENV)/.requirements
PROJECT := $(VENV)/.project
NODE_MODULES := node_modules/.package-lock.json

# The lowest Prefect that pyproject.toml allows, and a virtual environment that has it.
LOWEST_PREFECT = $(shell sed -nE 's/^ *"prefect>=([0-9.]+),.*/\1/p' pyproject.toml)
LOWEST_VENV := .venv-lowest

# What the Docker image has of the extras.
IMAGE_EXTRAS := metrics heif jxl pdf video

LOCK := uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate

.PHONY: help setup deno demo up test test-setup test-images test-unit coverage test-prefect test-docker check lint docs bench profile bench-http bench-enrich bench-dask bench-far bench-memory bench-peers bench-hostile bench-repair bench-same bench-sweep bench-dashboard bench-changes fuzz trust lock dist release clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(PROJECT) $(POSTGREST)/$(NODE_MODULES) ## Install everything into .venv and node_modules

deno: $(DENO)/$(NODE_MODULES) ## Install Deno, which `up` needs for MEDIA_ENRICHER_EDGE_FUNCTION=true

demo: setup ## Enrich real photographs here: IMAGES=folder for your own, KEEP=1 to leave it running
	@$(BIN)/media-enricher demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(KEEP),--keep)

up: setup ## Run everything here until Ctrl-C: Supabase, Prefect, a worker, the gateway: ARGS="--port N --empty"
	@$(BIN)/media-enricher up $(ARGS)

# Three processes on two cores: the suite also waits. Four end no sooner, and wait beyond patience.
# One is easier to read: ARGS="-n 0 -k name".
test: test-setup ## Run the whole suite, against a real stack: ARGS="-n 0 -k name" for less
	@$(BIN)/python -m pytest --numprocesses 3 $(ARGS)

test-setup: setup $(NODE_TESTS:%=%/$(NODE_MODULES)) ## Install what tests need as well

test-images: setup ## Fetch the pictures that tests use, which the first of them would do
	@$(BIN)/python -m tests.corpora

# Each process imports all that unit tests need, which takes 5 s: two of them are soonest done.
# Schemathesis is not among what they need.
UNIT_TESTS := -m unit --numprocesses 2 -p no:schemathesis

test-unit: setup ## Run the tests that need nothing, in seconds and offline: ARGS="-n 0 -k name" for less
	@$(BIN)/python -m pytest $(UNIT_TESTS) $(ARGS)

# Of unit tests alone: measuring all that the others start would slow the whole suite.
coverage: setup ## Run the unit tests and say what they cover; fail if it is less than it was
	@$(BIN)/python -m pytest $(UNIT_TESTS) --cov --cov-report=term $(ARGS)

test-prefect: test-setup $(LOWEST_VENV)/.project ## Run what uses Prefect with the lowest that is allowed: ARGS="-n 0 -k name" for less
	@$(LOWEST_VENV)/bin/python -m pytest --numprocesses 3 \
		tests/blocks tests/doctor tests/flows tests/orchestration tests/setup $(ARGS)

test-docker: setup ## Build the image and run it in a Docker work pool, with podman: needs root, podman, runc, debootstrap
	@$(BIN)/python -m pytest tests/docker/work_pool.py $(ARGS)

check: setup ## Lint, formatting, types, import arrows, spelling, links, drift of docs/reference/ and of sql/schemas/
	@$(MAKE) lint sql-drift

lint: setup ## What `check` does without a database, which for sql/schemas/ `test` does as well
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/codespell
	@$(BIN)/python -m docs.tools.links
	@$(BIN)/python -m docs.tools.reference --check

docs: setup ## Write docs/reference/ anew, from the code
	@$(BIN)/python -m docs.tools.reference

bench: setup ## Measure against a bare loop and a plain script: ARGS="--quick", "--only photographs" or "--json FILE"
	@$(BIN)/python -m tests.bench $(ARGS)

profile: setup ## Draw where the processor time of a run goes: ARGS="--depth full" or "--photographs"
	@$(BIN)/python -m tests.bench.profile $(ARGS)

bench-http: setup ## Measure how soon the gateway answers, and a run begins: ARGS="--rounds N", "--edge-function" or "--json FILE"
	@$(BIN)/python -m tests.bench.http_trigger $(ARGS)

bench-enrich: setup ## Measure how long one object takes, from the request to its row: ARGS="--rounds N" or "--json FILE"
	@$(BIN)/python -m tests.bench.single_object $(ARGS)

bench-dask: setup ## Measure the flow over one Dask worker process, and over several: ARGS="--quick" or "--json FILE"
	@$(BIN)/python -m tests.bench.dask $(ARGS)

bench-far: setup ## Measure the flow with Supabase far away: ARGS="--quick", "--dask", "--most-downloads N" or "--json FILE"
	@$(BIN)/python -m tests.bench.far $(ARGS)

bench-memory: setup ## Measure the flow's memory by the number of objects: ARGS="--objects 10000 1000000" or "--json FILE"
	@$(BIN)/python -m tests.bench.memory $(ARGS)

bench-peers: setup ## Measure the flow beside img2dataset and Daft on the same photographs: ARGS="--quick" or "--json FILE"
	@$(BIN)/python -m tests.bench.peers $(ARGS)

bench-hostile: setup ## Measure what hostile files cost the photographs beside them
	@$(BIN)/python -m tests.bench.hostile $(ARGS)

bench-same: setup ## See whether other code writes the same table: ARGS="write FILE" with each, then ARGS="compare FILE FILE"
	@$(BIN)/python -m tests.bench.same_table $(ARGS)

bench-sweep: setup ## Measure sweeps that find nothing to do: ARGS="--objects 1000000 --tenants 10000"
	@$(BIN)/python -m tests.bench.sweep $(ARGS)

bench-repair: setup ## Repair the types of 2,000 objects of all kinds, killed twice, and check: ARGS="--objects N"
	@$(BIN)/python -m tests.bench.type_repairs $(ARGS)

bench-changes: setup ## Measure what the change feed costs an upload; ARGS=--kills to see that it loses none
	@$(BIN)/python -m tests.bench.changes $(ARGS)

bench-dashboard: setup ## Measure the dashboard and searches over 1,000,000 assets
	@$(BIN)/python -m tests.bench.dashboard $(ARGS)

fuzz: setup ## Probe mutated files of every format, for a minute: ARGS="--seconds 600" or "--seed N --only mp4"
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: fuzz-same
fuzz-same: setup
	@$(BIN)/python -m tests.fuzz --seed 1 --count 60 # the same files each time; the workflows take others

# It needs tools that the suite does not, and names the Debian packages of those that are missing.
trust: setup ## Compare with exiftool, ffprobe, mediainfo and pdfinfo on thousands of files: ARGS="av" for a part
	@$(BIN)/python -m tests.trust $(ARGS)

lock: | $(BIN)/python ## Pin all dependencies in requirements*.txt: ARGS=--upgrade for newer versions
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/$(LOCK) pyproject.toml $(ARGS) $(IMAGE_EXTRAS:%=--extra %) --output-file requirements.txt
	@$(BIN)/$(LOCK) pyproject.toml $(ARGS) --all-extras --constraints requirements.txt --output-file requirements-dev.txt
	@# All is pinned once more with the lowest Prefect, and what then differs is kept.
	@all="$$(mktemp)"; trap 'rm -f "$$all"' EXIT; cp requirements-dev.txt "$$all"; \
		$(BIN)/$(LOCK) pyproject.toml --all-extras --constraints <(echo "prefect==$(LOWEST_PREFECT)") --output-file "$$all"; \
		awk 'NR == FNR { pinned[$$0]; next } /==/ { differs = !($$0 in pinned) } differs' \
			requirements-dev.txt "$$all" >requirements-lowest.txt
	@cd tests/bench/peers && $(CURDIR)/$(BIN)/$(LOCK) $(ARGS) requirements.in --output-file requirements.txt

dist: setup ## Build the wheel and the sdist into dist/
	@rm -rf dist
	@$(BIN)/python -m build --quiet --no-isolation --outdir dist
	@ls dist/*

release: | $(BIN)/python ## Commit, check and build a release, up to its tag: VERSION=1.2.3
	@$(BIN)/python .ci/release.py "$(VERSION)"
	@$(MAKE) check dist || { \
		echo "The commit of the release is made, and is not good. To take it back: git reset --keep HEAD~1" >&2; exit 1; }
	@echo "Release $(VERSION) is committed and built. To tag and publish it:"
	@echo "  git tag --annotate v$(VERSION) --message 'Media Enricher $(VERSION)'"
	@echo "  git push --atomic origin main v$(VERSION)"

clean: ## Remove all that was installed or made here, data of the local stack included
	@rm -rf $(VENV) $(LOWEST_VENV) .media-enricher $(POSTGREST)/node_modules $(NODE_TESTS:%=%/node_modules) \
		.coverage examples/nextjs/.next .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed, and $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# All is pinned, so there is nothing to resolve; where it has to, pip takes a pin that is not the
# newest for none at all. What the pins lack, the check below tells, once what was installed here of
# an older checkout is replaced.
$(PACKAGES): requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps --require-hashes --requirement $<
	@touch $@

$(PROJECT): pyproject.toml $(PACKAGES)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m pip check --quiet
	@touch $@

$(LOWEST_VENV)/.project: pyproject.toml requirements-dev.txt requirements-lowest.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $(LOWEST_VENV)
	for pins in requirements-dev.txt requirements-lowest.txt; do \
		$(LOWEST_VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps \
			--require-hashes --requirement $$pins; done
	$(LOWEST_VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
	@$(LOWEST_VENV)/bin/python -m pip check --quiet
	@touch $@

%/$(NODE_MODULES): %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed (it comes with Node.js): it installs what is listed in $<" >&2; exit 1; }
	cd $* && npm ci --loglevel=error --no-audit --no-fund
	@touch $@

.PHONY: sql-drift
sql-drift: $(PROJECT) ## Show where the migrations in sql/ and the definitions in sql/schemas/ differ
	@$(BIN)/python -m pytest -q --override-ini addopts= \
		tests/sql/test_schemas.py::test_the_schemas_are_what_the_migrations_make
