# SPDX-License-Identifier: GPL-2.0-or-later
# The lab itself: client through the snapshot, links really cut, power switch and fence agent, probe and chirps
# shellcheck shell=bash disable=SC2034,SC2016
TIMEOUT=300

fence() { # fence HOST ACTION PLUG: fence_lab as a host would run it
	printf 'action=%s\nplug=%s\n' "$2" "$3" | host_ssh "$1" fence_lab
}

host_pings() { host_ssh "$1" "ping -q -c1 -W2 $2 >/dev/null" </dev/null; } # host_pings HOST ADDRESS

step "redis answers on one connection, nothing missing"
client_start redis redis "${GUEST_ADDRESS[db]}" --seconds 5 --log "$STATE/writes.log"
result=$(client_result redis) || fail "the redis client: $result"
[ "$(json_field acked <<<"$result")" -gt 50 ] || fail "too few writes: $result"

step "the probe counts and chirps"
pulse_send db start dirty=100 >/dev/null || fail "pulse does not answer"
client_start watch watch --seconds 5
result=$(client_result watch) || fail "no report from pulse"
[ "$(json_field iterations_per_second <<<"$result")" -gt 100 ] || fail "pulse does not work: $result"
pulse_send db stop >/dev/null
client_start chirps chirps --seconds 4
pulse_send db chirp rate=10 >/dev/null
result=$(client_result chirps) || fail "chirps of a kind are missing: $result"
pulse_send db hush >/dev/null

step "a link that is down is silent in both directions, and mends"
host_pings alpha 10.90.1.12 || fail "alpha does not reach beta on the replication link"
link_set down replication
host_pings alpha 10.90.1.12 && fail "the replication link is down, and beta answers alpha"
host_pings beta 10.90.1.11 && fail "the replication link is down, and alpha answers beta"
link_set up replication
wait_for 20 host_pings alpha 10.90.1.12 || fail "the replication link does not mend"
link_set down second
host_pings alpha 10.90.2.12 && fail "the second path is down, and beta answers alpha"
link_set up second
wait_for 20 host_pings alpha 10.90.2.12 || fail "the second path does not mend"

step "a domU starts on beta too"
host_ssh beta 'xl create -q /etc/xen/web.cfg' </dev/null || fail "xl create on beta"
wait_for 90 redis_answers "${GUEST_ADDRESS[web]}" || fail "redis in domU web on beta does not answer"

step "power: fence_lab sees it, takes it, and beta is silent, not gone"
fence alpha monitor beta || fail "fence_lab monitor"
fence alpha status beta || fail "fence_lab says that beta is not on"
host_ssh alpha 'socat -u TCP:10.90.1.12:22 OPEN:/tmp/banner,creat >/tmp/tcp.log 2>&1; echo $? >>/tmp/tcp.log' \
	</dev/null >/dev/null &
wait_for 20 host_ssh alpha 'grep -q SSH /tmp/banner' </dev/null || fail "no TCP connection alpha to beta"
capture_start replication >/dev/null
fence alpha off beta || fail "fence_lab off"
host_is_on beta && fail "fence_lab off returned while beta has power"
fence alpha status beta
[ $? = 2 ] || fail "fence_lab status of a host without power must be 2"
host_pings alpha 10.90.1.12 && fail "beta answers without power"
capture_stop replication
ended=$(capture_count replication 'src host 10.90.1.12 and tcp[tcpflags] & (tcp-rst|tcp-fin) != 0')
[ "$ended" = 0 ] || fail "beta's death sent $ended FIN or RST"
fence alpha off nobody && fail "fence_lab off of an unknown host must fail"

step "domU db on alpha never noticed"
redis_answers "${GUEST_ADDRESS[db]}" || fail "redis does not answer"
