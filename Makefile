# The ways into this repository. `make help` lists them.

CARGO ?= cargo

# Debian packages by name: what building Gantry needs, and what a node and its first images do.
# tidy: sorted
PROGRAM_PACKAGES += busybox-static
PROGRAM_PACKAGES += containerd
PROGRAM_PACKAGES += containernetworking-plugins
PROGRAM_PACKAGES += gcc
PROGRAM_PACKAGES += iproute2
PROGRAM_PACKAGES += iptables
PROGRAM_PACKAGES += libc6-dev
PROGRAM_PACKAGES += libprotobuf-dev
PROGRAM_PACKAGES += nftables
PROGRAM_PACKAGES += pkg-config
PROGRAM_PACKAGES += protobuf-compiler
PROGRAM_PACKAGES += runc
# tidy: end

# What tests need besides.
# tidy: sorted
TEST_PACKAGES += buildah
TEST_PACKAGES += curl
TEST_PACKAGES += dbus-daemon
TEST_PACKAGES += etcd-client
TEST_PACKAGES += etcd-server
TEST_PACKAGES += openssl
TEST_PACKAGES += procps
TEST_PACKAGES += python3
TEST_PACKAGES += python3-venv
TEST_PACKAGES += util-linux
# tidy: end

.DEFAULT_GOAL := help

.PHONY: help
help: ## list what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | expand -t 11

.PHONY: deps
deps: ## install the Debian packages that are missing, kubectl, and the Python client
	@.ci/install-packages $(PROGRAM_PACKAGES) $(TEST_PACKAGES)
	@.ci/install-kubectl
	@.ci/install-python-client target/python-client

# `make demo HOLLOW=1` is for others than root: nodes that are there for the API only.
HOLLOW ?=
DEMO := demo/run $(if $(HOLLOW),--hollow)

.PHONY: demo
demo: ## start a cluster on this machine and show what it does
	@.ci/install-packages $(PROGRAM_PACKAGES)
	$(CARGO) build --locked --profile demo --package gantry
	$(if $(HOLLOW),,$(CARGO) run --locked --quiet --profile demo --package xtask -- images)
	@$(DEMO)

.PHONY: demo-down
demo-down: ## end the cluster of `make demo` and remove all that is left of it
	@$(DEMO) --down

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
