# shellcheck shell=bash
# No frame of an open epoch leaves before its ack: IPv4, IPv6 and ARP; the test is red without the plug
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"

DELAY_MS=3000

# The guest chirps at a steady rate, each kind of frame with the same numbers. With every ack delayed by
# DELAY_MS, held output leaves in bursts at least that far apart; without holding it arrives evenly.
# measure: longest gaps in GAP[udp4], GAP[udp6], GAP[arp] (ms); fails if any number falls or is lost.
declare -A GAP

measure() {
	local kind backwards
	pulse_send db chirp rate=50 || fail "the guest does not chirp"
	client chirps --seconds 20 --if guest --log "$STATE/chirps" || fail "no chirps were heard"
	pulse_send db hush
	for kind in udp4 udp6 arp; do
		read -r "GAP[$kind]" frames backwards < <(awk -v kind=$kind '$2 == kind {
				if (n++) { if ($1 - at > gap) gap = $1 - at; if ($3 <= last) back++ }
				at = $1; last = $3
			} END { printf "%d %d %d\n", gap, n, back }' "$STATE/chirps")
		step "$kind: $frames frames, longest gap ${GAP[$kind]} ms, out of order $backwards"
		[ "$frames" -gt 100 ] || fail "only $frames frames of kind $kind came out"
		[ "$backwards" -eq 0 ] || fail "$backwards frames of kind $kind came out of order"
	done
}

romulus_up "ack-delay=delay:$DELAY_MS"
protect db alpha beta
measure
for kind in udp4 udp6 arp; do
	[ "${GAP[$kind]}" -ge "$DELAY_MS" ] || fail "$kind frames left before the ack of their epoch"
done

step "again with the plug bypassed: now they must leave early"
romulus_on alpha unprotect db || fail "unprotect failed"
romulus_up "ack-delay=delay:$DELAY_MS,plug-bypass=fail"
protect db alpha beta
measure
for kind in udp4 udp6 arp; do
	[ "${GAP[$kind]}" -lt "$DELAY_MS" ] || fail "this scenario cannot tell a plug from none"
done
