# Each of these sets up what it needs and can be the first thing run after a clone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
DEMO_ARGS ?=
# What the window opens with: the sample heads, ready to try; or your own files, or a study.
NAPARI_ARGS ?= singlestrip://sample/heads
SMOKE_TESTS ?= tests/test_gui_fixtures.py tests/widgets/dock/test_main_widget.py
# Threads of the numerical libraries: the processors this process may use, at most 8.
OMP_NUM_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 8 ] && n=8; echo $$n)
export OMP_NUM_THREADS

METADATA := setup.cfg pyproject.toml constraints.txt
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# Qt's system libraries, and a screen for machines that have none.
SCREEN = tools/system_packages.sh window

# What is timed, where its tables go, and what the scripts are told (--data DIR --study DIR ...).
# Those compared with other tools run in an environment that has them; it has no window.
BENCHMARKS := startup training painting
COMPARED := synthesis inference ranking
BENCHMARK_OUT ?= benchmark_results/speed
BENCHMARK_ARGS ?=
EFFORTS ?= quick
PEERS := $(VENV)-benchmark

# The other Qt binding, in a folder of its own; all else is that of $(VENV).
PYSIDE := $(abspath $(VENV)-pyside6)
WITH_PYSIDE := PYTHONPATH=$(PYSIDE) QT_API=pyside6 PYTEST_QT_API=pyside6

# The oldest napari that setup.cfg allows, with what it needs; all else is that of $(VENV).
# What it and its libraries warn of is not ours.
OLDEST := $(abspath $(VENV)-oldest-napari)
OLDEST_NAPARI := $(shell sed -n 's/^ *napari\[all\] *>= *//p' setup.cfg)

.PHONY: help setup napari demo test test-pyside6 test-oldest-napari soak screens cluster lint docs site pictures benchmark clean
.DEFAULT_GOAL := help

help:
	@echo "make setup      virtual environment with the window, the command line and the tests"
	@echo "make napari     open the window"
	@echo "make demo       from one painted sample head to ranked masks and a report"
	@echo "make test       all tests (PYTEST_ARGS=... to choose)"
	@echo "make test-pyside6  the window with PySide6 in place of PyQt6"
	@echo "make test-oldest-napari  the window with the oldest napari that it works with"
	@echo "make soak       long guard tests (many minutes)"
	@echo "make screens    nothing of the window is cut, on many screens (many minutes)"
	@echo "make cluster    the work on a scheduler, on a real SLURM of one node (needs root)"
	@echo "make lint       ruff, mypy, import contracts, manifest"
	@echo "make docs       write the pages of docs/ that are made from code"
	@echo "make site       the documentation as a site, in site/"
	@echo "make pictures   pictures of the window for docs/"
	@echo "make benchmark  time what has to be fast, and write docs/performance.md"
	@echo "make clean      remove builds and the virtual environment"

setup: $(VENV)/.installed
	@$(SCREEN)

$(VENV)/.installed: $(METADATA) tools/make_venv.sh tools/system_packages.sh
	@tools/make_venv.sh $(VENV) $(PYTHON)
	@echo "Installing the package and its tests into $(VENV) (some minutes the first time)"
	@$(INSTALL) -e ".[test]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the developer's tools into $(VENV)"
	@$(INSTALL) -e ".[dev]"
	@touch $@

napari: $(VENV)/.installed
	@$(SCREEN)
	@env -u OMP_NUM_THREADS $(BIN)/napari --plugin napari-singlestrip $(NAPARI_ARGS)

demo: $(VENV)/.installed
	@$(BIN)/singlestrip demo $(DEMO_ARGS)

# One process for each processor, each with one thread: two that share threads are slower than one.
# One that crashes ends the run: a new one in its place may wait for ever at the end.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0

test: $(VENV)/.installed
	@$(SCREEN)
	@tools/system_packages.sh keys || true
	@$(PYTEST) $(PYTEST_ARGS)

