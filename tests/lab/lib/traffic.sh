# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cuts one kind of traffic out of the replication link, silently and in both directions, where link_set
# would cut all of it: a filter on HOST's replication interface. Whatever else goes over it lives.

DRBD_PORT=7789 # as DB_DISKS says

# traffic_lose HOST drbd|others: DRBD's connection of db, or all but it (stream, requests and heartbeats)
# shellcheck disable=SC2016
traffic_lose() {
	host_ssh "$1" "kind=$2 port=$DRBD_PORT"'
		lose() { tc filter add dev repl0 "$@" action drop; }
		modprobe -a sch_ingress cls_flower act_gact && tc qdisc add dev repl0 clsact || exit
		for way in ingress egress; do
			for end in src_port dst_port; do
				set -- $way pref 1 protocol ip flower ip_proto tcp $end $port
				if [ $kind = drbd ]; then lose "$@"; else tc filter add dev repl0 "$@" action ok; fi || exit
			done
			[ $kind = drbd ] || lose $way pref 2 protocol ip flower || exit
		done' || fail "cannot cut the traffic on $1"
}

traffic_mend() { # traffic_mend HOST
	host_ssh "$1" tc qdisc del dev repl0 clsact || fail "cannot mend the traffic on $1"
}

traffic_lost() { # traffic_lost HOST: how many packets the filters have dropped
	host_ssh "$1" "for way in ingress egress; do tc -s filter show dev repl0 \$way; done" |
		awk '/action .*drop/ { drops = 1 } /action .*pass/ { drops = 0 }
			/Sent .* pkt/ && drops { n += $4 } END { print n + 0 }'
}
