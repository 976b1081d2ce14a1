# berth and berth-shim: included by ../Makefile.

RUNNER_PARTS := image container bundle
RUNNER := $(patsubst %.c,$(O)/%.o,$(foreach p,$(RUNNER_PARTS),$(wildcard runtime/$(p)/*.c))) $(O)/runtime/oci/init/tree.o
CLI := $(patsubst %.c,$(O)/%.o,$(wildcard runtime/cli/*.c))
RUNNER_LIBS := -larchive -lcurl -lisal -lzstd

# One for each container, so linked statically and of few parts: its memory and start are paid each time.
SHIM := $(patsubst %.c,$(O)/%.o,$(wildcard runtime/shim/*.c)) \
	$(patsubst %,$(O)/runtime/container/%.o,record status overlay fuse idmount) $(O)/runtime/oci/init/tree.o $(RUNTIME_BASE)

all: $(BIN)/berth $(BIN)/berth-shim $(BIN)/berth-init

$(O)/runtime/cli/ctl.o: $(O)/.libexec
$(O)/runtime/cli/ctl.o: EXTRA = -DBERTH_LIBEXEC='"$(LIBEXEC)"'

$(BIN)/berth: $(CLI) $(RUNNER) $(NET) $(STORAGE) $(BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(RUNNER_LIBS) $(LIBS)

$(BIN)/berth-shim: $(SHIM)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(RUNTIME_LDFLAGS) -o $@ $^ -ljansson

# In containers, whatever libraries those have.
$(BIN)/berth-init: $(O)/runtime/init/main.o
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(RUNTIME_LDFLAGS) -o $@ $^

RUNNER_UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_image_*.c tests/unit/test_runner_*.c))
$(RUNNER_UNIT): $(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/tests/lib/unit.o $(O)/tests/lib/fixture.o $(RUNNER) $(STORAGE) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(RUNNER_LIBS) $(LIBS)

.PHONY: demo
demo: deps-test all ## from nothing to a running container, on this machine
	@etc/tools/demo.sh $(BIN)

install: install-berth
.PHONY: install-berth
install-berth: all
	install -D -m 0755 build/bin/berth $(DESTDIR)$(PREFIX)/bin/berth
	install -D -m 0755 build/bin/berth-shim $(DESTDIR)$(LIBEXEC)/berth-shim
	install -D -m 0755 build/bin/berth-init $(DESTDIR)$(LIBEXEC)/berth-init
