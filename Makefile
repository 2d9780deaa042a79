# qoe: `make demo` shows it, `make test` checks it. `make` alone lists the targets.

# Built things go below the user's cache, so that a fresh clone builds quickly a second time.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/qoe-build
export CARGO_TARGET_DIR ?= $(CACHE)/target
CARGO ?= cargo
FUZZ_TARGETS ?= config dns http spool
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
QOE = $(CARGO_TARGET_DIR)/release/qoe
PROBE = $(CARGO_TARGET_DIR)/$(HOST)/small/qoe-probe
DIST = $(CARGO_TARGET_DIR)/dist
PACKAGING = $(DIST)/packaging

.DEFAULT_GOAL := help
.PHONY: help dev up down logs migrate migrate-up migrate-down migrate-create dashboards build probe demo test check bench bench-pipeline bench-probe bench-diagnosis bench-fleet bench-injection check-api fuzz chaos chaos-mutants servers install packages clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: build up ## Build and start everything: servers, roles, a target, a probe (with Docker, or natively)

up: ## The same with what was built before; ports from the environment (.env.example)
	@QOE=$(QOE) python3 scripts/dev up

down: ## End everything that dev started, whatever became of it
	@QOE=$(QOE) python3 scripts/dev down

logs: ## Follow the logs of all of it
	@QOE=$(QOE) python3 scripts/dev logs

migrate: migrate-up ## The same as migrate-up

migrate-up: ## Bring the tables of the running stack to the program's version
	@QOE=$(QOE) python3 scripts/dev migrate up

migrate-down: ## Take them back to version TO; what newer tables hold is lost (TO=7)
	@test -n "$(TO)" || { echo "say to which version: make migrate-down TO=7"; exit 2; }
	@QOE=$(QOE) python3 scripts/dev migrate down --to $(TO) --yes

migrate-create: ## Make the files of the next migration, for both stores (NAME=client_notes)
	@python3 scripts/dev migrate-create "$(NAME)"

dashboards: ## Write the Grafana dashboards anew from scripts/dashboards
	@python3 scripts/dashboards

build: ## Build the qoe program (release profile)
	$(CARGO) build --locked --release -p qoe
	@echo "built $(QOE)"

demo: build ## Break a target in turn and see each fault named, with a score (about 8 min)
	$(QOE) demo $(ARGS)

test: servers ## Run every test (needs only Rust and Python 3)
	PATH="$$PATH:$(CACHE)/prometheus/usr/bin" $(CARGO) test --locked

servers: ## Have NATS, PostgreSQL and Prometheus for the tests, where the machine has none that would do
	@mkdir -p $(CACHE)
	@scripts/servers $(CACHE)/servers
	@scripts/prometheus $(CACHE)/prometheus || \
		echo "without Prometheus: rules, panels and the form of metrics are not checked"

check: ## What CI checks before the tests: format, lints, licences, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked check bans licenses sources; \
	else echo "cargo-deny is not installed: licences not checked (cargo install cargo-deny --locked)"; fi
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

check-api: ## Hold the server against its OpenAPI document for a minute (Python packages from PyPI)
	$(CARGO) build --locked -p qoe
	@mkdir -p $(CACHE)
	@scripts/schemathesis $(CARGO_TARGET_DIR)/debug/qoe $(CACHE)/schemathesis $(ARGS)

bench: ## Print the ratios against SQLite, a bare handler, blackbox_exporter, curl and the packets
	$(CARGO) build --locked --release -p qoe-probe -p qoe -p qoe-bench
	$(CARGO_TARGET_DIR)/release/qoe-bench $(ARGS)

chaos: servers ## Break a whole platform for 10 min, and judge what it kept (ARGS="--minutes 2 --seed 7")
	$(CARGO) build --locked -p qoe -p qoe-chaos
	$(CARGO_TARGET_DIR)/debug/qoe-chaos $(ARGS)

chaos-mutants: servers ## Break the code on purpose in five ways, and see that make chaos would notice
	$(CARGO) build --locked -p qoe -p qoe-chaos
	$(CARGO_TARGET_DIR)/debug/qoe-chaos mutants $(ARGS)

