# Tests: included by ../Makefile.  Every program prints TAP; tests/run adds them up.

.PHONY: test check conformance check-asan check-tsan check-valgrind check-fault check-layers check-headers \
	check-format analyze tsa bench bench-flood bench-import bench-quota bench-scale bench-gc bench-memory soak soak-crash soak-gc coverage golden

RUN := tests/run -j $(JOBS)
CHECKS := tests/checks/layers.sh tests/checks/headers.sh tests/checks/format.sh

test: deps-test ## install what the tests need, build, run every test
	@$(MAKE) --no-print-directory check

check: all $(UNIT) $(REPLAY) $(O)/tests/lib/signin $(O)/tests/bench/load ## the same without installing anything
	@$(MAKE) --no-print-directory MODE=fault fault-programs
	@$(RUN) -t 1800 $(CHECKS) $(UNIT) $(REPLAY) $(FAULT) $(RUNTIME_SUITE) $(INTEG) conformance/run.sh $(NET_INTEG) $(RUNTIME_INTEG) $(if $(PACKAGES),$(PACKAGE_TESTS))

conformance: deps-test all ## the OCI distribution conformance suite; report in build/conformance/
	@conformance/run.sh

.PHONY: unit-programs fault-programs
unit-programs: $(UNIT) $(REPLAY) $(O)/tests/lib/signin
fault-programs: $(BIN)/berthd $(BIN)/berth $(patsubst build/fault/%,$(O)/%,$(FAULT))

# Other builds of the same tests.  Tools are slow, so the tests' own waits are long.
check-asan: deps-test ## unit and integration tests under address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory MODE=asan unit-programs $(addprefix build/asan/bin/,berthd berth berth-shim berth-init)
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 BERTH_SLOW=1 BERTH_PROGRAM=$(CURDIR)/build/asan/bin/berthd BERTHD=$(CURDIR)/tests/lib/berthd-unconfined BERTH=$(CURDIR)/build/asan/bin/berth \
		$(RUN) $(UNIT:build/release/%=build/asan/%) $(REPLAY:build/release/%=build/asan/%) $(INTEG)

check-tsan: deps-test ## the same under the thread sanitizer
	@$(MAKE) --no-print-directory MODE=tsan unit-programs $(addprefix build/tsan/bin/,berthd berth berth-shim berth-init)
	@TSAN_OPTIONS=halt_on_error=1:suppressions=$(CURDIR)/tests/lib/tsan.supp BERTH_SLOW=1 BERTH_PROGRAM=$(CURDIR)/build/tsan/bin/berthd BERTHD=$(CURDIR)/tests/lib/berthd-unconfined BERTH=$(CURDIR)/build/tsan/bin/berth \
		$(RUN) $(UNIT:build/release/%=build/tsan/%) $(REPLAY:build/release/%=build/tsan/%) $(INTEG)

check-valgrind: deps-test all unit-programs ## the same under valgrind's memcheck
	@BERTHD=$(CURDIR)/tests/lib/berthd-valgrind BERTH_SLOW=1 $(RUN) -t 1800 -w tests/lib/valgrind $(UNIT) $(REPLAY) $(INTEG)

# Once for each STORE_VERSION: the archive stands for the disks of users, and is never made again.
STORE_VERSION := $(shell sed -n 's/^\#define STORE_VERSION //p' storage/store.h)
golden: $(O)/tests/unit/test_golden ## pack a store of this version for tests/unit/test_golden, if there is none yet
	@test ! -e tests/golden/store-v$(STORE_VERSION).tar.xz || { echo "there is one of version $(STORE_VERSION)" >&2; exit 1; }
	@rm -rf build/golden && mkdir -p build/golden tests/golden
	@$< make build/golden/store-v$(STORE_VERSION)
	@tar -C build/golden --sort=name --owner=0 --group=0 --numeric-owner --exclude=lock --exclude=lock.mdb -cJf \
		tests/golden/store-v$(STORE_VERSION).tar.xz store-v$(STORE_VERSION)

# Counters add up over programs, so they start from nothing.  A test that fails still shows what ran.
coverage: ## lines and branches that unit tests and fuzz corpus run; ALL=1: and integration tests; V=1: what is missed
	@$(MAKE) --no-print-directory MODE=cov unit-programs $(addprefix build/cov/bin/,berthd berth berth-shim berth-init)
	@find build/cov -name '*.gcda' -delete
	-@BERTHD=$(CURDIR)/build/cov/bin/berthd BERTH=$(CURDIR)/build/cov/bin/berth $(RUN) $(UNIT:build/release/%=build/cov/%) \
		$(REPLAY:build/release/%=build/cov/%) $(if $(ALL),$(INTEG))
	@tests/lib/coverage.py $(if $(V),-a) build/cov base storage gc auth server runtime/image runtime/container runtime/bundle runtime/cli

