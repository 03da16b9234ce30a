# shellcheck shell=bash
# The unit tests of netbuf that need sch_plug, in a dom0 whose kernel has it: nothing may be skipped
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=600
DEPLOY=no

program=build/tests/unit/netbuf_kernel
make -C "$TOP" --no-print-directory $program >/dev/null || fail "$program does not build"
library=$(ldconfig -p | awk '/libcmocka\.so\.0/ { print $NF; exit }')
tar -ch --transform 's,.*/,,' "$TOP/$program" "$library" 2>/dev/null |
	host_ssh alpha 'mkdir -p /var/tmp/netbuf && tar -C /var/tmp/netbuf -xf -' || fail "cannot copy $program"
out=$(host_ssh alpha 'cd /var/tmp/netbuf && ROMULUS_REQUIRE_PLUG=1 LD_LIBRARY_PATH=. ./netbuf_kernel' 2>&1) ||
	fail "on alpha: $out"
echo "$out"
grep -q 'PASSED' <<<"$out" || fail "nothing ran"
grep -q 'SKIPPED' <<<"$out" && fail "tests were skipped"
true
