# `make` alone lists the targets. They need Python 3.11 or later, make and, for the fast core, a C compiler.
# Choose another Python with PYTHON=... (it gets a virtual environment of its own, in VENV), and hand arguments to what is
# run with ARGS='...'.

PYTHON ?= python3
VENV   ?= $(if $(filter python3,$(PYTHON)),.venv,build/venv-$(subst /,-,$(PYTHON)))
ARGS   ?=
N      ?= 100

BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
C_CORE := $(wildcard csrc/*.c csrc/*.h csrc/bell/*.c csrc/bell/*.h)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test stress repeat bench bench-small lint types docs asan tsan werror wheels clean

help: ## list the targets
	@echo "usage: make TARGET [PYTHON=python3.13] [ARGS='...']"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

# ---- what people run ----

demo: $(VENV)/.stamp-cli $(VENV)/.stamp-sqlite $(VENV)/.stamp-core ## the textbook run: one producer, three consumers, ten items; it ends by itself
	$(BIN)/headrace demo $(ARGS)

test: $(VENV)/.stamp-test $(VENV)/.stamp-core ## the test suite, for the C core and for its pure-Python twin
	$(BIN)/python -m pytest $(ARGS)

stress: $(VENV)/.stamp-test $(VENV)/.stamp-core ## the tests that take long
	$(BIN)/python -m pytest -m stress --timeout=1800 -o faulthandler_timeout=3600 $(ARGS)

repeat: $(VENV)/.stamp-test $(VENV)/.stamp-core ## the test suite N=100 times, until it fails
	@for i in $$(seq $(N)); do echo "run $$i of $(N)"; $(BIN)/python -m pytest -q -x $(ARGS) || exit 1; done

bench: $(VENV)/.stamp-bench $(VENV)/.stamp-core ## compare with the standard library and peers; writes docs/benchmarks.md and .svg
	$(BIN)/python -m benchmarks $(ARGS)

bench-small: $(VENV)/.stamp-bench $(VENV)/.stamp-core ## the same with small sizes, to see that it runs; its figures mean nothing
	$(BIN)/python -m benchmarks --small $(ARGS)

# ---- what keeps the code good ----

lint: $(VENV)/.stamp-dev $(VENV)/.stamp-core ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory types

types: $(VENV)/.stamp-dev $(VENV)/.stamp-core ## mypy, pyright, and whether the C modules have what their stubs say
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	@if ls src/headrace/backends/memory/_core*.so >/dev/null 2>&1; then \
	  $(BIN)/python -m mypy.stubtest headrace.backends.memory._core headrace.backends.sqlite._bell; fi

docs: $(VENV)/.stamp-docs $(VENV)/.stamp-core ## the reference of every public name as HTML, in build/docs
	$(BIN)/pdoc --docformat google --output-directory build/docs headrace
	@echo "open build/docs/index.html"

# AddressSanitizer's runtime must be in the process before anything else is, and Python is not built with it: hence LD_PRELOAD.
# The interpreter's own leaks are not ours to find; PYTHONMALLOC=malloc shows each object to the sanitizer. Reports go to
# files, so that one from a child that no test looked at is not missed; gcc's UndefinedBehaviorSanitizer writes to standard
# error whatever it is told, hence --capture=sys, which leaves that alone.
# HEADRACE_SANITIZER tells tests to use smaller sizes.
ASAN_VENV = build/asan/$(notdir $(VENV))
ASAN_REPORT = $(CURDIR)/build/asan/report
ASAN_ENV = LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" PYTHONMALLOC=malloc HEADRACE_SANITIZER=address,undefined \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1:log_path=$(ASAN_REPORT) \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

asan: ## the test suite on a C core built with AddressSanitizer and UndefinedBehaviorSanitizer, in build/asan
	@$(MAKE) -s --no-print-directory VENV=$(ASAN_VENV) $(ASAN_VENV)/.stamp-venv
	@rm -rf build/sanitize-address-undefined $(ASAN_REPORT).*
	CC="$(CC)" HEADRACE_REQUIRE_C=1 HEADRACE_SANITIZE=address,undefined \
	  $(ASAN_VENV)/bin/python -m pip --disable-pip-version-check install -q --no-build-isolation '.[test]'
	$(ASAN_ENV) $(ASAN_VENV)/bin/python -m pytest -p no:cacheprovider --capture=sys --timeout=900 \
	  -o faulthandler_timeout=1800 $(ARGS) \
	  || { cat $(ASAN_REPORT).* 2>/dev/null; exit 1; }
	@if ls $(ASAN_REPORT).* >/dev/null 2>&1; then echo "make asan: the tests passed, and yet:"; cat $(ASAN_REPORT).*; exit 1; fi

# Some kernels give programs more random addresses than older sanitizers can bear: setarch -R turns that off where it may.
tsan: ## the waiting code of the C core under ThreadSanitizer
	@mkdir -p build/tsan
	@set -e; calm="setarch $$(uname -m) -R"; $$calm true 2>/dev/null || calm=; \
	set -- csrc/tests/*tsan*.c; test -e "$$1" || { echo "make tsan: there is no csrc/tests/*tsan*.c to run" >&2; exit 1; }; \
	for source; do \
	  program="build/tsan/$$(basename "$$source" .c)"; \
	  echo "$(CC) -fsanitize=thread $$source"; \
	  $(CC) -std=gnu11 -Wall -Wextra -Werror -fsanitize=thread -g -O1 -fno-omit-frame-pointer -pthread -Icsrc "$$source" -o "$$program"; \
	  echo "$$program"; \
	  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 $$calm "$$program"; \
	done

werror: $(VENV)/.stamp-venv ## build the C core anew, with warnings as errors, into build/werror
	HEADRACE_WERROR=1 HEADRACE_REQUIRE_C=1 $(BIN)/python setup.py -q build_ext --force --build-lib build/werror/lib

wheels: $(VENV)/.stamp-venv ## the source archive and this Python's wheel, in dist (CI builds those of all platforms)
	$(PIP) install -q build twine
	rm -rf dist build/lib.* build/bdist.*
	HEADRACE_REQUIRE_C=1 $(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

clean: ## remove all that was made, the virtual environment too
	rm -rf .venv $(VENV) build dist wheelhouse src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	rm -f src/headrace/backends/*/_*.so src/headrace/backends/*/_*.pyd

# ---- the virtual environment ----
# A stamp file says when a step was last done, so that a second run does nothing. .stamp-EXTRA: the package is installed
# with pyproject.toml's extra of that name. .stamp-core: the C core is built from what is in csrc now.

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo "no program that runs"): headrace needs Python 3.11 or later. Name one: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "      On Debian and Ubuntu: apt-get install python3-venv (and python3-dev, gcc for the fast core)." >&2; exit 1; }
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -q 'setuptools>=77'
	@touch $@

INCLUDED_IN_test  := cli sqlite
INCLUDED_IN_bench := cli sqlite
INCLUDED_IN_dev   := cli sqlite test bench

$(VENV)/.stamp-%: $(VENV)/.stamp-venv pyproject.toml setup.py
	@echo "installing headrace[$*] into $(VENV)"
	@$(REQUIRE_C) $(PIP) install -q --no-build-isolation -e '.[$*]'
	@touch $@ $(VENV)/.stamp-core $(addprefix $(VENV)/.stamp-,$(INCLUDED_IN_$*))
	@$(WHICH_CORE)

$(VENV)/.stamp-core: $(C_CORE) setup.py
	@echo "building the C core"
	@$(REQUIRE_C) $(BIN)/python setup.py -q build_ext --inplace
	@touch $@
	@$(WHICH_CORE)

# Where the C core was built before, a failure now is a mistake in the C code, and must not pass for a missing compiler.
CORE_FILE = "src/headrace/backends/memory/_core$$($(BIN)/python -c 'import sysconfig as s; print(s.get_config_var("EXT_SUFFIX"))')"
REQUIRE_C = test ! -e $(CORE_FILE) || export HEADRACE_REQUIRE_C=1;

IMPLEMENTATION = env -u HEADRACE_IMPL $(BIN)/python -c 'import headrace; print(headrace.implementation)'
WHICH_CORE = core=$$($(IMPLEMENTATION)) || exit 1; test "$$core" = c || test -e $(VENV)/.stamp-said || { \
	echo "make: the C core was not built, so headrace runs on its pure-Python twin: all works, many times slower."; \
	echo "      It needs a C compiler and Python's headers (Debian and Ubuntu: apt-get install gcc python3-dev)."; \
	echo "      To see why it failed: make clean, then HEADRACE_REQUIRE_C=1 make test"; \
	touch $(VENV)/.stamp-said; }
