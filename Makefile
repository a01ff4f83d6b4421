# What each target needs, scripts/setup.sh provides; when all is there that takes under a second.

.DEFAULT_GOAL := help
.PHONY: help setup demo test servers notebooks bench check format clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
SOURCES := toolkit tests notebooks benchmarks

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Packages, .venv, kernel headers for bcc, mounts: whatever is missing
	@scripts/setup.sh

demo: setup ## 32 workers wait on one port: with accept one wakes, with epoll all do
	$(BIN)/herd run --strategy accept -n 32
	$(BIN)/herd run --strategy epoll -n 32

test: ## Run the tests; PYTEST_ARGS="-k doctor" chooses
	@scripts/setup.sh servers browser
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

servers: ## Start, look at and drive real servers; docs/servers.md is written anew
	@scripts/setup.sh servers
	$(BIN)/python -m herd.observe.servers >docs/servers.new
	mv docs/servers.new docs/servers.md

notebooks: setup ## Execute the lessons, on recordings, and write them anew from notebooks/src
	$(BIN)/python notebooks/build.py

bench: ## herd beside its peers: load, overhead, recording, start, many workers; BENCH="--turns 1 --print": quick
	@scripts/setup.sh servers
	for what in load overhead recording startup scale; do $(BIN)/python benchmarks/$$what.py $(BENCH) || exit; done

check: setup ## Lint, format and types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: setup ## Rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## Remove caches and build output; .venv and results stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache toolkit/herd/traffic/client.c
	find $(SOURCES) -depth -name __pycache__ -exec rm -rf {} +
