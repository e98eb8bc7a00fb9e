# make test   sets up what the tests need, then runs every check: it is what CI runs
# make check  the same without the set-up
# make long   soaks, mass crash rounds and a minute of fuzzing for each target
# make bench  offkey beside what it is compared with, as bench/ measures it (BENCH="-rounds 1" for a quick look)
# make parts  the benchmarks of the packages by themselves
# make build  the binary, in bin/offkey

GO       ?= go
PKG      ?= ./...
FUZZTIME ?= 60s
COUNT    ?= 6
MODULE_BUDGET ?= 55

# staticcheck has a module file of its own, so that it never enters the product's.
STATICCHECK = $(GO) tool -modfile=test/tools/go.mod staticcheck

# With the set-up done a test that lacks node or python fails; without it, it skips and says so.
EXTRAS = $(if $(wildcard .setup/done),1,$(OFFKEY_TEST_EXTRAS))

.PHONY: test check setup build format vet lint spec budget race long fuzz bench parts

test: setup
	@OFFKEY_TEST_EXTRAS=1 $(MAKE) --no-print-directory check

check: format vet lint spec budget race

setup:
	@scripts/setup

# The product is one static binary: it must build without cgo.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/offkey ./cmd/offkey

format:
	@echo 'gofmt -l .'; files=$$(gofmt -l .) || exit 1; \
	[ -z "$$files" ] || { echo "not formatted (run gofmt -w on them):"; echo "$$files"; exit 1; }

vet:
	$(GO) vet ./...

lint:
	$(STATICCHECK) ./...

# docs/spec.md is made from the citations in the code: it must be the one of this tree.
spec:
	$(GO) run ./test/specdoc -check

# Few dependencies: the modules compiled into the binary are counted.
budget: build
	@scripts/module-budget $(MODULE_BUDGET)

race:
	OFFKEY_TEST_EXTRAS=$(EXTRAS) $(GO) test -race -timeout 15m $(PKG)

# OFFKEY_TEST_LONG=1 asks the soaks and crash rounds for their full length.
long: fuzz
	OFFKEY_TEST_LONG=1 OFFKEY_TEST_EXTRAS=$(EXTRAS) $(GO) test -race -timeout 4h -run 'Soak|Crash|Long' $(PKG)

fuzz:
	scripts/fuzz $(FUZZTIME) $(PKG)

bench:
	@bench/setup
	$(GO) run ./bench $(BENCH)

parts:
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) -timeout 1h ./internal/...
