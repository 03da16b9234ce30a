# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Names, addresses and paths: the only place where they are written (the host image repeats the
# addresses in host/tree). Pure assignments.
# shellcheck disable=SC2034

LAB_NAME=${ROMULUS_LAB_NAME:-default}
CACHE=${ROMULUS_LAB_CACHE:-/var/cache/romulus-lab}
if [ "$LAB_NAME" = default ]; then
	NETNS=romulus-lab
	RUN=${ROMULUS_LAB_RUN:-/run/romulus-lab}
else
	NETNS=romulus-lab-$LAB_NAME
	RUN=${ROMULUS_LAB_RUN:-/run/romulus-lab-$LAB_NAME}
fi
STATE=$CACHE/run-$LAB_NAME # disk overlays and logs of the running lab

SUITE=${ROMULUS_LAB_SUITE:-bookworm}
declare -A XEN_VERSION=([bookworm]=4.17 [trixie]=4.20)
declare -A TIME64=([trixie]=t64) # what Debian 13 has added to the names of some libraries
HOSTS="alpha beta"
SEGMENTS="guest repl second"
HOST_MB=1536

declare -A HOST_NUMBER=([alpha]=11 [beta]=12)
declare -A SEGMENT_NET=([guest]=10.90.0 [repl]=10.90.1 [second]=10.90.2)
declare -A SEGMENT_BYTE=([guest]=01 [repl]=02 [second]=03)
declare -A GUEST_ADDRESS=([db]=10.90.0.21 [web]=10.90.0.22)
POWER_SWITCH_PORT=7600

host_address() { # host_address HOST [SEGMENT]
	echo "${SEGMENT_NET[${2:-second}]}.${HOST_NUMBER[$1]}"
}

is_host() { [ -n "${1:-}" ] && [ -n "${HOST_NUMBER[$1]:-}" ]; }

say() { echo "lab: $*" >&2; }
die() {
	echo "lab: $*" >&2
	exit 1
}

[ -n "${XEN_VERSION[$SUITE]:-}" ] || die "ROMULUS_LAB_SUITE: no hosts of Debian '$SUITE', only ${!XEN_VERSION[*]}"
