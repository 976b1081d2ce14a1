# What is installed beside programs, and packages of all of it: included by ../Makefile.
#
# etc/man/manual.sh makes the pages of what the programs say of themselves, so they need to be built.

SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SHARE = $(DESTDIR)$(PREFIX)/share
PAGES := $(patsubst etc/man/%.in,build/man/%,$(wildcard etc/man/*.in))
INSTALL_DATA := install -D -m 0644

.PHONY: manuals install-shared
manuals: $(PAGES) ## manual pages, into build/man/

build/man/%: etc/man/%.in etc/man/manual.sh build/bin/berthd build/bin/berth build/bin/berth-net build/bin/berth-runtime
	@mkdir -p $(@D)
	$(if $(V),,@echo "  MAN $@")
	$(Q)etc/man/manual.sh build/bin $< >$@

install: install-shared
install-shared: $(PAGES)
	for page in $(PAGES:build/man/%=%); do \
		$(INSTALL_DATA) build/man/$$page $(SHARE)/man/man$${page##*.}/$$page || exit 1; done
	for name in berthd berth; do \
		$(INSTALL_DATA) etc/completions/$$name.bash $(SHARE)/bash-completion/completions/$$name && \
		$(INSTALL_DATA) etc/completions/$$name.fish $(SHARE)/fish/vendor_completions.d/$$name.fish && \
		$(INSTALL_DATA) etc/completions/$$name.zsh $(SHARE)/zsh/site-functions/_$$name || exit 1; done
	for unit in etc/systemd/*.service.in; do install -d $(DESTDIR)$(UNITDIR) && \
		sed 's|@BINDIR@|$(PREFIX)/bin|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' $$unit >$(DESTDIR)$(UNITDIR)/$$(basename $$unit .in) || exit 1; done
	for unit in etc/systemd/*.socket; do $(INSTALL_DATA) $$unit $(DESTDIR)$(UNITDIR)/$$(basename $$unit) || exit 1; done
	$(INSTALL_DATA) etc/systemd/berthd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/berthd.conf
	test -e $(DESTDIR)$(SYSCONFDIR)/berthd/berthd.conf || $(INSTALL_DATA) etc/berthd.conf $(DESTDIR)$(SYSCONFDIR)/berthd/berthd.conf
	for file in berthd.rules.yml grafana.json; do \
		$(INSTALL_DATA) etc/monitoring/$$file $(SHARE)/doc/berth/monitoring/$$file || exit 1; done
	$(INSTALL_DATA) etc/registries.json.example $(SHARE)/doc/berth/registries.json.example

# Packages.  The source of libmicrohttpd goes along, as a package is built without a network.
.PHONY: deb
deb: build/deps/libmicrohttpd.tar.xz ## Debian packages berthd, berth and berth-runtime, into build/deb/
	@etc/deps/apt.sh package
	@etc/tools/deb.sh build/deb $<

build/deps/libmicrohttpd.tar.xz:
	@etc/deps/apt.sh build
	@mkdir -p $(@D)
	@etc/deps/microhttpd.sh --source $@

# All of it takes minutes, most of them for two builds and a Debian to install on, so it is not part of "make check" unless
# PACKAGES=1 asks for it, as the continuous integration does.
PACKAGE_TESTS := tests/package/deb.py
.PHONY: check-deb
check-deb: deps-test ## the packages: lintian, sizes, a second build alike, their life on a clean Debian 12
	@$(RUN) -t 3600 $(PACKAGE_TESTS)

IMAGE ?= localhost/berthd:$(VERSION)
.PHONY: image
image: all build/release/berthd-needs ## a container image of berthd, into build/image/berthd.tar
	@etc/tools/image.sh build/bin build/release/berthd-needs build/image/berthd.tar $(IMAGE)
