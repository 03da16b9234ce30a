# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs scenarios. A scenario is a bash file in scenarios/: its second line says in one sentence what it
# proves; TIMEOUT=SECONDS may stand at the head of a line. It runs in a subshell with
# everything of lib/ at hand, on hosts that have just been started from the snapshot.

readonly SKIP=77
SCENARIO_BODY= # pid of the running scenario

fail() {
	echo "fail: $*" >&2
	exit 1
}

skip() {
	echo "skip: $*" >&2
	exit $SKIP
}

requires() { # requires COMMAND...: skip unless it succeeds
	"$@" >/dev/null 2>&1 || skip "requires: $*"
}

step() { echo "[$((SECONDS - SCENARIO_STARTED)) s] $*" >&2; }

# start a native client verb in the background: client_start NAME ARGUMENTS...; its last line is the result
client_start() {
	client_build
	rm -f "$STATE/client-$1.status"
	(
		echo "$BASHPID" >"$RUN/client-$1.pid"
		in_lab "$(client_path)" "${@:2}" >"$STATE/client-$1.json" 2>"$STATE/client-$1.log"
		echo $? >"$STATE/client-$1.status"
	) 9>&- &
}

# wait for it and print its JSON line; its exit status is the verdict
client_result() { # client_result NAME
	wait_for 900 test -s "$STATE/client-$1.status" || return 1
	rm -f "$RUN/client-$1.pid"
	cat "$STATE/client-$1.log" >&2
	cat "$STATE/client-$1.json"
	return "$(<"$STATE/client-$1.status")"
}

json_field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; } # json_field NAME <JSON

scenario_file() { echo "$LAB_DIR/scenarios/$1.sh"; }

scenario_list() {
	local file
	for file in "$LAB_DIR"/scenarios/*.sh; do
		printf '%-20s %s\n' "$(basename "$file" .sh)" "$(sed -n '2s/^# *//p' "$file")"
	done
}

scenario_setting() { sed -n "s/^$2=\([^ ]*\).*/\1/p" "$(scenario_file "$1")" | head -1; }

scenario_body() {
	SCENARIO_STARTED=$SECONDS
	# shellcheck source=/dev/null
	. "$(scenario_file "$1")"
}

scenario_stop_clients() {
	local file
	for file in "$RUN"/client-*.pid; do
		[ -e "$file" ] || continue
		scenario_kill "$(process_pid "$file" lab/lab)" # as it was called, which may be a relative path
		rm -f "$file"
	done
}

# Ends the body and the processes under it (children first known by their parent), none by name.
scenario_kill() {
	local child children=()
	[ -n "$1" ] || return 0
	read -ra children 2>/dev/null <"/proc/$1/task/$1/children"
	for child in "${children[@]}"; do scenario_kill "$child"; done
	kill -KILL "$1" 2>/dev/null
}

scenario_run_one() { # returns 0, 1 or 77
	local name=$1 limit status body started=$SECONDS until word
	limit=$(scenario_setting "$name" TIMEOUT)
	lab_down
	(lab_up) || { lab_down; echo "FAIL $name (the lab did not start)"; return 1; }
	(scenario_body "$name") &
	body=$!
	SCENARIO_BODY=$body
	until=$((SECONDS + ${limit:-300}))
	while [ $SECONDS -lt $until ] && kill -0 "$body" 2>/dev/null; do sleep 0.2; done
	if kill -0 "$body" 2>/dev/null; then
		echo "fail: the time limit of ${limit:-300} s is over" >&2
		scenario_kill "$body"
		status=1
		wait "$body" 2>/dev/null
	else
		wait "$body"
		status=$?
	fi
	# DRBD may break off and come back within a scenario that does not look: it must not.
	if [ $status = 0 ] && grep -H 'BAD! BarrierAck' "$STATE"/*-console.log >&2; then
		echo "fail: DRBD lost the order of writes" >&2
		status=1
	fi
	SCENARIO_BODY=
	case $status in
	0) word=PASS ;;
	"$SKIP") word=SKIP ;;
	*) word=FAIL status=1 ;;
	esac
	scenario_stop_clients
	if [ $word = FAIL ]; then
		rm -rf "$TOP/build/lab-logs/$name"
		logs_collect "$TOP/build/lab-logs/$name"
	fi
	[ -n "${ROMULUS_LAB_KEEP:-}" ] || lab_down
	echo "$word $name $((SECONDS - started)) s"
	return $status
}

scenario_run() {
	local name status worst=77
	[ $# -gt 0 ] || die "which scenarios? 'lab list' names them"
	for name in "$@"; do
		[ -e "$(scenario_file "$name")" ] || die "no scenario '$name'"
	done
	trap 'scenario_kill "$SCENARIO_BODY"; scenario_stop_clients; lab_down; trap - EXIT' EXIT
	trap 'exit 130' INT TERM HUP
	for name in "$@"; do
		scenario_run_one "$name"
		status=$?
		case $status in
		1) worst=1 ;;
		0) [ "$worst" = 1 ] || worst=0 ;;
		esac
	done
	[ -n "${ROMULUS_LAB_KEEP:-}" ] && trap - EXIT
	exit "$worst"
}
