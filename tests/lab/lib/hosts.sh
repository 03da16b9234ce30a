# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The two QEMUs: power, monitor, ssh, and the snapshot of the booted pair from which every run starts.

# SMAP and RDTSCP crash dom0 or PVH guests under TCG; with XSAVE and AVX the emulated SVM silently
# corrupts guest registers. What is left out here is left out for a reason.
QEMU_CPU=max,-smap,-smep,-rdtscp,-xsave,-avx,-avx2,-fma,-f16c,-pku,-la57
XEN_ARGS="console=com1 com1=115200,8n1 dom0_mem=768M,max:768M dom0_max_vcpus=1 noreboot sched=credit"
DOM0_ARGS="root=/dev/vda rw console=hvc0 net.ifnames=0 quiet loglevel=4 mitigations=off"
DATA_DISK_MB=512
BOOT_LIMIT=900

host_pid() { process_pid "$RUN/$1.pid" "$RUN/$1.monitor"; }
host_is_on() { host_pid "$1" >/dev/null; }

# What a host has flushed must survive its power cut: cache=unsafe would keep the images' own metadata in
# the process that power-cut kills.
host_start() { # host_start HOST [QEMU ARGUMENTS]
	local host=$1 image segment nics=()
	shift
	image=$(image_dir)
	host_is_on "$host" && return
	for segment in $SEGMENTS; do
		nics+=(-netdev "tap,id=$segment,ifname=$host-$segment,script=no,downscript=no"
			-device "virtio-net-pci,netdev=$segment,romfile=,mac=52:54:00:90:${SEGMENT_BYTE[$segment]}:${HOST_NUMBER[$host]}")
	done
	in_lab qemu-system-x86_64 -name "$NETNS-$host" -display none -nodefaults -no-user-config \
		-machine q35 -accel tcg,tb-size=512 -cpu "$QEMU_CPU" -smp 1 -m "$HOST_MB" \
		-kernel "$image/xen" -append "$XEN_ARGS" \
		-initrd "$image/vmlinuz ${DOM0_ARGS//,/,,} lab.host=$host,$image/initrd" \
		-drive "file=$STATE/$host.qcow2,if=virtio,cache=writeback" \
		-drive "file=$STATE/$host-data.qcow2,if=virtio,cache=writeback" "${nics[@]}" \
		-chardev "socket,id=console,path=$RUN/$host.console,server=on,wait=off,logfile=$STATE/$host-console.log,logappend=on" \
		-serial chardev:console \
		-chardev "socket,id=monitor,path=$RUN/$host.monitor,server=on,wait=off" \
		-mon chardev=monitor,mode=readline \
		-D "$STATE/$host-qemu.log" -pidfile "$RUN/$host.pid" -daemonize "$@" \
		8>&- 9>&- >>"$STATE/$host-start.log" 2>&1 || die "QEMU of $host did not start, see $STATE/$host-start.log"
}

monitor() { # monitor HOST COMMAND: QEMU's human monitor, answers on standard output
	printf '%s\n' "$2" | timeout 120 socat -t 120 - "UNIX-CONNECT:$RUN/$1.monitor" | tr -d '\r'
}

host_power_cut() { # SIGKILL: nothing sends a FIN or an RST, the survivor sees silence
	ssh_forget "$1"
	process_stop "$RUN/$1.pid" "$RUN/$1.monitor" KILL
}

host_power_on() { # a cold boot from the disk as it is now
	host_is_on "$1" && return
	if ! network_exists || [ ! -e "$STATE/$1.qcow2" ]; then die "the lab is down: 'lab up' first"; fi
	host_start "$1"
}

SSH_OPTIONS=(-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
	-o BatchMode=yes -o ConnectTimeout=5 -o ServerAliveInterval=5 -o ServerAliveCountMax=6
	-o ControlMaster=auto -o ControlPersist=600)

host_ssh() { # host_ssh HOST [COMMAND...]
	local host=$1
	shift
	in_lab ssh "${SSH_OPTIONS[@]}" -i "$CACHE/ssh/id_ed25519" -o "ControlPath=$RUN/ssh-$host" \
		"root@$(host_address "$host")" "$@" 8>&- 9>&-
}

ssh_forget() {
	[ -S "$RUN/ssh-$1" ] &&
		in_lab ssh -o "ControlPath=$RUN/ssh-$1" -O exit "root@$(host_address "$1")" 2>/dev/null
	rm -f "$RUN/ssh-$1"
}

host_answers() { host_ssh "$1" true </dev/null; }
host_booted() { host_ssh "$1" 'xl list >/dev/null && systemctl is-active -q multi-user.target' </dev/null; }

