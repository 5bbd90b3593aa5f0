# Everything that is done with this tree, by name. `make` alone shows the list.

# Passed on to the program: make run ARGS="--nodes 5 --port 7000"
ARGS ?=

# How long make soak goes on.
MINUTES ?= 30

# Rust's name for a Linux without glibc on this processor.
STATIC = $(shell uname -m)-unknown-linux-musl

.PHONY: help run test soak verify fix bench bench-move bench-lock compare static dist

help: ## this list
	@echo "make TARGET"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

run: ## installs redis-server if missing, builds, and serves three local Redis nodes on 127.0.0.1:6380
	@.ci/need cargo cc redis-server redis-cli
	cargo build --release --locked
	@target/release/circlet dev $(ARGS)

test: ## installs what the tests need, then checks and tests everything; continuous integration runs this
	@.ci/need cargo cc cargo-fmt cargo-clippy redis-server redis-cli redis-benchmark
	@if [ -x tests/setup.sh ]; then tests/setup.sh; fi
	@$(MAKE) --no-print-directory verify
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked && cargo test --locked --doc; \
	else \
		set -x; cargo test --locked; \
	fi

soak: ## round after round of clients, faults, moves and locks, until one sees what cannot be, or MINUTES=30 are over; SEED=n repeats
	@.ci/need cargo cc redis-server
	@# Each has half of the time.
	MINUTES=$$(( ($(MINUTES) + 1) / 2 )) cargo test --locked --test all -- --ignored --exact moves::soak moves::cached::soak --nocapture
	MINUTES=$$(( ($(MINUTES) + 1) / 2 )) cargo test --locked --test all -- --ignored --exact locks::soak --nocapture

verify: ## only reads: formatting, lints, documentation, each bench once
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@# Private items are documented too, so that module headers may link to them.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --lib --document-private-items
	cargo test --locked --bench '*'

fix: ## rewrites: formatting, and lints that can be mended by machine
	cargo fmt
	cargo clippy --all-targets --fix --allow-dirty --allow-staged

bench: ## the micro benches
	@.ci/need cargo cc
	cargo bench --locked --bench '*'

static: ## a binary for any Linux of this processor, without a library beside it: target/*-musl/release/circlet
	@.ci/need cargo cc
	@if command -v rustup >/dev/null; then rustup target add $(STATIC); fi
	cargo build --release --locked --target $(STATIC)

dist: static ## what a server needs, in target/dist/: static binary, completions, manual pages, systemd unit, conf
	@set -e; binary=target/$(STATIC)/release/circlet; name=circlet-$$($$binary --version | cut -d' ' -f2)-$(STATIC); \
	dir=target/dist/$$name; rm -rf $$dir; mkdir -p $$dir/completions; \
	cp -r $$binary conf README.md LICENSE CHANGELOG.md $$dir; $$binary man --dir $$dir/man/man1; \
	for shell in bash zsh fish; do $$binary completions $$shell >$$dir/completions/circlet.$$shell; done; \
	tar -C target/dist -czf target/dist/$$name.tar.gz $$name; echo target/dist/$$name.tar.gz

bench-move: ## what a change of the nodes costs clients, and how fast it is; ARGS="--help" shows what can be chosen
	@.ci/need cargo cc redis-server redis-cli redis-benchmark python3
	cargo build --release --locked
	python3 benches/compare/moves.py $(ARGS)

bench-lock: ## locks beside libraries that do Redlock themselves, which it installs; ARGS="--help" shows what can be chosen
	@.ci/need cargo cc redis-server python3
	cargo build --release --locked
	python3 benches/compare/locks.py $(ARGS)

compare: ## Circlet beside other proxies over the same nodes; installs them
	@.ci/need cargo cc redis-server redis-cli redis-benchmark python3
	cargo build --release --locked
	cargo build --release --locked --example floor
	python3 benches/compare/compare.py $(ARGS)
