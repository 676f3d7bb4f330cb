# `make` without a target prints the targets. Each target installs what it needs; only Python must be there before.
PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SERVERS := .integration/.installed
VIEWER := .viewer
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
SOURCES := app tests infra
LOCKED := infra/locked
UV_LOCK := $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(ARGS)
PYTEST := $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal --quiet

.DEFAULT_GOAL := help
.PHONY: help install run viewer test check coverage lint types imports security integration fuzz torture capacity costs bench fmt lock sbom pin image clean

help:  ## Print this help
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED)  ## Create the virtual environment in .venv

run: $(INSTALLED)  ## Serve an archive in ./data on http://127.0.0.1:8080
	@test -e $(VIEWER)/files.json || $(BIN)/python -m infra.viewer $(VIEWER) || true
	@BULKHEAD_LOG_FORMAT=$${BULKHEAD_LOG_FORMAT:-console} exec $(BIN)/bulkhead serve

viewer: $(INSTALLED)  ## Install the OHIF viewer in .viewer, which needs npm; the service shows it at /viewer
	@$(BIN)/python -m infra.viewer $(VIEWER)

test: $(INSTALLED)  ## Run the tests but the thorough ones, in a few minutes; ARGS="-k search" selects some of them
	$(PYTEST) -m 'not thorough and not lengthy' $(ARGS)

check: lint types imports security  ## Run all checks that a change must pass: all tests, style, types, imports and security
	$(PYTEST) -m 'not lengthy' $(ARGS)

coverage: $(INSTALLED)  ## Run all tests, also the lengthy ones and with new random examples, and print the coverage
	$(PYTEST) --hypothesis-profile='new examples' --cov --cov-report=term:skip-covered $(ARGS)

lint: $(INSTALLED)  ## Check the style of the code, and the CloudFormation templates
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/cfn-lint infra/key.yaml infra/replica.yaml infra/template.yaml

types: $(INSTALLED)  ## Check the types
	$(BIN)/mypy

imports: $(INSTALLED)  ## Check which module may import which
	$(BIN)/lint-imports

security: $(INSTALLED)  ## Look for insecure code, and for packages with known vulnerabilities
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive app infra
	@$(BIN)/python -m tests.vulnerabilities

integration: $(SERVERS)  ## Run the tests with real servers and clients, which need Java, npm and nginx; with Orthanc and Chromium if installed
	$(BIN)/pytest --quiet $(ARGS) tests/integration

fuzz: $(INSTALLED)  ## Send a million fuzzed requests, in about half an hour; ARGS="--requests 10000" sends fewer
	$(BIN)/python -m tests.fuzz $(ARGS)

torture: $(INSTALLED)  ## Store, change and read with faults, wrong clocks and kills; ARGS="--minutes 5 --engine embedded --seed 7"
	$(BIN)/python -m tests.torture $(ARGS)

capacity: $(INSTALLED)  ## Print the units of DynamoDB that the archive uses, and how much one archive takes; ARGS="--seconds 10"
	$(BIN)/python -m tests.capacity $(ARGS)

costs: $(INSTALLED)  ## Write ceilings and costs of the aws engine into infra/README.md
	$(BIN)/python -m tests.capacity.readme

bench: $(INSTALLED)  ## Measure the speed, beside Orthanc if it is installed; ARGS="--beside DIR" compares with another checkout
	$(BIN)/python -m tests.benchmarks $(ARGS)
	$(BIN)/python -m tests.benchmarks.worklist
	$(BIN)/python -m tests.benchmarks.reindex
	$(BIN)/python -m tests.benchmarks.bulk_update
	$(BIN)/python -m tests.benchmarks.export
	@test ! -e $(SERVERS) || $(BIN)/python -m tests.benchmarks.viewer

fmt: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lock: $(BIN)/uv  ## Lock the packages of pyproject.toml with their digests; ARGS=--upgrade takes newer versions
	$(UV_LOCK) --all-extras --output-file $(LOCKED)/development.txt pyproject.toml
	$(UV_LOCK) --extra dimse --constraints $(LOCKED)/development.txt --output-file $(LOCKED)/image.txt pyproject.toml
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(UV_LOCK) --output-file $(LOCKED)/build.txt -

sbom: $(INSTALLED)  ## List the packages of the image in build/bulkhead.cdx.json (CycloneDX)
	$(BIN)/python -m infra.sbom build/bulkhead.cdx.json

pin:  ## Write the digests of the newest base images into infra/Dockerfile, which needs Docker
	@for image in $$(sed -n 's/^ARG [A-Z]*_IMAGE=\([^@]*\).*/\1/p' infra/Dockerfile); do \
		digest=$$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$$image") || exit 1; \
		sed -i "s|^\(ARG [A-Z]*_IMAGE=$$image\).*|\1@$$digest|" infra/Dockerfile; \
		echo "$$image@$$digest"; \
	done

image:  ## Build the image bulkhead and start it once, which needs Docker
	docker build --file infra/Dockerfile --tag bulkhead .
	@container=$$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
		--env BULKHEAD_ALLOW_ANONYMOUS=true bulkhead) || exit 1; \
	tries=60; \
	while [ "$$(docker inspect --format '{{.State.Health.Status}}' "$$container")" != healthy ] && [ $$tries -gt 0 ]; do \
		tries=$$((tries - 1)); sleep 1; \
	done; \
	docker logs "$$container"; docker rm --force --volumes "$$container" >/dev/null; \
	[ $$tries -gt 0 ] || { echo 'The container did not become healthy.' >&2; exit 1; }

clean:  ## Remove everything that make created, but not ./data
	rm -rf $(VENV) $(VIEWER) .integration build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml $(LOCKED)/build.txt $(LOCKED)/development.txt
	@$(PYTHON) -c 'import sys; sys.exit("Bulkhead needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --requirement $(LOCKED)/build.txt --requirement $(LOCKED)/development.txt
	PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/uv:
	$(MAKE) install

$(SERVERS): $(INSTALLED)
	@missing=; need() { command -v "$$1" >/dev/null || { echo "make integration needs $$2" >&2; missing=yes; }; }; \
	need java 'a Java runtime, 17 or newer (Debian: openjdk-17-jre-headless)'; \
	need npm 'npm (Debian: npm)'; \
	need nginx 'nginx (Debian: nginx-light)'; \
	test -z "$$missing"
	npm install --silent --no-fund --no-audit --prefix .integration amplify-dynamodb-simulator axe-core@4.10.3 dicomweb-client@0.11 playwright-core@1.49.1
	$(BIN)/python -m infra.viewer $(VIEWER)
	@touch $@
