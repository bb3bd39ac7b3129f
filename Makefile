# SPDX-License-Identifier: GPL-2.0
# The front door of mm-track: make help lists the targets. Settings:
#   LINUX=path   a git tree of yours to start from (only read); BASE_COMMIT= picks a commit of it
#   BASE=name    or a version of configs/bases (default 7.3.4)
#   B=dir        where everything is built (default build, or build/BASE)
#   ARCHES="um x86_64 i386 x86_64-debug"  what make kunit runs (default: um x86_64)
#   FILTER=glob  only these tests, as suite.test, or with make selftests these programs; TIMEOUT=s; ACCEL=kvm instead of tcg
#   SIDE=base    make selftests of what the series stands on; DEBUG=1 with KASAN, lockdep and the like

B ?= build$(if $(filter-out 7.3.4,$(BASE)),/$(BASE))
ARCHES ?= um x86_64
export B BASE BASE_COMMIT LINUX ARCHES FILTER TIMEOUT ACCEL FORCE SIDE DEBUG

.DEFAULT_GOAL := kunit
.PHONY: kunit selftests tree refresh range-diff lint check selfcheck deps clean distclean help

kunit: ## build and run the KUnit suites on every one of ARCHES, table at the end (the default)
	@scripts/deps tree $(ARCHES:-debug=)
	@scripts/tree
	@scripts/kunit

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

lint: ## check scripts and patches: shellcheck, checkpatch, kernel-doc, sparse, W=1
	@scripts/deps tree lint
	@scripts/tree
	@scripts/lint

selfcheck: ## test the scripts themselves, on small fakes
	@scripts/deps tree lint
	@scripts/selfcheck

check: ## everything: lint, selfcheck, kunit, selftests
	@scripts/check

deps: ## install (Debian, root) or name the packages that are missing
	@scripts/deps

clean: ## remove what was built, keep the tree
	@scripts/clean

distclean: ## remove the tree too, unless it holds work that is not in patches/ (FORCE=1: even so)
	@scripts/clean --all

help: ## this list
	@awk -F':.*## ' '/^#   / { print substr($$0, 3) } /^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
