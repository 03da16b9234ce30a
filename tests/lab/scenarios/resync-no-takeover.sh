# shellcheck shell=bash
# The primary loses its power while the backup's disks resync: no takeover, status says why; the guest goes on where it was
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

resync_percent() { status_field "$1" db why | sed -n 's/.*resync [a-z]* the peer \([0-9]*\) %.*/\1/p'; }
resync_beyond() { [ "$(resync_percent "$1")" -gt "$2" ] 2>/dev/null; } # resync_beyond HOST PERCENT

disks_protected
stamp_more 50

step "volume 0 of beta is to be resynced, slowly: that ends the protection"
resync_slow alpha 200
host_ssh alpha drbdadm invalidate-remote db/0 || fail "cannot begin a resync: $(drbd_state alpha)"
wait_for 120 resync_beyond alpha -1 || fail "alpha's status does not show the resync: $(status_json alpha; drbd_state alpha)"
wait_for 60 resync_beyond beta -1 || fail "beta's status does not show the resync: $(status_json beta)"
for host in $HOSTS; do
	step "status: $(romulus_on "$host" status db)"
	is_protected "$host" db && fail "$host says that db is protected: $(status_json "$host")"
done
done_before=$(resync_percent alpha)
wait_for 120 resync_beyond alpha "$done_before" || fail "status shows no progress: $(status_json alpha; drbd_state alpha)"
stamp_more 50
stamp_agrees
stamp_go
stamp_more 50
writes=$(stamp_writes)
drbd_state alpha | grep -q 'SyncSource' || fail "the resync is over too soon: $(drbd_state alpha)"

step "cutting alpha's power after $writes writes"
host_power_cut alpha
wait_for 120 why_has beta "alpha is silent and this host must not take over" ||
	fail "beta's status does not say that it must not take over: $(status_json beta)"
line=$(romulus_on beta status db | grep '^db: NOT PROTECTED')
step "status: $line"
grep -q 'bring alpha back' <<<"$line" || fail "status does not say what to do: $line"
romulus_on beta failover db && fail "romulus failover is not refused"
host_ssh beta 'xl list db || xl list db--standby' 2>/dev/null && fail "something of db runs on beta"
grep -q 'Primary/' <<<"$(drbd_state beta)" && fail "beta has promoted its disks: $(drbd_state beta)"
romulus_on beta events db --json | jq -es 'any(.kind == "grant") | not' >/dev/null || fail "beta was granted a takeover"
nobody_was_fenced

step "alpha comes back"
host_power_on alpha
wait_for 400 host_is_ready alpha || fail "alpha does not boot again"
host_ssh alpha systemctl start romulusd || fail "romulusd does not start on alpha"
wait_for 60 why_has alpha "start it from its disks (drbdadm primary db, then xl create)" ||
	fail "alpha's status does not say how to start the guest: $(status_json alpha)"
step "status: $(romulus_on alpha status db)"
guest_with_disks alpha # which does what it says
stamp_start hold=60000
newest=$(stamp_writes)
[ "$newest" -ge $((writes - 64)) ] || fail "the disks have writes up to $newest only, $writes were made"
wait_for 400 is_protected alpha db || fail "protection did not return: $(status_json alpha; drbd_state alpha)"
stamp_more 50
stamp_agrees
disks_end alpha
