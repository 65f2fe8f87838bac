# make demo: install everything into .venv, run the whole job on generated scenes, verify its package.
# make test: install and run the tests. make lint: ruff and mypy.
# make fuzz: 5,000 mutations of a file per parser. make faults: 50 kills of a run, and what else may happen to it.
# make fuzz-guided: each parser for SECONDS=60, guided by coverage; a crash-* in runs/fuzz goes to tests/fuzz/corpus.
# make lock: requirements.lock anew, the pinned versions with their hashes.
# make audit: known vulnerabilities of the locked versions. make lowest: the fast tests with the lowest versions.
# make pythons: install from wheels and run the core of the tests under each of Python 3.11 to 3.14 that is here.
# make numerical: twenty times the random cases of the tests of numbers, 1,200 int8 networks among them.
# make mutants SUBJECTS="metrics gating": what tests do not notice, of the subjects in tests/mutation/table.py;
#   of all without SUBJECTS, some two hours.
# make reports REASON=why: run demo and every recipe, renew reports/ (needs ../shared and an idle machine).
# make bench: measure benchmarks/README.md anew in a venv of its own with NNCF (needs ../shared);
#   make bench-timed: the part that needs an idle machine; make bench-page: the page alone.
# make docs: the documentation as a site, into site/; make coverage: lines that the fast tests run.
# make web: onnxruntime-web as a wheel in dist/, built from the pinned npm package, and installed for segport serve.
# make demo-network: train the demo's checkpoint again (about an hour on 2 cores).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := .venv-bench
BENCH_PYTHON := $(BENCH)/bin/python
BENCHED := runs/bench
MADE := runs/reports
SECONDS := 60
TESTS := tests
FUZZED := runs/fuzz
UV := $(BIN)/uv
# two workers on two CPUs: threads of their own would take turns, and spin while they wait
ONE_EACH := OMP_NUM_THREADS=1
# a file's tests share what is slow to make, so a file is one worker's; one that dies ends the run, which else hangs
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
LOWEST := .venv-lowest
# docs/licences.md lists those of the locked versions
OF_THE_LOCK := tests/test_supply_chain.py::test_every_licence_is_allowed_and_listed

.PHONY: demo web test test-fast fuzz fuzz-guided faults lock audit lowest pythons numerical mutants lint docs coverage reports bench bench-timed bench-untimed bench-page demo-network clean

demo: $(STAMP)
	@$(BIN)/segport run demo -o runs/demo
	@$(BIN)/segport verify runs/demo/package

web: $(STAMP)
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .ci/segport-web
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-index --force-reinstall dist/segport_web-*.whl

test: $(STAMP)
	$(ONE_EACH) $(BIN)/pytest $(PARALLEL)

test-fast: $(STAMP)
	$(ONE_EACH) $(BIN)/pytest $(PARALLEL) -m "not slow and not lengthy"

fuzz: $(STAMP)
	SEGPORT_FUZZ=5000 $(BIN)/pytest tests/fuzz

fuzz-guided: $(STAMP)
	for parser in $$($(BIN)/python -c 'from tests.fuzz.parsers import PARSERS; print(*PARSERS)'); do \
		$(BIN)/python -m tests.fuzz.guided $$parser $(FUZZED)/$$parser -max_total_time=$(SECONDS) || exit; \
	done

faults: $(STAMP)
	SEGPORT_FAULTS=50 $(BIN)/pytest tests/faults

lock: $(STAMP)
	$(UV) pip compile --universal --python-version 3.11 --extra dev --constraint constraints.txt \
		--generate-hashes --no-strip-extras --no-annotate --no-header --quiet --output-file requirements.lock pyproject.toml

audit: $(STAMP)
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip

lowest: $(STAMP)
	$(UV) venv --quiet --clear --python $(PYTHON) $(LOWEST)
	$(UV) pip install --quiet --python $(LOWEST) --resolution lowest-direct --editable '.[dev]'
	$(LOWEST)/bin/pytest -m "not slow and not browser" --deselect $(OF_THE_LOCK)

pythons: $(STAMP)
	$(BIN)/python -m tests.pythons

numerical: $(STAMP)
	SEGPORT_NUMERICAL=20 $(BIN)/pytest tests/numerical