bench-pipeline: servers ## Print the ratios of the distributed shape, from HTTP to PostgreSQL (about 20 min)
	$(CARGO) build --locked --release -p qoe -p qoe-bench
	$(CARGO_TARGET_DIR)/release/qoe-bench shared drain publish queued pipeline $(ARGS)

bench-probe: probe ## Print what the probe says against the packets, blackbox_exporter and curl (about 10 min)
	$(CARGO) build --locked --release -p qoe-bench
	$(CARGO_TARGET_DIR)/release/qoe-bench --probe $(PROBE) accuracy probe check download many link $(ARGS)

bench-diagnosis: ## Score diagnoses on worlds whose faults are known (ARGS="--quick")
	$(CARGO) build --locked --release -p qoe-bench
	$(CARGO_TARGET_DIR)/release/qoe-bench diagnosis $(ARGS)

bench-fleet: ## Print what the detector costs over the windows of 100,000 cells (ARGS="--cells 20000")
	$(CARGO) build --locked --release -p qoe-bench
	$(CARGO_TARGET_DIR)/release/qoe-bench fleet $(ARGS)

bench-injection: ## Inject real faults behind a real link and score what is told (root, 58 min; ARGS="--faults a,b")
	$(CARGO) build --locked --release -p qoe -p qoe-bench
	$(CARGO_TARGET_DIR)/release/qoe-bench injection $(ARGS)

fuzz: ## Fuzz what reads strangers' bytes, each target for SECONDS (default 60; needs cargo-fuzz, g++)
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p $(CACHE)/fuzz/$$target && cd fuzz && \
		CARGO_TARGET_DIR=$(CACHE)/fuzz-target $(CARGO) fuzz run --fuzz-dir . --sanitizer none $$target \
			$(CACHE)/fuzz/$$target seeds/$$target -- -max_total_time=$(or $(SECONDS),60) || exit 1; \
		cd ..; \
	done

probe: ## Build qoe-probe small and static, for other people's machines
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --profile small -p qoe-probe --bin qoe-probe \
		--target $(HOST)
	@ls -l $(PROBE) | awk '{printf "%s: %.1f MB\n", $$NF, $$5 / 1e6}'

install: ## Install qoe and qoe-probe for this user, with link-time optimisation
	$(CARGO) install --locked --profile dist --path crates/qoe
	$(CARGO) install --locked --profile dist --path crates/probe

packages: ## Build deb and rpm packages of qoe and qoe-probe, where cargo-deb and cargo-generate-rpm are
	$(CARGO) build --locked --profile dist -p qoe -p qoe-probe
	@mkdir -p $(PACKAGING)/completions && rm -rf $(PACKAGING)/man
	$(DIST)/qoe man $(PACKAGING)/man
	$(DIST)/qoe completions bash > $(PACKAGING)/completions/qoe.bash
	$(DIST)/qoe completions zsh > $(PACKAGING)/completions/_qoe
	$(DIST)/qoe completions fish > $(PACKAGING)/completions/qoe.fish
	@for package in qoe qoe-probe; do \
		if command -v cargo-deb >/dev/null; then \
			$(CARGO) deb --locked --no-build --no-strip --profile dist -p $$package -o $(CARGO_TARGET_DIR)/debian/ || exit 1; \
		else echo "cargo-deb is not installed: no $$package.deb (cargo install cargo-deb --locked)"; fi; \
		if command -v cargo-generate-rpm >/dev/null; then \
			$(CARGO) generate-rpm --profile dist --target-dir $(CARGO_TARGET_DIR) \
				-p crates/$$(echo $$package | sed 's/^qoe-//') || exit 1; \
		else echo "cargo-generate-rpm is not installed: no $$package.rpm (cargo install cargo-generate-rpm --locked)"; fi; \
	done

clean: ## Delete what was built, and what the development stack kept: databases, streams, logs
	@QOE=$(QOE) python3 scripts/dev clean
	$(CARGO) clean
