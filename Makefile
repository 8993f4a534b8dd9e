# SPDX-License-Identifier: GPL-3.0-or-later
#
# The same commands locally and in CI. `make demo` and `make test` do all set-up themselves.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
JUNIT := build/junit
# Narrows the test targets: make unit ARGS='-k password'
ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Set-up

.PHONY: setup
setup: ## Make .venv with the product and all tools (quick when nothing changed)
	@sh dev/setup.sh

.PHONY: setup-runtime
setup-runtime:
	@sh dev/setup.sh --runtime

.PHONY: lock
lock: ## Solve the dependencies anew into requirements/
	@sh dev/lock.sh

.PHONY: build-stack
build-stack: setup-runtime ## Build a Kubernetes control plane, and fetch MySQL and MariaDB, into the user's cache
	@$(BIN)/python -m localstack build

.PHONY: up
up: build-stack ## Start a Kubernetes API and a PostgreSQL server on this machine
	@$(BIN)/python -m localstack up

.PHONY: down
down: setup-runtime ## Stop them and remove their data
	@$(BIN)/python -m localstack down

.PHONY: demo
demo: setup-runtime ## Show the whole product on real servers
	@$(BIN)/python -m localstack.demo

##@ Quality

.PHONY: lint
lint: setup ## Style and format (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: setup ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

.PHONY: types
types: setup ## Types, strictly (mypy)
	$(BIN)/python dev/check_types.py

.PHONY: collection-quality
collection-quality: setup ## What Galaxy and Automation Hub would say (ansible-lint, docs, sanity, importer)
	$(BIN)/python dev/collection_quality.py

.PHONY: roles
roles: setup ## Write what the roles repeat of their modules anew
	$(BIN)/python dev/roles.py

.PHONY: crds
crds: setup ## Write what is made from the API's models anew: CRDs, roles for people, a page per kind
	$(BIN)/python -m dbops_operator.api.crd
	$(BIN)/python dev/kinds.py

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards anew from the table of their panels
	$(BIN)/python dev/dashboards.py

##@ Tests

.PHONY: unit integration e2e faults collection bench
unit: setup ## Tests without servers
	$(PYTEST) tests/unit --junitxml=$(JUNIT)/unit.xml $(ARGS)

integration: build-stack setup ## Tests of the engine and the collection on real database servers
	$(PYTEST) tests/integration --junitxml=$(JUNIT)/integration.xml $(ARGS)

e2e: build-stack setup ## Tests of the operator on a real API server
	$(PYTEST) tests/e2e -m 'not slow' --junitxml=$(JUNIT)/e2e.xml $(ARGS)

faults: build-stack setup ## Crashes, lost servers and races
	$(PYTEST) tests/faults -m 'not slow' --junitxml=$(JUNIT)/faults.xml $(ARGS)

collection: setup ## Build the collection, install the tarball into an empty path, run a playbook with it
	$(PYTEST) tests/collection --junitxml=$(JUNIT)/collection.xml $(ARGS)

# What mostly waits for servers runs in two processes, whole files in each: the engine's tests, then the reconcilers',
# which want servers whose ledgers nobody else has made. What watches an operator's times and breaks things has the
# machine to itself.
SIDE_BY_SIDE := --numprocesses=2 --dist=loadfile
ENGINE := tests/unit tests/integration tests/collection
RECONCILE := tests/e2e/api tests/e2e/reconcile tests/e2e/examples
ONE_BY_ONE := tests/e2e/localstack tests/e2e/operator tests/faults

.PHONY: test
test: build-stack lint types ## Everything that must be green before a change is done
	@rm -rf $(JUNIT)
	$(PYTEST) $(ENGINE) $(SIDE_BY_SIDE) -m 'not slow' --junitxml=$(JUNIT)/engine.xml
	$(PYTEST) $(RECONCILE) $(SIDE_BY_SIDE) -m 'not slow' --junitxml=$(JUNIT)/reconcile.xml
	$(PYTEST) $(ONE_BY_ONE) -m 'not slow' --junitxml=$(JUNIT)/one-by-one.xml
	$(BIN)/python dev/collection_quality.py

.PHONY: test-full
test-full: build-stack lint types ## The same with the long tail
	@rm -rf $(JUNIT)
	$(PYTEST) $(ENGINE) $(SIDE_BY_SIDE) --junitxml=$(JUNIT)/engine.xml
	$(PYTEST) $(RECONCILE) $(SIDE_BY_SIDE) --junitxml=$(JUNIT)/reconcile.xml
	$(PYTEST) $(ONE_BY_ONE) --junitxml=$(JUNIT)/one-by-one.xml
	$(BIN)/python dev/collection_quality.py

bench: build-stack setup ## Measure speed against what is on the machine; writes docs/performance.md
	$(PYTEST) tests/benchmarks -m benchmark -s $(ARGS)

.PHONY: clean
clean: ## Remove what the targets made in the checkout (the cache of built binaries stays)
	rm -rf .venv .collections build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
