# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Puts what `make install` produced onto both hosts, and gets their logs back.

deploy() { # deploy [DESTDIR]
	local destdir=${1:-${ROMULUS_LAB_DESTDIR:-$(destdir_of_suite)}} host pids=()
	[ -d "$destdir" ] || die "nothing to deploy: no directory $destdir (lab build)"
	for host in $HOSTS; do
		host_is_on "$host" || continue
		# the root is on merged /usr: a directory lib in the archive must not replace the link
		tar -C "$destdir" --owner=0 --group=0 -cf - . | host_ssh "$host" \
			'tar -C / --keep-directory-symlink --no-overwrite-dir --warning=no-timestamp -xf - &&
			ldconfig && sync' &
		pids+=($!)
	done
	for host in "${pids[@]}"; do wait "$host" || die "the deployment failed"; done
}

# shellcheck disable=SC2016
LOGS_SCRIPT='
cd "$(mktemp -d)"
journalctl --no-pager -o short-precise >journal.txt
journalctl --no-pager -o short-precise -u "romulus*" >romulus.txt
xl dmesg >xl-dmesg.txt; xl list >xl-list.txt; xenstore-ls >xenstore.txt; dmesg >dmesg.txt
ip -s addr >ip.txt; tc -s qdisc >tc.txt; ps axfww >ps.txt
cp -r /var/log/xen xen 2>/dev/null; cp -r /run/romulus run-romulus 2>/dev/null
tar -cf - . 2>/dev/null
'

logs_collect() { # logs_collect DIRECTORY
	local host
	mkdir -p "$1"
	cp "$STATE"/*.log "$1/" 2>/dev/null
	for host in $HOSTS; do
		host_is_on "$host" || continue
		mkdir -p "$1/$host"
		host_ssh "$host" "timeout 40 sh -c '$LOGS_SCRIPT' 2>/dev/null" </dev/null |
			tar -C "$1/$host" -xf - 2>/dev/null ||
			echo "$host did not answer" >"$1/$host/unreachable"
	done
	say "logs are in $1"
}
