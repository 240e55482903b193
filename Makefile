# relayd: GNU make.  `make help` lists what there is.
#
# Each variant builds into its own directory, so that objects are never
# shared: build/release, build/asan (ASan and UBSan), build/debug.

VARIANT	?= release
B	:= build/$(VARIANT)
CC	?= cc
VERSION	:= 0.1.0

# Where `make install` puts things; DESTDIR goes before all of it.
PREFIX	?= /usr/local
SBINDIR	= $(PREFIX)/sbin
BINDIR	= $(PREFIX)/bin
MANDIR	= $(PREFIX)/share/man
COMPDIR	= $(PREFIX)/share/bash-completion/completions
EXDIR	= $(PREFIX)/share/doc/relayd/examples
UNITDIR	= $(PREFIX)/lib/systemd/system
USERDIR	= $(PREFIX)/lib/sysusers.d
TMPDIR_ = $(PREFIX)/lib/tmpfiles.d

WARN	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	   -Wpointer-arith -Wcast-qual -Wconversion -Werror
HARDEN	:= -fstack-protector-strong -fstack-clash-protection -fPIE
# Control-flow protection is an x86 feature.
HARDEN	+= $(if $(filter x86_64 i%86,$(shell uname -m)),-fcf-protection)
HARDENLD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
OPT_release := -O2 -g -D_FORTIFY_SOURCE=2
OPT_debug   := -Og -g3
OPT_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	       -fno-sanitize-recover=undefined -DRELAYD_SANITIZE
LD_asan     := -fsanitize=address,undefined
CPPFLAGS += -D_GNU_SOURCE -DVERSION=\"$(VERSION)\" -iquote common -iquote relayd/core -isystem /usr/include/bsd -DLIBBSD_OVERLAY
CFLAGS	:= -std=c11 -pipe $(OPT_$(VARIANT)) $(WARN) $(HARDEN) -ffunction-sections -fdata-sections
LDFLAGS	:= $(HARDENLD) $(LD_$(VARIANT)) -Wl,--gc-sections -Wl,--as-needed
LIBS	:= -lbsd -levent_core -lmsgpackc -lyaml -lseccomp -lssl -lcrypto -lmd

PROGRAMS := relayd relay-authd relay-xchg relay-ctl
PYTEST	:= /usr/bin/python3 -B -m pytest -q -p no:cacheprovider

ifeq ($(OPT_$(VARIANT)),)
  $(error VARIANT=$(VARIANT) is none of release, asan, debug)
endif

# All processors, unless -j says otherwise (GNU make 4.3 does not tell us what
# it was given).
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j% --jobs%,$(shell tr '\0' ' ' </proc/$$PPID/cmdline)),)
  MAKEFLAGS += -j$(shell nproc)
endif
endif

# One short line per step; make V=1 shows the commands.
ifeq ($(V),1)
  say =
  Q :=
else
  say = @printf '  %-4s %s\n' $(1) $(2);
  Q := @
  MAKEFLAGS += --no-print-directory
endif

