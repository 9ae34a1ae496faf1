# One command surface. Every target is safe to repeat and to interrupt.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where it is set, each of the hundred Python programs of a run would compile all of the checkout again.
unexport PYTHONDONTWRITEBYTECODE

CACHE := $(or $(OBS_CACHE),$(HOME)/.cache/obs-platform)
PINS := python3.11 -c "import tomllib; \
	extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
	print(open('requirements.txt').read(), *(line for lines in extras.values() for line in lines if '==' in line), sep='\n')"
VENV := $(CACHE)/venv-$(shell $(PINS) | sha256sum | cut -c1-10)
PYTHON := $(VENV)/bin/python
LAB := $(PYTHON) -m lab
STACK ?= local
BASE ?= main
SIGNAL ?= metrics

.PHONY: help setup venv tools up up-dr check test e2e drills drills-anew verify bench policies preview review destroy destroy-dr down status \
	docs seconds lint

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/complete:
	@exec >&2 # standard output is for what the target prints
	echo "python environment in $(VENV) ..."
	mkdir -p "$(CACHE)"
	# What a killed make leaves running holds this, too: the next one waits for it.
	exec 9< "$(CACHE)"
	python3.11 -c "import fcntl; fcntl.flock(9, fcntl.LOCK_EX)"
	if [ ! -e "$(VENV)/complete" ]; then
		rm -rf "$(VENV)"
		python3.11 -m venv "$(VENV)"
		"$(VENV)/bin/pip" install --quiet --disable-pip-version-check -r <($(PINS))
		touch "$(VENV)/complete"
	fi

setup: $(VENV)/complete ## Python environment

venv: setup ## Folder of the Python environment, for: . "$(make -s venv)/bin/activate"
	@echo "$(VENV)"

tools: setup ## Debian packages and every tool, built once per version
	@$(LAB) tools

up: setup ## Cluster, platform, live telemetry: everything, from nothing
	@$(LAB) up

up-dr: setup ## A second cluster with a second region: its own Kafka, fed by a mirror from the first, which `make up` made
	@$(LAB) up --stack local-dr

check: setup ## Under a minute: format, types, the unit tests of what changed since CHECK_BASE (default: main)
	@$(PYTHON) -m tests.run check $(if $(CHECK_BASE),--base "$(CHECK_BASE)")

test: setup tools ## Everything that needs no cluster: format and types beside the tests
	@$(PYTHON) -m tests.run test

e2e: setup ## The core of the end-to-end tests on the running cluster, 12 minutes; evidence in evidence/
	@$(LAB) exec -- $(PYTHON) -m tests.run e2e
	$(PYTHON) -m ops docs

drills: setup ## All other end-to-end tests, one after the other, over an hour; the second region at last
	@$(PYTHON) -m tests.run drills tests/config
	$(LAB) exec -- $(PYTHON) -m tests.run drills --ignore=tests/e2e/test_region.py \
		--ignore=tests/e2e/test_kafka_upgrade.py --ignore=tests/e2e/test_kafka_controllers.py
	$(LAB) up --stack local-dr
	$(LAB) exec -- $(PYTHON) -m tests.run drills tests/e2e/test_region.py
	$(PYTHON) -m ops docs

drills-anew: setup ## Drills of a Kafka that began otherwise: makes the platform anew three times, an hour; the last one is as by `make up`
	@$(LAB) destroy
	$(LAB) up --kafka previous
	$(LAB) exec -- $(PYTHON) -m tests.run drills tests/e2e/test_kafka_upgrade.py
	$(LAB) destroy
	$(LAB) up --controllers
	$(LAB) exec -- $(PYTHON) -m tests.run drills tests/e2e/test_kafka_controllers.py
	$(LAB) destroy
	$(LAB) up
	$(PYTHON) -m ops docs

verify: setup ## A line per requirement on the live platform; ROW=K1: its details; JSON=1: for machines
	@$(LAB) exec -- $(PYTHON) -m ops verify $(ROW) $(if $(JSON),--json)

bench: setup ## Load test of SIGNAL (metrics, traces, logs), 6 minutes; PEER=1: beside stock collector settings
	@$(LAB) tools obs-loadgen $(if $(PEER),$(if $(filter logs,$(SIGNAL)),victoria-logs))
	if [ -n "$(PEER)" ]; then
		$(LAB) bench --signal $(SIGNAL) $(BENCH)
	else
		$(LAB) exec -- $(PYTHON) -m ops bench --signal $(SIGNAL) $(BENCH)
	fi

policies: setup ## What the policy pack refuses and accepts: every mutation, with evidence, and every choice of a stack file
	@$(PYTHON) -m tests.run drills tests/policy
	$(PYTHON) -m tests.policy.mutation_run

preview: setup ## pulumi preview of STACK (local, local-dr, prod, dr)
	@$(LAB) preview --stack $(STACK)

review: setup ## What the change since BASE (main) does to every stack: meaning, cost, policies, owners
	@$(PYTHON) -m ops review "$(BASE)"

destroy: setup ## pulumi destroy of the local stack; the cluster stays
	@$(LAB) destroy

destroy-dr: setup ## pulumi destroy of the second region and the end of its cluster; the first stays
	@$(LAB) destroy --stack local-dr

status: setup ## Parts of the embedded clusters
	@$(LAB) status

down: setup ## End the embedded clusters and remove what they wrote
	@$(LAB) down

docs: setup ## Every generated page: measurements, thresholds, telemetry, masking, access, secrets, dashboards, policies
	@page() { "$${@:2}" > "docs/$$1.part" && mv "docs/$$1.part" "docs/$$1"; }
	page telemetry.md $(PYTHON) -m components.telemetry
	page thresholds.md $(PYTHON) -m components.telemetry thresholds
	page masking.md $(PYTHON) -m components.masking
	page access.md $(PYTHON) -m tests.support.access
	page secrets.md $(PYTHON) -m tests.support.secret_tables
	$(PYTHON) -m components.dashboards
	$(PYTHON) -m lab.simulator.capture > ops/loadtest/bench_capture.json.part
	mv ops/loadtest/bench_capture.json.part ops/loadtest/bench_capture.json
	$(PYTHON) -m policy.document
	$(PYTHON) -m ops docs

seconds: setup ## tests/seconds.json and lab/seconds.json, by which work is ordered and announced, from this machine's last runs
	@$(PYTHON) -m tests.run record

lint: setup ## Format and fix what can be fixed
	@$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
