# `make demo` and `make test` do all the set-up they need, once. VENV=DIR and NP=N may be given.
SHELL := /bin/bash
VENV ?= .venv
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)
NP ?= $(shell [ $(CORES) -ge 2 ] && echo 2 || echo 1)
SIZE ?= small
PYTHON_RUN = $(VENV)/bin/python
export VENV

.PHONY: help setup demo test test-debian13 bench lint format docs gallery clean distclean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## system packages where FEniCSx is missing, .venv, pinned packages; done once
	@scripts/setup.sh

demo: setup ## the silicon crack: a quantum tip, an interatomic neighbourhood, a finite-element far field
	@scripts/mpi.sh $(NP) cases/si_crack/case.py --size $(SIZE)

test: setup ## all tests, the conformance suite, the linters
	@scripts/test.sh

test-debian13: ## the tests of finite elements with Debian 13's DOLFINx, in a root directory made by debootstrap (as root)
	@scripts/debian13.sh

bench: setup ## speed and memory, as ratios measured in one run
	@OMP_NUM_THREADS=1 $(VENV)/bin/multiscale bench

lint: setup ## ruff and mypy
	@scripts/lint.sh

format: setup ## mend what ruff can mend
	@scripts/lint.sh --fix

docs: setup gallery ## the documentation, in docs/_build/html
	@$(PYTHON_RUN) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

gallery: setup ## the generated pages of the documentation: gallery and method cards
	@$(PYTHON_RUN) scripts/make_docs_pages.py

clean: ## results, caches and built documentation; the environment stays
	rm -rf results docs/_build docs/gallery docs/cards build *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## and the environment too
	rm -rf $(VENV)
