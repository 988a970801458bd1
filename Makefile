# Everything a developer or a newcomer runs. Needs Python 3.11 or newer, make and a package registry.
PYTHON_IN_VENV := .venv/bin/python
INSTALLED := .venv/.installed
LOCK := $(PYTHON_IN_VENV) -m uv pip compile --quiet --generate-hashes --no-header --no-annotate --universal \
	--python-version 3.11 --no-emit-index-url --no-emit-find-links --exclude-newer "7 days"
BENCHES := intake week payouts indexer

# Tests and commands start dozens of processes: without compiled files each would compile the whole program anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv sandbox test lint types ci bench soak contract audit lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(INSTALLED) ## build .venv from the hashed locks (only when they have changed)

$(INSTALLED): requirements/dev.txt requirements/uv.txt
	@PYTHON="$(PYTHON)" sh requirements/install.sh
	@touch $@

sandbox: $(INSTALLED) ## play one week on this machine, offline, and stay up until Ctrl-C (ARGS="--once" to end)
	@$(PYTHON_IN_VENV) main.py sandbox $(ARGS)

test: $(INSTALLED) ## run the whole test suite on two cores (ARGS="-k name" to choose)
	@$(PYTHON_IN_VENV) -m pytest -q $(ARGS)

lint: $(INSTALLED) ## ruff, formatting, and who may import whom
	@$(PYTHON_IN_VENV) -m ruff check --quiet .
	@$(PYTHON_IN_VENV) -m ruff format --quiet --check .
	@.venv/bin/lint-imports --no-cache > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

types: $(INSTALLED) ## mypy, strict
	@$(PYTHON_IN_VENV) -m mypy .

ci: ## what CI runs: lint, types, test
	@bash .ci/run

bench: $(INSTALLED) ## the figures of bench/, as ratios within one run
	@set -e; for name in $(BENCHES); do $(PYTHON_IN_VENV) -m bench.$$name; done

soak: $(INSTALLED) ## the long tests, then all parts of the proof (MINUTES=n to bound them, Ctrl-C to end early); writes docs/PROOF.md
	@$(PYTHON_IN_VENV) -m pytest -q -m soak $(ARGS)
	@$(PYTHON_IN_VENV) -m tests.proof $(if $(MINUTES),--minutes $(MINUTES))

contract: $(INSTALLED) ## check our assumptions with real test keys of Stripe, Circle and devnet (opt-in, needs keys)
	@$(PYTHON_IN_VENV) main.py contract $(ARGS)

audit: $(INSTALLED) ## the bill of materials (build/sbom.cdx.json), then known vulnerabilities of what runs (needs the internet)
	@mkdir -p build && $(PYTHON_IN_VENV) requirements/sbom.py > build/sbom.cdx.json
	@$(PYTHON_IN_VENV) -m uv venv --quiet --clear build/audit
	@$(PYTHON_IN_VENV) -m uv pip sync --quiet --python build/audit --require-hashes requirements/audit.txt
	@build/audit/bin/pip-audit --require-hashes --disable-pip --strict -r requirements/runtime.txt $(ARGS)

lock: $(INSTALLED) ## solve requirements/*.in anew into the hashed locks
	@cd requirements && for name in uv runtime dev audit; do ../$(LOCK) $$name.in -o $$name.txt; done
