# SPDX-License-Identifier: Apache-2.0
#
# The whole build. `make` leaves one static executable, dist/dcos-node; `make help` lists the rest.
# Everything made stands under build/ (B), the libraries under build/deps (D); nothing else is touched.

VERSION = 0.1.0

# ---- Libraries: Debian source packages of this suite, pinned to an upstream version ----
SUITE = trixie
libev_VERSION      = 4.33
lmdb_VERSION       = 0.9.31
mbedtls_VERSION    = 3.6.6
nanopb_VERSION     = 0.4.9.1
yyjson_VERSION     = 0.10.0+ds
zlib_VERSION       = 1.3.dfsg+really1.3.1
nghttp2_VERSION    = 1.64.0
raft_VERSION       = 0.22.1
libzstd_VERSION    = 1.5.7+dfsg
libarchive_VERSION = 3.7.4
libseccomp_VERSION = 2.6.0
libyaml_VERSION    = 0.2.5
cmocka_VERSION     = 1.1.7
SOURCES = libev lmdb mbedtls nanopb yyjson zlib nghttp2 raft libzstd libarchive libseccomp libyaml cmocka

# Debian packages: to build, to test, to analyse (make lint, san, fuzz-*).
PACKAGES_build = gcc libc6-dev musl-tools clang bpftool libbpf-dev linux-libc-dev protobuf-compiler python3-protobuf \
	gperf bzip2 xz-utils
PACKAGES_test  = busybox-static curl jq python3 iproute2 bind9-dnsutils procps util-linux
PACKAGES_check = clang-tidy shellcheck libclang-rt-14-dev

# ---- Where things are ----
B = build
D = $(B)/deps
O = $(B)/musl/obj
src = $(D)/src/$(1)-$($(1)_VERSION)

MAKEFLAGS += --no-builtin-rules --jobs=$(shell nproc)
.SUFFIXES:
.DELETE_ON_ERROR:
Q = $(if $(V),,@)
say = $(if $(V),:,echo "$(1) $(2)")
PREFIX = /usr/local
PATH := $(PATH):/usr/sbin:/sbin
export PATH

# ---- Flags, by flavour: musl is what ships, lint refuses warnings, san and fuzz find bugs ----
WARN = -Wall -Wextra -Wshadow -Wvla
WARN_STRICT = -Wconversion                   # in net/ and store/
DEFS = -D_GNU_SOURCE -DPB_FIELD_32BIT -DPB_ENABLE_MALLOC -DPB_SYSTEM_HEADER='"net/pb_alloc.h"'
FLAGS = -std=gnu11 -O2 -g -ffunction-sections -fdata-sections -fno-omit-frame-pointer -fstack-protector-strong $(DEFS)
MUSL = -idirafter $(D)/musl/kernel           # musl-gcc hides the kernel's headers
CC_musl = musl-gcc
CC_lint = musl-gcc
CC_san  = clang
CC_fuzz = clang
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_musl = $(FLAGS) $(MUSL)
FLAGS_lint = $(FLAGS) $(MUSL) -Werror
FLAGS_san  = $(FLAGS) -O1 $(SANITIZE)
FLAGS_fuzz = $(FLAGS) -O1 $(SANITIZE) -fsanitize=fuzzer-no-link
LDFLAGS_musl = -static -Wl,--gc-sections
LDFLAGS_san  = $(SANITIZE) -Wl,--gc-sections
LDFLAGS_fuzz = $(SANITIZE) -fsanitize=fuzzer -Wl,--gc-sections
LIBFLAGS_musl = -O2 -g -ffunction-sections -fdata-sections -idirafter $(abspath $(D))/musl/kernel -w
LIBFLAGS_san  = -O1 -g -fsanitize=address -fno-omit-frame-pointer -w   # undefined behaviour is looked for in our own code only
DEPS_musl = musl
DEPS_lint = musl
DEPS_san  = san
DEPS_fuzz = san

