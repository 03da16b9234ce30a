# shellcheck shell=bash
# The order of disk writes is tested when protection starts; what a boundary costs is in status
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

PROBES=320 # rounds by blocks, diskrep/selftest.c

# boundaries N: of N epochs under load, what the boundary takes of the pause
boundaries() {
	local epoch sample
	epoch=$(status_field alpha db epoch)
	for sample in $(seq "$1"); do
		wait_for 60 epoch_beyond alpha db "$epoch" || fail "no epochs are committed under load: $(status_json alpha)"
		status_json alpha | jq -c '.domains[] | select(.name == "db") | [.epoch, .pause_ms, .capture_ms, .boundary_wait_ms, .boundary_ms]' \
			>>"$STATE/boundaries"
		epoch=$(tail -n 1 "$STATE/boundaries" | jq '.[0]')
	done
	step "ms, median of $sample epochs: $(jq -sc 'def med(i): map(.[i]) | sort | .[length / 2 | floor];
		{pause: med(1), capture: med(2), boundary_wait: med(3), longest_wait: (map(.[3]) | max), boundary: med(4)}' "$STATE/boundaries")"
	jq -se 'all(.[3] > 0 and .[3] < .[1] and .[3] <= .[4])' "$STATE/boundaries" >/dev/null ||
		fail "what the boundary takes of the pause is not known: $(cat "$STATE/boundaries")"
}

undo_known() { # on beta: old content is kept, within the limit
	status_json beta | jq -e '.domains[] | select(.name == "db") |
		.undo_limit == 67108864 and .undo_largest > 0 and .undo_largest <= .undo_limit and .undo_bytes <= .undo_limit' >/dev/null
}

rm -f "$STATE/boundaries"
disks_protected
line=$(host_ssh alpha "journalctl -u romulusd -o cat --no-pager | grep -F 'self-test of the order of disk writes' | tail -n 1")
step "journal: $line"
grep -q "$PROBES of $PROBES probes seen, 0 out of order" <<<"$line" || fail "the self-test did not see all: $line"
boundaries "${SAMPLES:-20}"
wait_for 60 undo_known || fail "the undo memory is not in beta's status: $(status_json beta)"
step "undo on beta: $(status_json beta | jq -c '.domains[] | select(.name == "db") | [.undo_bytes, .undo_largest, .undo_limit]')"
