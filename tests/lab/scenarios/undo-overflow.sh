# shellcheck shell=bash
# A guest that overwrites more in an epoch than undo-limit holds: it writes on, status says why, protection returns
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800
INTERVAL=4000         # an epoch in which 1 MB is soon overwritten
REPROTECT_DELAY=60000 # it stays alone for long enough to be looked at

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

DB_DISKS=${DB_DISKS/undo-limit = 64/undo-limit = 1}
LONGEST_STALL=15 # seconds without a completed write: a pause of an emulated guest, not a time limit of DRBD (42)

step "undo-limit is 1 MB, epochs take $INTERVAL ms"
disks_started
protect db alpha beta
generation=$(status_field alpha db generation)
stamp_start rate=1000 depth=16 hold=60000
writes_watch alpha
wait_for 120 why_has alpha undo-limit || fail "the limit was not passed, or status does not say so: $(status_json alpha; status_json beta)"
wait_for 60 why_has beta undo-limit || fail "beta's status does not say why: $(status_json beta)"
wait_for 120 is_state alpha db solo || fail "the guest is not let go: $(status_json alpha)"
line=$(romulus_on alpha status db | grep '^db: NOT PROTECTED')
step "status: $line"
grep -q undo-limit <<<"$line" || fail "romulus status does not say why: $line"
writes=$(host_ssh alpha tail -n 1 /run/writes)
stamp_more 200
watched=$(writes_watched alpha)
step "longest stall and number of writes: $watched (at solo: $writes)"
awk -v most="$LONGEST_STALL" '{ exit !($1 <= most && $2 > 200) }' <<<"$watched" || fail "the guest's writes were blocked: $watched"

step "nothing was taken over"
domain_runs alpha db || fail "db does not run on alpha: $(host_ssh alpha xl list)"
host_ssh beta xl list db 2>/dev/null && fail "db runs on beta"
nobody_was_fenced

step "with less to write, protection returns"
stamp_agrees
stamp_start rate=5 depth=2 hold=60000
wait_for 400 is_protected alpha db || fail "protection did not return: $(status_json alpha; drbd_state alpha)"
epoch=$(status_field alpha db epoch)
wait_for 120 epoch_beyond alpha db "$((epoch + 5))" || fail "protection does not last: $(status_json alpha)"
[ "$(status_field alpha db generation)" -gt "$generation" ] || fail "the generation did not grow"
stamp_agrees

disks_end alpha
