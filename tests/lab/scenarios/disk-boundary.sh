# shellcheck shell=bash
# How a boundary of the disks is made is tested when protection starts; the choice and its cost are in journal and status
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

PROBES=320 # of each way: rounds by blocks, diskrep/selftest.c

boundary_line() { # of alpha's journal, the newest
	host_ssh alpha "journalctl -u romulusd -o cat --no-pager | grep -F 'db: disk boundaries: ' | tail -n 1"
}

# order_of WAY: "SEEN SENT VIOLATIONS" of the line
order_of() { sed -n "s/.*[:;] $1 [0-9]* us, \([0-9]*\) of \([0-9]*\) probes seen, \([0-9]*\) out of order.*/\1 \2 \3/p" <<<"$line"; }

# tested WAY VIOLATIONS(none, some): every probe was seen, and this many came out of order
tested() {
	local seen sent violations
	read -r seen sent violations <<<"$(order_of "$1")"
	[ "$seen" = $PROBES ] && [ "$sent" = $PROBES ] || fail "not all $PROBES probes of $1 were seen: $line"
	case $2 in
	none) [ "$violations" = 0 ] || fail "probes of $1 came out of order: $line" ;;
	some) [ "$violations" -gt 0 ] || fail "the self-test does not see that the flush is missing: $line" ;;
	esac
}

# chosen WAY: in journal and status; then under load for a while, and what the boundary takes of the pause
chosen() {
	local epoch sample
	step "journal: $line"
	grep -q "disk boundaries: $1 (" <<<"$line" || fail "$1 is not the choice: $line"
	[ "$(status_field alpha db boundary)" = "$1" ] || fail "status does not say $1: $(status_json alpha)"
	step "status: $(status_field alpha db boundary), $(status_field alpha db boundary_why)"
	rm -f "$STATE/boundary-$1"
	epoch=$(status_field alpha db epoch)
	for sample in $(seq "${SAMPLES:-20}"); do
		wait_for 60 epoch_beyond alpha db "$epoch" || fail "no epochs are committed under load: $(status_json alpha)"
		status_json alpha | jq -c '.domains[] | select(.name == "db") | [.epoch, .pause_ms, .capture_ms, .boundary_wait_ms, .boundary_ms]' \
			>>"$STATE/boundary-$1"
		epoch=$(tail -n 1 "$STATE/boundary-$1" | jq '.[0]')
	done
	step "$1, ms, median of $sample epochs: $(jq -sc 'def med(i): map(.[i]) | sort | .[length / 2 | floor];
		{pause: med(1), capture: med(2), boundary_wait: med(3), longest_wait: (map(.[3]) | max), boundary: med(4)}' "$STATE/boundary-$1")"
	jq -se 'all(.[3] > 0 and .[3] < .[1] and .[3] <= .[4])' "$STATE/boundary-$1" >/dev/null ||
		fail "what the boundary takes of the pause is not known: $(cat "$STATE/boundary-$1")"
}

undo_known() { # on beta: old content is kept, within the limit
	status_json beta | jq -e '.domains[] | select(.name == "db") |
		.undo_limit == 67108864 and .undo_largest > 0 and .undo_largest <= .undo_limit and .undo_bytes <= .undo_limit' >/dev/null
}

step "as it comes"
disks_protected alpha beta
line=$(boundary_line)
tested wait none
tested bracket none
chosen "$(status_field alpha db boundary)" # either is right, what is cheaper here is the machine's business
wait_for 60 undo_known || fail "the undo memory is not in beta's status: $(status_json beta)"
step "undo on beta: $(status_json beta | jq -c '.domains[] | select(.name == "db") | [.undo_bytes, .undo_largest, .undo_limit]')"

step "where a marker takes 300 ms, the bracket; a power cut then loses nothing of the checkpoint"
lab_restart
disks_protected alpha beta marker-slow=delay:300
line=$(boundary_line)
tested wait none
tested bracket none
chosen bracket
disk_cut alpha beta
stamp_agrees

step "a bracket without its flush is found out, however much cheaper"
lab_restart
disks_protected alpha beta marker-slow=delay:300,marker-unflushed=fail
line=$(boundary_line)
tested wait none
tested bracket some
grep -q "probes came out of order" <<<"$(status_field alpha db boundary_why)" || fail "status does not say why: $(status_json alpha)"
SAMPLES=3 chosen wait
