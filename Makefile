# One task, one word. `make` alone lists them. Each target sets up what it needs: a virtual environment made with PYTHON
# (`.venv`), where there is a free-threaded Python a second one (`.venv-ft`), the tools of that task, the compiled core.
# Nothing is asked of the machine but Python 3.11 or later, gcc and make; the rest comes from PyPI.

# The interpreters. PYTHON_FT is used where it exists; PYTHON_TSAN is only for `make tsan`.
PYTHON      ?= python3
PYTHON_FT   ?= $(or $(FT_PYTHON),python3.14t)
PYTHON_TSAN ?= $(TSAN_PYTHON)

# More arguments for pytest, `make test ARGS='-k snapshot -x'`, or for the benchmarks.
ARGS ?=
# How much longer than usual `make stress` runs its tests.
SCALE ?= 10
# The tree that `make demo` indexes and its threads; without them the standard library and a thread a processor.
DIR ?=
THREADS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help build run demo test bench bench-server locust locust-web lint format ft-test test-clients stress linearizability models soak fuzz debug asan ubsan tsan coverage dist clean

# Empty unless PYTHON_FT runs and is free-threaded.
FT := $(shell $(PYTHON_FT) -c 'import sysconfig; print("yes" * bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' 2>/dev/null)
VENVS := .venv $(if $(FT),.venv-ft)

help:  ## list the tasks
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo 'Interpreters: PYTHON=$(PYTHON), PYTHON_FT=$(PYTHON_FT) ($(if $(FT),found,not found)).'

# -- the set-up, each step behind a stamp in its environment ----------------------------------------------------------

# 25.1 is the first pip that knows dependency groups.
.venv/.stamp-pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "shardmap needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

.venv-ft/.stamp-pip:
	@test -n '$(FT)' || { echo 'no free-threaded Python as $(PYTHON_FT); set PYTHON_FT='; exit 1; }
	$(PYTHON_FT) -m venv --clear .venv-ft
	.venv-ft/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

# A dependency group of pyproject.toml.
.venv/.stamp-group-% .venv-ft/.stamp-group-%: VENV = $(@D)
.venv/.stamp-group-%: pyproject.toml .venv/.stamp-pip
	$(VENV)/bin/python -m pip install --quiet --group $*
	@touch $@
.venv-ft/.stamp-group-%: pyproject.toml .venv-ft/.stamp-pip
	$(VENV)/bin/python -m pip install --quiet --group $*
	@touch $@