mutants: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutation.run $(SUBJECTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

coverage: $(STAMP)
	$(BIN)/coverage run -m pytest -m "not slow and not browser" $(TESTS)
	$(BIN)/coverage report --skip-empty

reports: $(STAMP)
	rm -rf $(MADE)
	$(BIN)/segport run demo -o $(MADE)/demo
	$(BIN)/segport validate $(MADE)/demo/demo-*.onnx --data $(MADE)/demo/scenes --protocol center-crop -o $(MADE)/demo/center-crop
	for recipe in recipes/*.toml; do \
		$(BIN)/segport run $$recipe -o $(MADE)/$$(basename $$recipe .toml) || [ $$? -eq 1 ] || exit; \
	done
	cd $(MADE) && for result in */*/result.json; do \
		../../$(BIN)/segport report $$result -o ../../reports/$${result%/*} || exit 1; \
	done
	cp $(MADE)/demo/scenes.png reports/demo/
	$(BIN)/segport validate $(MADE)/demo/demo-*.onnx --data $(MADE)/demo/scenes --noise -o $(MADE)/noise \
		--reference torch --weights $(MADE)/demo/deeplabv3_mobilenet.safetensors
	$(BIN)/segport gate $(MADE)/noise --baseline reports/baseline.json --update-baseline --reason "$(REASON)"
	$(BIN)/segport models --markdown > reports/zoo.md
	$(BIN)/python benchmarks/protocols.py reports/deeplabv3_mobilenet -o reports/protocols.md
	$(BIN)/segport index reports

bench: bench-timed bench-untimed bench-page

bench-timed: $(BENCH)/.installed
	rm -rf $(BENCHED)
	$(BENCH_PYTHON) benchmarks/quantizers.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/masks.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/heads.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/search.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/families.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/growth.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/calibration.py -o $(BENCHED) \
		$(BENCHED)/deeplabv3_mobilenet/deeplabv3_mobilenet-fp32.onnx ../shared/voc/VOCdevkit:train
	$(BENCH_PYTHON) benchmarks/pipeline.py recipes/deeplabv3_mobilenet.toml --plain -o $(BENCHED)/pipeline/deeplabv3_mobilenet
	$(BENCH_PYTHON) benchmarks/pipeline.py recipes/deeplabv3plus_mobilenet.toml --plain -o $(BENCHED)/pipeline/deeplabv3plus_mobilenet
	$(BENCH_PYTHON) benchmarks/pipeline.py recipes/deeplabv3_mobilenet.toml --plain --images 4 --network deeplabv3_resnet101 -o $(BENCHED)/pipeline/deeplabv3_resnet101
	for folder in $(BENCHED)/pipeline/*; do cp $$folder/pipeline.json $(BENCHED)/pipeline-$${folder##*/}.json || exit 1; done

bench-untimed: $(BENCH)/.installed
	$(BENCH_PYTHON) benchmarks/scores.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/methods.py --networks deeplabv3_mobilenet --adaround -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/coverage.py -o $(BENCHED)
	$(BENCH_PYTHON) benchmarks/gate.py -o $(BENCHED) \
		$(MADE)/demo $(MADE)/demo/scenes $(MADE)/deeplabv3_mobilenet ../shared/voc/VOCdevkit:val
	$(BENCH_PYTHON) benchmarks/zoo_int8.py -o $(BENCHED)

bench-page: $(BENCH)/.installed
	mkdir -p benchmarks/results
	cp $(BENCHED)/*.json benchmarks/results/
	$(BENCH_PYTHON) benchmarks/page.py

demo-network: $(STAMP)
	$(BIN)/python benchmarks/train_demo.py

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "segport needs Python 3.11 or newer, this is " + sys.version)'
	@echo "installing into $(VENV), about two minutes:"
	@$(PYTHON) -m venv $(VENV)
	@{ $(BIN)/pip install -qq --disable-pip-version-check --require-hashes --requirement requirements.lock && \
		$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .; } & pip=$$!; \
	while kill -0 $$pip 2>/dev/null; do printf .; sleep 2; done; echo; wait $$pip
	@touch $(STAMP)

$(BENCH)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(LOWEST) build dist *.egg-info
