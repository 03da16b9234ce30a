# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The disk of db-pg.cfg: Debian's PostgreSQL, only unpacked, and a database of it, as an ext4 file system
# that both hosts have from the start, so that DRBD has nothing to copy.

POSTGRES_SUITE=bookworm # whatever the hosts are
POSTGRES_KEEP=(usr/share/postgresql/15 usr/share/zoneinfo usr/lib/postgresql/15/lib)
POSTGRES_PROGRAMS=(postgres initdb pg_ctl pg_checksums)
POSTGRES_DISK_AT_MB=1 # on the hosts' second disk, as host/tree/usr/local/sbin/lab-disks has it
POSTGRES_DISK_MB=320

postgres_tarball() { echo "$CACHE/postgres-$(declare -f postgres_unpack | sha256sum | cut -c1-16).tar"; }

postgres_unpack() { # no maintainer script runs, nothing is configured
	local tarball
	tarball=$(postgres_tarball)
	mmdebstrap --variant=extract --format=tar --include=postgresql-15,busybox-static \
		--aptopt='APT::Install-Recommends "false"' "$POSTGRES_SUITE" "$tarball.part" && mv "$tarball.part" "$tarball"
}

postgres_libraries() { # postgres_libraries UNPACKED: what the programs kept and their modules are linked with
	local file lib=/usr/lib/postgresql/15/lib
	for file in "${POSTGRES_PROGRAMS[@]/#//usr/lib/postgresql/15/bin/}" $lib/{plpgsql,amcheck,dict_snowball}.so; do
		chroot "$1" /lib64/ld-linux-x86-64.so.2 --list "$file" || return
	done | grep -o '/[^ ]*\.so[^ ]*' | sort -u
}

# postgres_tree UNPACKED TREE: the root in which PostgreSQL runs, as little of it as works
postgres_tree() {
	local path
	mkdir -p "$2"/{bin,dev,etc,lib64,proc,run/postgresql,tmp,usr/bin}
	chmod 1777 "$2/tmp"
	for path in "${POSTGRES_KEEP[@]}"; do mkdir -p "$2/${path%/*}" && cp -a "$1/$path" "$2/$path"; done
	# the compiler of queries and its library are larger than everything else
	rm -rf "$2/usr/lib/postgresql/15/lib/bitcode" "$2"/usr/lib/postgresql/15/lib/llvmjit* \
		"$2/usr/share/zoneinfo/right" "$2/usr/share/zoneinfo/posix"
	for path in "${POSTGRES_PROGRAMS[@]}"; do
		install -D "$1/usr/lib/postgresql/15/bin/$path" "$2/usr/lib/postgresql/15/bin/$path"
	done
	postgres_libraries "$1" | while read -r path; do install -D "$1/$path" "$2/$path"; done
	cp "$1/bin/busybox" "$2/bin/" && ln -s busybox "$2/bin/sh"
	printf '%s\n' root:x:0:0::/:/bin/sh postgres:x:70:70::/:/bin/sh >"$2/etc/passwd"
	printf '%s\n' root:x:0: postgres:x:70: >"$2/etc/group"
	install -d -o 70 -g 70 "$2/data" "$2/run/postgresql" "$2/var/run/postgresql"
	install -m 755 "$LAB_DIR/guest/postgres-run" "$2/bin/postgres-run"
}

# postgres_database TREE: with checksums, so that a page that was torn or is of another time shows
postgres_database() {
	mknod -m 666 "$1/dev/null" c 1 3 && mknod -m 666 "$1/dev/urandom" c 1 9 &&
		chroot "$1" /bin/busybox su postgres -s /bin/sh -c '/usr/lib/postgresql/15/bin/initdb --data-checksums \
			--no-sync --no-locale --encoding=UTF8 --auth=trust --wal-segsize=4 /data/main' &&
		cat "$LAB_DIR/guest/postgresql.conf" >>"$1/data/main/postgresql.conf" &&
		echo 'host all all all trust' >>"$1/data/main/pg_hba.conf" &&
		rm "$1/dev/null" "$1/dev/urandom"
}

postgres_disk() { # postgres_disk TARBALL RAW: the file system, at its place in RAW, the hosts' second disk
	local work=$WORK/postgres
	mkdir -p "$work/unpacked" &&
		tar -C "$work/unpacked" -xf "$1" --exclude='./dev/*' &&
		postgres_tree "$work/unpacked" "$work/tree" &&
		postgres_database "$work/tree" >"$WORK/initdb.log" 2>&1 &&
		truncate -s "${DATA_DISK_MB}M" "$2" &&
		mke2fs -q -t ext4 -d "$work/tree" -E "offset=$((POSTGRES_DISK_AT_MB << 20))" "$2" "${POSTGRES_DISK_MB}M"
}
