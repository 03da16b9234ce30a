# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Processes that the lab started, each known by a pid file. A pid is only trusted while its command line
# still holds the word that we expect there: pids are reused.

process_pid() { # process_pid PIDFILE WORD: print the pid if that process is alive
	local pid
	[ -s "$1" ] || return 1
	pid=$(<"$1")
	[ "$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null)" != Z ] || return 1
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q -e "$2" || return 1
	echo "$pid"
}

process_stop() { # process_stop PIDFILE WORD [SIGNAL]: returns when it is gone
	local pid
	if pid=$(process_pid "$1" "$2"); then
		kill -"${3:-TERM}" "$pid" 2>/dev/null
		wait_for 10 process_gone "$1" "$2" || kill -KILL "$pid" 2>/dev/null
		wait_for 10 process_gone "$1" "$2" || die "process $pid ($2) does not end"
	fi
	rm -f "$1"
}

process_gone() { ! process_pid "$@" >/dev/null; }

# wait_for SECONDS COMMAND...: poll until it succeeds; a condition with a generous limit, never a sleep
wait_for() {
	local until=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.2
	done
}
