# SPDX-License-Identifier: GPL-2.0
# The front door of mm-track: make help lists the targets. Settings:
#   LINUX=path   a git tree of yours to start from (only read); BASE_COMMIT= picks a commit of it
#   BASE=name    or a version of configs/bases (default 7.3.4)
#   B=dir        where everything is built (default build, or build/BASE)
#   ARCHES="um x86_64 i386 x86_64-debug"  what make kunit runs (default: um x86_64)
#   FILTER=glob  only these tests, as suite.test; with make selftests these programs, with make matrix these
#                configurations, with make mutants these breakages, with make bench this case, with make prefixes and make
#                bisect patches, as 12-20; TIMEOUT=s; ACCEL=kvm instead of tcg
#   MINUTES=n    how long make stress runs (default 1)
#   SIDE=base    make selftests of what the series stands on; DEBUG=1 with KASAN, lockdep and the like

B ?= build$(if $(filter-out 7.3.4,$(BASE)),/$(BASE))
ARCHES ?= um x86_64
STAGES ?= lint selfcheck mail kunit kunit-debug stress selftests prefixes matrix-check
export B BASE BASE_COMMIT LINUX ARCHES FILTER TIMEOUT ACCEL FORCE SIDE DEBUG MINUTES

.DEFAULT_GOAL := kunit
# they share the tree and the builds, and use all CPUs themselves
.NOTPARALLEL:
.PHONY: kunit kunit-debug kunit-kcsan stress selftests tree refresh range-diff lint matrix matrix-check prefixes bisect mutants coverage bench \
	rebase mbox b4 mail check check-full selfcheck deps clean distclean help

kunit: ## build and run the KUnit suites on every one of ARCHES, table at the end (the default)
	@scripts/deps tree $(foreach arch,$(ARCHES),$(firstword $(subst -, ,$(arch))))
	@scripts/tree
	@scripts/kunit

kunit-debug: ## the suites on x86_64 with KASAN, lockdep, page_table_check, UBSAN and the like
	@scripts/deps tree x86_64
	@scripts/tree
	@ARCHES=x86_64-debug STAGE=$@ TIMEOUT=$${TIMEOUT:-1200} scripts/kunit

kunit-kcsan: ## the tests that have several threads on x86_64 with KCSAN, which looks for data races
	@scripts/deps tree x86_64
	@scripts/tree
	@scripts/kcsan

stress: ## writers, harvesters, fork, mremap, reclaim and a device all at once, for MINUTES=1, on the debug kernel
	@scripts/deps tree x86_64
	@scripts/tree
	@ARCHES= scripts/stress

selftests: ## boot the tree's own mm selftests in QEMU, compare each test with the base's result
	@scripts/deps tree selftests
	@scripts/tree
	@scripts/selftests

tree: ## make build/linux: the base, and the patches on its branch "series"
	@scripts/deps tree
	@scripts/tree

refresh: ## write the branch "series" back to patches/ (FORCE=1: over changes in patches/)
	@scripts/refresh

range-diff: ## show what the branch "series" changes against the committed patches
	@scripts/range-diff

rebase: ## try the series on another base (BASE=, or LINUX= and BASE_COMMIT=): what conflicts, what it has already
	@scripts/deps tree
	@$(if $(LINUX),B=$(B)/rebase) scripts/rebase

mbox: ## write the series as mails to build/series.mbox, for git am --empty=drop, b4 am -m and b4 shazam -m
	@scripts/deps mail
	@bash -c '. scripts/common; make_build'
	@scripts/mail mbox $(B)/series.mbox

b4: ## make a branch of b4 prep with the series in LINUX=, your tree (on BASE_COMMIT=, else v7.3); sends nothing
	@scripts/deps mail
	@scripts/b4

mail: ## test mbox, b4 am, shazam, prep and send with scratch clones, offline
	@scripts/deps tree mail
	@scripts/tree
	@scripts/mailcheck

lint: ## check scripts and patches: shellcheck, checkpatch, kernel-doc, sparse, W=1
	@scripts/deps tree lint
	@scripts/tree
	@scripts/lint

prefixes: ## compile what the series touches after every patch, on x86_64
	@scripts/deps tree x86_64
	@scripts/tree
	@scripts/bisect --objects

bisect: ## the same on x86_64 and UML, with sparse, and with KUnit passing after every patch
	@scripts/deps tree um x86_64 lint
	@scripts/tree
	@scripts/bisect

matrix: ## compile what the series touches in all configurations of configs/matrix, and count warnings
	@scripts/deps tree um i386 matrix
	@scripts/tree
	@set -f; scripts/matrix $$FILTER

matrix-check: # the rows of make check
	@scripts/deps tree um i386 matrix-check
	@scripts/tree
	@scripts/matrix --check

mutants: ## break the series' code in the ways of kunit/mutants.yaml: do the suites notice?
	@scripts/deps tree x86_64 mutants
	@scripts/tree
	@set -f; scripts/mutants $$FILTER

coverage: ## which lines of the series the suites run, on x86_64 with gcov
	@scripts/deps tree x86_64 coverage
	@scripts/tree
	@scripts/coverage

bench: ## what operations cost, beside mainline: instructions, nanoseconds, events; tables and plots
	@scripts/deps tree um x86_64 bench
	@scripts/tree
	@scripts/bench

selfcheck: ## test the scripts themselves, on small fakes
	@scripts/deps tree lint
	@scripts/selfcheck

check: ## lint, selfcheck, mail, kunit, kunit-debug, stress, selftests, prefixes, the hardest of the matrix (or STAGES=)
	@scripts/check $(STAGES)

check-full: ## everything there is: also bisect, the whole matrix, kunit-kcsan, mutants, coverage
	@scripts/check lint selfcheck mail kunit kunit-debug kunit-kcsan stress selftests bisect matrix mutants coverage

deps: ## install (Debian, root) or name the packages that are missing
	@scripts/deps

clean: ## remove what was built, keep the tree
	@scripts/clean

distclean: ## remove the tree too, unless it holds work that is not in patches/ (FORCE=1: even so)
	@scripts/clean --all

help: ## this list
	@awk -F':.*## ' '/^#   / { print substr($$0, 3) } /^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
