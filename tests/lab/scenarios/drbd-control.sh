# shellcheck shell=bash
# A domain's disks are set up, resynced, switched under writes and given up to the winner of a split brain
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=300

dir=/var/tmp/drbd-control
disk=$dir/data # /dev/loop10 on both hosts; the loop driver and nbdkit share its page cache

program=build/tests/lab/disk_driver
make -C "$TOP" --no-print-directory $program >/dev/null || fail "$program does not build"
deploy

# put HOST: the driver, loop devices on empty files, and `disk VERB`, which knows the options
put() {
	local peer=alpha
	[ "$1" = alpha ] && peer=beta
	host_ssh "$1" 'cat >/usr/local/bin/disk_driver && chmod +x /usr/local/bin/disk_driver' \
		<"$TOP/$program" || fail "cannot copy $program to $1"
	host_ssh "$1" "mkdir -p $dir && cd $dir && truncate -s $((33 * 1024 * 1024 + 512)) data && truncate -s 1M marker &&
		truncate -s 8M meta && losetup /dev/loop10 data && losetup /dev/loop11 marker &&
		losetup /dev/loop12 meta && cat >/usr/local/bin/disk && chmod +x /usr/local/bin/disk" <<-END ||
		#!/bin/sh
		verb=\$1; shift
		exec /usr/lib/romulus/romulus-disk \$verb db --volume /dev/loop10 --marker /dev/loop11 --meta /dev/loop12 --minor 10 \\
			--port 7789 --host $1 --address $(host_address "$1" repl) --peer $peer \\
			--peer-address $(host_address "$peer" repl) "\$@"
	END
		fail "cannot prepare $1"
}

on() { # on HOST COMMAND...: must succeed
	local out
	out=$(host_ssh "$@" 2>&1 </dev/null) || fail "on $1: ${*:2}: exit $?: $out"
	[ -z "$out" ] || echo "$out"
}

# refused HOST CODE WORDS COMMAND...: fails with CODE and says WORDS
refused() {
	local out status
	out=$(host_ssh "$1" "${@:4}" 2>&1 </dev/null)
	status=$?
	[ "$status" -eq "$2" ] || fail "on $1: ${*:4}: exit $status instead of $2: $out"
	grep -q -- "$3" <<<"$out" || fail "on $1: ${*:4}: no word of '$3' in: $out"
}

says() { # says HOST WORDS: status has them
	grep -q -- "$2" <<<"$(host_ssh "$1" disk status </dev/null)"
}

write_block() { # write_block HOST NUMBER TEXT
	on "$1" "echo $3 | dd of=/dev/drbd10 oflag=direct bs=4096 seek=$2 conv=sync,notrunc status=none"
}

same_disks() {
	local here there
	on alpha disk_driver wait-in-step db
	here=$(on alpha "sync; md5sum <$disk") || exit 1
	there=$(on beta "sync; md5sum <$disk") || exit 1
	[ "$here" = "$there" ] || fail "the disks differ: $here on alpha, $there on beta ($1)"
}

has() { # has HOST TEXT: on its real disk
	host_ssh "$1" "grep -qa $2 $disk" </dev/null
}

put alpha
put beta

step "prepare"
grep -q 'nothing has been done' <<<"$(on alpha disk prepare)" || fail "prepare does not say that it did nothing"
on alpha "[ ! -e /etc/drbd.d/romulus-db.res ] && [ ! -e /dev/mapper/romulus-db-0 ]"
refused alpha 4 'not up' disk check
refused alpha 78 'uname -n says' disk prepare --yes --host gamma
on alpha disk prepare --yes >/dev/null
on beta disk prepare --yes >/dev/null
on alpha disk prepare --yes --initial primary --clean >/dev/null
for host in $HOSTS; do
	on "$host" disk check >/dev/null
	on "$host" disk prepare --yes | grep -v '^keep' && fail "prepare on $host does something again"
