# inferonce: `make run` shows it, `make check` proves it, `make help` lists the rest.

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
PORT    ?= 8000

# For each fuzzer.
FUZZ_SECONDS ?= 60

# A file includes headers of its own folder and of folders before it in this list (`make layers`).
FOLDERS := base fastcgi http store engine cache api process

CC       ?= cc
AR       ?= ar
OPTIMISE ?= -O2
SANITIZE ?=
WERROR   ?= $(if $(CI),-Werror)
PACKAGES := fcgi libuv jansson libssl libcrypto libutf8proc libmemcached hiredis libcurl

WARNINGS  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wpointer-arith \
             -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2
HARDENING := -fstack-protector-strong -fPIE -fcf-protection=full $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
PKG_CONFIG ?= pkg-config

CPPFLAGS += -D_GNU_SOURCE -Iinclude -Isrc -I$(BUILD)/generated -DINFERONCE_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=c11 -g $(OPTIMISE) $(WARNINGS) $(WERROR) $(HARDENING) $(SANITIZE) $(PACKAGE_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SANITIZE) $(LDFLAGS)

# Empty where pkg-config is not there yet; the rule of $(BUILD)/flags says what it lacks.
PACKAGE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
PACKAGE_LIBS   := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)

ifeq ($(V),1)
  Q :=
  say = @:
else
  Q := @
  say = @printf '  %-8s %s\n'
endif

# The sources of folder $(1), with those of its own folders.
sources_of = $(sort $(wildcard src/$(1)/*.c src/$(1)/*/*.c))
objects_of = $(patsubst %.c,$(BUILD)/%.o,$(call sources_of,$(1)))
HEADERS  := $(sort $(wildcard include/inferonce/*/*.h src/*/*.h src/*/*/*.h))
ARCHIVES := $(FOLDERS:%=$(BUILD)/lib%.a)
reverse   = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
# A folder and those before it: what its tests may use.
upto_base    := base
upto_fastcgi := $(upto_base) fastcgi
upto_http    := $(upto_fastcgi) http
upto_store   := $(upto_http) store
upto_engine  := $(upto_store) engine
upto_cache   := $(upto_engine) cache
upto_api     := $(upto_cache) api
upto_process := $(upto_api) process
# Their archives, the last first, for the linker.
upto = $(call reverse,$(upto_$(1):%=$(BUILD)/lib%.a))