# ---- Our sources, by wildcard ----
SRC   = $(wildcard main.c net/*.c net/base/*.c store/*.c roles/*.c roles/*/*.c roles/*/*/*.c)
CSRC  = $(filter-out %.bpf.c,$(SRC))
PROTO = $(wildcard proto/*.proto)
BPF   = $(wildcard roles/*/*.bpf.c)
TESTS = $(filter-out %_main.c,$(wildcard tests/lib/*.c)) $(filter-out %_main.c,$(wildcard tests/unit/*.c tests/conformance/*.c tests/sim/*.c))
FUZZ  = $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
BENCH = $(patsubst tests/bench/%.c,%,$(wildcard tests/bench/*.c))
E2E_PROGRAMS = $(patsubst tests/e2e/%.c,%,$(wildcard tests/e2e/*.c))
SCRIPTS = $(wildcard tests/*.sh tests/*/*.sh tests/lint/files tests/lint/includes tests/run tests/bench/run .ci/run) \
	dist/build-library dist/fetch-sources dist/install-packages dist/licenses
E2E   = $(wildcard tests/e2e/*.sh)
GEN_H = $(PROTO:%.proto=$(B)/gen/%.pb.h) $(PROTO:%.proto=$(B)/gen/%.pb.c) $(BPF:%.bpf.c=$(B)/gen/%.skel.h) $(B)/gen/version.h
GEN_C = $(PROTO:%.proto=gen/%.pb.c) gen/licenses.c nanopb/pb_common.c nanopb/pb_encode.c nanopb/pb_decode.c
ours   = $(patsubst %.c,$(B)/$(1)/obj/%.o,$(CSRC) $(GEN_C))
theirs = $(LIBS:%=$(D)/$(DEPS_$(1))/lib/lib%.a)

##@ Build
all: dist/dcos-node                          ## build dist/dcos-node (the default)
dist/dcos-node: $(B)/musl/dcos-node
	@$(call say,STRIP,$@)
	$(Q)strip -o $@ $<

generated: $(GEN_H)                          # naming them here keeps make from taking them for throw-away files

# ---- Packages and tarballs. A stamp holds the list it was made for, so that a longer list runs the rule again. ----
stale = $(if $(filter-out $(file <$(1)),$(2)),FORCE)
FORCE:
define packages
$(D)/.packages-$(1): $(call stale,$(D)/.packages-$(1),$(PACKAGES_$(1)))
	$$(Q)mkdir -p $$(@D) && dist/install-packages $$(PACKAGES_$(1)) && echo '$$(PACKAGES_$(1))' > $$@
endef
$(foreach set,build test check,$(eval $(call packages,$(set))))

PINS = $(foreach s,$(SOURCES),$(s)=$($(s)_VERSION))
$(D)/tar/.fetched: $(call stale,$(D)/tar/.fetched,$(PINS)) | $(D)/.packages-build
	@$(call say,FETCH,sources)
	$(Q)mkdir -p $(@D) && dist/fetch-sources $(abspath $(@D)) $(SUITE) $(PINS) && echo '$(PINS)' > $@

define source
$(call src,$(1))/.unpacked: | $(D)/tar/.fetched
	@$$(call say,UNPACK,$(1))
	$$(Q)rm -rf $$(@D) && mkdir -p $$(@D) && tar -xf $(D)/tar/$(1)_$($(1)_VERSION).orig.tar.* --strip-components=1 -C $$(@D)
	$$(Q)touch $$@
endef
$(foreach s,$(SOURCES),$(eval $(call source,$(s))))
$(call src,raft)/include/raft.h: $(call src,raft)/.unpacked
	$(Q)sed 's/@enable_v0@/no/' $@.in > $@
$(D)/musl/lib/libraft.a $(D)/san/lib/libraft.a: $(call src,raft)/include/raft.h

# ---- Libraries we compile file by file: FROM which source package (where its name differs), which files, with which flags,
# which HEADERS others see; all relative to their sources ----
ev_FROM      = libev
ev_SRC       = ev.c
ev_CFLAGS    = -DEV_STANDALONE=1 -DEV_USE_EPOLL=1 -DEV_USE_POLL=0 -DEV_USE_SELECT=0 -DEV_USE_IOURING=0 -DEV_USE_INOTIFY=0 \
	-DEV_USE_EVENTFD=1 -DEV_USE_SIGNALFD=1 -DEV_USE_TIMERFD=0 -DEV_USE_MONOTONIC=1 -DEV_USE_CLOCK_SYSCALL=0 \
	-DEV_USE_NANOSLEEP=1 -DEV_USE_FLOOR=0
ev_HEADERS   = ev.h
lmdb_SRC     = libraries/liblmdb/mdb.c libraries/liblmdb/midl.c
lmdb_HEADERS = libraries/liblmdb/lmdb.h
mbedtls_SRC  = library/*.c
mbedtls_CFLAGS  = -Iinclude -Ilibrary
mbedtls_HEADERS = include/mbedtls include/psa
yyjson_SRC   = src/yyjson.c
yyjson_HEADERS = src/yyjson.h
z_FROM       = zlib
z_SRC        = *.c
z_CFLAGS     = -DHAVE_UNISTD_H -D_LARGEFILE64_SOURCE=1
z_HEADERS    = zlib.h zconf.h
llhttp_FROM  = nghttp2
llhttp_SRC   = third-party/llhttp/src/*.c
llhttp_CFLAGS  = -Ithird-party/llhttp/include
llhttp_HEADERS = third-party/llhttp/include/llhttp.h
raft_SRC     = $(patsubst %,src/%.c,byte client compress configuration convert election entry err heap membership message \
	progress random raft recv recv_append_entries recv_append_entries_result recv_request_vote recv_request_vote_result \
	recv_install_snapshot recv_timeout_now restore replication state syscall timeout tracing trail)
raft_CFLAGS  = -Iinclude
raft_HEADERS = include/raft.h
zstd_FROM    = libzstd
zstd_SRC     = lib/common/*.c lib/compress/*.c lib/decompress/*.c
zstd_CFLAGS  = -DZSTD_DISABLE_ASM
zstd_HEADERS = lib/zstd.h lib/zstd_errors.h lib/zdict.h
yaml_FROM    = libyaml
yaml_SRC     = src/*.c
yaml_CFLAGS  = -Iinclude -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 -DYAML_VERSION_STRING="0.2.5"
yaml_HEADERS = include/yaml.h
cmocka_SRC   = src/cmocka.c
cmocka_CFLAGS  = -Iinclude -D_GNU_SOURCE -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H -DHAVE_CLOCK_REALTIME \
	-DHAVE_GCC_THREAD_LOCAL_STORAGE -DHAVE_SIGLONGJMP -DHAVE_STRSIGNAL -DHAVE_STRUCT_TIMESPEC
cmocka_HEADERS = include/cmocka.h

# ---- Libraries whose own configure is needed ----
archive_FROM = libarchive
archive_CONFIGURE = --disable-bsdtar --disable-bsdcpio --disable-bsdcat --disable-bsdunzip --disable-acl --without-bz2lib \
	--without-libb2 --without-iconv --without-lz4 --without-lzma --without-lzo2 --without-cng --without-openssl --without-xml2 \
	--without-expat --without-nettle --without-mbedtls
archive_MAKE = libarchive.la
archive_ARCHIVE = .libs/libarchive.a
archive_HEADERS = libarchive/archive.h libarchive/archive_entry.h
archive_NEEDS = z zstd
seccomp_FROM = libseccomp
seccomp_MAKE = -C src libseccomp.la
seccomp_ARCHIVE = src/.libs/libseccomp.a
seccomp_HEADERS = include/seccomp.h include/seccomp-syscalls.h
LIBS = archive seccomp ev lmdb mbedtls yyjson llhttp raft yaml zstd z

# $(call library,flavour,name): its objects, archive and headers under build/deps/FLAVOUR
define library
$(D)/$(1)/lib/lib$(2).a: $(call src,$(or $($(2)_FROM),$(2)))/.unpacked $($(2)_NEEDS:%=$(D)/$(1)/lib/lib%.a) \
		| $(if $(filter san,$(1)),$(D)/.packages-check,$(D)/musl/kernel)
	@$$(call say,LIB,$(1)/$(2))
	$$(Q)CC='$(CC_$(1))' CFLAGS='$(LIBFLAGS_$(1)) $($(2)_CFLAGS)' HEADERS='$($(2)_HEADERS)' dist/build-library \
		$(if $($(2)_SRC),compile,configure) $$(abspath $$(<D) $(D)/$(1)) $(2) \
		$(if $($(2)_SRC),'$($(2)_SRC)',$($(2)_ARCHIVE) '$($(2)_MAKE)' $($(2)_CONFIGURE))
endef
$(foreach f,musl san,$(foreach l,$(LIBS) cmocka,$(eval $(call library,$(f),$(l)))))

$(D)/musl/kernel: | $(D)/.packages-build
	$(Q)mkdir -p $@ && ln -sfn -t $@ /usr/include/linux /usr/include/asm-generic /usr/include/bpf /usr/include/x86_64-linux-gnu/asm

# ---- Generated sources ----
NANOPB = $(call src,nanopb)
$(B)/gen/proto/%.pb.h $(B)/gen/proto/%.pb.c: proto/%.proto $(NANOPB)/.unpacked
	@$(call say,PROTO,$<)
	$(Q)mkdir -p $(@D)
	$(Q)/usr/bin/python3 $(NANOPB)/generator/nanopb_generator.py -q -Iproto -D $(B)/gen/proto $*.proto
	$(Q)sed -n 's,^import "\(.*\)";,$(B)/gen/proto/$*.pb.h $(B)/gen/proto/$*.pb.c: proto/\1\nproto/\1:,p' $< > $(B)/gen/proto/$*.pb.d
	$(Q)for o in $(wildcard proto/$*.options); do echo '$(B)/gen/proto/$*.pb.h $(B)/gen/proto/$*.pb.c:' $$o; done >> $(B)/gen/proto/$*.pb.d

$(B)/gen/%.skel.h: %.bpf.c | $(D)/.packages-build
	@$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)clang -target bpf -O2 -g -Wall -I. -I/usr/include/x86_64-linux-gnu -MMD -MP -MT $@ -MF $(@:.h=.d) -c $< -o $(@:.skel.h=.bpf.o)
	$(Q){ echo '#include <errno.h>'; bpftool gen skeleton -L $(@:.skel.h=.bpf.o); } > $@   # which bpf/skel_internal.h forgets

DESCRIBE := $(shell git describe --always 2>/dev/null)
VERSION_LINE = \#define DCOS_NODE_VERSION "$(VERSION)$(if $(DESCRIBE), ($(DESCRIBE)))"
$(B)/gen/version.h: $(if $(findstring $(VERSION_LINE),$(file <$(B)/gen/version.h)),,FORCE)
	$(Q)mkdir -p $(@D) && echo '$(VERSION_LINE)' > $@

LICENSES = musl=/usr/share/doc/musl-dev/copyright libbpf=/usr/share/doc/libbpf-dev/copyright \
	libev=$(call src,libev)/LICENSE LMDB=$(call src,lmdb)/libraries/liblmdb/LICENSE "Mbed TLS=$(call src,mbedtls)/LICENSE" \
	nanopb=$(call src,nanopb)/LICENSE.txt yyjson=$(call src,yyjson)/LICENSE zlib=$(call src,zlib)/LICENSE \
	llhttp=$(call src,nghttp2)/third-party/llhttp/LICENSE-MIT raft=$(call src,raft)/LICENSE zstd=$(call src,libzstd)/LICENSE \
	libarchive=$(call src,libarchive)/COPYING libseccomp=$(call src,libseccomp)/LICENSE libyaml=$(call src,libyaml)/License
$(B)/gen/licenses.c: dist/licenses $(foreach s,$(filter-out cmocka,$(SOURCES)),$(call src,$(s))/.unpacked)
	@$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && dist/licenses $(LICENSES) > $@

# ---- Our code. Objects are written aside and moved, so that builds side by side never see half of one. ----
# $(call flavour,NAME): one rule per kind of source, objects under build/NAME/obj
define flavour
$(B)/$(1)/.flags: $$(if $$(filter-out $$(file <$(B)/$(1)/.flags),$$(CC_$(1)) $$(FLAGS_$(1)) $$(WARN)),FORCE)
	$$(Q)mkdir -p $$(@D) && echo "$$(subst ",\",$$(CC_$(1)) $$(FLAGS_$(1)) $$(WARN))" > $$@
$(B)/$(1)/obj/%.o: %.c $(B)/$(1)/.flags | $$(GEN_H) $$(call theirs,$(1)) $(D)/$(DEPS_$(1))/lib/libcmocka.a
	@$$(call say,CC,$$<)
	$$(compile) $$< $$(WARN) $$(if $$(filter net/% store/%,$$<),$$(WARN_STRICT)) $$(aside)
$(B)/$(1)/obj/gen/%.o: $(B)/gen/%.c $(B)/$(1)/.flags | $$(GEN_H)
	@$$(call say,CC,$$<)
	$$(compile) $$< -w $$(aside)
$(B)/$(1)/obj/nanopb/%.o: $(NANOPB)/.unpacked $(B)/$(1)/.flags
	@$$(call say,CC,nanopb/$$*.c)
	$$(compile) $(NANOPB)/$$*.c -w $$(aside)
$(B)/$(1)/obj/%.o: flavour = $(1)
INCLUDES_$(1) = -I. -I$(B) -I$(B)/gen -I$(NANOPB) -isystem $(D)/$(DEPS_$(1))/include
endef
compile = $(Q)mkdir -p $(@D) && $(CC_$(flavour)) $(FLAGS_$(flavour)) $(INCLUDES_$(flavour)) -MMD -MP -MT $@ -MF $(@:.o=.d) -c
aside = -o $@.$$$$ && mv $@.$$$$ $@
$(foreach f,musl lint san fuzz,$(eval $(call flavour,$(f))))

link = $(Q)mkdir -p $(@D) && $(CC_$(1)) $(LDFLAGS_$(1)) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	-lpthread -lm -o $@.$$$$ && mv $@.$$$$ $@
# $(call program,FLAVOUR,PATH UNDER build/FLAVOUR,OBJECTS): linked with the libraries; our objects are given in OBJECTS
define program
$(B)/$(1)/$(2): $(3) $(call theirs,$(1)) $(4)
	@$$(call say,LD,$$@)
	$$(call link,$(1))
endef
objects = $(patsubst %.c,$(B)/$(1)/obj/%.o,$(2))
parts = $(filter-out %/obj/main.o,$(call ours,$(1)))        # all but main: what tests link with
$(foreach f,musl san,$(eval $(call program,$(f),dcos-node,$(call ours,$(f)))))
$(foreach f,musl san,$(eval $(call program,$(f),unit,$(call parts,$(f)) $(call objects,$(f),$(TESTS)),$(D)/$(f)/lib/libcmocka.a)))
SIM = tests/sim/disk.c tests/sim/sim.c tests/sim/load.c tests/sim/chaos.c tests/sim/seeds_main.c tests/lib/linear.c
$(foreach f,musl san,$(eval $(call program,$(f),sim,$(call parts,$(f)) $(call objects,$(f),$(SIM)))))
E2E_DEPS = $(E2E_PROGRAMS:%=$(B)/musl/e2e/%) $(B)/musl/linear $(B)/musl/bench/quorum_load
$(foreach n,$(E2E_PROGRAMS),$(eval $(call program,musl,e2e/$(n),$(call parts,musl) $(call objects,musl,tests/e2e/$(n).c))))
$(eval $(call program,musl,linear,$(call parts,musl) $(call objects,musl,tests/lib/linear.c tests/lib/linear_main.c)))
$(foreach n,$(FUZZ),$(eval $(call program,fuzz,$(n),$(call parts,fuzz) $(call objects,fuzz,tests/fuzz/$(n).c))))
$(foreach n,$(BENCH),$(eval $(call program,musl,bench/$(n),$(call parts,musl) $(call objects,musl,tests/bench/$(n).c))))

run: all $(D)/.packages-test                 ## build, then start a local cluster and run the first app on it
	$(Q)tests/demo.sh

##@ Test
test: all $(B)/musl/unit $(E2E_DEPS) $(B)/musl/sim $(D)/.packages-test ## every test; the last line is `N passed, N failed`
	$(Q)tests/run $(B)/musl/unit $(B)/musl/sim $(E2E)
test-fast: $(B)/musl/unit $(B)/musl/sim      ## unit tests, golden bytes, short simulations: under a minute
	$(Q)SIM_SEEDS=$(or $(SEEDS),1-50) tests/run $(B)/musl/unit $(B)/musl/sim
test-e2e: all $(E2E_DEPS) $(D)/.packages-test            ## drive the executable in namespaces of its own (E2E=tests/e2e/x.sh for one)
	$(Q)tests/run $(E2E)
sim: $(B)/musl/sim                           ## simulated clusters, SEEDS=from-to (1-1000); V=1: saying all they do
	$(Q)$(if $(V),SIM_VERBOSE=1) $< $(or $(SEEDS),1-1000)
soak: $(B)/musl/unit $(B)/musl/sim           ## random tests TEST_SCALE (100) times as long, simulated clusters SEEDS (1-10000)
	$(Q)SIM_SEEDS=$(or $(SEEDS),1-10000) TEST_SCALE=$(or $(TEST_SCALE),100) tests/run $(B)/musl/unit $(B)/musl/sim
san: $(B)/san/unit $(B)/san/dcos-node $(D)/.packages-test    ## the same tests under AddressSanitizer and UBSan (glibc)
	$(Q)ASAN_OPTIONS=allow_user_segv_handler=0 DCOS_NODE=$(abspath $(B)/san/dcos-node) tests/run $(B)/san/unit $(E2E)
mutants:                                     ## plant bugs one at a time (MUTANTS="NAME..." for some), see that the tests find them
	$(Q)tests/mutants/run tests/mutants/store.list $(B)/mutants $(D) $(MUTANTS)
fuzz-%: $(B)/fuzz/%                          ## run tests/fuzz/NAME.c for FUZZ_SECONDS (60)
	$(Q)mkdir -p $(B)/corpus/$*
	$(Q)$< -max_total_time=$(or $(FUZZ_SECONDS),60) -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix=$(B)/fuzz/$*- $(B)/corpus/$* $(wildcard tests/fuzz/corpus/$*)
bench: all $(BENCH:%=$(B)/musl/bench/%) $(D)/.packages-test  ## our figures beside others'; also in build/bench.json
	$(Q)tests/bench/run
bench-%: all $(BENCH:%=$(B)/musl/bench/%) $(D)/.packages-test    ## one of the benchmarks
	$(Q)tests/bench/run $*

##@ Check
lint: lint-tree lint-compile lint-tidy       ## no warning of gcc and clang-tidy, includes point down, files are in shape
lint-tree: $(D)/.packages-check
	@$(call say,LINT,tree)
	$(Q)status=0; tests/lint/includes || status=1; tests/lint/files || status=1; \
		shellcheck -S warning -x $(SCRIPTS) || status=1; exit $$status
lint-compile: $(call objects,lint,$(CSRC) $(TESTS) tests/lib/linear_main.c tests/sim/seeds_main.c $(E2E_PROGRAMS:%=tests/e2e/%.c) $(FUZZ:%=tests/fuzz/%.c) $(BENCH:%=tests/bench/%.c))
lint-tidy: $(patsubst %.c,$(B)/lint/tidy/%.ok,$(CSRC) $(TESTS))
$(B)/lint/tidy/%.ok: $(B)/lint/obj/%.o .clang-tidy | $(D)/.packages-check
	@$(call say,TIDY,$*.c)
	$(Q)mkdir -p $(@D) && clang-tidy --quiet --warnings-as-errors='*' $*.c -- $(FLAGS) $(INCLUDES_lint) $(TIDY_LIBC) \
		$(if $(filter net/base/err.c,$*.c),,-include tests/lint/analyzer.h) 2>$(@:.ok=.err) || { cat $(@:.ok=.err) >&2; exit 1; }
	$(Q)touch $@
TIDY_LIBC = --target=x86_64-linux-musl -nostdlibinc -isystem /usr/include/x86_64-linux-musl $(MUSL)

##@ Other
install: all                                 ## put the executable and a symlink per role into $(DESTDIR)$(PREFIX)/bin
	install -D -m 755 dist/dcos-node $(DESTDIR)$(PREFIX)/bin/dcos-node
	$(DESTDIR)$(PREFIX)/bin/dcos-node install-links $(DESTDIR)$(PREFIX)/bin
clean:                                       ## remove what was built, but keep the libraries (build/deps)
	$(Q)rm -rf $(filter-out $(D),$(wildcard $(B)/*)) dist/dcos-node
help:                                        ## this list
	$(Q)awk -F':.*## ' '/^##@/ { printf "%s\n", substr($$0, 5) } \
		/^[a-z0-9%-]+:.*## / { n = $$1; sub(/%/, "NAME", n); printf "  make %-12s %s\n", n, $$2 }' Makefile

.PHONY: all generated run test test-fast test-e2e sim soak san bench lint lint-tree lint-compile lint-tidy install clean help FORCE
.DEFAULT_GOAL = all
-include $(shell find $(B) -type f -name '*.d' -not -path '$(B)/peers/*' -not -path '$(D)/*' 2>/dev/null)
