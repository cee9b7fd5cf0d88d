# `make demo` and `make test` do everything on a fresh machine: they make an environment of its own with
# exact versions, then do the work. A second environment: `make PYTHON=python3.13 VENV=.venv-3.13`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --constraint requirements.lock

.PHONY: demo test test-all test-python check docs setup packages crf lock clean

demo: setup
	$(BIN)/segloss run losses --profile scenes-demo \
	  $$($(BIN)/python -c "import pydensecrf.densecrf" 2>/dev/null || echo --without-crf)

# One thread for each process of the tests: as many processes as cores keep all of them busy.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=logical --maxprocesses=8

test: check
	$(PYTEST) --dist=worksteal

# The tests of values, which `make test-all` runs with fewer of the CPU's instructions too.
NUMBERS = $(PYTEST) --dist=worksteal --quiet tests/golden tests/properties tests/reference \
  tests/unit/losses tests/unit/training/test_trainer.py

# What `make test` leaves out: storms of kills, fuzz, Ray, the browser, compilers, benchmarks.
test-all: setup $(VENV)/.dev
	$(PYTEST) --dist=loadfile -m long
	ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 $(NUMBERS)
	ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41 $(NUMBERS)

# What another Python can break: `make test-python PYTHON=python3.13 VENV=.venv-3.13`. Without the CRF.
test-python: $(VENV)/.packages $(VENV)/.dev
	$(PYTEST) --dist=worksteal tests/golden tests/unit/bench tests/unit/losses tests/unit/data \
	  tests/unit/studies tests/integration/test_shortened.py

check: setup $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The dense CRF is compiled while the packages are downloaded.
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

# Install a dependency group of pyproject.toml, beside what is there.
$(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: $(VENV)/.build
	$(INSTALL) --group $*
	@touch $@

# The dense CRF exists as source only. pip builds it, because uv locks the environment while it builds.
# Without debug symbols (-g0) the compiler needs a fifth less time.
crf: $(VENV)/.build
ifneq ($(shell command -v $(CXX)),)
	@$(BIN)/python -c "import pydensecrf.densecrf" 2>$(VENV)/crf.log \
	|| CFLAGS="$(CFLAGS) -g0" $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps \
	  --constraint requirements.lock pydensecrf2 >$(VENV)/crf.log 2>&1 \
	|| echo "No dense CRF: pydensecrf2 could not be built; see $(VENV)/crf.log."
else
	@echo "No dense CRF: building pydensecrf2 needs a C++ compiler (apt install g++)."
endif

# Write the lock file anew from pyproject.toml. Versions stay; delete the file first to get newer ones.
lock: $(VENV)/.build
	$(UV) pip compile --quiet --universal --custom-compile-command "make lock" --extra crf --extra ray \
	  --group dev --group docs --group build pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV)
