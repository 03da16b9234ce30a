# shellcheck shell=bash
# A domU is saved to a file and comes back from it, with its connections and its disks; a damaged file creates none
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/lifecycle.sh"
. "$LAB_DIR/lib/disks.sh"

on() { host_ssh alpha "$@" </dev/null; }

# verified FILE: the stream in it is one, says Xen's own verifier
verified() {
	on "PYTHONPATH=\$(echo /usr/lib/xen-*/lib/python) /usr/lib/xen-*/bin/verify-stream-v2 -f xl -i $1" ||
		fail "verify-stream-v2 does not take $1"
}

# Beside FILE nothing may be left, nor a libxl-save-helper.
nothing_left() { # nothing_left FILE
	local left
	left=$(on "ls -A $1 ${1%/*}/.*.part 2>/dev/null; pgrep -l libxl-save-h")
	[ -z "$left" ] || fail "left on alpha: $left"
}

romulus_up
f=/var/tmp/db.save

step "a save and a restore, with a connection that stays"
redis_start db 420
on romulus save db $f || fail "romulus save failed with $?"
is_gone alpha db || fail "db is still there: $(on xl list)"
sum=$(on sha256sum $f)
step "$(on ls -l $f)"
on romulus restore $f || fail "romulus restore failed with $?"
domain_runs alpha db || fail "db does not run: $(on xl list)"
redis_finish db
[ "$sum" = "$(on sha256sum $f)" ] || fail "the file was changed"

step "the name is taken: refused; the same file again, when it is not"
romulus_refuses 5 'already runs' alpha restore $f
on xl destroy db
on romulus restore $f || fail "the second romulus restore failed with $?"
db_is_up alpha

step "who restarts it when it reboots"
on pgrep -x romulus-monitor >/dev/null || fail "nobody watches db"
domid=$(domid_on alpha)
guest_types alpha 'reboot -f'
wait_for 300 is_other alpha "$domid" || fail "db was not started again: $(on xl list)"
db_is_up alpha

step "damaged files"
on xl destroy db
for at in 3 10 200 100000 1000000; do
	on "cp $f $f.bad && printf '\\377\\001' | dd of=$f.bad bs=1 seek=$at conv=notrunc status=none"
	on cmp -s $f $f.bad && continue
	romulus_refuses 7 'no domain was created' alpha restore $f.bad
done
on "head -c -1 $f >$f.bad"
romulus_refuses 7 'no domain was created' alpha restore $f.bad
on "head -c 1000000 $f >$f.bad"
romulus_refuses 7 'no domain was created' alpha restore $f.bad
on rm $f.bad

step "through pipes"
on "romulus restore - <$f" || fail "romulus restore - failed with $?"
db_is_up alpha
on "set -o pipefail; romulus save db - | cat >$f" || fail "romulus save to a pipe failed with $?"
is_gone alpha db || fail "db is still there"
on "cat $f | romulus restore -" || fail "romulus restore from a pipe failed with $?"
db_is_up alpha
on rm $f

step "no room, and a file that cannot be written to its end"
on 'mkdir -p /run/small && mount -t tmpfs -o size=1m small /run/small'
romulus_refuses 5 'no room' alpha save db /run/small/db.save
romulus_refuses 5 'runs on' alpha save --force db /run/small/db.save
domain_runs alpha db || fail "db does not run"
nothing_left /run/small/db.save
on umount /run/small

# interrupted SIGNAL: a save that gets it in the middle
interrupted() {
	on "ROMULUS_FAULT=save-write=delay:200 romulus save db $f >/run/save.log 2>&1 & pid=\$!
		until pgrep libxl-save-h >/dev/null; do sleep 0.2; done; $1; wait \$pid; [ \$? -ne 0 ]" || fail "a save was not interrupted by: $1"
	step "$1: $(on cat /run/save.log)"
	domain_runs alpha db || fail "db does not run: $(on xl list)"
	nothing_left $f
	wait_for 60 redis_answers "${GUEST_ADDRESS[db]}" || fail "db does not answer after: $1"
}

step "interrupted, and with its worker killed"
# shellcheck disable=SC2016
interrupted 'kill -INT $pid'
# shellcheck disable=SC2016
interrupted 'kill -KILL $(pgrep -P $pid)'

step "with nobody left"
# shellcheck disable=SC2016
on "ROMULUS_FAULT=save-commit=delay:600000 romulus save db $f >/run/save.log 2>&1 & pid=\$!
	until xl list db | tail -n 1 | grep -q ' ---s'; do sleep 0.2; done
	until ! pgrep libxl-save-h >/dev/null; do sleep 0.2; done
	worker=\$(pgrep -P \$pid); kill -KILL \$pid \$worker"
