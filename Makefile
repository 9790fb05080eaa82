# make demo: see it work, without any key.  make test, make check: see that it works.
#   make demo PORT=8000 SANDBOX_PORT=8801   other ports
#   make demo SERVE=0                       stop after the report
#   make test DATABASE_URL=postgres://…     the tests on another database

PORT = 8000
SANDBOX_PORT = 8801
SERVE = 1
TESTS = -n 3
LIVES = 100
SEED = 1
LIVES_DATABASE = sqlite

PYTHON = .venv/bin/python
PIP_INSTALL = $(PYTHON) -m pip install --quiet --disable-pip-version-check

# Nothing of the shell's own settings, and no .env, reaches the demo, the tests or the checks.
ALONE = env -i PATH="$$PATH" HOME="$$HOME" LANG="$${LANG:-C.UTF-8}" TERM="$${TERM:-dumb}" IGNORE_DOTENV=1
SANDBOX = http://127.0.0.1:$(SANDBOX_PORT)
DEMO = DJANGO_DEBUG=1 DATABASE_URL=sqlite:///var/demo.sqlite3 STRIPE_KEY=sk_test_demo_0000 \
	STRIPE_API_BASE=$(SANDBOX)/stripe OPENMETER_URL=$(SANDBOX)/openmeter STRIPE_RATE_LIMIT=500
TEST_DATABASE = $(if $(filter command line,$(origin DATABASE_URL)),DATABASE_URL=$(DATABASE_URL))
SPECS = $(if $(CONTRACT_SPECS),CONTRACT_SPECS=$(CONTRACT_SPECS))
PRODUCTION = DJANGO_ALLOWED_HOSTS=console.example.com STRIPE_KEY=sk_test_check_0000 \
	DJANGO_SECRET_KEY=only-for-this-check-0123456789-abcdefghijklmnopqrstuvwxyz

.PHONY: demo test check mutants lives format install
.DELETE_ON_ERROR:

demo: install
	@exec $(ALONE) $(DEMO) $(PYTHON) manage.py demo --end-with-parent --port $(PORT) --sandbox-port $(SANDBOX_PORT) \
		$(if $(filter 0 no false,$(SERVE)),--no-serve,--serve)

test: .venv/requirements-dev.stamp
	@$(ALONE) $(TEST_DATABASE) $(SPECS) $(PYTHON) -m pytest $(TESTS) $(if $(JUNIT),--junit-xml $(JUNIT))

check: .venv/requirements-dev.stamp
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	@$(ALONE) $(PYTHON) -m mypy
	@$(ALONE) .venv/bin/lint-imports
	@$(ALONE) $(PYTHON) manage.py makemigrations --check --dry-run
	@$(ALONE) $(PRODUCTION) $(PYTHON) manage.py check --deploy --fail-level WARNING

# One deliberate fault after the other, a quarter of an hour in all: make mutants FAULTS="no-lease brake-removed" tries some of them.
mutants: .venv/requirements-dev.stamp
	@$(ALONE) $(PYTHON) -m tests.mutants $(FAULTS)

# Months of random billing lives against the sandbox: make lives LIVES=2000 SEED=1 LIVES_DATABASE=postgres://postgres@127.0.0.1:5432/
lives: .venv/requirements-dev.stamp
	@$(ALONE) $(PYTHON) -m benchmarks.simulate --lives $(LIVES) --seed $(SEED) --database $(LIVES_DATABASE)

install: .venv/requirements.stamp

format: .venv/requirements-dev.stamp
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

# --- the virtual environment, installed again only when the requirements change ------------------------------

.venv/requirements.stamp: requirements.txt | .venv/bin/pip
	@echo "Installing what the console needs into .venv"
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

.venv/requirements-dev.stamp: requirements-dev.txt requirements.txt | .venv/bin/pip
	@echo "Installing what the console, its tests and its checks need into .venv"
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@ .venv/requirements.stamp

.venv/bin/pip:
	@for python in python3.11 python3; do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec $$python -m venv .venv; \
		fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed: sudo apt-get install python3 python3-venv" >&2; \
	exit 1