# The connection first: setting it up takes a second, by which the clock would be slow.
host_set_clock() { host_answers "$1" && host_ssh "$1" "date -s @$(date +%s.%N)" </dev/null >/dev/null; }

redis_answers() { # redis_answers ADDRESS
	# shellcheck disable=SC2016
	in_lab timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/6379"; echo PING >&3; read -r answer <&3
		[ "${answer%?}" = +PONG ]' "$1"
}

snapshot_key() {
	{
		image_key
		echo "$QEMU_CPU $XEN_ARGS $DOM0_ARGS $DATA_DISK_MB $HOST_MB"
		declare -f host_start hosts_fresh_disks hosts_stopped_idle snapshot_keep snapshot_build
	} | sha256sum | cut -c1-16
}

snapshot_dir() { echo "$CACHE/ready-$(snapshot_key)"; }

hosts_fresh_disks() {
	local host
	for host in $HOSTS; do
		rm -f "$STATE/$host.qcow2" "$STATE/$host-data.qcow2"
		qemu-img create -q -f qcow2 -F raw -b "$(image_dir)/root.raw" "$STATE/$host.qcow2"
		qemu-img create -q -f qcow2 -F raw -b "$(image_dir)/data.raw" "$STATE/$host-data.qcow2"
	done
}

# QEMU saves a processor that runs a PVH domain, and refuses to load it; one that is halted is in the hypervisor.
hosts_stopped_idle() {
	local host
	for host in $HOSTS; do monitor "$host" stop; done
	for host in $HOSTS; do
		monitor "$host" 'info registers' | grep -q HLT=1 && continue
		for host in $HOSTS; do monitor "$host" cont; done
		return 1
	done
}

# snapshot_keep DIRECTORY: the pair as it stands, in DIRECTORY; both hosts are off afterwards. Both are stopped
# before either is saved, so that neither sees the other vanish.
snapshot_keep() {
	local host
	for host in $HOSTS; do ssh_forget "$host"; done
	wait_for 60 hosts_stopped_idle || die "the hosts are never idle: no snapshot of them could be loaded"
	for host in $HOSTS; do
		monitor "$host" 'delvm ready' >/dev/null
		monitor "$host" 'savevm ready' >"$STATE/$host-savevm.log"
		monitor "$host" 'info snapshots' | grep -q ' ready ' ||
			die "savevm of $host failed: $(<"$STATE/$host-savevm.log")"
	done
	for host in $HOSTS; do process_stop "$RUN/$host.pid" "$RUN/$host.monitor" TERM; done
	rm -rf "$1" "$1.part"
	mkdir -p "$1.part"
	for host in $HOSTS; do
		mv "$STATE/$host.qcow2" "$STATE/$host-data.qcow2" "$1.part/"
	done
	touch "$1.part/complete"
	mv "$1.part" "$1"
}

# Boots both hosts, starts domU db on alpha, and keeps that.
snapshot_build() {
	local host started=$SECONDS
	[ -e "$(snapshot_dir)/complete" ] && return
	say "first start of this image: booting both hosts (some minutes)"
	hosts_fresh_disks
	for host in $HOSTS; do host_start "$host"; done
	for host in $HOSTS; do
		wait_for $BOOT_LIMIT host_booted "$host" ||
			die "$host did not boot in $BOOT_LIMIT s, see $STATE/$host-console.log"
		host_set_clock "$host"
		say "$host is up after $((SECONDS - started)) s"
	done
	host_ssh alpha 'xl create -q /etc/xen/db.cfg' </dev/null || die "domU db does not start on alpha"
	wait_for 180 redis_answers "${GUEST_ADDRESS[db]}" || die "redis in domU db does not answer"
	say "domU db answers after $((SECONDS - started)) s"
	# both ways once, so that host keys and ARP are settled, then let the disks rest
	host_ssh alpha 'ssh beta sync; sync' </dev/null
	snapshot_keep "$(snapshot_dir)"
	say "snapshot ready after $((SECONDS - started)) s"
}

# snapshot_start DIRECTORY: the pair from a copy of the snapshot's disks, so that the snapshot itself is never written to
snapshot_start() {
	local host
	for host in $HOSTS; do
		cp --reflink=auto --sparse=always "$1/$host.qcow2" "$1/$host-data.qcow2" "$STATE/"
	done
	for host in $HOSTS; do host_start "$host" -S -loadvm ready; done
	for host in $HOSTS; do monitor "$host" cont >/dev/null; done
	for host in $HOSTS; do
		wait_for 60 host_set_clock "$host" || die "$host does not answer after loadvm"
	done
	wait_for 60 redis_answers "${GUEST_ADDRESS[db]}" || die "domU db does not answer after loadvm"
}
