# One command surface. Every target is safe to repeat and to interrupt.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(OBS_CACHE),$(HOME)/.cache/obs-platform)
REQUIREMENTS := requirements.txt requirements-dev.txt
VENV := $(CACHE)/venv-$(shell cat $(REQUIREMENTS) | sha256sum | cut -c1-10)
PYTHON := $(VENV)/bin/python
LAB := $(PYTHON) -m lab
STACK ?= local
BASE ?= main
SIGNAL ?= metrics

.PHONY: help setup tools up up-dr test e2e drills verify bench policies preview review destroy destroy-dr down status \
	generate lint

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/complete: $(REQUIREMENTS)
	@echo "python environment in $(VENV) ..."
	rm -rf "$(VENV).part"
	mkdir -p "$(CACHE)"
	if [ ! -e "$(VENV)/complete" ]; then
		rm -rf "$(VENV)"
		python3.11 -m venv "$(VENV)"
		"$(VENV)/bin/pip" install --quiet --disable-pip-version-check -r requirements-dev.txt
		touch "$(VENV)/complete"
	fi

setup: $(VENV)/complete ## Python environment

tools: setup ## Debian packages and every tool, built once per version
	@$(LAB) tools

up: setup ## Cluster, platform, live telemetry: everything, from nothing
	@$(LAB) up

up-dr: setup ## A second region beside the first, which `make up` made: its own Kafka, fed by a mirror
	@$(LAB) up --stack local-dr

test: setup tools ## Everything that needs no cluster
	@$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m tests.run tests -m "not e2e and not drill" -n 3 --dist loadfile --no-loadscope-reorder

e2e: setup ## Drills on the running cluster, with evidence in evidence/
	@$(LAB) exec -- $(PYTHON) -m tests.run tests/e2e -m "e2e and not drill" -s
	$(PYTHON) -m ops drill report

drills: setup ## What needs the whole machine or long: on the running cluster, and beside it; the second region at last
	@$(PYTHON) -m pytest tests/config -m drill
	$(LAB) exec -- $(PYTHON) -m pytest tests/e2e -m drill --ignore tests/e2e/test_region.py -s
	$(LAB) up --stack local-dr
	$(LAB) exec -- $(PYTHON) -m pytest tests/e2e/test_region.py -s
	$(PYTHON) -m ops drill report

verify: setup ## A row per requirement, seen on the live platform
	@$(LAB) exec -- $(PYTHON) -m ops verify

bench: setup ## Throughput of the path of SIGNAL (metrics, traces) on the running cluster
	@$(LAB) exec -- $(PYTHON) -m ops bench --signal $(SIGNAL)

policies: setup ## docs/policies.md and the mutation report, from the rules
	@$(PYTHON) -m policy.document
	$(PYTHON) -m tests.policy.mutation_run

preview: setup ## pulumi preview of STACK (local, local-dr, prod, dr)
	@$(LAB) preview --stack $(STACK)

review: setup ## What the change since BASE (main) does to every stack: meaning, cost, policies, owners
	@$(PYTHON) -m ops review "$(BASE)"

destroy: setup ## pulumi destroy of the local stack; the cluster stays
	@$(LAB) destroy

destroy-dr: setup ## pulumi destroy of the second region; the first stays
	@$(LAB) destroy --stack local-dr

status: setup ## Parts of the embedded cluster
	@$(LAB) status

down: setup ## End the cluster and remove what it wrote
	@$(LAB) down

generate: setup ## Pages and dashboards that are made from the catalogue and the file of thresholds
	@$(PYTHON) -m components.telemetry > docs/telemetry.md.part
	mv docs/telemetry.md.part docs/telemetry.md
	$(PYTHON) -m components.telemetry thresholds > docs/thresholds.md.part
	mv docs/thresholds.md.part docs/thresholds.md
	$(PYTHON) -m components.dashboards
	$(PYTHON) -m lab.simulator.capture > ops/bench_capture.json.part
	mv ops/bench_capture.json.part ops/bench_capture.json
	$(PYTHON) -m ops drill report

lint: setup ## Format and fix what can be fixed
	@$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
