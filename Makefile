# SPDX-License-Identifier: GPL-2.0
# The front door of mm-track: make help lists the targets. Settings:
#   LINUX=path     a git tree of yours to start from (only read); BASE_COMMIT= picks a commit of it
#   BASE=name      or a version of configs/bases (default: its first)
#   B=dir          where everything is built (default build, or build/BASE)
#   ARCHES="um i386 x86_64-debug"  what make kunit runs (default: um x86_64 arm64)
#   ARCH=arm64     make selftests: on arm64 instead of x86_64
#   TESTS=suite.test  PROGRAMS="uffd*"  ROWS="no-*"  PATCHES=12-20  MUTANTS="ex-*"  CASES=bench_dirty
#                  only these: KUnit tests, mm selftests or programs, rows of the matrix, patches, mutations, benchmarks
#   TOPIC=name     a topic of patches/series: mbox, b4 and topics-check take this one; NEEDS=1: and the patches of those it needs
#   J=n            jobs at once (default: one a CPU); TIMEOUT=s; ACCEL=kvm instead of tcg
#   MINUTES=n      how long make stress and make fuzz run (default 1)
#   SEED=n  OPS="mode=0 write:anon:0+1:7 ..."  make fuzz: only the list of this seed, or this one, or that in a file
#   PLANT=name     make fuzz, programs: with a bug of selftests/planted/fuzz.yaml; KNOWN=0: with what is known to be wrong in mainline
#   SIDE=base      make selftests, programs, screen and fuzz of what the series stands on; DEBUG=1 with KASAN, lockdep and the like
#   FORCE=1        make check: run what has passed already, too; WRITE=1: record what was measured
#   DEPS=no        do not look for missing packages

default_base := $(shell awk '!/^\#/ && NF { print $$1; exit }' configs/bases)
B ?= build$(if $(filter-out $(default_base),$(BASE)),/$(BASE))
STAGES ?= lint selfcheck mail-test tools-tests kunit kunit-debug stress fuzz selftests planted prefixes topics-check
full := $(STAGES) selftests-arm64 programs screen kunit-archs topics-check-full matrix no-notifier kunit-kcsan bisect mutants coverage
export B BASE BASE_COMMIT LINUX ARCHES TESTS PROGRAMS ROWS PATCHES MUTANTS CASES TIMEOUT ACCEL FORCE SIDE DEBUG MINUTES SEED OPS PLANT KNOWN J DEPS WRITE TOPIC NEEDS
export PYTHONPATH := scripts
export PYTHONDONTWRITEBYTECODE := 1
$(if $(FILTER),$(error FILTER= has become TESTS=, PROGRAMS=, ROWS=, PATCHES=, MUTANTS= or CASES=: see make help))

mm := /usr/bin/python3 -m mmtrack
pytest := /usr/bin/python3 -m pytest -q -p no:cacheprovider -n $(or $(J),auto)
# $(call stage,TOOLS,COMMAND): what is needed is there, and what it finds goes into build/results/TARGET.json
define stage
@scripts/deps.sh $(1)
@$(if $(MMTRACK_CHECK),,scripts/tree.sh)
@$(mm) stage $@ -- $(2)
endef

# from the command line only, for ARCH may be set in the environment for builds of another kind; make check has a stage for it
arm64 := $(if $(MMTRACK_CHECK),,$(and $(filter command,$(origin ARCH)),$(filter arm64,$(ARCH))))
$(if $(filter command,$(origin ARCH)),$(if $(filter-out x86_64 arm64,$(ARCH)),$(error ARCH=$(ARCH): make selftests runs on x86_64 and arm64)))

.DEFAULT_GOAL := kunit
# they share the tree and the builds, and use all CPUs themselves
.NOTPARALLEL:
.PHONY: kunit kunit-archs kunit-debug kunit-kcsan stress selftests selftests-arm64 programs programs-check screen fuzz planted shell gdb tree refresh range-diff rebase mbox b4 mail-test lint no-notifier \
	matrix matrix-check prefixes topics topics-check topics-check-full tools-tests bisect mutants coverage bench check check-full report selfcheck deps clean distclean help

kunit: ## build and run the KUnit suites on every one of ARCHES, table at the end (the default)
	$(call stage,tree $(foreach arch,$(or $(ARCHES),um x86_64 arm64),$(firstword $(subst -, ,$(arch)))),$(mm) kunit)

kunit-archs: ## the suites on i386 with PAE, and on arm64 with pages of 16 KiB
	$(call stage,tree i386 arm64,$(mm) kunit)

kunit-debug: ## the suites on x86_64 with KASAN, lockdep, page_table_check, UBSAN and the like
	$(call stage,tree x86_64,$(mm) kunit)

kunit-kcsan: ## the tests that have several threads on x86_64 with KCSAN, which looks for data races
	$(call stage,tree x86_64,$(mm) kunit)

stress: ## writers, harvesters, fork, mremap, reclaim and a device all at once, for MINUTES=1, on the debug kernel
	$(call stage,tree x86_64,$(mm) kunit)

ifneq ($(arm64),)
selftests: selftests-arm64
else
selftests: ## boot the tree's own mm selftests in QEMU, compare each test with the base's result
	$(call stage,tree selftests,$(mm) selftests)
endif

selftests-arm64: ## the same on arm64, emulated: programs and libraries are cross-compiled
	$(call stage,tree arm64 selftests-arm64,$(mm) selftests --arch=arm64)

