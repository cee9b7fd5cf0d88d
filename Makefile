# `make demo` and `make test` do everything on a fresh machine: an environment of its own, exact
# versions, then the work. Several environments side by side: `make PYTHON=python3.13 VENV=.venv-3.13`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --constraint requirements.lock

.PHONY: demo test test-all check docs setup packages crf lock clean

demo: setup
	$(BIN)/segloss run losses --profile scenes-demo

test: check
	$(BIN)/pytest

test-all: check

check: setup $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# The compiler works while the packages are downloaded.
setup: $(VENV)/.build
	@$(MAKE) --no-print-directory --jobs=2 packages crf

packages: $(VENV)/.packages
	@:

$(VENV)/.build: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "segloss-bench needs Python 3.11 \
	or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock uv
	$(INSTALL) --group build
	@touch $@

$(VENV)/.packages: $(VENV)/.build
	$(INSTALL) --editable .
	@touch $@

# The tools of a dependency group, on top of what the demo needs.
$(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: $(VENV)/.build
	$(INSTALL) --group $*
	@touch $@

# The dense CRF exists as source only. pip builds it, because uv would keep the environment locked
# meanwhile; without debug symbols, which take a fifth of the time.
crf: $(VENV)/.build
ifneq ($(shell command -v $(CXX)),)
	@$(BIN)/python -c "import pydensecrf.densecrf" 2>$(VENV)/crf.log \
	|| CFLAGS="$(CFLAGS) -g0" $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps \
	  --constraint requirements.lock pydensecrf2 >$(VENV)/crf.log 2>&1 \
	|| echo "No dense CRF: its package could not be built; $(VENV)/crf.log says why."
else
	@echo "No dense CRF: its package is built here and needs a C++ compiler (apt install g++)."
endif

# Add what pyproject.toml asks for and keep every other version; for newer ones delete the file first.
lock: $(VENV)/.build
	$(UV) pip compile --quiet --universal --custom-compile-command "make lock" --extra crf --extra ray \
	  --group dev --group docs --group build pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV)
