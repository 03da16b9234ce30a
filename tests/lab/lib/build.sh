# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the hosts run must be built for their release: libxenctrl and libxenguest change with every release of Xen.
# On this machine if it has the same one, else in a root directory of that release, kept in the cache.

# shellcheck source=/dev/null
machine_suite() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

destdir_of_suite() {
	if [ "$SUITE" = bookworm ]; then echo "$TOP/build/destdir"; else echo "$TOP/build/destdir-$SUITE"; fi
}

build_packages() { sed -n '/^# -- build/,/^# -- lint/{/^#/!p}' "$TOP/tests/deps.list"; }

build_root() { echo "$CACHE/build-$SUITE-$(build_packages | sha256sum | cut -c1-16)"; }

build_root_make() {
	local root
	root=$(build_root)
	[ -e "$root/complete" ] && return
	say "fetching the compiler and libraries of Debian $SUITE (some minutes)"
	rm -rf "$root"
	mkdir -p "$root"
	mmdebstrap --variant=minbase --format=directory --include="$(build_packages | paste -sd,)" \
		--aptopt='APT::Install-Recommends "false"' "$SUITE" "$root/root" >"$CACHE/build-$SUITE.log" 2>&1 ||
		die "mmdebstrap failed, see $CACHE/build-$SUITE.log"
	touch "$root/complete"
}

# build: `make install` of this tree, committed or not, for the lab's release.
build() {
	local destdir root work
	destdir=$(destdir_of_suite)
	rm -rf "$destdir"
	if [ "$(machine_suite)" = "$SUITE" ]; then
		make -C "$TOP" --no-print-directory install DESTDIR="$destdir" || die "Romulus does not build"
		return
	fi
	cache_lock
	build_root_make
	cache_unlock
	root=$(build_root)/root
	work=$(mktemp -d "$root/build.XXXXXX")
	mkdir -p "$work/src" "$destdir"
	git -C "$TOP" ls-files -z --cached --others --exclude-standard |
		tar -C "$TOP" --null -T - --ignore-failed-read -cf - | tar -C "$work/src" -xf - &&
		chroot "$root" make -C "/${work##*/}/src" -j2 --no-print-directory install DESTDIR="/${work##*/}/out" ${CI:+CI=$CI} &&
		cp -a "$work/out/." "$destdir/" || { rm -rf "$work" "$destdir"; die "Romulus does not build in Debian $SUITE"; }
	rm -rf "$work"
}