UNIT_SOURCES     := $(sort $(wildcard tests/unit/*/*_test.c))
UNIT_TESTS       := $(UNIT_SOURCES:%.c=$(BUILD)/%)
CONTRACT_SOURCES := $(sort $(wildcard tests/contract/*_test.c))
CONTRACT_TESTS   := $(CONTRACT_SOURCES:%.c=$(BUILD)/%)
TEST_SUPPORT     := $(BUILD)/tests/libsupport.a
BENCH_SOURCES    := $(sort $(wildcard tests/bench/*.c))
BENCHES          := $(BENCH_SOURCES:%.c=$(BUILD)/%)
FUZZERS          := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))

.PHONY: all run run-installed check check-installed unit test e2e tests-built asan benches bench bench-installed fuzz run-fuzzers coverage hooks headers layers \
        format lint lint-installed docs deb check-package check-dashboard check-dashboard-installed install install-built uninstall deps clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/inferonce                     ## build build/inferonce (the default)

$(BUILD)/inferonce: $(BUILD)/src/main.o $(call reverse,$(ARCHIVES))
	$(say) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS) -lpthread -lm

# Whatever changes how objects are made (compiler, flags) is kept in a file that objects depend on.
FLAGS = $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)
$(BUILD)/flags: FORCE
	@missing=; \
	    for command in $(firstword $(CC)) $(firstword $(PKG_CONFIG)); do \
	        command -v $$command > /dev/null || missing="$$missing $$command"; \
	    done; \
	    test -n "$$missing" || missing=$$(for package in $(PACKAGES); do \
	        $(PKG_CONFIG) --exists $$package || printf ' %s' $$package; done); \
	    test -z "$$missing" || { \
	        echo "Not installed:$$missing. \`make deps' installs what building and testing needs." >&2; exit 1; }
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS))' > $@

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(if $(filter tests/%,$<),-Itests/lib) $(ALL_CFLAGS) $(if $(filter tests/%,$<),-Wno-missing-prototypes) -MMD -MP -c -o $@ $<

.SECONDEXPANSION:

$(ARCHIVES): $(BUILD)/lib%.a: $$(call objects_of,$$*)
	$(say) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# An archive, so that a test links of it, and of the folders below, only what it uses.
$(TEST_SUPPORT): $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/lib/*.c)))
	$(say) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# A unit test sees its own folder and the ones before it, as the source does, and what its folder of tests shares.
unit_support = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(sort $(wildcard tests/unit/$(1)/*.c))))
folder_of = $(notdir $(patsubst %/,%,$(dir $(1))))
$(UNIT_TESTS): %: %.o $$(call unit_support,$$(call folder_of,$$@)) $(TEST_SUPPORT) $$(call upto,$$(call folder_of,$$@))
	$(say) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS) -lcunit -lpthread -lm

$(BUILD)/tests/contract/%_test: $(BUILD)/tests/contract/%_test.o $(TEST_SUPPORT) $(call upto,store)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS) -lcunit -lpthread -lm

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(call reverse,$(ARCHIVES))
	$(say) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS) -lpthread -lm

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(call reverse,$(ARCHIVES))
	$(say) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PACKAGE_LIBS) -lpthread -lm

# The lexicon is compiled in, so that the program is one file.
$(BUILD)/src/engine/vader/lexicon.o: $(BUILD)/generated/vader_lexicon.inc
$(BUILD)/generated/vader_lexicon.inc: src/engine/vader/lexicon.tsv src/engine/vader/lexicon.awk
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)LC_ALL=C awk -f src/engine/vader/lexicon.awk $< > $@

# Files that are served as they are, each as the bytes of an array; and the policy that lets the page run its own script.
as_bytes = od -An -v -tu1 | sed 's/\([0-9]\{1,\}\)/\1,/g'
$(BUILD)/src/api/openapi.o: $(BUILD)/generated/openapi.json.inc
$(BUILD)/src/api/dashboard.o: $(BUILD)/generated/dashboard.html.inc $(BUILD)/generated/dashboard.html.policy.inc
$(BUILD)/generated/%.policy.inc: $(BUILD)/generated/% src/api/policy
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)policy=$$(sh src/api/policy $<) && printf '%s' "$$policy" | $(as_bytes) > $@
$(BUILD)/generated/%.inc: src/api/%
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)< $< $(as_bytes) > $@
$(BUILD)/generated/%.html.inc: $(BUILD)/generated/%.html
	$(say) GEN $@
	$(Q)< $< $(as_bytes) > $@

# One page, without outside resources, of its parts in their order.
DASHBOARD := src/api/dashboard
DASHBOARD_SCRIPTS := $(foreach f,figures history charts page,$(DASHBOARD)/$(f).js)
$(BUILD)/generated/dashboard.html: $(DASHBOARD)/page.html $(DASHBOARD)/style.css $(DASHBOARD_SCRIPTS)
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)sed -e '/^<style>$$/r $(DASHBOARD)/style.css' $(foreach f,$(DASHBOARD_SCRIPTS),-e '/^<script>$$/r $(f)') $< > $@

deps:                                       ## install from the distribution's packages what building and testing needs
	@deploy/install-deps test

run:                                        ## serve http://localhost:8000 behind nginx, with a 5 s model (PORT=, SERVER=lighttpd)
	@deploy/install-deps run $(or $(SERVER),nginx)
	@$(MAKE) --no-print-directory run-installed

# exec: whoever stops make then stops the script, not a shell between them.
run-installed: all
	@exec env BUILD='$(BUILD)' deploy/run $(or $(SERVER),nginx) $(PORT)

check: deps                                 ## build, then every unit, contract and end-to-end test
	@$(MAKE) --no-print-directory check-installed

tests-built: all $(UNIT_TESTS) $(CONTRACT_TESTS) benches

check-installed: tests-built
	@BUILD='$(BUILD)' tests/run unit contract e2e

unit: $(UNIT_TESTS) $(CONTRACT_TESTS)       ## the unit and contract tests alone
	@BUILD='$(BUILD)' tests/run unit contract

# GDB=1 is for C: a debugger on an end-to-end test sees Python.
test:                                       ## one test: T=tests/unit/cache/flight_test.c or T=tests/e2e/test_x.py [CASE='late store'] [GDB=1]
	@case '$(T)' in \
	tests/unit/*_test.c|tests/contract/*_test.c) \
	    $(MAKE) --no-print-directory '$(BUILD)/$(T:.c=)' && exec $(if $(GDB),gdb -q --args) '$(BUILD)/$(T:.c=)' $(if $(CASE),'$(CASE)');; \
	tests/e2e/test_*.py) \
	    $(MAKE) --no-print-directory tests-built && BUILD='$(BUILD)' exec tests/run '$(T)' $(if $(CASE),-k '$(CASE)');; \
	*) echo "usage: make test T=tests/unit/cache/flight_test.c [CASE='late store'] [GDB=1]" >&2; exit 2;; \
	esac

e2e: tests-built                            ## the end-to-end tests alone
	@BUILD='$(BUILD)' tests/run e2e

check-dashboard:                            ## the dashboard in headless Chromium, 300 MB (SCREENSHOTS=DIRECTORY keeps the pictures)
	@deploy/install-deps dashboard
	@$(MAKE) --no-print-directory check-dashboard-installed

check-dashboard-installed: all
	@BUILD='$(BUILD)' tests/run tests/dashboard/test_dashboard.py

asan:                                       ## unit and end-to-end tests under AddressSanitizer and UBSan
	@# What the sanitizers add makes gcc see uninitialised variables where there are none.
	@$(MAKE) --no-print-directory BUILD=build/asan OPTIMISE='-O1 -Wno-maybe-uninitialized' \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' check-installed

benches: $(BENCHES)

bench:                                      ## the benchmarks: ratios, taken in turns in one run
	@deploy/install-deps bench
	@$(MAKE) --no-print-directory bench-installed

bench-installed: all benches
	@BUILD='$(BUILD)' tests/bench/run

fuzz:                                       ## every parser under libFuzzer and the sanitizers (FUZZ_SECONDS= for each)
	@deploy/install-deps fuzz
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang OPTIMISE=-O1 \
	    SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' run-fuzzers

# What they found of interest is kept, so that the next run goes on from there.
run-fuzzers: $(FUZZERS)
	@for fuzzer in $^; do \
	    echo "fuzz: $${fuzzer##*/}, $(FUZZ_SECONDS) s"; \
	    mkdir -p $(BUILD)/corpus/$${fuzzer##*/} || exit 1; \
	    $$fuzzer -verbosity=0 -print_funcs=0 -print_final_stats=1 -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(BUILD)/ \
	        $(BUILD)/corpus/$${fuzzer##*/} || exit 1; \
	done

coverage:                                   ## lines that the unit, contract and end-to-end tests reach, by folder (gcovr)
	@deploy/install-deps coverage
	@$(MAKE) --no-print-directory BUILD=build/coverage OPTIMISE=-O0 SANITIZE='--coverage -fprofile-update=atomic' check-installed
	@tests/lib/coverage build/coverage $(FOLDERS)

hooks:                                      ## have git check format, layers and headers before each commit
	@install -m 0755 tests/lib/pre-commit "$$(git rev-parse --git-path hooks)/pre-commit"

headers:                                    ## every header compiles alone
	@for header in $(HEADERS); do \
	    $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Werror -Wno-unused-macros -fsyntax-only -x c $$header || exit 1; \
	done; echo 'headers: every one of $(words $(HEADERS)) compiles alone'

layers: all                                 ## no include leads to a later folder or to another's private header, and no sources are in a circle
	@tests/lib/layers '$(BUILD)' $(FOLDERS)

format:                                     ## clang-format in place
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

lint:                                       ## clang-format (check only), cppcheck, Spectral (from npm), shell and Python syntax
	@deploy/install-deps lint
	@$(MAKE) --no-print-directory lint-installed

lint-installed: all
	@BUILD='$(BUILD)' tests/lib/lint

docs: all                                   ## write what is generated from the tables: README's settings, the sample file, inferonce.conf(5)
	@$(BUILD)/inferonce --print-sample > deploy/inferonce.conf.sample
	@$(BUILD)/inferonce --print-man > deploy/man/inferonce.conf.5
	@$(BUILD)/inferonce --print-markdown > $(BUILD)/settings.md
	@sed -i -e '/^<!-- settings -->$$/,/^<!-- \/settings -->$$/{/^<!--/!d}' \
	    -e '/^<!-- settings -->$$/r $(BUILD)/settings.md' README.md

# FILE=PLACE below PREFIX; the examples keep their names.
PROGRAMS := $(BUILD)/inferonce=bin/inferonce $(foreach f,spawn warm top,deploy/inferonce-$(f)=bin/inferonce-$(f))
DATA := nginx/inferonce.conf=share/inferonce/nginx/inferonce.conf \
        nginx/inferonce-upstream.conf=share/inferonce/nginx/inferonce-upstream.conf \
        nginx/inferonce-limits.conf=share/inferonce/nginx/inferonce-limits.conf \
        nginx/inferonce-limited.conf=share/inferonce/nginx/inferonce-limited.conf \
        nginx/inferonce-transfer.conf=share/inferonce/nginx/inferonce-transfer.conf \
        lighttpd/inferonce.conf=share/inferonce/lighttpd/inferonce.conf \
        deploy/inferonce.conf.sample=share/inferonce/inferonce.conf.sample \
        $(foreach f,$(sort $(wildcard deploy/systemd/*)),$(f)=share/inferonce/systemd/$(notdir $(f))) \
        $(foreach f,$(sort $(wildcard deploy/prometheus/*)),$(f)=share/inferonce/prometheus/$(notdir $(f))) \
        deploy/grafana/inferonce.json=share/inferonce/grafana/inferonce.json \
        $(foreach f,$(sort $(wildcard deploy/examples/*)),$(f)=share/doc/inferonce/examples/$(notdir $(f))) \
        $(foreach f,$(sort $(wildcard deploy/man/*.8)),$(f)=share/man/man8/$(notdir $(f))) deploy/man/inferonce.conf.5=share/man/man5/inferonce.conf.5 \
        README.md=share/doc/inferonce/README.md \
        LICENSE=share/doc/inferonce/LICENSE \
        src/engine/vader/lexicon.LICENSE=share/doc/inferonce/vader_lexicon.LICENSE
DIRECTORIES := share/man/man8 share/man/man5 share/man share/inferonce/nginx share/inferonce/lighttpd share/inferonce/systemd share/inferonce/prometheus share/inferonce/grafana share/inferonce share/doc/inferonce/examples share/doc/inferonce

install: all install-built                  ## install under DESTDIR and PREFIX (/usr/local)

install-built:
	@for pair in $(PROGRAMS); do install -v -D -m 0755 "$${pair%%=*}" '$(DESTDIR)$(PREFIX)'/"$${pair#*=}" || exit 1; done
	@for pair in $(DATA); do install -v -D -m 0644 "$${pair%%=*}" '$(DESTDIR)$(PREFIX)'/"$${pair#*=}" || exit 1; done

deb: all                                    ## a Debian package, $(BUILD)/inferonce_VERSION-REVISION_ARCHITECTURE.deb (REVISION=1)
	@deploy/install-deps package
	@BUILD='$(BUILD)' VERSION='$(VERSION)' deploy/package/build $(or $(REVISION),1)

check-package: all                          ## as root: the package's life on a bare Debian made by debootstrap
	@deploy/install-deps package
	@BUILD='$(BUILD)' VERSION='$(VERSION)' deploy/package/build 1
	@BUILD='$(BUILD)' VERSION='$(VERSION)' deploy/package/build 2
	@tests/package/run $(BUILD)/inferonce_$(VERSION)-1_*.deb $(BUILD)/inferonce_$(VERSION)-2_*.deb

uninstall:                                  ## remove what `make install` put under DESTDIR and PREFIX
	@for pair in $(PROGRAMS) $(DATA); do rm -f -v '$(DESTDIR)$(PREFIX)'/"$${pair#*=}" || exit 1; done
	@for directory in $(DIRECTORIES); do rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(PREFIX)'/"$$directory" 2>/dev/null || :; done

clean:                                      ## remove what was built
	rm -rf $(BUILD)

help:                                       ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
