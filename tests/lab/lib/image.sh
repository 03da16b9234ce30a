# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The disk image of a host, the kernels beside it and the guest's initramfs, built once per content:
# a change to a recipe file gives another key, and so another directory in the cache.

# A host needs neither of these under QEMU; without them the image is built and booted sooner.
IMAGE_LEAVE_OUT=('/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*'
	'/lib/modules/*/kernel/drivers/gpu/*' '/lib/modules/*/kernel/drivers/media/*'
	'/lib/modules/*/kernel/drivers/infiniband/*' '/lib/modules/*/kernel/drivers/net/wireless/*'
	'/lib/modules/*/kernel/sound/*')
IMAGE_MASK="nbd-client.service nbdkit.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
	fstrim.timer man-db.timer systemd-timesyncd.service e2scrub_reap.service getty@tty1.service
	redis-server.service xendomains.service drbd.service systemd-pcrphase.service
	systemd-networkd-wait-online.service systemd-boot-update.service systemd-update-utmp.service
	systemd-hwdb-update.service keyboard-setup.service console-setup.service rsync.service
	systemd-journal-flush.service systemd-logind.service systemd-sysusers.service systemd-binfmt.service
	proc-sys-fs-binfmt_misc.automount dev-mqueue.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount
	modprobe@fuse.service modprobe@efi_pstore.service modprobe@drm.service"

image_packages() {
	sed "/^#/d; s/@XEN@/${XEN_VERSION[$SUITE]}/; s/@T64@/${TIME64[$SUITE]:-}/" "$LAB_DIR/host/packages"
}

image_base_key() {
	{ echo "$SUITE ${IMAGE_LEAVE_OUT[*]}"; image_packages; } | sha256sum | cut -c1-16
}

image_key() {
	(
		cd "$LAB_DIR" || exit 1
		image_base_key
		find host guest lib/image.sh lib/image_postgres.sh fence_lab -type f | LC_ALL=C sort |
			while read -r file; do sha256sum "$file"; stat -c %a "$file"; done
	) | sha256sum | cut -c1-16
}

image_dir() { echo "$CACHE/$(image_key)"; }

image_build_base() { # image_build_base TARBALL
	local options=() path packages
	for path in "${IMAGE_LEAVE_OUT[@]}"; do options+=("--dpkgopt=path-exclude=$path"); done
	packages=$(image_packages | paste -sd,)
	# shellcheck disable=SC2016  # $1 is the hook's
	mmdebstrap --variant=minbase --format=tar --include="$packages" "${options[@]}" \
		--aptopt='APT::Install-Recommends "false"' \
		--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
		--essential-hook='printf "%s\n" MODULES=list COMPRESS=zstd >"$1/etc/initramfs-tools/conf.d/lab"' \
		"$SUITE" "$1.part" && mv "$1.part" "$1"
}

image_ssh_key() {
	[ -e "$CACHE/ssh/id_ed25519" ] && return
	mkdir -p "$CACHE/ssh"
	ssh-keygen -q -t ed25519 -N '' -C romulus-lab -f "$CACHE/ssh/id_ed25519"
}

# The guest: unmodified Debian binaries and modules out of the host's root, our init and our probe.
image_guest() { # image_guest ROOT OUTPUT
	local root=$1 tree=$WORK/guest kernel applet library module number=10
	kernel=$(basename "$(echo "$root"/lib/modules/*)")
	mkdir -p "$tree"/{bin,sbin,dev,proc,sys,tmp,etc,lib64,usr/bin,modules,pg}
	cp "$root/bin/busybox" "$tree/bin/busybox"
	chroot "$root" /bin/busybox --list | while read -r applet; do
		[ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
	done
	install -m 755 "$LAB_DIR/guest/poweroff" "$tree/sbin/poweroff"
	ln -s ../bin/busybox "$tree/sbin/reboot"
	cp "$root/usr/bin/redis-check-rdb" "$tree/usr/bin/redis-server"
	chroot "$root" ldd /usr/bin/redis-check-rdb | grep -o '/[^ ]*' | while read -r library; do
		install -D "$root/$library" "$tree/$library"
	done
	# numbered in the order in which they must be loaded
	for module in $(chroot "$root" modprobe -S "$kernel" -a --show-depends \
		xen-netfront xen-blkfront crc32c_generic ext4 | sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }'); do
		case $module in # busybox loads no compressed ones
		*.xz) xz -dc "$root/$module" >"$tree/modules/$number-$(basename "$module" .xz)" ;;
		*) cp "$root/$module" "$tree/modules/$number-$(basename "$module")" ;;
		esac
		number=$((number + 1))
	done
	cc -O2 -static -pthread -o "$tree/bin/pulse" "$LAB_DIR"/guest/{pulse,record,stamp,load}.c
	install -m 755 "$LAB_DIR/guest/init" "$tree/init"
	(cd "$tree" && find . | cpio --quiet -o -H newc) >"$2"
}