# The package, editable: Python files count at once, an edit of the core or of the metadata installs it again.
SOURCES := pyproject.toml setup.py shardmap/__init__.py $(wildcard cysrc/*.pyx cysrc/*.pxd cysrc/*/*.pyx cysrc/*/*.pxd cysrc/include/*.h)
%/.stamp-built: %/.stamp-group-test $(SOURCES)
	PYTHONWARNINGS=ignore $*/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Keep stamps that only another stamp needs.
.SECONDARY:

# -- running --------------------------------------------------------------------------------------------------------

# $(call on_each,ARGUMENTS): run every interpreter there is with them; fails if one does.
on_each = status=0; \
	for venv in $(VENVS); do \
	    echo "== $$($$venv/bin/python -VV)"; \
	    $$venv/bin/python $(1) || status=1; \
	done; \
	$(if $(FT),,echo "== on $$(.venv/bin/python -V) only: no free-threaded Python as $(PYTHON_FT) (set PYTHON_FT=)";) \
	exit $$status

build: $(VENVS:=/.stamp-built)  ## set up and compile, for every interpreter there is

# The loops need no GIL: either interpreter will do. `exec`, so that Ctrl-C is the service's alone to answer.
run: .venv/.stamp-built  ## start the service: make run ARGS='--port 7379 --http-port 8379'
	@exec .venv/bin/python -m shardmap serve $(ARGS)

demo: $(VENVS:=/.stamp-built)  ## index a tree of source files with threads: make demo DIR=path THREADS=4
	@$(call on_each,-m shardmap.demo $(DIR) $(if $(THREADS),--threads $(THREADS)))

test: $(VENVS:=/.stamp-built)  ## the test suite, on Python and on free-threaded Python where there is one
	@$(call on_each,-m pytest $(ARGS))

test-clients: .venv/.stamp-built .venv/.stamp-group-clients  ## the service with redis-py, Django, redis-cli and others, as far as they are there
	.venv/bin/python -m pytest tests/service/test_clients_*.py $(ARGS)

ft-test: .venv-ft/.stamp-built  ## the test suite on free-threaded Python only
	.venv-ft/bin/python -m pytest $(ARGS)

stress: $(VENVS:=/.stamp-built)  ## the test suite with SCALE (10) times the iterations
	@export SHARDMAP_TEST_SCALE=$(SCALE); $(call on_each,-m pytest -o faulthandler_timeout=0 $(ARGS))

linearizability: $(VENVS:=/.stamp-built)  ## two million recorded operations, checked: make linearizability ARGS='--seed 1'
	@$(call on_each,tests/linearizability_run.py $(ARGS))

models: .venv/.stamp-pip  ## check the models of the protocol without locks, right and broken (needs spin)
	.venv/bin/python tests/models/run.py $(ARGS)

soak: $(VENVS:=/.stamp-built)  ## ten minutes of everything at once, with flat memory: make soak ARGS='--minutes 60'
	@$(call on_each,tests/soak.py $(ARGS))

# Where there is clang, guided by coverage and with sanitizers, on one interpreter: the core is the same.
CLANG ?= $(shell command -v clang)
fuzz: $(VENVS:=/.stamp-built)  ## mutated snapshots and requests: make fuzz ARGS='--seconds 600 --target server'
	@$(if $(CLANG),CLANG=$(CLANG) .venv/bin/python tests/fuzz/fuzz.py --guided $(ARGS),$(call on_each,tests/fuzz/fuzz.py $(ARGS)))

bench: $(VENVS:=/.stamp-built) $(VENVS:=/.stamp-group-bench)  ## measure against dict, dict + Lock and other maps
	@$(call on_each,-m perf $(ARGS))

bench-server: .venv/.stamp-built .venv/.stamp-group-bench  ## the service beside Redis and Valkey (needs redis-benchmark, redis-server)
	.venv/bin/python -m perf.server_bench $(ARGS)

REPORTS = perf/results/local/locust
LOCUST = .venv/bin/python -m locust -f perf/locustfile.py --users 40 --spawn-rate 40 --reports $(REPORTS)
locust: .venv/.stamp-built .venv/.stamp-group-load  ## users of many kinds at once, invariants checked: make locust ARGS='--run-time 5m'
	@mkdir -p $(REPORTS)
	$(LOCUST) --headless --run-time 20s --only-summary --csv $(REPORTS)/locust --html $(REPORTS)/locust.html \
	    --json-file $(REPORTS)/locust $(ARGS)

locust-web: .venv/.stamp-built .venv/.stamp-group-load  ## the same with its web page, http://127.0.0.1:8089
	@mkdir -p $(REPORTS)
	$(LOCUST) --web-host 127.0.0.1 $(ARGS)

# -- checks ---------------------------------------------------------------------------------------------------------

lint: .venv/.stamp-built .venv/.stamp-group-lint  ## ruff, cython-lint, mypy, stubtest, pyright
	.venv/bin/ruff check --output-format=concise .
	.venv/bin/ruff format --check .
	PATH=$(CURDIR)/.venv/bin:$$PATH cython-lint cysrc
	.venv/bin/mypy
	.venv/bin/python -m mypy.stubtest shardmap --mypy-config-file pyproject.toml \
	    --allowlist tests/typing/stubtest-allowlist.txt
	.venv/bin/pyright --pythonpath .venv/bin/python

format: .venv/.stamp-group-lint  ## rewrite Python files in the project's layout, with ruff's safe fixes
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix-only .

# Archives made in the open and installed where nothing else is: the sdist, then from it a wheel for each interpreter.
dist: $(VENVS:=/.stamp-pip) .venv/.stamp-group-dist  ## build sdist and wheels, install and try them in clean environments
	rm -rf dist build/dist
	.venv/bin/python -m build --sdist
	.venv/bin/python -m build --wheel --outdir build/dist/from-tree
	@set -e; for venv in $(VENVS); do \
	    echo "== wheel from the sdist, $$($$venv/bin/python -VV)"; \
	    $$venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist dist/shardmap-*.tar.gz; \
	    $$venv/bin/python -m venv build/dist/$$venv; \
	    build/dist/$$venv/bin/python -m pip install --quiet --no-index --find-links dist shardmap; \
	    build/dist/$$venv/bin/python -I -W error tests/archives/smoke.py; \
	done
	.venv/bin/python tests/archives/contents.py dist build/dist/from-tree

# -- build variants: a copy of the tree in build/VARIANT/tree, compiled in place and tested there ---------------------

TREE = build/$(1)/tree
# $(call variant,NAME,VENV): make the copy and compile it with SHARDMAP_BUILD=NAME for VENV's interpreter.
variant = rm -rf $(TREE) && mkdir -p $(TREE) && \
	tar -cf - --exclude='*.so' --exclude=__pycache__ pyproject.toml setup.py README.md LICENSE cysrc shardmap tests perf \
	    | tar -xf - -C $(TREE) && \
	(cd $(TREE) && SHARDMAP_BUILD=$(1) $(CURDIR)/$(2)/bin/python setup.py --quiet build_ext --inplace)
# Tests that measure or limit the memory of the process, which a sanitizer makes its own use of.
MEMORY_TESTS = --deselect tests/test_leaks.py --deselect tests/test_memory.py \
    --deselect tests/test_growth.py::test_running_out_of_memory_loses_nothing \
    --deselect tests/bytemap/test_bytemap_leaks.py::test_maps_that_come_and_go \
    --deselect tests/service/test_service_limits.py --deselect tests/service/test_service_clients.py
# $(call run_variant,NAME,ENVIRONMENT,SCALE,OPTIONS): test the variant on every interpreter there is.
run_variant = set -e; for venv in $(VENVS); do \
	    python=$(CURDIR)/$$venv/bin/python; \
	    echo "== $(1), $$($$python -VV)"; \
	    $(call variant,$(1),$$venv); \
	    (cd $(TREE) && env PYTHONPATH="$$PWD" SHARDMAP_TEST_SCALE=$(3) $(2) $$python -m pytest $(4) $(ARGS)); \
	done

debug: $(VENVS:=/.stamp-built)  ## the tests on a build with assertions
	@$(call run_variant,debug,PYTHONMALLOC=debug,0.5)

# Python's own allocator would hide a use of freed objects; free-threaded builds have no other.
PYTHONMALLOC_ASAN = $$($$python -c 'import sysconfig; print("debug" if sysconfig.get_config_var("Py_GIL_DISABLED") else "malloc")')

asan: $(VENVS:=/.stamp-built)  ## the tests under AddressSanitizer
	@$(call run_variant,asan,LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=$(PYTHONMALLOC_ASAN),0.1,$(MEMORY_TESTS))

ubsan: $(VENVS:=/.stamp-built)  ## the tests under UndefinedBehaviorSanitizer
	@$(call run_variant,ubsan,UBSAN_OPTIONS=print_stacktrace=1,0.1)

# The interpreter needs instrumentation too, and is slow: the ordinary one of the same version compiles.
# Who forks while it has several threads, and starts new ones in the child, ThreadSanitizer ends.
tsan: .venv-ft/.stamp-built  ## the tests of threads and of the service under ThreadSanitizer, with PYTHON_TSAN
	@test -x '$(PYTHON_TSAN)' || { echo 'set PYTHON_TSAN= to a free-threaded Python built with --with-thread-sanitizer'; exit 1; }
	@$(call variant,tsan,.venv-ft)
	cd build/tsan/tree && env PYTHONPATH="$$PWD":$$(ls -d $(CURDIR)/.venv-ft/lib/python*/site-packages) SHARDMAP_TEST_SCALE=0.05 \
	    TSAN_OPTIONS="halt_on_error=0 history_size=4 $(addprefix suppressions=,$(wildcard $(dir $(PYTHON_TSAN))../tsan-suppressions.txt))" \
	    $(PYTHON_TSAN) -m pytest -s $(or $(ARGS),-k '(thread or service) and not fork')

coverage: .venv/.stamp-built .venv/.stamp-group-coverage  ## which lines the tests run, the compiled core's among them
	@$(call variant,trace,.venv)
	@# The report looks for the C of each source file under that file's name.
	@cd build/trace/tree/cysrc && for file in *.pyx; do test $$file = _core.pyx || ln -s _core.c $${file%.pyx}.c; done
	@cd build/trace/tree && export PYTHONPATH="$$PWD" SHARDMAP_TEST_SCALE=0.05; status=0; \
	    $(CURDIR)/.venv/bin/python -m coverage run -m pytest $(ARGS) || status=1; \
	    $(CURDIR)/.venv/bin/python -m coverage report; exit $$status

clean:  ## remove everything that was built or installed here
	rm -rf .venv .venv-ft build dist *.egg-info shardmap/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