programs: ## run stress-ng, and QEMU with snapshots and migration, in a guest, compare each with the base's result
	$(call stage,tree selftests programs,$(mm) programs)

programs-check: # those of make check
	$(call stage,tree selftests programs,$(mm) programs --check)

screen: ## write to a framebuffer in QEMU from several threads: is all of it on the screen?
	$(call stage,tree selftests,$(mm) screen)

fuzz: ## random operations on a process's memory beside a model of it, for MINUTES=1, on the debug kernel; a failure is shortened
	$(call stage,tree selftests,$(mm) fuzz)

planted: ## plant a splat of each kind in a guest: does each stage that boots one fail?
	$(call stage,tree selftests,$(mm) planted)

shell: ## a shell on the series' kernel, with the suites and the mm selftests in it
	@scripts/deps.sh tree selftests
	@scripts/tree.sh
	@$(mm) shell

gdb: ## the same, stopped at the first instruction, for gdb
	@scripts/deps.sh tree selftests
	@scripts/tree.sh
	@$(mm) shell --gdb

tree: ## make build/linux: the base, and the patches on its branch "series"
	@scripts/deps.sh tree
	@scripts/tree.sh

refresh: ## write the branch "series" back to patches/ (FORCE=1: over changes in patches/; TOPIC=: a new patch is of that)
	@scripts/refresh.sh

range-diff: ## show what the branch "series" changes against the committed patches
	@scripts/range-diff.sh

rebase: ## try the series on another base (BASE=, or LINUX= and BASE_COMMIT=): what conflicts, what it has already
	@scripts/deps.sh tree
	@scripts/rebase.sh

mbox: ## write the series, or TOPIC=, as mails to build/series.mbox or build/TOPIC.mbox, for git am --empty=drop, b4 am -m and b4 shazam -m
	@scripts/deps.sh mail
	@$(mm) mail mbox

b4: ## make a branch of b4 prep with the series, or TOPIC=, in LINUX=, your tree (on BASE_COMMIT=, else v7.3); sends nothing
	@scripts/deps.sh mail
	@scripts/b4-branch.sh

mail-test: ## test mbox, b4 am, shazam, prep and send with scratch clones, offline
	$(call stage,tree mail,$(pytest) scripts/tests/test_mail.py)

lint: ## read scripts and patches: shellcheck, black, checkpatch, kernel-doc, MAINTAINERS
	$(call stage,tree lint,scripts/lint.sh)

no-notifier: ## without CONFIG_MMU_NOTIFIER, do the calls leave an instruction behind?
	$(call stage,tree lint,scripts/no-notifier.sh)

prefixes: ## compile what each patch touches after it, on x86_64
	$(call stage,tree x86_64,$(mm) prefixes)

topics: ## the topics of patches/series: patches, lines, and what each needs
	@$(mm) topics

topics-check: ## each topic, on the base and what it needs: git am takes it, and what it touches compiles on x86_64
	$(call stage,tree x86_64,$(mm) prefixes --topics)

topics-check-full: ## the same by kbuild on x86_64, arm64 and UML, and the suites of each topic pass on x86_64
	$(call stage,tree um x86_64 matrix-check,scripts/topics.sh)

tools-tests: ## build and run tools/testing/vma and radix-tree, which test code of mm/ and lib/ in user space
	$(call stage,tree tools,scripts/tools-tests.sh)

bisect: ## compile all that the series touches after every patch, on x86_64 and UML, with sparse, and run KUnit
	$(call stage,tree um x86_64 lint,scripts/bisect.sh)

matrix: ## compile what the series touches in all configurations of configs/matrix, and count warnings
	$(call stage,tree um i386 lint matrix,scripts/matrix.sh)

matrix-check: # the rows of make check
	$(call stage,tree um lint matrix-check,scripts/matrix.sh --check)

mutants: ## break the series' code in the ways of kunit/mutants.yaml: do the suites notice?
	$(call stage,tree x86_64 mutants,$(mm) mutants)

coverage: ## which lines of the series the suites run, on x86_64 with gcov; fails below 95%
	$(call stage,tree x86_64 coverage,$(mm) coverage)

bench: ## what operations cost, beside mainline: instructions, nanoseconds, events; tables and plots
	$(call stage,tree um x86_64 bench,$(mm) bench)

selfcheck: ## test the scripts themselves, on small fakes
	@scripts/deps.sh selfcheck
	@$(mm) stage $@ -- $(pytest) scripts/tests --ignore=scripts/tests/test_mail.py

check: ## lint, selfcheck, mail-test, tools-tests, kunit, kunit-debug, stress, fuzz, selftests, planted, prefixes, topics-check (or STAGES=); repeats nothing that passed
	@scripts/deps.sh
	@scripts/tree.sh
	@$(mm) check $(STAGES)

check-full: ## everything there is: also selftests-arm64, topics-check-full, kunit-kcsan, bisect, the whole matrix, mutants, coverage
	@$(MAKE) --no-print-directory check STAGES="$(full)"

report: ## build/results/index.html, junit.xml and the table from the records that there are
	@$(mm) report

deps: ## install (Debian, root) or name the packages that are missing
	@scripts/deps.sh

clean: ## remove what was built, keep the tree
	@scripts/clean.sh

distclean: ## remove the tree too, unless it holds work that is not in patches/ (FORCE=1: even so)
	@scripts/clean.sh --all

help: ## this list
	@awk -F':.*## ' '/^#   / { print substr($$0, 3) } /^[a-z0-9-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile
