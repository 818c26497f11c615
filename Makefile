# Thin names over scripts/ and `cargo xtask`.
.PHONY: help run build bundle test-bundle test test-unit test-e2e test-server test-api check fmt bench bench-analyses bench-cold-start lambda setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## build what is not built and serve on http://127.0.0.1:3000 (settings: GATEHOUSE_…)
	@scripts/run.sh

build: ## build the browser side and the server
	@scripts/build.sh

bundle: ## one archive for machines without a network or a toolchain (builds optimised: over an hour the first time)
	@scripts/bundle.sh

test: ## all tests: Rust, bundle sizes, browser
	@scripts/test.sh all

test-unit: ## Rust tests alone (FILTER=word for some of them)
	@scripts/test.sh unit

test-e2e: ## browser tests alone (FILTER=word for some of them)
	@scripts/test.sh e2e

test-server: ## build a SurrealDB server, so that the store is tested against one too (25 minutes, once)
	@scripts/test-server.sh

test-bundle: ## unpack the archive where there is no network and no toolchain, and use it there (as root; after make bundle)
	@scripts/test-bundle.sh

test-api: ## schemathesis against the API: does every answer keep to its document? (EXAMPLES=200 looks closer)
	@scripts/test-api.sh

check: ## formatting, clippy, arrows between crates, licences and advisories, shell scripts
	@scripts/check.sh

fmt: ## format the Rust code
	@cargo fmt --all

bench: ## time the list page with 100 rows against its budget
	@scripts/bench.sh

bench-analyses: ## time analyses against what the engines' delay allows (builds optimised: over an hour the first time)
	@bash -c 'source scripts/env.sh && cargo bench -p gatehouse-server --bench analyses'

bench-cold-start: ## time starts on Lambda against their budget (builds optimised: over an hour the first time; after make test-server)
	@bash -c 'source scripts/env.sh && cargo bench -p gatehouse-server --bench cold_start'

lambda: ## the archive for AWS Lambda (builds optimised: over an hour the first time)
	@scripts/lambda.sh

setup: ## fetch what building needs, build nothing
	@scripts/setup.sh