check-fault: ## fail and kill at every system call of the store
	@$(MAKE) --no-print-directory MODE=fault fault-programs
	@$(RUN) $(FAULT)

soak-crash: ## SIGKILL under load, 5,000 times
	@$(MAKE) --no-print-directory all
	@CRASHES=5000 tests/run -t 36000 tests/integ/61-crash.py

soak-gc: ## collection beside clients and SIGKILLs, for 10 minutes
	@$(MAKE) --no-print-directory all
	@GC_SOAK_SECONDS=600 tests/run -t 3600 tests/integ/64-stress.py

SOAK_SECONDS ?= 3600
soak: all ## mixed load for SOAK_SECONDS (3600), SOAK_RATE rounds a second: memory stays flat, every answer comes
	@tests/bench/soak.py $(SOAK_SECONDS) $(SOAK_RATE)

bench-memory: all build/release/tests/bench/load ## memory when idle, with 1,000 connections, with MANIFESTS (100000), and under load
	@tests/bench/memory.py 1000 $(MANIFESTS)

check-layers: ## the direction of dependencies
	@etc/tools/check-layers.sh

check-headers: ## each header compiles by itself
	@etc/tools/check-headers.sh $(CC) $(LANG_FLAGS) $(WARN)

check-format: ## clang-format agrees
	@clang-format-14 --dry-run -Werror $(wildcard base/*.[ch] storage/*.[ch] gc/*.[ch] auth/*.[ch] server/*.[ch] runtime/*/*.[ch] \
		runtime/*/*/*.[ch] tests/unit/*.[ch] tests/unit/*/*.[ch] tests/fuzz/*.[ch] tests/fault/*.[ch] tests/lib/*.[ch])

SOURCES := $(wildcard base/*.c storage/*.c gc/*.c auth/*.c server/*.c runtime/*/*.c runtime/*/*/*.c)

# Where a file is looked at and not run, any name will do.
LATE_ANY := -DLATE_FILE='""'

tsa: ## clang's thread safety analysis
	@for f in $(SOURCES); do clang-14 $(LANG_FLAGS) $(LATE_ANY) $(MHD_CFLAGS) -fsyntax-only -Wthread-safety -Werror $$f || exit 1; done

analyze: tsa ## gcc -fanalyzer, clang-tidy, cppcheck; no finding without a reasoned waiver
	@etc/tools/analyze.sh $(SOURCES) -- $(LANG_FLAGS) $(LATE_ANY) $(MHD_CFLAGS)

# Fuzzing: a real engine for FUZZ_SECONDS; finds go to tests/fuzz/corpus/TARGET under a name that says what they are.
FUZZ_SECONDS ?= 600
FUZZ_SOURCES := $(wildcard base/*.c storage/*.c auth/*.c) server/target.c server/path.c server/range.c

build/fuzz/%: tests/fuzz/%.c $(FUZZ_SOURCES)
	@mkdir -p $(@D)
	$(Q)clang-14 $(LANG_FLAGS) $(LATE_ANY) -g -O1 -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZ_SOURCES) $(AUTH_LIBS) $(LIBS)

fuzz-%: build/fuzz/%
	@mkdir -p build/fuzz/corpus/$*
	build/fuzz/$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* tests/fuzz/corpus/$*

# ROUNDS=, MINUTES= and ONLY=REGEX where the defaults are not wanted.
BENCH_PROGRAMS := $(addprefix build/release/tests/bench/,load rounds floor)
bench: deps-test all $(BENCH_PROGRAMS) ## speed beside peers and limits in one run; report in build/bench/
	@etc/deps/apt.sh bench
	@tests/bench/compare.py $(ROUNDS:%=--rounds %) $(MINUTES:%=--minutes %) $(ONLY:%=--only '%')
	@tests/bench/report.py

bench-report: ## the report once more, of what was measured
	@tests/bench/report.py

bench-flood: deps-test all build/release/tests/bench/load ## p99 of one client while another address floods
	@tests/bench/flood.py $(ROUNDS)

bench-quota: deps-test all build/release/tests/bench/load ## what quotas cost pushes
	@tests/bench/quota.py $(ROUNDS)

bench-import: deps-test all ## time and disk of an import, by link and by copy, beside cp and sha256sum
	@etc/deps/apt.sh bench
	@tests/bench/import.py $(ROUNDS)

bench-scale: deps-test all build/release/tests/bench/load ## cost at 10^2, 10^4 and 10^6 tags
	@tests/bench/scale.py $(ROUNDS)

bench-gc: deps-test all build/release/tests/bench/load ## collection: rate, growth, what clients notice, space; beside distribution
	@etc/deps/apt.sh bench
	@etc/deps/go-tools.sh build/tools --bench
	@tests/bench/gc.py $(ROUNDS)
