# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No frame of an open epoch leaves before its ack: IPv4, IPv6 and ARP; and the test fails without the plug
TIMEOUT=900

DELAY_MS=3000

# Chirps carry numbers at a steady rate. With each ack delayed by DELAY_MS, held output leaves in
# bursts that far apart; without holding, frames arrive evenly. chirp_gaps KIND prints the longest
# gap in ms between two frames on the wire, how many frames came, and how often the number fell.
chirp_gaps() {
	in_lab tcpdump -r "$STATE/capture-guest.pcap" -tt -nn -x "$1" 2>/dev/null | python3 "$LAB_DIR/chirps.py"
}

measure() { # measure: chirp for a while, leave figures in v4, v6, arp
	capture_start guest
	pulse_send db chirp rate=50 || fail "the guest does not chirp"
	wait_for 120 captured_seconds 15 || fail "no chirps were captured"
	capture_stop
	read -r v4_gap v4_n v4_back <<<"$(chirp_gaps "udp dst port 7702 and ip")"
	read -r v6_gap v6_n v6_back <<<"$(chirp_gaps "udp dst port 7702 and ip6")"
	read -r arp_gap arp_n arp_back <<<"$(chirp_gaps "arp and ether src 00:16:3e:90:00:21")"
	say "longest gaps: IPv4 $v4_gap ms ($v4_n frames), IPv6 $v6_gap ms ($v6_n), ARP $arp_gap ms ($arp_n); out of order $v4_back $v6_back $arp_back"
}

captured_seconds() {
	local since
	since=$(stat -c %W "$STATE/capture-guest.pcap" 2>/dev/null) && [ $(($(date +%s) - since)) -ge "$1" ]
}

romulus_up "ack-delay=delay:$DELAY_MS"
protect db alpha beta
measure
for gap in "$v4_gap" "$v6_gap" "$arp_gap"; do
	[ "$gap" -ge "$DELAY_MS" ] || fail "frames left in less than $DELAY_MS ms: not held until the ack"
done
[ $((v4_back + v6_back + arp_back)) -eq 0 ] || fail "frames left out of order"

romulus_on alpha unprotect db || fail "unprotect failed"
romulus_up "ack-delay=delay:$DELAY_MS,plug-bypass=fail"
protect db alpha beta
measure
for gap in "$v4_gap" "$v6_gap" "$arp_gap"; do
	[ "$gap" -lt "$DELAY_MS" ] || fail "this scenario cannot tell a plug from a bypassed one"
done
