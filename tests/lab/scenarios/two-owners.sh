# shellcheck shell=bash
# Two copies of a domU are made to run at once: the detector of the fault campaign must see it
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=300

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"

frames_of() { [ "$(tcpdump -n -r "$STATE/owners-$1.pcap" 2>/dev/null | wc -l)" -gt "$2" ]; } # frames_of HOST N

pulse_send db chirp rate=20 >/dev/null || fail "db does not chirp"
owners_watch db
wait_for 60 frames_of alpha 40 || fail "nothing of db is heard"
frames_of beta 0 && fail "beta speaks for db although it has none"
owners_are alpha

owners_watch db
wait_for 60 frames_of alpha 5 || fail "nothing of db is heard"
# A guest that starts asks who has its address: that is enough to be heard.
host_ssh beta 'xl create -q /etc/xen/db.cfg' || fail "a second db does not start on beta"
wait_for 120 frames_of beta 0 || fail "the second db is not heard"
wait_for 60 frames_of alpha 60 || fail "the first db is not heard any more"
changes=$(owners_seen | wc -l)
step "seen: $(tr '\n' ',' <"$STATE/owners")"
[ "$changes" -ge 3 ] || fail "two owners look like one: $changes"
(owners_are alpha) 2>/dev/null && fail "two owners are taken for one"
(owners_are alpha beta) 2>/dev/null && fail "two owners are taken for a takeover"
true
