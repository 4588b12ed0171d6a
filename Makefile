# The version of torch. A machine without an NVIDIA driver gets its CPU build, one with a driver the
# default build. Another one: make setup TORCH=2.14.0
TORCH ?= 2.13.0
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: setup sweep test check format cluster services services-stop clean

setup: $(VENV)/.torch-$(TORCH) $(VENV)/.packages

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "wav2pix needs Python 3.11 or newer: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "this Python cannot make environments: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }

# uv knows where the CPU builds of torch are kept when pip's own index has only CUDA builds.
$(VENV)/.torch-$(TORCH): | $(BIN)/python
	@echo "Installing torch $(TORCH) ..."
	@if [ -e /proc/driver/nvidia/version ]; then \
	  $(PIP) 'torch==$(TORCH)'; \
	else \
	  $(PIP) --no-warn-conflicts 'torch==$(TORCH)+cpu' 2>/dev/null \
	  || { $(PIP) uv && $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu 'torch==$(TORCH)'; }; \
	fi
	@rm -f $(VENV)/.torch-*
	@touch $@

$(VENV)/.packages: pyproject.toml constraints.txt $(VENV)/.torch-$(TORCH)
	@echo "Installing the packages of constraints.txt ..."
	@$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# A data set of synthetic speakers, a real sweep over it, and what came out.
sweep: setup
	@$(BIN)/wav2pix data synth --out data/quick --identities 4 --recordings 6 --seconds 16 --seed 0 --exist-ok
	@$(BIN)/wav2pix sweep run sweeps/quick.yaml

# Two files at once: those that wait for a cluster leave room for those that compute. Where a process of the tests
# dies, they end: pytest-xdist would wait for ever for what was left to it.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# A SLURM cluster of three hosts on this machine, as root on Debian or Ubuntu. Stops with Ctrl-C.
cluster: setup
	@$(BIN)/python -m tests.cluster

# PostgreSQL, an S3 server and MLflow on this machine. Options: make services SERVICES="--mlflow-port 5001"
services: setup
	@$(BIN)/python -m deploy start $(SERVICES)

services-stop:
	@$(BIN)/python -m deploy stop $(SERVICES)

clean:
	rm -rf $(VENV) data runs
