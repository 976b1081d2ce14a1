# berth-runtime: included by ../Makefile.
#
# Linked statically: the runtime starts twice for each container (ADR 0020), and the loader would be a third of that.

RUNTIME_SOURCES := $(wildcard runtime/oci/*.c runtime/oci/*/*.c)
RUNTIME := $(RUNTIME_SOURCES:%.c=$(O)/%.o)
# What tests link of it: everything but main.
RUNTIME_TESTED := $(filter-out $(O)/runtime/oci/main.o,$(RUNTIME))
# Of base what needs no library but jansson.
RUNTIME_BASE := $(patsubst %,$(O)/base/%.o,arena clock err fd idmap jv str sys)
RUNTIME_LIBS := -ljansson -lseccomp
RUNTIME_LDFLAGS = $(if $(filter asan tsan,$(MODE)),$(LDFLAGS_ALL),-static-pie $(filter-out -pie,$(LDFLAGS_ALL)))
RUNTIME_UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/runtime/test_*.c))
LIBEXEC = $(PREFIX)/libexec/berth

all: $(BIN)/berth-runtime $(BIN)/berth-runtime-systemd

# Where helpers are is compiled in, so it is part of what these objects are made of.
$(O)/.libexec: FORCE
	@mkdir -p $(@D); echo '$(LIBEXEC)' | cmp -s - $@ || echo '$(LIBEXEC)' >$@

$(O)/runtime/oci/run/self.o: $(O)/.libexec
$(O)/runtime/oci/run/self.o: EXTRA = -DBERTH_LIBEXEC='"$(LIBEXEC)"'

$(BIN)/berth-runtime: $(RUNTIME) $(RUNTIME_BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(RUNTIME_LDFLAGS) -o $@ $^ $(RUNTIME_LIBS)

$(BIN)/berth-runtime-systemd: $(O)/runtime/systemd/main.o
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lsystemd

RUNTIME_UNIT_LIB := $(patsubst %.c,$(O)/%.o,$(filter-out $(wildcard tests/unit/runtime/test_*.c),$(wildcard tests/unit/runtime/*.c)))
$(RUNTIME_UNIT): $(O)/tests/unit/runtime/%: $(O)/tests/unit/runtime/%.o $(RUNTIME_UNIT_LIB) $(RUNTIME_TESTED) $(RUNTIME_BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(RUNTIME_LIBS)

# The corpus of config.json, replayed and fuzzed.
$(O)/tests/fuzz/replay_spec: $(O)/tests/fuzz/spec.o $(O)/tests/lib/replay.o $(RUNTIME_TESTED) $(RUNTIME_BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(RUNTIME_LIBS)

build/fuzz/spec: tests/fuzz/spec.c $(filter-out runtime/oci/main.c,$(RUNTIME_SOURCES)) $(RUNTIME_BASE:$(O)/%.o=%.c)
	@mkdir -p $(@D)
	$(Q)clang-14 $(LANG_FLAGS) -g -O1 -fsanitize=fuzzer,address,undefined -o $@ $^ $(RUNTIME_LIBS)

install: install-runtime
.PHONY: install-runtime
install-runtime: all
	install -D -m 0755 build/bin/berth-runtime $(DESTDIR)$(PREFIX)/bin/berth-runtime
	install -D -m 0755 build/bin/berth-runtime-systemd $(DESTDIR)$(LIBEXEC)/berth-runtime-systemd

# Tests.  The unit tests go with the others, also under sanitizers; those of the command line and the validation suite run
# programs in namespaces and cgroups, as built for release.
RUNTIME_INTEG := $(sort $(wildcard tests/integ/*-runtime-*.bats tests/integ/*-runtime-*.py))
# Waits more than it works, so it goes first.
RUNTIME_SUITE := conformance/runtime/run.sh
RUNTIME_TEST_TOOLS := $(patsubst %,$(O)/tests/lib/%,attack syscall without killat)
UNIT += $(RUNTIME_UNIT)
INTEG := $(filter-out $(RUNTIME_INTEG),$(INTEG))

.PHONY: deps-runtime conformance-runtime check-runtime soak-runtime
deps-test: deps-runtime
deps-runtime: deps
	@etc/deps/apt.sh test
	@etc/deps/runtime-suite.sh build/runtime-suite

soak-runtime: all ## 20,000 cycles of create, start, kill and delete with runtimes killed at random
	@CYCLES=20000 tests/run -t 36000 tests/integ/82-runtime-stress.py

conformance-runtime: deps-runtime all ## the OCI runtime validation suite: cgroup version 1, version 2, an ordinary user
	@tests/run -t 1800 $(RUNTIME_SUITE); cat build/conformance/runtime/totals

check-runtime: all $(RUNTIME_UNIT) $(O)/tests/fuzz/replay_spec $(RUNTIME_TEST_TOOLS) ## the tests of berth-runtime alone
	@$(RUN) -t 1800 $(RUNTIME_UNIT) $(O)/tests/fuzz/replay_spec $(RUNTIME_SUITE) $(RUNTIME_INTEG)

check: $(RUNTIME_TEST_TOOLS)
$(RUNTIME_TEST_TOOLS): $(O)/tests/lib/%: $(O)/tests/lib/%.o $(O)/base/clock.o $(O)/base/str.o
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(RUNTIME_LDFLAGS) -o $@ $^

RUNTIME_BENCH := $(O)/tests/bench/rounds $(O)/tests/bench/floor
$(RUNTIME_BENCH): $(O)/tests/bench/%: $(O)/tests/bench/%.o $(O)/base/clock.o $(O)/base/str.o
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(RUNTIME_LDFLAGS) -o $@ $^

.PHONY: bench-runtime
bench-runtime: deps-test all $(RUNTIME_BENCH) ## start-up of the runtime beside its peers and the floor
	@tests/bench/runtime.sh
