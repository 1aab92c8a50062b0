# Everything a person does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8080
DIR ?= .playground
BIN := $(VENV)/bin
AZURITE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ais-tests/azurite@3.35.0

unexport PYTHONDONTWRITEBYTECODE # without bytecode every process compiles what it imports: most of the start of a node

.DEFAULT_GOAL := help
.PHONY: help install run stop clean test lint azurite suite unit fuzz power-loss faults membership model clients denial confined rotation events replicas datasets memory remote lock-attack workers nightly scrub bench cost docs

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml python-client/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer, or run 'make PYTHON=/path/to/python3 ...'" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --editable ./python-client
	@touch $@

install: $(VENV)/.installed ## install ais and its development tools into .venv

run: install ## start a local cluster on port 8080 (PORT=...), take the tour, leave it serving
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/dev/tour.sh "$(PORT)" "$(DIR)"

stop: install ## stop the local cluster; its data stays
	@$(BIN)/ais playground stop --dir "$(DIR)"

clean: ## stop the local cluster and remove its data and the virtual environment
	@[ ! -x $(BIN)/ais ] || $(BIN)/ais playground clean --dir "$(DIR)" --yes
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

lint: install ## format check, lint, layers, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo 
	$(BIN)/mypy

unit: install ## the fast tests only
	$(BIN)/pytest -q tests/unit

test: ## everything CI runs: lint, layers, types, all tests
	@$(MAKE) --jobs 2 install azurite
	$(MAKE) --jobs 2 lint suite

azurite: ## install a server that speaks as Azure, for tests, into ~/.cache/ais-tests (npm; without it they are skipped)
	@[ -d "$(AZURITE)" ] || ! command -v npm >/dev/null || { rm -rf "$(AZURITE).new" && mkdir -p "$(AZURITE).new" && \
	  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$(AZURITE).new" "$(notdir $(AZURITE))" && \
	  mv "$(AZURITE).new" "$(AZURITE)"; }

suite: install
	$(BIN)/pytest -q --numprocesses 5 --dist loadfile --no-loadscope-reorder tests

fuzz: install ## ten minutes of hostile input against a live cluster (FUZZ_SECONDS=...)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(BIN)/pytest -q -s --timeout 0 tests/fuzz

faults: install ## 50 schedules of kills, freezes, cuts and lost mountpaths (SEEDS=1-50, SCHEDULE_SECONDS=120, PARALLEL=2)
	cd tests && PYTHONPATH=. ../$(BIN)/python -m harness.faults.batch --seeds $${SEEDS:-1-50} --seconds $${SCHEDULE_SECONDS:-120} --parallel $${PARALLEL:-2}

model: install ## a million random connections against the model of HTTP (MODEL_SEEDS=..., MODEL_FIRST=...)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_connection_model.py

power-loss: install ## cut the power after every kind of change on ext4, xfs and btrfs (root; apt: xfsprogs btrfs-progs fuse3)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_power_loss.py

clients: install ## pandas, dask, DuckDB, zarr, xarray, Ray, Hugging Face, PyTorch, WebDataset, JAX, TensorFlow, Spark through aisclient
	$(BIN)/python -m pip install --quiet alive_progress 'dask[dataframe]' datasets duckdb jax pandas pyspark 'ray[data]' tensorflow-cpu torch webdataset xarray zarr
	$(BIN)/pytest -q -s --timeout 900 tests/nightly/test_clients.py tests/nightly/test_published_sdk*.py

membership: install ## targets join, leave, die and return under load; bugs put in are found (MEMBERSHIP_SECONDS=180, MEMBERSHIP_SEEDS=6)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_membership.py tests/nightly/test_rebalance_planted.py

denial: install ## what is made to stop a node, at full size: what others notice of it, and what memory it takes (DENIAL_SCALE=100)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_denial.py

confined: install ## who has one bucket, and who has none, try every way to another one, with and without workers
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_confined.py

rotation: install ## all secrets replaced under load, with and without workers (ROTATION_ROUNDS=5)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_rotation.py

events: install ## 10,000 events of buckets to each kind of receiver: down for a minute, nodes killed and decommissioned (EVENTS=, EVENTS_DOWN_S=)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_events.py

replicas: install ## 1,000 objects replicated: the other cluster down for a minute, targets killed and decommissioned (REPLICAS=, REPLICAS_DOWN_S=)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_replication.py

datasets: install ## 100,000 objects copied, archived, indexed, read, sorted; in peace and with targets killed (DATASET_OBJECTS=100000)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_datasets.py

memory: install ## a million objects scrubbed, rebalanced, erasure-coded: what memory a target takes (MEMORY_OBJECTS=1000000)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_memory.py

remote: install ## remote buckets at full size: a target killed in between, one large object (REMOTE_OBJECTS=20000, REMOTE_BYTES=4294967296)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_remote.py

lock-attack: install ## everything there is against versions that object lock holds, with a clock set forward
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_lock_attack.py

workers: install ## all tests of clusters again, with two workers in every node (AIS_TEST_WORKERS=2)
	AIS_TEST_WORKERS=$${AIS_TEST_WORKERS:-2} $(BIN)/pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder \
	  --ignore tests/unit tests

nightly: install ## what takes too long for CI: 8 GiB objects, a million names, every S3 client with every option
	$(BIN)/pytest -q -s --timeout 0 tests/nightly
	EVERY_STEP=1 $(BIN)/pytest -q --timeout 900 tests/unit/ec/test_killed.py
	S3_FULL=1 $(BIN)/pytest -q --timeout 900 tests/s3 tests/unit/core/test_version_crashes.py
	$(MAKE) workers

scrub: install ## lose a disk under load and watch what is said until all is back; heal a thousand objects (OBJECTS=...)
	$(BIN)/pytest -q -s --timeout 0 tests/nightly/test_scrub.py

bench: install ## compare with nginx on one core (needs nginx and wrk); tables and a plot in bench/results
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python bench/macro/run.py

cost: install ## what tokens, marks and signatures of nodes cost, beside the same with everything off
	$(BIN)/python bench/macro/trust.py

docs: install ## write docs/configuration.md and docs/s3_api.md again from what the code declares
	$(BIN)/python -m ais.config.docs > docs/configuration.md
	$(BIN)/python -m ais.s3.docs > docs/s3_api.md
