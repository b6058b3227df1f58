# What there is to do here. `make` alone lists it.
# Every target works from a fresh clone; the first build takes minutes, later ones seconds.

CARGO ?= cargo
# Arguments for `make run` and `make demo`: make run ARGS="status --store sqlite:telemetra.db"
ARGS ?=
# How many records `make kills` loads, twenty times killed: make kills RECORDS=1000000 SEED=7
RECORDS ?= 5000000
# How many chat events it sends through Kafka, with as many kills, and nodes that go and come back.
EVENTS ?= 1000000
# How long `make faults` goes on, and what it draws: make faults MINUTES=30 SEED=7
MINUTES ?= 5
SEED ?=

.DEFAULT_GOAL := help
.PHONY: demo test check bench build run fmt fmt-check lint deny clean help toolchain postgres kafka faults kills

demo: build ## Show it: generated chat, live windows and moments on a local page; Ctrl-C stops it
	@$(CARGO) run --quiet --release --locked -p telemetra -- demo $(ARGS)

test: toolchain postgres kafka ## All tests, with a real binary, a real PostgreSQL and a real Kafka
	$(CARGO) test --workspace --locked
	scripts/mutants.sh

check: fmt-check lint ## Before each commit: layout, lints, unit tests, tidy; under a minute when warm
	$(CARGO) test --quiet --workspace --exclude telemetra-services --locked --lib
	$(CARGO) test --quiet --locked -p telemetra --test it tidy

bench: toolchain postgres kafka ## Events per CPU-second and peak memory, stage by stage (docs/performance.md)
	$(CARGO) bench --locked -p telemetra --bench throughput

faults: toolchain postgres kafka ## Minutes of kill -9, crashes and cut networks on a real PostgreSQL; rows must stay right
	TELEMETRA_FAULTS_MINUTES=$(MINUTES) $(if $(SEED),TELEMETRA_FAULTS_SEED=$(SEED)) \
		$(CARGO) test --release --locked -p telemetra --test it -- --nocapture faults::rounds

kills: toolchain postgres kafka ## Millions of events, files and topics, twenty times kill -9, on both stores; all must be there once
	TELEMETRA_KILLS_RECORDS=$(RECORDS) $(if $(SEED),TELEMETRA_FAULTS_SEED=$(SEED)) $(CARGO) test --release --locked \
		-p telemetra --test it -- --nocapture --test-threads=1 faults::shop::kills
	TELEMETRA_KILLS_RECORDS=$(EVENTS) $(if $(SEED),TELEMETRA_FAULTS_SEED=$(SEED)) $(CARGO) test --release --locked \
		-p telemetra --test it -- --nocapture faults::topics

build: toolchain ## Release build
	$(CARGO) build --release --locked -p telemetra

run: build ## Run the release build with ARGS="…"
	@$(CARGO) run --quiet --release --locked -p telemetra -- $(ARGS)

fmt: ## Lay the code out
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

lint: toolchain ## Clippy, every warning an error
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: ## Licences, advisories and sources of dependencies (needs cargo-deny)
	$(CARGO) deny --locked check

clean: ## Remove what was built
	$(CARGO) clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

toolchain:
	@scripts/bootstrap.sh

postgres:
	@scripts/postgres.sh >/dev/null

# The newest release, and the last one of the third series.
kafka:
	@scripts/kafka.sh >/dev/null
	@scripts/kafka.sh --version 3.9.1 >/dev/null