done
says alpha 'primary, the peer is secondary; connected, up to date' || fail "status: $(on alpha disk status)"
[ "$(on alpha cat /etc/drbd.d/romulus-db.res)" = "$(on beta cat /etc/drbd.d/romulus-db.res)" ] ||
	fail "the file is not the same on both hosts"

step "check sees what deviates"
on beta "drbdsetup disk-options 10 --disk-drain=no"
on beta "drbdsetup net-options ipv4:$(host_address beta repl):7789 ipv4:$(host_address alpha repl):7789 --after-sb-0pri=discard-zero-changes"
refused beta 4 'volume 0: disk-drain is no' disk check
refused beta 4 'after-sb-0pri is discard-zero-changes' disk check
on beta "drbdadm adjust db"
on beta "echo N >/sys/module/drbd/parameters/disable_sendpage"
refused beta 4 'disable_sendpage=N' disk check
on beta disk up >/dev/null
on beta disk check >/dev/null
write_block alpha 1 first

step "the lower device moves between disk and NBD under writes"
on alpha "touch $dir/load; setsid sh -c 'n=0; while [ -e $dir/load ]; do n=\$((n + 1))
	dd if=/dev/urandom of=/dev/drbd10 oflag=direct bs=16k count=64 seek=\$((n * 61 % 1900)) conv=notrunc status=none ||
	touch $dir/failed; echo \$n >$dir/rounds; done; touch $dir/ended' >/dev/null 2>&1 </dev/null &"
on beta "nbdkit -U $dir/nbd -P $dir/nbdkit.pid file $disk"
nbd=$(on beta "disk_driver nbd-attach $dir/nbd ''") || exit 1
wait_for 30 host_ssh alpha "[ -s $dir/rounds ]" || fail "nothing is written on alpha"
before=$(on alpha cat $dir/rounds)
for _ in 1 2 3 4; do
	on beta "disk_driver lower-switch romulus-db-0 /dev/loop10 $nbd 5"
done
on beta "disk_driver lower-switch romulus-db-0 $nbd $nbd 1"
refused beta 4 "maps to $nbd" disk check
wait_for 30 host_ssh alpha "[ \$(cat $dir/rounds) -gt $((before + 1)) ]" || fail "no writes while the lower device was switched"
on beta "disk_driver lower-switch romulus-db-0 /dev/loop10 /dev/loop10 1; disk_driver nbd-detach $nbd; kill -KILL \$(cat $dir/nbdkit.pid)"
on alpha "rm $dir/load"
wait_for 30 host_ssh alpha "[ -e $dir/ended ]" || fail "the load does not end"
on alpha "[ ! -e $dir/failed ]"
same_disks "after switching"
on beta disk check >/dev/null

step "a resync"
on beta disk_driver disconnect db
on beta disk_driver disconnect db
write_block alpha 2 while-apart
has beta while-apart && fail "beta has what was written while it was disconnected"
on beta disk_driver connect db
same_disks "after a resync"
has beta while-apart || fail "beta has not got what was written while it was disconnected"

step "a split brain, and the loser gives up its data"
on beta disk_driver disconnect db
write_block alpha 3 loser-wrote
on beta disk_driver primary db
write_block beta 4 winner-wrote
on alpha "disk_driver disconnect db && disk_driver secondary db"
on beta disk_driver connect db
on alpha disk_driver connect db
wait_for 30 says alpha disconnected || fail "DRBD mends a split brain by itself: $(on alpha disk status)"
has alpha loser-wrote || fail "the loser's data were thrown away unasked"
on alpha disk_driver connect-discard db
on beta disk_driver connect db
same_disks "after the loser gave up its data"
has alpha winner-wrote || fail "alpha has not got what beta wrote"
has alpha loser-wrote && fail "alpha still has what it had to give up"

step "down and up"
refused beta 1 'cannot down' 'exec 3</dev/drbd10; disk down'
on beta disk_driver secondary db
on beta disk down
on beta "[ -z \"\$(dmsetup ls | grep romulus)\" ]"
says beta 'not up' || fail "status: $(on beta disk status)"
on beta disk up
on beta disk up
same_disks "after down and up"
on beta disk check >/dev/null
