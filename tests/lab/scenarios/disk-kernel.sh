# shellcheck shell=bash
# The unit tests of diskrep that need device mapper and NBD, in a dom0 that has them: nothing may be skipped
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=300
DEPLOY=no

program=build/tests/unit/disk_kernel
make -C "$TOP" --no-print-directory $program >/dev/null || fail "$program does not build"
library=$(ldconfig -p | awk '/libcmocka\.so\.0/ { print $NF; exit }')
tar -ch --transform 's,.*/,,' "$TOP/$program" "$library" 2>/dev/null |
	host_ssh alpha 'mkdir -p /var/tmp/disk && tar -C /var/tmp/disk -xf -' || fail "cannot copy $program"
out=$(host_ssh alpha 'cd /var/tmp/disk && ROMULUS_REQUIRE_DISK=1 LD_LIBRARY_PATH=. ./disk_kernel' 2>&1) ||
	fail "on alpha: $out"
echo "$out"
grep -q 'PASSED' <<<"$out" || fail "nothing ran"
grep -q 'SKIPPED' <<<"$out" && fail "tests were skipped"
true
