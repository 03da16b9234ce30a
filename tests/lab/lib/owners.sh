# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who speaks for a domU on the guest LAN: its frames as each host sends them, seen from outside both. An owner
# that comes back after the other one has spoken is a change too, so two owners at once are many changes.

declare -A GUEST_MAC=([db]=00:16:3e:90:00:21 [web]=00:16:3e:90:00:22)

owners_watch() { # owners_watch DOMAIN: from now on
	local host
	for host in $HOSTS; do
		process_stop "$RUN/owners-$host.pid" tcpdump TERM
		ip netns exec "$NETNS" setsid tcpdump -i "$host-guest" -Q in -n -U -s 64 -w "$STATE/owners-$host.pcap" \
			ether src "${GUEST_MAC[$1]}" >"$STATE/owners-$host.log" 2>&1 9>&- &
		echo $! >"$RUN/owners-$host.pid"
		wait_for 10 grep -q listening "$STATE/owners-$host.log" || fail "tcpdump does not start on $host-guest"
	done
}

# owners_seen: ends it and prints a line "TIME HOST" for the first frame and then for every change of the host
owners_seen() {
	local host
	for host in $HOSTS; do process_stop "$RUN/owners-$host.pid" tcpdump TERM; done
	for host in $HOSTS; do
		tcpdump -tt -n -r "$STATE/owners-$host.pcap" 2>/dev/null | sed "s/ .*/ $host/"
	done | sort -n | awk '$2 != last { print; last = $2 }' >"$STATE/owners"
	cat "$STATE/owners"
}

# owners_are HOST...: these, in this order, and nobody spoke out of turn
owners_are() {
	local seen
	seen=$(owners_seen)
	[ "$(awk '{ print $2 }' <<<"$seen" | tr '\n' ' ')" = "$* " ] ||
		fail "who spoke for the domU: $(tr '\n' ',' <<<"$seen") expected $*"
}
