# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests that need a kernel with more than this machine's may have: they run in alpha's dom0.

unit_in_dom0() { # unit_in_dom0 PROGRAM VARIABLE: with VARIABLE=1 no test may be skipped
	local program=build/tests/unit/$1 library out
	make -C "$TOP" --no-print-directory "$program" >/dev/null || fail "$program does not build"
	library=$(ldconfig -p | awk '/libcmocka\.so\.0/ { print $NF; exit }')
	tar -ch --transform 's,.*/,,' "$TOP/$program" "$library" 2>/dev/null |
		host_ssh alpha 'mkdir -p /var/tmp/unit && tar -C /var/tmp/unit -xf -' || fail "cannot copy $program"
	out=$(host_ssh alpha "cd /var/tmp/unit && $2=1 LD_LIBRARY_PATH=. ./$1" 2>&1) || fail "on alpha: $out"
	echo "$out"
	grep -q 'PASSED' <<<"$out" || fail "nothing ran"
	! grep -q 'SKIPPED' <<<"$out" || fail "tests were skipped"
}
