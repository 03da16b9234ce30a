# shellcheck shell=bash
# The backup's worker dies in the middle of a takeover: its disks are the checkpoint or untouched, and the guest starts from them
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600
ARBITER=manual # so that there is time to keep a copy of what the disks are before the takeover
INTERVAL=1000

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# A host that is gone closes no connection: the stream may look whole until somebody decides.
beta_waits() { { is_state beta db ready || is_state beta db holding; } && status_json beta | jq -e '.peers[0].alive | not' >/dev/null; }
is_cleared() { is_state beta db broken || is_state beta db stuck; }

# The copy of the disks with the rollback file applied, by hand: what they must be after a rollback.
# shellcheck disable=SC2016
APPLY='
open F, "<:raw", "/var/lib/kept" or die; local $/; $_ = <F>; my ($at, $records) = (56, 0);
while (1) {
	my ($volume, $length, $offset) = unpack "VVQ<", substr $_, $at, 20;
	last if $volume == 0xffffffff;
	open V, "+<:raw", "/var/lib/ahead-$volume" or die; seek V, $offset, 0; print V substr $_, $at + 20, $length; close V;
	$at += 20 + $length; $records++;
}
print $records'

sums_of() { host_ssh beta "for v in $DISK_VOLUMES; do dd if=$1\$v bs=1M ${2:-} status=none | md5sum || exit; done"; }
disks_now() { sums_of /dev/mapper/lab-db- iflag=direct; }

for point in ${POINTS:-disks-dumped disks-disconnected disks-promoted disks-rolled-back}; do
	step "the worker dies at $point"
	disks_protected "$point=crash"
	stamp_more 50
	host_power_cut alpha
	wait_for 120 beta_waits || fail "beta does not wait for an operator: $(status_json beta)"
	wait_for 60 drbd_is beta WFConnection || fail "DRBD on beta still hears alpha: $(drbd_state beta)"
	host_ssh beta "for v in $DISK_VOLUMES; do dd if=/dev/mapper/lab-db-\$v of=/var/lib/ahead-\$v iflag=direct bs=1M status=none || exit; done" ||
		fail "no copy of the disks"
	# The file is gone when it has been written back: keep it by a second name as soon as it is there.
	host_ssh beta 'setsid sh -c "until ln /var/lib/romulus/rollback-db /var/lib/kept; do sleep 0.05; done" >/dev/null 2>&1 </dev/null & echo $! >/run/keep.pid'
	romulus_on beta failover db && fail "the takeover succeeded: the fault point was not reached"
	wait_for 180 is_cleared || fail "beta does not clear up: $(status_json beta)"
	step "status: $(romulus_on beta status db | head -n 1)"
	is_state beta db broken || fail "beta could not clear up: $(romulus_on beta events)"
	romulus_on beta status db | grep -q 'drbdadm primary db; xl create' || fail "status does not say what to do"
	host_ssh beta xl list db--standby 2>/dev/null && fail "the standby is still there"
	host_ssh beta 'pgrep -a nbdkit; dmsetup table | grep "^romulus.* 43:"; ls /var/lib/romulus/rollback-db' 2>/dev/null &&
		fail "something is left of the takeover"

	if [ "$point" = disks-disconnected ]; then
		host_ssh beta test -e /var/lib/kept && fail "there was a rollback file"
	else
		records=$(host_ssh beta "perl -e '$APPLY'") || fail "the rollback file was not kept"
		step "$records runs of blocks were rolled back"
		[ "$records" -gt 0 ] || fail "there was nothing to roll back: this scenario cannot tell"
	fi
	[ "$(disks_now)" = "$(sums_of /var/lib/ahead-)" ] || fail "the disks are neither the checkpoint nor untouched"

	step "the guest starts from its disks"
	host_ssh beta 'drbdadm primary db && xl create -q /etc/xen/db-disk.cfg' || fail "db does not start on beta"
	wait_for 180 pulse_send db stamp status || fail "db does not answer"
	stamp_start hold=60000
	stamp_more 50
	stamp_agrees
	romulus_on beta unprotect db || fail "romulus unprotect failed with $?"
done