soak: $(VENV)/.installed
	@$(SCREEN)
	@$(PYTEST) -m soak $(PYTEST_ARGS)

screens: $(VENV)/.installed
	@$(SCREEN)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m screens $(PYTEST_ARGS)

cluster: $(VENV)/.installed
	@tools/system_packages.sh cluster || true
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster $(PYTEST_ARGS)

test-pyside6: $(VENV)/.installed $(PYSIDE)/.installed
	@$(SCREEN)
	@$(WITH_PYSIDE) $(BIN)/python -c "import qtpy; assert qtpy.API_NAME == 'PySide6', qtpy.API_NAME"
	@$(WITH_PYSIDE) $(BIN)/python -m pytest $(SMOKE_TESTS)

$(PYSIDE)/.installed: $(METADATA) | $(VENV)/.installed
	@echo "Installing PySide6 into $(PYSIDE)"
	@rm -rf $(PYSIDE)
	@$(INSTALL) --target $(PYSIDE) PySide6-Essentials
	@touch $@

test-oldest-napari: $(VENV)/.installed $(OLDEST)/.installed
	@$(SCREEN)
	@PYTHONPATH=$(OLDEST) $(BIN)/python -c \
		"import napari as n; assert n.__version__.startswith('$(OLDEST_NAPARI)'), n.__version__"
	@PYTHONPATH=$(OLDEST) $(BIN)/python -m pytest -W default $(SMOKE_TESTS)

$(OLDEST)/.installed: $(METADATA) | $(VENV)/.installed
	@echo "Installing napari $(OLDEST_NAPARI) into $(OLDEST)"
	@rm -rf $(OLDEST)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --target $(OLDEST) \
		"napari==$(OLDEST_NAPARI)"
	@touch $@

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/npe2 validate napari_singlestrip/napari.yaml

docs: $(VENV)/.installed
	@$(BIN)/python docs/make_settings.py
	@$(BIN)/python docs/make_glossary.py

site: $(VENV)/.installed
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The documentation is in site/index.html"

pictures: $(VENV)/.installed
	@$(SCREEN)
	@$(BIN)/python docs/make_pictures.py
	@$(BIN)/python docs/make_demo.py

# One thread, but for the window, which sets its job's itself, and the method as a person runs it.
benchmark: $(VENV)/.installed $(PEERS)/.installed
	@$(SCREEN)
	@run() { bin="$$1/bin"; name="$$2"; shift 2; echo; echo "$$name"; \
		"$$bin/python" "benchmarks/speed/$$name.py" $(BENCHMARK_ARGS) \
		--json "$(BENCHMARK_OUT)/$$name.json" "$$@"; }; \
	export OMP_NUM_THREADS=1; \
	for script in $(COMPARED); do run "$(PEERS)" "$$script" || exit 1; done; \
	for script in $(BENCHMARKS); do run "$(VENV)" "$$script" || exit 1; done; \
	unset OMP_NUM_THREADS; \
	for script in window answers; do run "$(VENV)" "$$script" || exit 1; done; \
	run "$(VENV)" method --out "$(BENCHMARK_OUT)/method" --efforts $(EFFORTS)
	@$(BIN)/python benchmarks/speed/write_page.py $(BENCHMARK_OUT)

# brainextractor wants an older PyOpenGL than napari, which is not there.
$(PEERS)/.installed: $(METADATA) tools/make_venv.sh
	@tools/make_venv.sh $(PEERS) $(PYTHON)
	@echo "Installing what the benchmarks compare with into $(PEERS) (some minutes the first time)"
	@grep -vi '^pyopengl==' constraints.txt > $(PEERS)/constraints.txt
	@$(PEERS)/bin/python -m pip install -qq --disable-pip-version-check \
		-c $(PEERS)/constraints.txt -e ".[benchmark]"
	@touch $@

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache $(VENV) $(PYSIDE) $(OLDEST) $(PEERS)
