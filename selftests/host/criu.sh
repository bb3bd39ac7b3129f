#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the guest of make programs: ./criu.sh [lazy] has CRIU take checkpoint.c away while it writes, and bring it back: two
# pre-dumps, of which the second saves what is soft-dirty, a dump and a restore. lazy: pages come when they are touched, by userfaultfd.
# The program then says what it has found.
lazy=${1:+--lazy-pages}
at=/tmp/criu
rm -rf $at
mkdir -p $at/1 $at/2 $at/3
cp checkpoint $at/
echo 8 >/proc/sys/vm/nr_hugepages
setsid $at/checkpoint $at </dev/null >$at/said 2>&1 &
pid=$!

# rounds N: waits until the program did N more
rounds() {
	until=$(($(wc -l <$at/round) + $1))
	while [ "$(wc -l <$at/round)" -lt $until ]; do
		kill -0 $pid || {
			cat $at/said
			exit 1
		}
		sleep 0.1
	done
}

# run COMMAND...: of criu; shows what it said if it fails
run() {
	criu "$@" -v4 -o log || {
		echo "criu $*: $?"
		grep -hE 'Error|Warn' "$dir/log"
		tail -n 5 "$dir/log"
		exit 1
	}
}

while [ ! -s $at/round ]; do sleep 0.1; done
rounds 2
dir=$at/1
run pre-dump -t $pid -D $dir --track-mem
rounds 2
dir=$at/2
run pre-dump -t $pid -D $dir --track-mem --prev-images-dir ../1
rounds 2
dir=$at/3
run dump -t $pid -D $dir --track-mem --prev-images-dir ../2
wait $pid # its number must be free
if [ -n "$lazy" ]; then
	criu lazy-pages -D $dir -v4 -o lazy.log &
	while [ ! -S $dir/lazy-pages.socket ]; do sleep 0.1; done
fi
mv $dir/log $dir/dump.log
run restore -D $dir -d ${lazy:+"$lazy"}
rounds 2
touch $at/end
while kill -0 $pid 2>/dev/null; do sleep 0.1; done
cat $at/said
! grep -q '^not ok [1-4]' $at/said && grep -q '^ok 4' $at/said
