# shellcheck shell=bash
# A drill of a guest with disks: they agree with its memory to the write, what it writes is nowhere else, the protected disks go on
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"
. "$LAB_DIR/lib/drill.sh"

DRILLS=${DRILLS:-1} # the comparison of all sectors takes minutes

# shellcheck disable=SC2034 # romulus_config reads it
DB_DRILL='drill { address = "10.90.0.99/24" command = "/etc/romulus/drill-check" limit = 300 }'

disks_protected
generation=$(status_field alpha db generation)
# The instance's stamp compares every sector of both disks with its memory, then goes on writing.
host_ssh beta 'cat >/etc/romulus/drill-check && chmod 755 /etc/romulus/drill-check' <<-'END_CHECK'
	#!/bin/bash
	ask() { # ask WORDS: the answer of the guest is in $answer
	    exec 3<>/dev/udp/10.90.0.21/7700 && printf %s "$1" >&3
	    answer=$(timeout 10 dd bs=4096 count=1 status=none <&3) # read would lose all but a byte
	    exec 3>&-
	    [ -n "$answer" ]
	}
	until ask "stamp check"; do :; done
	until [[ $answer = *'"state":"checked"'* ]]; do sleep 1; ask "stamp status"; done
	echo "$answer"
	[[ $answer = *'"errors":0,'*'"mismatches":0,'* ]] || exit 1
	ask "stamp go"
	writes=${answer#*'"writes":'} writes=${writes%%,*}
	until [[ $answer = *'"writes":'* ]] && now=${answer#*'"writes":'} && [ "${now%%,*}" -gt "$((writes + 20))" ]; do
	    sleep 1
	    ask "stamp status"
	done
	echo "${answer} after $writes"
END_CHECK
traces_keep beta
for ((i = 0; i < DRILLS; i++)); do
	stamp_more 20
	drill_passes
	step "the instance said: $(romulus_on beta drills --json | tail -n 1 | jq -r .said)"
	is_protected alpha db || fail "db is not protected any more: $(status_json alpha)"
done
[ "$(status_field alpha db generation)" = "$generation" ] || fail "the protection was interrupted: $(romulus_on alpha events)"
stamp_more 50

step "what it wrote is not on the disks, nor in the checkpoint"
stamp_agrees
stamp_go
disk_cut alpha beta
stamp_agrees
disk_rejoin alpha beta
disks_end beta