image_fill_root() { # image_fill_root ROOT
	local root=$1 unit
	cp -a --no-preserve=ownership "$LAB_DIR/host/tree/." "$root/"
	install -D -m 755 "$LAB_DIR/fence_lab" "$root/usr/sbin/fence_lab"
	install -d -m 700 "$root/root/.ssh"
	install -m 600 "$CACHE/ssh/id_ed25519" "$root/root/.ssh/id_ed25519"
	install -m 600 "$CACHE/ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
	chmod 600 "$root/root/.ssh/config"
	printf '%s\n' virtio_pci virtio_blk virtio_net ext4 crc32c_generic \
		>>"$root/etc/initramfs-tools/modules"
	for unit in $IMAGE_MASK; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
	mkdir -p "$root/etc/systemd/system/sysinit.target.wants" "$root/etc/systemd/system/multi-user.target.wants"
	ln -sf ../lab-host.service "$root/etc/systemd/system/sysinit.target.wants/lab-host.service"
	ln -sf ../lab-disks.service "$root/etc/systemd/system/multi-user.target.wants/lab-disks.service"
	: >"$root/etc/machine-id"
	chroot "$root" passwd -qd root
	chroot "$root" update-initramfs -u >/dev/null
}

# Drops what no present recipe leads to; a lab that is running keeps its files open, not its snapshot.
image_prune() {
	local path kept
	kept=$(client_path && postgres_tarball && for SUITE in "${!XEN_VERSION[@]}"; do
		image_dir && snapshot_dir && build_root && echo "$CACHE/base-$(image_base_key).tar"
	done)
	for path in "$CACHE"/*; do
		case $path in
		"$CACHE"/run-* | "$CACHE"/ssh | "$CACHE"/lock) continue ;;
		esac
		grep -qxF "$path" <<<"$kept" || { say "removing $path" && rm -rf "$path"; }
	done
}

# One builder at a time on a cache: fd 8, closed in everything that stays behind.
cache_lock() {
	mkdir -p "$CACHE"
	exec 8>"$CACHE/lock"
	flock -n 8 && return
	say "waiting for another lab that is building"
	flock 8
}

cache_unlock() { exec 8>&-; }

image_assemble() { # image_assemble BASE ROOT OUT
	local root=$2 out=$3
	mkdir -p "$root/var/lib/romulus-lab" "$out" &&
		tar -C "$root" -xf "$1" --exclude='./dev/*' &&
		image_fill_root "$root" &&
		cp "$root"/boot/vmlinuz-* "$out/vmlinuz" &&
		cp "$root"/boot/initrd.img-* "$out/initrd" &&
		gunzip -c "$root"/boot/xen-4*-amd64.gz >"$out/xen" &&
		cp "$out/vmlinuz" "$root/var/lib/romulus-lab/vmlinuz" &&
		image_guest "$root" "$root/var/lib/romulus-lab/guest.cpio" &&
		mke2fs -q -t ext4 -L romulus-lab -d "$root" "$out/root.raw" 2500M >/dev/null &&
		postgres_disk "$(postgres_tarball)" "$out/data.raw" &&
		touch "$out/complete"
}

image_build() {
	local dir base root started=$SECONDS
	dir=$(image_dir)
	[ -e "$dir/complete" ] && return
	mkdir -p "$CACHE"
	base=$CACHE/base-$(image_base_key).tar
	if [ ! -e "$base" ]; then
		say "building the Debian $SUITE base system (a minute)"
		image_build_base "$base" >"$CACHE/base.log" 2>&1 ||
			die "mmdebstrap failed, see $CACHE/base.log"
	fi
	if [ ! -e "$(postgres_tarball)" ]; then
		say "fetching PostgreSQL for the domU"
		postgres_unpack >"$CACHE/postgres.log" 2>&1 || die "mmdebstrap failed, see $CACHE/postgres.log"
	fi
	say "building the host image $(basename "$dir")"
	image_ssh_key
	rm -rf "$dir"
	WORK=$(mktemp -d "$CACHE/work.XXXXXX")
	root=$WORK/root
	if ! image_assemble "$base" "$root" "$WORK/out" || ! mv "$WORK/out" "$dir"; then
		rm -rf "$WORK"
		die "the host image could not be built"
	fi
	rm -rf "$WORK"
	say "image ready after $((SECONDS - started)) s"
}
