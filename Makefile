# berth: make help lists the targets.
#
# Objects go to build/MODE/ (release, asan, tsan, cov, fault), programs of MODE=release to build/bin/.

MODE ?= release
O := build/$(MODE)
BIN := $(if $(filter release,$(MODE)),build/bin,$(O)/bin)
PREFIX ?= /usr/local
V ?=
Q := $(if $(V),,@)
CC := gcc
VERSION := 0.1.0

WARN := -Wall -Wextra -Wshadow -Wformat=2 -Wundef -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Walloca \
	-Wswitch-enum -Wnull-dereference -Wconversion -Wsign-conversion -Wdate-time
WARN_GCC := -Wimplicit-fallthrough=5 -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
	-ftrivial-auto-var-init=zero -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
LANG_FLAGS := -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -DBERTH_VERSION='"$(VERSION)"'
COMMON := $(LANG_FLAGS) -g -fno-common -fno-strict-aliasing -fPIE $(WARN) $(WARN_GCC) $(if $(WERROR),-Werror)

FLAGS_release := -O2 $(HARDEN)
FLAGS_fault := -O2 $(HARDEN) -DBERTH_FAULT
FLAGS_asan := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread
FLAGS_cov := -O0 --coverage -fprofile-update=atomic
LINK_asan := -fsanitize=address,undefined
LINK_tsan := -fsanitize=thread
LINK_cov := --coverage

PC := PKG_CONFIG_PATH=build/deps/lib/pkgconfig pkg-config
MHD_CFLAGS = $(shell $(PC) --cflags 'libmicrohttpd >= 1.0.5')
MHD_LIBS = $(shell $(PC) --libs 'libmicrohttpd >= 1.0.5')

CFLAGS_ALL = $(COMMON) $(FLAGS_$(MODE)) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed $(LINK_$(MODE)) $(LDFLAGS)
AUTH_LIBS := -lcrypt -lcjose -lseccomp
LIBS := -llmdb -ljansson -lcrypto -lpthread

