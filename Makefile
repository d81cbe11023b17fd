# make tutorial · make site · make test · make lab · make bench
# Everything runs in $(VENV), which is made on first use and reused after. An interrupted set-up goes on where it
# stopped when the command is given again. Conda users: make test VENV=$$CONDA_PREFIX (see environment.yml).

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.visage_lite_ready
# ssr_eval declares a package that does not build on Python 3, so these two come without what they declare; what
# they import is in pyproject's extra "eval".
NO_DEPS := audioldm_eval==0.0.3 ssr_eval==0.0.7

.PHONY: tutorial site test lab bench setup refresh

tutorial: $(READY)
	HF_HUB_OFFLINE=1 $(PY) notebooks/build.py tutorial

site: $(READY)
	HF_HUB_OFFLINE=1 $(PY) notebooks/build.py site

test: $(READY)
	HF_HUB_OFFLINE=1 $(PY) -m pytest --durations=8

lab: $(READY)
	$(PY) -m jupyterlab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

bench: $(READY)
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(PY) $$file || exit 1; done

refresh: $(READY)
	HF_HUB_OFFLINE=1 $(PY) notebooks/build.py refresh

setup: $(READY)

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "visage_lite needs Python 3.10 or newer, and there is no $(PYTHON) here."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "visage_lite needs Python 3.10 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments: install python3-venv (on Debian or Ubuntu: sudo apt install python3-venv), then run this again."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml Makefile | $(PY)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade
	@echo "Setting up $(VENV): some minutes the first time, most of it downloading."
	@$(PY) -m pip install "pip>=23.1" && $(PY) -m pip install -e ".[eval,cluster,download,site,test]" && $(PY) -m pip install --no-deps $(NO_DEPS) \
		|| { echo "The set-up did not finish. What was downloaded is kept: run the same command again to go on."; exit 1; }
	@touch $@
	@echo "Ready. Your own video: $(VENV)/bin/visage-lite generate video.mp4 --azimuth 0 -o out"
