# Reliquary. `make help` lists the targets.
#
# Everything is built out of tree: $(BUILD)/$(VARIANT)/..., and the release tools land in
# $(BUILD)/bin. Overridable: CC CFLAGS CPPFLAGS LDFLAGS LDLIBS BUILD VARIANT PREFIX DESTDIR
# PKG_CONFIG PYTHON WITH_AVIF WITH_ONEDNN WITH_CUDA (auto, yes, no), V=1 to see commands; for
# CUDA also CUDA_HOME CUDNN_ROOT CUDA_ARCHS, see train/cuda/cuda.mk.

BUILD      ?= build
VARIANT    ?= release
PKG_CONFIG ?= pkg-config
PYTHON     ?= python3
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
WITH_AVIF  ?= auto
WITH_ONEDNN ?= auto
CFLAGS     ?= -O2 -g
VERSION    := 0.1.0

O := $(BUILD)/$(VARIANT)
ROOMS := common ingest pack augment train
Q := $(if $(V),,@)

# ---- what this machine has ------------------------------------------------------------------
has_pkg    = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes || echo no)
has_header = $(shell printf '\043include <$(1)>\n' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 && echo yes || echo no)

REQUIRED_PKGS := libjpeg libpng zlib libarchive libzstd libxxhash libcjson libcrypto
HAVE_AVIF   := $(if $(filter auto,$(WITH_AVIF)),$(call has_pkg,libavif),$(WITH_AVIF))
HAVE_ONEDNN := $(if $(filter auto,$(WITH_ONEDNN)),$(call has_header,dnnl.h),$(WITH_ONEDNN))
HAVE_CMOCKA := $(call has_pkg,cmocka)

PKGS := $(REQUIRED_PKGS) $(if $(filter yes,$(HAVE_AVIF)),libavif)
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
ifeq ($(HAVE_AVIF),yes)
RQ_DEFS += -DRQ_HAVE_AVIF
endif
ifeq ($(HAVE_ONEDNN),yes)
RQ_DEFS += -DRQ_HAVE_ONEDNN
PKG_LIBS += -ldnnl
endif

include train/cuda/cuda.mk

# ---- flags ----------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wformat=2 -Wundef -Wno-unused-parameter
RQ_CPPFLAGS := -I. -D_GNU_SOURCE -DRQ_VERSION='"$(VERSION)"' $(RQ_DEFS) $(PKG_CFLAGS) \
               $(RQ_CUDA_CPPFLAGS)
# No contraction to FMA and no -ffast-math anywhere: the same bytes on every CPU.
RQ_CFLAGS   := -std=c11 $(WARN) -ffp-contract=off -fPIE -fopenmp
RQ_LDFLAGS  := -pie -fopenmp $(RQ_CUDA_LDFLAGS)
RQ_LDLIBS   := $(PKG_LIBS) $(RQ_CUDA_LDLIBS) -lpthread -lm
ifeq ($(VARIANT),release)
RQ_CPPFLAGS += -D_FORTIFY_SOURCE=2
RQ_CFLAGS   += -fstack-protector-strong
RQ_LDFLAGS  += -Wl,-z,relro,-z,now
endif
ifeq ($(VARIANT),asan)
SAN := -fsanitize=address -fno-omit-frame-pointer
endif
ifeq ($(VARIANT),ubsan)
SAN := -fsanitize=undefined -fno-sanitize-recover=all
endif
ifeq ($(VARIANT),tsan)
SAN := -fsanitize=thread
endif
ifeq ($(VARIANT),fuzz)
SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
       -fno-omit-frame-pointer
endif
RQ_CPPFLAGS += $(if $(SAN),-DRQ_SANITIZED)
RQ_CFLAGS  += $(SAN)
RQ_LDFLAGS += $(SAN)
ifdef WERROR
RQ_CFLAGS += -Werror
endif

# Number-crunching files: vectorise.
$(O)/train/%.o $(O)/augment/%.o $(O)/ingest/res%.o $(O)/pack/planes.o $(O)/pack/dct_%.o: OPT := -O3
ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine)),)
$(O)/train/cpu_kernels_avx2.o: OPT := -O3 -mavx2 -Wno-psabi
$(O)/train/cpu_kernels_avx512.o: OPT := -O3 -march=x86-64-v4
$(O)/augment/kernels_avx2.o: OPT := -O3 -mavx2
$(O)/augment/kernels_avx512.o: OPT := -O3 -march=x86-64-v4 -mavx512vbmi -mavx512vbmi2 -mavx512vnni
$(O)/pack/dct_avx2.o: OPT := -O3 -mavx2 -mbmi2
$(O)/pack/dct_avx512.o: OPT := -O3 -march=x86-64-v4 -mavx512vbmi -mavx512vbmi2
$(O)/pack/planes_avx2.o: OPT := -O3 -mavx2
$(O)/pack/planes_avx512.o: OPT := -O3 -march=x86-64-v4 -mavx512vbmi
endif
$(O)/train/cpu_kernels.o: OPT := -O3 -Wno-psabi