romulus_refuses 9 'romulus resume db' alpha save db $f
on romulus resume db || fail "romulus resume failed with $?"
domain_runs alpha db || fail "db does not run: $(on xl list)"
wait_for 60 redis_answers "${GUEST_ADDRESS[db]}" || fail "db does not answer after it was resumed"
nothing_left $f

step "a killed restore"
on romulus save db $f || fail "romulus save failed with $?"
# shellcheck disable=SC2016
on "ROMULUS_FAULT=restore-built=crash romulus restore $f" && fail "a restore that was killed has succeeded"
is_gone alpha db || fail "db is there"
is_gone alpha db--restoring || fail "half a db is there: $(on xl list)"
on romulus restore $f || fail "romulus restore failed with $?"
db_is_up alpha

step "xl's format, both ways"
on romulus save --format=xl db $f || fail "romulus save --format=xl failed with $?"
verified $f
on xl restore $f || fail "xl does not restore what romulus has saved"
wait_for 120 redis_answers "${GUEST_ADDRESS[db]}" || fail "db does not answer"
on xl save db $f || fail "xl save failed with $?"
verified $f
on "head -c -9 $f >$f.bad"
romulus_refuses 7 'no domain was created' alpha restore $f.bad
on romulus restore $f || fail "romulus does not restore what xl has saved"
db_is_up alpha
on "rm -f $f $f.bad"

step "what is protected"
protect db alpha beta
romulus_refuses 9 'romulus unprotect db' alpha save db $f
romulus_refuses 9 'romulus unprotect db' alpha save --checkpoint db $f
is_protected alpha db || fail "db is not protected any more"
romulus_on alpha unprotect db || fail "romulus unprotect failed with $?"
on romulus save --format=xl --checkpoint db $f || fail "romulus save --checkpoint failed with $?"
domain_runs alpha db || fail "db does not run after a checkpoint"
protect db alpha beta
host_ssh alpha cat $f | host_ssh beta "cat >$f"
romulus_refuses 9 'under protection' beta restore $f
romulus_on alpha unprotect db || fail "romulus unprotect failed with $?"
host_ssh alpha 'xl destroy db'

step "a PV guest"
on "sed 's/^type.*/type = \"pv\"/' /etc/xen/web.cfg >/run/web-pv.cfg && xl create -q /run/web-pv.cfg" || fail "no PV web starts"
wait_for 240 redis_answers "${GUEST_ADDRESS[web]}" || fail "web does not answer"
redis_start web 420
on romulus save --checkpoint web $f || fail "romulus save --checkpoint of a PV guest failed with $?"
domain_runs alpha web || fail "web does not run after a checkpoint"
on romulus save web $f || fail "romulus save of a PV guest failed with $?"
on romulus restore $f || fail "romulus restore of a PV guest failed with $?"
redis_finish web
on romulus save --format=xl web $f || fail "romulus save --format=xl of a PV guest failed with $?"
verified $f
on xl restore $f || fail "xl does not restore the PV guest"
wait_for 120 redis_answers "${GUEST_ADDRESS[web]}" || fail "web does not answer"
on xl destroy web

step "a checkpoint and its disks"
on "sed 's|/dev/drbd1\([01]\)|/dev/mapper/lab-db-\1|g' /etc/xen/db-disk.cfg >/run/db-plain.cfg && xl create -q /run/db-plain.cfg" ||
	fail "db with disks does not start"
wait_for 180 pulse_send db stamp status || fail "db with disks does not answer"
db_is_up alpha
host_ssh alpha 'cat >/run/snapshot && chmod 700 /run/snapshot' <<-'END_SNAPSHOT'
	#!/bin/sh -e
	verb=$1 note=$3
	shift 3
	case $verb in
	take) for d; do dd if="$d" of="/var/tmp/snapshot-${d##*/}" bs=1M iflag=direct status=none; done; echo "/var/tmp/snapshot at $note" ;;
	restore) for d; do dd if="/var/tmp/snapshot-${d##*/}" of="$d" bs=1M oflag=direct status=none; done ;;
	drop) rm -f /var/tmp/snapshot-* ;;
	esac
END_SNAPSHOT
stamp_start
stamp_more 50
romulus_refuses 9 'snapshot' alpha save --checkpoint db $f
on romulus save --checkpoint --snapshot /run/snapshot db $f || fail "romulus save --checkpoint failed with $?"
domain_runs alpha db || fail "db does not run after its checkpoint"
stamp_go
stamp_more 100
on xl destroy db
romulus_refuses 9 'snapshot at' alpha restore $f
for again in 1 2; do
	on romulus restore --snapshot /run/snapshot $f || fail "romulus restore --snapshot failed with $?"
	wait_for 180 pulse_send db stamp status || fail "db with disks does not answer"
	stamp_agrees
	step "restored $again times"
	[ $again = 2 ] || on xl destroy db
done
