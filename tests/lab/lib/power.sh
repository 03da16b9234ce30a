# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The power switch: a service at .1 of the second segment, outside both hosts, as a real one is. One line
# in (off|on|status HOST, monitor), one line out (ok STATE | error REASON). tests/lab/fence_lab speaks it.

power_serve_line() {
	local verb host
	read -r -t 10 verb host || return
	if [ "$verb" = monitor ]; then
		echo "ok monitor"
		return
	fi
	is_host "$host" || { echo "error no host '$host'"; return; }
	echo "$(date +%T) $verb $host" >>"$STATE/power.log"
	case $verb in
	off) (host_power_cut "$host") >&2 ;;
	on) (host_power_on "$host") >&2 ;;
	status) ;;
	*) echo "error no verb '$verb'"; return ;;
	esac
	if host_is_on "$host"; then echo "ok on"; else echo "ok off"; fi
}

power_start() {
	ip netns exec "$NETNS" setsid env ROMULUS_LAB_NAME="$LAB_NAME" ROMULUS_LAB_CACHE="$CACHE" ROMULUS_LAB_RUN="$RUN" \
		socat "TCP-LISTEN:$POWER_SWITCH_PORT,bind=${SEGMENT_NET[second]}.1,reuseaddr,fork" \
		"EXEC:$LAB_DIR/lab power-serve-line" >>"$STATE/power.log" 2>&1 9>&- &
	echo $! >"$RUN/power.pid"
}

# A switch that is slow to answer: who connects meanwhile waits.
power_pause() { kill -STOP "$(process_pid "$RUN/power.pid" "TCP-LISTEN:$POWER_SWITCH_PORT")"; }
power_resume() { kill -CONT "$(process_pid "$RUN/power.pid" "TCP-LISTEN:$POWER_SWITCH_PORT")"; }

power_stop() { process_stop "$RUN/power.pid" "TCP-LISTEN:$POWER_SWITCH_PORT"; }