# ---- sources --------------------------------------------------------------------------------
TOOLS      := $(basename $(notdir $(wildcard tools/rq-*.c)))
TOOL_LIB   := $(filter-out $(wildcard tools/rq-*.c),$(wildcard tools/*.c))
LIBS       := $(foreach r,train augment pack ingest common,$(O)/librq_$(r).a)
TOOL_BINS  := $(TOOLS:%=$(O)/bin/%)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(O)/tests/%,$(wildcard tests/unit/test_*.c))
HEADERS    := $(foreach r,$(ROOMS) tools,$(wildcard $(r)/*.h))

objs = $(patsubst %.c,$(O)/%.o,$(1))
room_srcs = $(filter-out $(if $(filter no,$(HAVE_ONEDNN)),train/onednn%.c),$(wildcard $(1)/*.c))

.PHONY: all help tools tests check check-quick asan ubsan tsan fuzz fuzz-targets fuzz-seeds demo \
        bench deps summary format format-check lint install uninstall clean
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

all: deps ## build every tool and say what was found
	$(Q)$(MAKE) --no-print-directory tools summary

help: ## list the targets
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z -]+):.*## /  \1\t/' | expand -t 18

tools: $(TOOL_BINS)
	$(if $(filter release,$(VARIANT)),$(Q)mkdir -p $(BUILD)/bin && ln -sf $(TOOL_BINS:$(BUILD)/%=../%) $(BUILD)/bin/)

summary:
	@echo "reliquary $(VERSION) ($(VARIANT), $$($(CC) -dumpfullversion 2>/dev/null || $(CC) -dumpversion)) ·" \
	  "libjpeg-turbo $$($(PKG_CONFIG) --modversion libjpeg) · zstd $$($(PKG_CONFIG) --modversion libzstd) ·" \
	  "AVIF $(HAVE_AVIF) · oneDNN $(HAVE_ONEDNN) · CUDA $(HAVE_CUDA) · cmocka $(HAVE_CMOCKA)"
	@echo "tools in $(if $(filter release,$(VARIANT)),$(BUILD)/bin,$(O)/bin): $(TOOLS)"

deps: ## install missing Debian packages, or print the command that does
	@FUZZ_CC=$(FUZZ_CC) sh tools/deps.sh \
	  $(if $(filter check% asan ubsan tsan,$(MAKECMDGOALS)),test) $(filter fuzz,$(MAKECMDGOALS))

# ---- rules ----------------------------------------------------------------------------------
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC  $<")
	$(Q)$(CC) $(RQ_CPPFLAGS) $(CPPFLAGS) $(CFLAGS) $(RQ_CFLAGS) $(OPT) -MMD -MP -c -o $@ $<

define room_rule
$(O)/librq_$(1).a: $(call objs,$(call room_srcs,$(1)))
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

# What the tools share is a library too: a program links only what it uses of it.
$(O)/librq_tools.a: $(call objs,$(TOOL_LIB))

$(O)/librq_%.a:
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AR  $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/bin/%: $(O)/tools/%.o $(O)/librq_tools.a $(LIBS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RQ_LDLIBS) $(LDLIBS)

$(O)/tests/%: $(O)/tests/unit/%.o $(O)/librq_tools.a $(LIBS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(LDFLAGS) -o $@ $^ $$($(PKG_CONFIG) --libs cmocka) $(RQ_LDLIBS) $(LDLIBS)

BENCHES := $(patsubst tests/bench/%.c,$(O)/tests/%,$(wildcard tests/bench/bench_*.c))
$(BENCHES): $(O)/tests/%: $(O)/tests/bench/%.o $(LIBS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RQ_LDLIBS) $(LDLIBS)

# Programs that the scripts in tests/oracle run.
ORACLES := $(patsubst tests/oracle/%.c,$(O)/tests/%,$(wildcard tests/oracle/oracle_*.c))
$(ORACLES): $(O)/tests/%: $(O)/tests/oracle/%.o $(LIBS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RQ_LDLIBS) $(LDLIBS)

# Fuzz targets: with a fuzzer in the variant `fuzz`, otherwise with a driver that replays inputs.
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_MAIN    := $(if $(filter fuzz,$(VARIANT)),,$(O)/tests/fuzz/driver.o)
$(FUZZ_TARGETS): $(O)/fuzz/%: $(O)/tests/fuzz/%.o $(FUZZ_MAIN) $(O)/librq_tools.a $(LIBS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(if $(FUZZ_MAIN),,-fsanitize=fuzzer) $(LDFLAGS) -o $@ $^ \
	  $(RQ_LDLIBS) $(LDLIBS)

# Writes the seeds of the corpus.
$(O)/fuzz/seeds: $(O)/tests/fuzz/seeds.o $(O)/librq_tools.a $(LIBS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RQ_LDLIBS) $(LDLIBS)

tests: $(UNIT_TESTS) $(ORACLES) fuzz-targets
fuzz-targets: $(FUZZ_TARGETS)

-include $(shell find $(O) -name '*.d' 2>/dev/null)

# ---- proving --------------------------------------------------------------------------------
check: deps ## build and run every test
	$(Q)$(MAKE) --no-print-directory tools tests
	$(Q)PYTHON=$(PYTHON) sh tests/run.sh $(O)

check-quick: deps ## unit tests alone
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)sh tests/run.sh $(O) unit

# Sanitizers of gcc 12 cannot place their shadow when the kernel scatters addresses too widely.
NO_ASLR = $$(setarch -R true 2>/dev/null && echo setarch -R)

asan ubsan: deps ## unit tests, command lines and fuzz corpus under a sanitizer
	$(Q)$(MAKE) --no-print-directory VARIANT=$@ CFLAGS="-O1 -g" tools tests
	$(Q)PYTHON=$(PYTHON) $(NO_ASLR) sh tests/run.sh $(BUILD)/$@ unit cli fuzz

tsan: deps ## queue, pool and stream under the thread sanitizer
	$(Q)$(MAKE) --no-print-directory VARIANT=tsan CFLAGS="-O1 -g" tsan-tests
	$(Q)$(NO_ASLR) sh tests/run.sh $(BUILD)/tsan unit

.PHONY: tsan-tests
tsan-tests: $(foreach t,queue pool stream build,$(O)/tests/test_$(t))

FUZZ_SECONDS ?= 60
FUZZ_CC      ?= clang
fuzz: deps ## fuzz every parser for FUZZ_SECONDS (60), or only FUZZ_TARGET; needs clang
	$(Q)if sh tests/fuzz/run.sh --can $(FUZZ_CC); then \
	  $(MAKE) --no-print-directory VARIANT=fuzz CC=$(FUZZ_CC) CFLAGS="-O1 -g" fuzz-targets && \
	  sh tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGET); \
	else \
	  echo "fuzz: skipped, $(FUZZ_CC) cannot build a fuzzer here; on Debian 12:" \
	    "apt-get install clang libclang-rt-14-dev libomp-dev"; \
	fi

fuzz-seeds: deps ## write the seeds of the fuzz corpus again
	$(Q)$(MAKE) --no-print-directory $(O)/fuzz/seeds
	$(Q)$(O)/fuzz/seeds tests/fuzz/corpus

bench: deps ## speed of the parts, on this machine
	$(Q)$(MAKE) --no-print-directory $(BENCHES)
	$(Q)for b in $(BENCHES); do $$b || exit 1; done

demo: deps ## pack, look, train and evaluate on pictures made here, or on DATA=folder-or-tar
	$(Q)$(MAKE) --no-print-directory tools
	$(Q)sh tools/demo.sh $(BUILD)/bin $(if $(OUT),$(OUT),demo) $(DATA)

format: ## rewrite the sources with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h')

format-check: ## fail if clang-format would change a file
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')

lint: ## include direction, text hygiene, headers that stand alone
	$(Q)CC="$(CC)" CPPFLAGS="$(RQ_CPPFLAGS)" sh tests/lint.sh

install: ## install the tools under DESTDIR/PREFIX
	$(Q)$(MAKE) --no-print-directory tools
	install -d $(DESTDIR)$(BINDIR)
	install -m 755 $(TOOL_BINS) $(DESTDIR)$(BINDIR)

uninstall: ## remove them again
	rm -f $(TOOLS:%=$(DESTDIR)$(BINDIR)/%)

clean: ## remove the build folder
	rm -rf $(BUILD)
