# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real etcd of three members: one on each host, the third on the lab's own end of the second segment. This
# machine's program is what runs on the hosts, which are of the same Debian release.

etcd_address() { if [ "$1" = lab ]; then echo "${SEGMENT_NET[second]}.1"; else host_address "$1" second; fi; }

# What romulus_config says of it.
# shellcheck disable=SC2034
MORE_CONFIG="etcd { endpoints = {\"http://$(etcd_address alpha):2379\", \"http://$(etcd_address beta):2379\", \"http://$(etcd_address lab):2379\"}
	timeout = 5000 }"

# etcd_arguments MEMBER DIRECTORY. Emulated hosts stand still for seconds now and then.
etcd_arguments() {
	local member address cluster=
	address=$(etcd_address "$1")
	for member in alpha beta lab; do cluster+=",$member=http://$(etcd_address "$member"):2380"; done
	echo "--name $1 --data-dir $2 --heartbeat-interval 500 --election-timeout 5000 \
		--listen-client-urls http://$address:2379 --advertise-client-urls http://$address:2379 \
		--listen-peer-urls http://$address:2380 --initial-advertise-peer-urls http://$address:2380 \
		--initial-cluster ${cluster#,} --initial-cluster-state new"
}

etcd_start() { # etcd_start MEMBER: also again, with what it has on its disk
	local arguments
	if [ "$1" = lab ]; then
		arguments=$(etcd_arguments lab "$STATE/etcd")
		# shellcheck disable=SC2086
		ip netns exec "$NETNS" setsid etcd $arguments >>"$STATE/etcd.log" 2>&1 9>&- &
		echo $! >"$RUN/etcd.pid"
	else
		arguments=$(etcd_arguments "$1" /var/lib/etcd-lab)
		host_ssh "$1" "test -x /usr/local/bin/etcd || { cat >/usr/local/bin/etcd && chmod +x /usr/local/bin/etcd && sync; }
			systemctl reset-failed etcd-lab 2>/dev/null
			systemd-run -q --unit=etcd-lab /usr/local/bin/etcd $arguments" <"$(command -v etcd)" ||
			fail "etcd does not start on $1"
	fi
}

etcd_stop() { process_stop "$RUN/etcd.pid" etcd KILL; } # the lab's member dies

etcd_up() {
	local member
	rm -rf "$STATE/etcd"
	for member in lab alpha beta; do etcd_start "$member"; done
}

etcd_answers() { status_json "$1" | jq -e '.etcd.answers' >/dev/null; } # etcd_answers HOST

# etcd_and_romulus_up: both hosts' romulusd reach it
etcd_and_romulus_up() {
	local host
	etcd_up
	romulus_up
	for host in $HOSTS; do
		wait_for 120 etcd_answers "$host" || fail "etcd does not answer $host: $(status_json "$host")"
	done
}
