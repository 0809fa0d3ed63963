# `make demo` and `make test` are all that a newcomer needs: each makes .venv first, once, by itself.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = .venv/bin/python -m pip --quiet --disable-pip-version-check
# One more than there are cores, because tests wait for disks and other processes a third of their time; at most four.
WORKERS = $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 1 : 4)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check types fast fuzz test test-packaging test-lowest test-gcs soak bench bench-quick bench-scenes bench-cluster cluster-up cluster-down test-cluster \
    test-prism soak-cluster clean

help:
	@echo 'make demo    install, draw sample images, segment them, and say where to look'
	@echo 'make check   lint, types and the fast tests: under a minute'
	@echo 'make test    install, then lint, types and all tests'
	@echo 'make fuzz    the tests of properties with new seeds, for 15 minutes; FUZZ_MINUTES=2 for two'
	@echo 'make soak    kills, damaged input and failing storage by the thousand: an hour or two'
	@echo 'make bench   speed and memory beside other ways to do the same: an hour on an idle machine; bench-quick: five minutes'
	@echo 'make bench-scenes  the same for images in windows: an hour on an idle machine'
	@echo 'make test-packaging  builds, and runs the demo of the wheel in an empty environment; test-lowest: oldest allowed packages'
	@echo 'make test-gcs  the tests on fake-gcs-server, also through a proxy that fails; two minutes the first time, to build it'
	@echo 'make test-cluster  the tests on a Flink cluster, which cluster-up starts and cluster-down stops; soak-cluster: more kills'
	@echo 'make test-prism  the test on Prism, a runner of Beam; bench-cluster: speed on the cluster, ten minutes'
	@echo 'make clean   remove what these made: .venv, demo and caches'

demo: .venv/.installed
	@.venv/bin/maskbeam demo --output demo

check: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types fast

types: .venv/.installed-dev
	.venv/bin/mypy

# Without those that load TensorFlow or run a graph, which a plugin skips, and with few examples of each property.
FAST = -p tests.support.fast --hypothesis-profile quick -m 'not slow' tests/unit tests/test_layers.py

fast: .venv/.installed-dev
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile $(FAST)

test: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

FUZZ_MINUTES ?= 15
FUZZ = -p tests.support.fuzz --fuzz_minutes $(FUZZ_MINUTES) --hypothesis-profile fuzz -m hypothesis

fuzz: .venv/.installed-dev
	.venv/bin/python -m pytest --quiet $(FUZZ) tests/unit

# An environment of its own with nothing in it, and the lowest versions that pyproject.toml allows: a gigabyte each.
test-packaging: .venv/.installed-dev
	.venv/bin/pytest tests/packaging -rs

test-lowest: build/lowest/.installed
	build/lowest/bin/python -m pytest --numprocesses 2 --dist loadfile $(FAST)
	rm -rf build/lowest/demo
	build/lowest/bin/maskbeam demo --output build/lowest/demo
	build/lowest/bin/maskbeam verify build/lowest/demo/result

build/lowest/.installed: requirements-lowest.txt requirements-dev.txt requirements.txt pyproject.toml
	rm -rf build/lowest
	$(PYTHON) -m venv build/lowest
	sed -n 's/==.*/==/p' requirements-lowest.txt | sed 's/^/^/' > build/lowest/replaced
	grep -hivf build/lowest/replaced requirements.txt requirements-dev.txt | grep -v '^-r' > build/lowest/pinned
	build/lowest/bin/python -m pip --quiet install -r requirements-lowest.txt -r build/lowest/pinned
	build/lowest/bin/python -m pip --quiet install --no-deps --no-build-isolation -e .
	touch $@

soak: .venv/.installed-dev
	.venv/bin/python -m soak

bench: .venv/.installed-dev
	.venv/bin/python -m benchmarks

bench-quick: .venv/.installed-dev
	.venv/bin/python -m benchmarks --quick

bench-scenes: .venv/.installed-dev
	.venv/bin/python -m benchmarks.scenes

# What bench-scenes measures beside ours: 5.6 GB; without it that row is not measured.
build/monai/.installed: benchmarks/scenes/requirements-monai.txt requirements.txt
	rm -rf build/monai
	$(PYTHON) -m venv build/monai
	build/monai/bin/python -m pip --quiet install -r benchmarks/scenes/requirements-monai.txt
	touch $@

# Needs Go; it says so.
test-gcs: .venv/.installed-dev
	deploy/fake-gcs/run.sh

# Needs Java, Maven, and iproute2 as root or else Go; it says so.
cluster-up: .venv/.installed
	deploy/flink/cluster.py up

cluster-down:
	deploy/flink/cluster.py down

test-cluster: .venv/.installed-dev cluster-up
	.venv/bin/pytest tests/cluster --ignore=tests/cluster/test_prism.py -m 'not slow'

# Needs Go; it says so.
test-prism: .venv/.installed-dev
	.venv/bin/pytest tests/cluster/test_prism.py

soak-cluster: .venv/.installed-dev cluster-up
	.venv/bin/pytest tests/cluster -m slow

bench-cluster: .venv/.installed-dev cluster-up
	.venv/bin/python -m benchmarks.cluster

.venv/bin/python:
	@$(if $(PYTHON),,echo 'maskbeam needs Python 3.11 or newer, and found none; name one with PYTHON=/path/to/python' >&2; exit 1)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "maskbeam needs Python 3.11 or newer, this is " \
	    + sys.version.split()[0] + "; name another with PYTHON=/path/to/python")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.installed: requirements.txt setup.py pyproject.toml maskbeam/__init__.py | .venv/bin/python
	@echo 'Installing into .venv: once, one to three minutes ...'
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@echo 'Installing what the tests need: once, about a minute ...'
	@$(PIP) install -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
