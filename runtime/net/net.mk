# Networks: included by ../../Makefile.
#
# berth-net has the bare operations of CNI, and berth's commands about networks, as a program of their own.

NET_SOURCES := $(wildcard runtime/net/*.c runtime/cli/network/*.c)
NET := $(NET_SOURCES:%.c=$(O)/%.o)
# Of base what needs no library but jansson and libcrypto.
NET_BASE := $(patsubst %,$(O)/base/%.o,arena base64 clock digest err fd hash jv str sys)
NET_LIBS := -ljansson -lcrypto

all: $(BIN)/berth-net

$(BIN)/berth-net: $(O)/runtime/berth_net/main.o $(NET) $(NET_BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(NET_LIBS)

install: install-net
.PHONY: install-net
install-net: all
	install -D -m 0755 build/bin/berth-net $(DESTDIR)$(PREFIX)/bin/berth-net

# Tests: unit tests and fuzz targets go with the others under the names that begin with cni_.
NET_UNIT_LIB := $(patsubst %,$(O)/tests/lib/%.o,unit fixture cni_box)
$(O)/tests/unit/test_cni_%: $(O)/tests/unit/test_cni_%.o $(NET_UNIT_LIB) $(NET) $(STORAGE) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS)

$(O)/tests/fuzz/replay_cni_%: $(O)/tests/fuzz/cni_%.o $(O)/tests/lib/replay.o $(NET) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

.PRECIOUS: build/fuzz/cni_%
build/fuzz/cni_%: tests/fuzz/cni_%.c $(NET_SOURCES) $(wildcard base/*.c)
	@mkdir -p $(@D)
	$(Q)clang-14 $(LANG_FLAGS) -g -O1 -fsanitize=fuzzer,address,undefined -o $@ $(filter %.c,$^) $(LIBS)

# The integration tests run in network namespaces of their own; also with a berth-net that has sanitizers.
NET_INTEG := $(sort $(wildcard tests/integ/*-network-*.py))
INTEG := $(filter-out $(NET_INTEG),$(INTEG))
NET_UNIT := $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/unit/test_cni_*.c))

.PHONY: check-net check-net-asan
check-net: all $(NET_UNIT) ## the tests of networks alone
	@$(RUN) -t 1800 $(NET_UNIT) $(NET_INTEG)

check-net-asan: deps-test ## the same under address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory MODE=asan unit-programs build/asan/bin/berth-net
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 BERTH_NET=$(CURDIR)/build/asan/bin/berth-net \
		$(RUN) -t 3600 $(NET_UNIT:build/release/%=build/asan/%) $(NET_INTEG)

.PHONY: deps-cilium
deps-cilium: deps-test ## build cilium's network plugin for its test: 75 MB, and minutes
	@etc/deps/cilium.sh build/tools

.PHONY: bench-net
bench-net: deps-test all ## ADD beside the run time of the plugins alone and cnitool; berth run beside podman and docker
	@tests/bench/network.py $(ROUNDS)
	@tests/bench/network_run.py $(ROUNDS)
