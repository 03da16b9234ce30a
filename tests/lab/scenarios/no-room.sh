# shellcheck shell=bash
# A backup without room for the standby refuses it with a sentence, and nothing changes
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"

romulus_up
# Its memory is filled with paused domains.
host_ssh beta 'i=0; while sed -e "s/\"db\"/\"fill$i\"/; s/00:21/01:3$i/" /etc/xen/db.cfg >/tmp/fill.cfg &&
	xl create -q -p /tmp/fill.cfg 2>/dev/null; do i=$((i + 1)); [ $i -lt 9 ] || break; done'
romulus_refuses 5 'no room' alpha protect db beta
host_ssh beta 'for d in $(xl list | awk "/fill/{print \$1}"); do xl destroy $d; done'
protect db alpha beta
