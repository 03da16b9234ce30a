# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The lab's own network namespace: one bridge per segment with one tap per host, the lab itself (client,
# power switch) at .1 of each. Nothing here touches the machine's own network.

# In the background use `ip netns exec` itself: a function would leave its shell between, and $! be that.
in_lab() { ip netns exec "$NETNS" "$@"; }

network_exists() { [ -e "/run/netns/$NETNS" ]; }

network_up() {
	local segment host
	network_exists && return
	ip netns add "$NETNS" || die "cannot make network namespace $NETNS (root is needed)"
	in_lab sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
	in_lab ip link set lo up
	for segment in $SEGMENTS; do
		in_lab ip link add "$segment" type bridge forward_delay 0 stp_state 0 mcast_snooping 0
		for host in $HOSTS; do
			in_lab ip tuntap add "$host-$segment" mode tap vnet_hdr
			in_lab sysctl -qw "net.ipv6.conf.$host-$segment.disable_ipv6=1"
			in_lab ip link set "$host-$segment" master "$segment"
			in_lab ip link set "$host-$segment" up
		done
		in_lab ip addr add "${SEGMENT_NET[$segment]}.1/24" dev "$segment"
		in_lab ip link set "$segment" up
	done
	in_lab ip -6 addr add fd90::1/64 dev guest nodad
}

network_down() {
	network_exists || return 0
	ip netns delete "$NETNS"
}

network_segment() {
	case ${1:-replication} in
	replication | repl) echo repl ;;
	second | heartbeat) echo second ;;
	guest) echo guest ;;
	*) die "no segment '$1' (replication, second, guest)" ;;
	esac
}

# Both directions, without a FIN: frames vanish and the carrier stays. Without HOST the second segment
# is cut between the hosts only, so that the lab can still reach both; any other segment is cut whole.
link_set() { # link_set down|up [SEGMENT [HOST]]
	local segment host isolated=off
	segment=$(network_segment "${2:-}") || exit 1
	network_exists || die "the lab is down"
	if [ -n "${3:-}" ]; then
		is_host "$3" || die "no host '$3'"
		in_lab ip link set "$3-$segment" "$1"
		return
	fi
	[ "$1" = down ] && isolated=on
	for host in $HOSTS; do
		if [ "$segment" = second ]; then
			in_lab ip link set "$host-$segment" type bridge_slave isolated "$isolated"
			[ "$1" = down ] || in_lab ip link set "$host-$segment" up
		else
			in_lab ip link set "$host-$segment" "$1"
		fi
	done
}

capture_start() { # capture_start [SEGMENT [FILTER...]]: packets of a segment into a pcap file
	local segment pid
	segment=$(network_segment "${1:-guest}") || exit 1
	capture_stop "$segment"
	shift
	ip netns exec "$NETNS" setsid tcpdump -i "$segment" -n -U -s 128 -w "$STATE/$segment.pcap" "$@" \
		>"$STATE/tcpdump-$segment.log" 2>&1 9>&- &
	pid=$!
	echo "$pid" >"$RUN/tcpdump-$segment.pid"
	wait_for 10 grep -q listening "$STATE/tcpdump-$segment.log" || die "tcpdump did not start"
	echo "$STATE/$segment.pcap"
}

capture_stop() { # capture_stop [SEGMENT]
	local segment
	segment=$(network_segment "${1:-guest}") || exit 1
	process_stop "$RUN/tcpdump-$segment.pid" tcpdump TERM
}

capture_count() { # capture_count SEGMENT FILTER...: packets in the capture that match
	local segment
	segment=$(network_segment "$1") || exit 1
	shift
	tcpdump -n -r "$STATE/$segment.pcap" "$@" 2>/dev/null | wc -l
}

capture_resets() { capture_count "${1:-guest}" 'tcp[tcpflags] & tcp-rst != 0'; }
