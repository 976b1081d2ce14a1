# Networks: included by ../../Makefile.
#
# berth-net drives runtime/net/ until the runner does; it is built, tested, and not installed.

NET_SOURCES := $(wildcard runtime/net/*.c runtime/cli/network*.c)
NET := $(NET_SOURCES:%.c=$(O)/%.o)
# Of base what needs no library but jansson and libcrypto.
NET_BASE := $(patsubst %,$(O)/base/%.o,arena base64 clock digest err fd hash jv str sys)
NET_LIBS := -ljansson -lcrypto

all: $(BIN)/berth-net

$(BIN)/berth-net: $(O)/runtime/cli/berth_net.o $(NET) $(NET_BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(NET_LIBS)
