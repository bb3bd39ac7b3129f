#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest of make planted as one of the selftests' programs: KUnit runs the module's suite when it is loaded.
printf planted >/sys/module/kunit/parameters/filter_glob
exec insmod planted.ko
