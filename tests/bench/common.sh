# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the benchmarks share.

remote() { host_ssh "$1" "$2"; } # remote HOST SCRIPT

# Ticks of the machine and those of them that went neither to this lab nor to waste: other work on the
# machine is what spoils a comparison first.
machine_ticks() {
	local ours=0 host pid
	for host in $HOSTS; do
		pid=$(host_pid "$host") && ours=$((ours + $(awk '{ print $14 + $15 }' "/proc/$pid/stat")))
	done
	awk -v ours=$ours '/^cpu / { print $2+$3+$4+$5+$6+$7+$8+$9, $2+$3+$4+$7+$8+$9 - ours }' /proc/stat
}

DISTURBED=15 # percent of the machine that others had: such a window says more of them

# undisturbed COMMAND...: its result (a line of JSON with `others`), again, up to three times, while others disturb it
undisturbed() {
	local try result
	for try in 1 2 3; do
		result=$("$@") || return 1
		jq -e --argjson most "$DISTURBED" '.others <= $most' <<<"$result" >/dev/null && break
		step "measurement $try was disturbed: $result"
	done
	echo "$result"
}

# machine_others BEFORE AFTER, each of machine_ticks: the share that others had between, in percent
machine_others() {
	awk -v b="$1" -v a="$2" 'BEGIN { split(b, x); split(a, y); print (y[2] - x[2]) * 100 / (y[1] - x[1]) }'
}
