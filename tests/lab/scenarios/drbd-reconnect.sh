# shellcheck shell=bash
# DRBD loses its connection for a moment and resyncs: no epoch counts until the disks are in step, protection begins anew
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1200

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

disks_started "${FAULT:-}" # lineage-skip=fail makes it red
protect db alpha beta
stamp_start hold=60000
stamp_more 50
generation=$(status_field alpha db generation)

step "DRBD is disconnected and connected again, faster than an ack is missed; its resync is slow"
resync_slow alpha 300
host_ssh alpha 'drbdadm disconnect db && drbdadm connect db' || fail "cannot interrupt DRBD: $(drbd_state alpha)"
wait_for 400 protected_beyond alpha "$generation" ||
	fail "epochs went on being committed: $(status_json alpha; drbd_state alpha)"
romulus_on alpha events
# The marker comes with the resync and is refused, or not before an ack is missed.
romulus_on alpha events db --json | jq -rs 'map(select(.kind == "stream-lost") | .text)[0]' |
	grep -qE 'was interrupted|disks of .db. are not up to date \(resync' || fail "no event says why the protection ended"
is_state beta db ready || fail "beta is not the backup: $(status_json beta)"
stamp_more 50
stamp_agrees
disks_end alpha
