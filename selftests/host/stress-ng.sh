#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the guest of make programs: ./stress-ng.sh STRESSOR OPS [OPTION...] has two workers of this stressor of stress-ng do OPS
# operations together. stress-ng leaves out what it thinks the machine has not, and calls that a success: not so here.
name=$1 ops=$2
shift 2
out=$(stress-ng --verify --timeout 0 --temp-path /tmp --metrics-brief --"$name" 2 --"$name-ops" "$ops" "$@" 2>&1)
code=$?
echo "$out"
[ $code = 0 ] || exit $code
case $out in *'successful run completed'*) ;; *) exit 4 ;; esac
# its table, before others: "stress-ng: metrc: [12] mremap    20    1.50 ..."
echo "$out" | awk -v name="$name" -v ops="$ops" '$4 == name && !n++ { done = $5 } END {
	if (done < ops) { print "only " done + 0 " of " ops " operations were done"; exit 1 } }'
