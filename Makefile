# The ways into this repository. `make help` lists them.

CARGO ?= cargo

# Debian packages that building and testing need, by name.
# tidy: sorted
PACKAGES += busybox-static
PACKAGES += containerd
PACKAGES += containernetworking-plugins
PACKAGES += dbus-daemon
PACKAGES += etcd-client
PACKAGES += etcd-server
PACKAGES += gcc
PACKAGES += iproute2
PACKAGES += iptables
PACKAGES += libc6-dev
PACKAGES += libprotobuf-dev
PACKAGES += nftables
PACKAGES += pkg-config
PACKAGES += procps
PACKAGES += protobuf-compiler
PACKAGES += python3
PACKAGES += python3-venv
PACKAGES += runc
PACKAGES += util-linux
# tidy: end

.DEFAULT_GOAL := help

.PHONY: help
help: ## list what can be made
	@sed -n 's/^\([a-z][a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | expand -t 10

.PHONY: deps
deps: ## install the Debian packages that are missing, kubectl, and the Python client
	@.ci/install-packages $(PACKAGES)
	@.ci/install-kubectl
	@.ci/install-python-client target/python-client

# Where `make run` keeps its files.
DATA_DIR ?= gantry-data

# Only root can run containers, which have to reach the API; others get nodes that run nothing.
NODE ?= $(if $(filter 0,$(shell id -u)),--listen 0.0.0.0:6443,--listen 127.0.0.1:6443 --no-node --hollow-nodes 10)

.PHONY: run
run: deps ## start a cluster on this machine
	$(CARGO) run --locked --release --package gantry -- up --data-dir $(DATA_DIR) $(NODE)

.PHONY: test
test: deps ## run every test
	$(CARGO) test --locked --workspace

# How many seeds `make sim` runs.
SEEDS ?= 1000

.PHONY: sim
sim: ## simulate clusters with faults, one a seed (SEEDS=n)
	GANTRY_SEEDS=$(SEEDS) $(CARGO) test --locked --release --package tests --test simulation

.PHONY: check
check: deps ## check format, lints and house rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) run --locked --quiet --package xtask -- tidy

.PHONY: bench
bench: deps ## run the benchmarks (slow: a release build, and a quiet machine)
	$(CARGO) build --locked --profile bench --package gantry
	$(CARGO) bench --locked --package tests
	$(CARGO) bench --locked --package scheduler --bench cycle
	$(CARGO) bench --locked --package nft --bench apply
