# make demo: train, evaluate and look at a first policy; make test; make lint; make docs; make package; make format.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Test files run side by side; each test process computes with one thread. Many tests wait for a
# program that they have started, so two cores are busy with three processes.
TEST_PROCESSES ?= 3
PYTEST := -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

OLD_MUJOCO := .venv-mujoco-3.3
META_WORLD := .venv-metaworld
GPU := .venv-gpu

.PHONY: demo install reproduce test test-mujoco-3.3 test-metaworld test-gpu docs lint package format clean

install: $(INSTALLED)

# The constraints file holds the versions that were tested together.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)
	rm -rf runs/demo
	$(BIN)/metarl train navigation-2d --iterations 40 --run-dir runs/demo
	$(BIN)/metarl evaluate runs/demo
	$(BIN)/metarl render runs/demo --tasks 2
	$(BIN)/metarl report runs/demo

# The paper's experiments, as far as time allows: days on two cores; goes on where it was stopped.
reproduce: $(INSTALLED)
	$(BIN)/python scripts/reproduce_paper.py

test: $(INSTALLED)
	$(BIN)/python $(PYTEST)

# The oldest MuJoCo supported has no native batch: everything runs through single environments.
test-mujoco-3.3:
	$(PYTHON) -m venv $(OLD_MUJOCO)
	grep -v '^mujoco' constraints.txt > $(OLD_MUJOCO)/constraints.txt
	$(OLD_MUJOCO)/bin/python -m pip install --quiet --constraint $(OLD_MUJOCO)/constraints.txt \
		--editable ".[dev]" mujoco==3.3.0
	$(OLD_MUJOCO)/bin/python $(PYTEST)

# Meta-World pins a MuJoCo of its own, so its tests need an environment of their own.
test-metaworld:
	$(PYTHON) -m venv $(META_WORLD)
	grep -v '^mujoco' constraints.txt > $(META_WORLD)/constraints.txt
	$(META_WORLD)/bin/python -m pip install --quiet --constraint $(META_WORLD)/constraints.txt \
		--editable ".[dev,metaworld]"
	$(META_WORLD)/bin/python -m pytest tests/test_meta_world.py

# warp compiles its kernels when they are first needed: minutes, once.
test-gpu:
	$(PYTHON) -m venv $(GPU)
	$(GPU)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,gpu]"
	$(GPU)/bin/python -m pytest tests/test_warp_worlds.py tests/test_device_rollout.py tests/test_devices.py

# The site, in docs/_build/html/index.html; a warning is an error. Nothing is fetched from a network.
docs: $(INSTALLED)
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --quiet -c docs . docs/_build/html

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The wheel and the sdist in empty environments, with each supported Python that is here.
package: $(INSTALLED)
	.ci/package

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf docs/_build $(VENV) $(OLD_MUJOCO) $(META_WORLD) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