BASE := $(patsubst %.c,$(O)/%.o,$(wildcard base/*.c))
STORAGE := $(patsubst %.c,$(O)/%.o,$(wildcard storage/*.c))
AUTH := $(patsubst %.c,$(O)/%.o,$(wildcard auth/*.c))
GC := $(patsubst %.c,$(O)/%.o,$(wildcard gc/*.c))
SERVER := $(patsubst %.c,$(O)/%.o,$(wildcard server/*.c))
# What tests link of the server: everything but main and the library in front of it.
SERVER_TESTED := $(filter-out $(O)/server/main.o $(O)/server/http.o $(O)/server/watch.o,$(SERVER))

UNIT_LIB := $(patsubst %,$(O)/tests/lib/%.o,unit fixture upload_fixture conf_fixture index_fixture index_check gc_fixture history sync_hook exchange)
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
REPLAY := $(patsubst %,$(O)/tests/fuzz/replay_%,$(FUZZ))
FAULT := $(patsubst %.c,build/fault/%,$(wildcard tests/fault/test_*.c))
INTEG := $(sort $(wildcard tests/integ/*.bats tests/integ/*.py))
JOBS ?= 2

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all help run deps deps-test install clean FORCE

all: $(BIN)/berthd ## build berthd into build/bin/

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r t d; do printf '  make %-18s %s\n' "$$t" "$$d"; done
	@printf '  make fuzz-TARGET        fuzz for FUZZ_SECONDS (600): $(FUZZ)\n'

run: deps all ## install what is missing, build, and serve on 127.0.0.1:5000
	@etc/tools/run.sh $(BIN)/berthd

deps: ## provide compilers and libraries (apt) and libmicrohttpd >= 1.0.5
	@etc/deps/apt.sh build
	@etc/deps/microhttpd.sh build/deps

deps-test: deps ## provide what the tests need, real clients included
	@etc/deps/apt.sh test
	@etc/deps/go-tools.sh build/tools
	@etc/deps/npm-tools.sh build/tools
	@etc/deps/python-tools.sh build/tools

build/deps/lib/libmicrohttpd.a: etc/deps/microhttpd-pool.patch
	@etc/deps/microhttpd.sh build/deps
	@touch $@

$(O)/.flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(CFLAGS_ALL)' | cmp -s - $@ || echo '$(CC) $(CFLAGS_ALL)' >$@

$(O)/%.o: %.c $(O)/.flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $@")
	$(Q)$(CC) $(CFLAGS_ALL) $(EXTRA) -MMD -MP -c -o $@ $<

$(O)/server/http.o: build/deps/lib/libmicrohttpd.a
$(O)/server/http.o: EXTRA = $(MHD_CFLAGS)

# Libraries that berthd loads late (base/late.h), by the names that they are linked by.
soname = '"$(shell readelf -d "$$($(CC) -print-file-name=lib$(1).so)" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')"'
$(O)/auth/late_curl.o: EXTRA = -DLATE_FILE=$(call soname,curl)
$(O)/auth/late_ldap.o: EXTRA = -DLATE_FILE=$(call soname,ldap)
$(O)/server/late_gnutls.o: EXTRA = -DLATE_FILE=$(call soname,gnutls)

# Never run: it has them as other programs have their libraries, for tools that ask a program what it needs.
build/release/berthd-needs: $(patsubst %,build/release/%.o,auth/directory auth/fetch server/tls)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) -pie -nostartfiles -Wl,--as-needed,--unresolved-symbols=ignore-all,--no-warnings,-z,notext -o $@ $^ -lgnutls -lldap -llber -lcurl

$(BIN)/berthd: $(SERVER) $(AUTH) $(GC) $(STORAGE) $(BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(MHD_LIBS) -lyaml $(AUTH_LIBS) $(LIBS)

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(UNIT_LIB) $(SERVER_TESTED) $(AUTH) $(GC) $(STORAGE) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -lyaml $(AUTH_LIBS) $(LIBS)

$(O)/tests/fuzz/replay_%: $(O)/tests/fuzz/%.o $(O)/tests/lib/replay.o $(SERVER_TESTED) $(AUTH) $(GC) $(STORAGE) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lyaml $(AUTH_LIBS) $(LIBS)

$(O)/tests/fault/%: $(O)/tests/fault/%.o $(O)/tests/fault/steps.o $(patsubst %,$(O)/tests/fault/%.o,disk race race_actors gcops) \
		$(patsubst %,$(O)/tests/lib/%.o,unit fixture index_fixture gc_fixture history exchange) $(SERVER_TESTED) $(AUTH) $(GC) $(STORAGE) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -lyaml $(AUTH_LIBS) $(LIBS)

# Signs people in at a provider, on the command of a test.
$(O)/tests/lib/signin: $(O)/tests/lib/signin.o $(AUTH) $(BASE)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(AUTH_LIBS) $(LIBS)

$(O)/tests/bench/load: $(O)/tests/bench/load.o $(O)/tests/bench/request.o
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcrypto -lpthread

.PRECIOUS: $(O)/%.o build/fuzz/%
-include $(shell find build/$(MODE) -name '*.d' 2>/dev/null)

include runtime/runtime.mk
include runtime/net/net.mk
include runtime/runner.mk
include etc/package.mk
include tests/tests.mk

install: all ## install below DESTDIR and PREFIX
	install -D -m 0755 build/bin/berthd $(DESTDIR)$(PREFIX)/bin/berthd
	install -D -m 0644 etc/berthd.conf.example $(DESTDIR)$(PREFIX)/share/doc/berth/berthd.conf.example
	install -D -m 0644 etc/openapi.yaml $(DESTDIR)$(PREFIX)/share/doc/berth/openapi.yaml
	install -D -m 0644 README.md $(DESTDIR)$(PREFIX)/share/doc/berth/README.md

clean: ## remove what was built, but not dependencies
	rm -rf build/man build/deb build/image build/release build/asan build/tsan build/cov build/fault build/fuzz build/bin
