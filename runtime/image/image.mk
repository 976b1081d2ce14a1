# The runner's images: included by ../../Makefile.

IMAGE_SOURCES := $(wildcard runtime/image/*.c)
IMAGE := $(IMAGE_SOURCES:%.c=$(O)/%.o)
CLI := $(patsubst %.c,$(O)/%.o,$(wildcard runtime/cli/*.c))
# What tests link of it: everything but main.
CLI_TESTED := $(filter-out $(O)/runtime/cli/main.o,$(CLI))
IMAGE_LIBS := -larchive -lcurl -lisal -lzstd

all: $(BIN)/berth

$(BIN)/berth: $(CLI) $(IMAGE) $(STORAGE) $(BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(IMAGE_LIBS) $(LIBS)

IMAGE_UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_image_*.c))
$(IMAGE_UNIT): $(O)/tests/unit/%: $(O)/tests/unit/%.o $(UNIT_LIB) $(CLI_TESTED) $(IMAGE) $(SERVER_TESTED) $(STORAGE) $(BASE)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -lyaml $(IMAGE_LIBS) $(LIBS)

install: install-berth
.PHONY: install-berth
install-berth: all
	install -D -m 0755 build/bin/berth $(DESTDIR)$(PREFIX)/bin/berth