obj = $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard $(1)/*.c)))
COMMON_O := $(call obj,common)
CORE_O	 := $(call obj,relayd/core)
RELAYD_O := $(call obj,relayd)
# Its main is a file of its own, so that the rest is a library for tests.
AUTHD_O	 := $(call obj,relay-authd)
LIBAUTHD_O := $(filter-out %/authd.o,$(AUTHD_O))
XCHG_O	 := $(call obj,relay-xchg)
CTL_O	 := $(call obj,relay-ctl)
UNIT	 := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(sort $(wildcard tests/unit/test_*.c)))

all: $(addprefix $(B)/,$(PROGRAMS))	## build the programs into build/release (VARIANT=asan|debug: another)

# The compiler and libraries are looked for once per build directory.
$(B)/.deps: scripts/deps
	@scripts/deps check build
	@mkdir -p $(@D) && touch $@

$(B)/obj/%.o: %.c | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# What a target is made of, kept in a file that changes only with the list:
# when a source is removed, what it was in is made again without it.
$(B)/%.list: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(LIST) | cmp -s - $@ || printf '%s\n' $(LIST) >$@
$(B)/libcommon.list:	LIST = $(COMMON_O)
$(B)/libcore.list:	LIST = $(CORE_O)
$(B)/libauthd.list:	LIST = $(LIBAUTHD_O)
$(B)/relayd.list:	LIST = $(RELAYD_O)
$(B)/relay-authd.list:	LIST = $(AUTHD_O)
$(B)/relay-xchg.list:	LIST = $(XCHG_O)
$(B)/relay-ctl.list:	LIST = $(CTL_O)

$(B)/libcommon.a: $(COMMON_O)
$(B)/libcore.a: $(CORE_O)
$(B)/libauthd.a: $(LIBAUTHD_O)
$(B)/libcommon.a $(B)/libcore.a $(B)/libauthd.a: $(B)/%.a: $(B)/%.list
	@rm -f $@
	$(Q)ar rcs $@ $(filter %.o,$^)

$(B)/relayd:      $(RELAYD_O) $(B)/libcore.a $(B)/libcommon.a
$(B)/relay-authd: $(AUTHD_O) $(B)/libcommon.a
$(B)/relay-xchg:  $(XCHG_O) $(B)/libcommon.a
$(B)/relay-ctl:   $(CTL_O) $(B)/libcommon.a
# serve speaks HTTP, by evhttp; nothing else does.
$(B)/relay-ctl:   LIBS += -levent_extra
$(addprefix $(B)/,$(PROGRAMS)): $(B)/%: $(B)/%.list
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

# Tests alone see the headers of relay-authd besides its own sources.
$(B)/obj/tests/%.o: CPPFLAGS += -iquote relay-authd
$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(B)/libcore.a $(B)/libauthd.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

SIM_O	:= $(call obj,tests/sim)
$(B)/sim.list:	LIST = $(SIM_O)
$(B)/sim: $(SIM_O) $(B)/libcore.a $(B)/libcommon.a $(B)/sim.list
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

# One of them runs the exchange that was built beside it.
units: $(UNIT) $(B)/relay-xchg

unit: units		## run the unit tests of VARIANT
	@scripts/run-units $(UNIT)

e2e: all		## run the end-to-end tests of VARIANT (T= names files or tests)
	$(Q)RELAYD_BUILD=$(B) $(PYTEST) $(or $(T),tests/e2e)

check:			## all tests but the long ones; as root once with users of its own, once without
	@scripts/deps install build test
	@scripts/users
	+@scripts/check

check-release:		## check, and the tests that take long
	@scripts/deps install build test
	@scripts/users
	+@scripts/check release

lint:			## formatting, static analysis, manuals, scripts, promises about the code
	@scripts/deps install build lint
	@$(MAKE) all
	@scripts/lint

FUZZ_SECONDS ?= 10
fuzz:			## fuzz every target for FUZZ_SECONDS=10 (0: only over what is kept)
	@scripts/deps install build fuzz
	+@tests/fuzz/run $(FUZZ_SECONDS)

SIM_SEEDS ?= 3000
sim: $(B)/sim		## simulate delivery and link with SIM_SEEDS=3000 seeds of faults
	@$(B)/sim -n $(SIM_SEEDS)

sim-mutate:		## break each rule of the core and see that the simulation tells
	@tests/sim/mutate

bench: all		## measure (tests/bench)
	@scripts/deps check build test
	@tests/bench/run
	@tests/bench/scale

demo:			## a message in, a reply out, in fifteen lines
	@scripts/deps install build test
	@scripts/users
	@$(MAKE) all
	@exec env RELAYD_BUILD=$(B) /usr/bin/python3 -B tests/demo/demo.py

play:			## chat with an echo agent through the real processes, until ^D
	@scripts/deps install build test
	@scripts/users
	@$(MAKE) all
	@exec env RELAYD_BUILD=$(B) /usr/bin/python3 -B tests/demo/play.py

deps:			## install the packages that building, testing and linting need (as root)
	@scripts/deps install build test lint

MANUALS := $(sort $(wildcard docs/*.[1-8]))
UNITS	:= $(notdir $(sort $(wildcard etc/*.service etc/*.socket etc/*.target)))

install: all		## install below PREFIX=/usr/local (DESTDIR= for a staging directory)
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(EXDIR)
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(USERDIR) $(DESTDIR)$(TMPDIR_)
	install -m 0755 $(B)/relayd $(B)/relay-authd $(B)/relay-xchg $(DESTDIR)$(SBINDIR)
	install -m 0755 $(B)/relay-ctl $(DESTDIR)$(BINDIR)
	install -D -m 0644 etc/relay-ctl.bash $(DESTDIR)$(COMPDIR)/relay-ctl
	for m in $(MANUALS); do \
		install -D -m 0644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/} || exit 1; \
	done
	install -m 0644 docs/control-1.json $(DESTDIR)$(PREFIX)/share/doc/relayd
	install -m 0644 etc/relayd.yaml examples/agent.c $(DESTDIR)$(EXDIR)
	install -m 0755 examples/agent.py examples/agent.sh $(DESTDIR)$(EXDIR)
	for u in $(UNITS); do \
		sed 's,/usr/sbin/,$(SBINDIR)/,; s,/usr/bin/,$(BINDIR)/,' etc/$$u >$(DESTDIR)$(UNITDIR)/$$u && \
		chmod 0644 $(DESTDIR)$(UNITDIR)/$$u || exit 1; \
	done
	install -m 0644 etc/relayd.sysusers $(DESTDIR)$(USERDIR)/relayd.conf
	install -m 0644 etc/relayd.tmpfiles $(DESTDIR)$(TMPDIR_)/relayd.conf

uninstall:		## remove what install put there; configuration and state stay
	rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,relayd relay-authd relay-xchg) $(DESTDIR)$(BINDIR)/relay-ctl
	rm -f $(DESTDIR)$(COMPDIR)/relay-ctl
	for m in $(MANUALS); do rm -f $(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/}; done
	rm -f $(DESTDIR)$(PREFIX)/share/doc/relayd/control-1.json
	rm -f $(DESTDIR)$(EXDIR)/relayd.yaml $(DESTDIR)$(EXDIR)/agent.*
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS))
	rm -f $(DESTDIR)$(USERDIR)/relayd.conf $(DESTDIR)$(TMPDIR_)/relayd.conf
	-rmdir $(DESTDIR)$(EXDIR) $(DESTDIR)$(PREFIX)/share/doc/relayd 2>/dev/null

clean:			## remove everything that was built
	rm -rf build

help:			## this list
	@awk -F '\t*## ' '/^[a-z0-9-]+:.*## / { sub(/:.*/, "", $$1); printf "  %-14s %s\n", $$1, $$2 }' Makefile

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
FORCE:
.PHONY: all units unit e2e check check-release lint fuzz sim sim-mutate bench demo play deps install uninstall clean help FORCE
.SECONDARY:
.DELETE_ON_ERROR:
