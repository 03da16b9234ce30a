# shellcheck shell=bash
# What cannot be protected is refused with a sentence and a documented exit code, and nothing changes
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"

romulus_up
romulus_refuses 3 nosuch alpha protect nosuch beta
romulus_refuses 3 gamma alpha protect db gamma
romulus_refuses 2 usage alpha protect db
romulus_refuses 3 nosuch alpha unprotect nosuch

# Members of `group` may look and no more, others not even that.
as_group() { host_ssh alpha "setpriv --reuid=65534 --regid=$1 --clear-groups romulus ${*:2}" 2>&1; } # as_group GID ARGUMENT...
as_group 65534 status | grep -q 'no protected domains' || fail "a member of the group cannot look: $(as_group 65534 status)"
as_group 65534 unprotect db
[ $? -eq 77 ] || fail "a member of the group may act"
as_group 65533 status | grep -q 'run as root' || fail "anybody may look: $(as_group 65533 status)"

# A PV domain, on a hypervisor without shadow paging.
host_ssh alpha "sed -e 's/pvh/pv/; s/\"db\"/\"pvdom\"/; s/00:21/00:29/; s/lab.name=db/lab.name=pvdom/; s/0\\.21/0.29/; s/::21/::29/' \
	/etc/xen/db.cfg >/tmp/pv.cfg && xl create -q /tmp/pv.cfg" || fail "the PV domain does not start"
romulus_refuses 4 shadow alpha protect pvdom beta
host_ssh alpha xl destroy pvdom

# The backup has a domain of that name already.
host_ssh beta xl create -q -p /etc/xen/db.cfg || fail "no second db on beta"
romulus_refuses 5 already alpha protect db beta
host_ssh beta xl destroy db

# Wrong configuration.
host_ssh alpha "sed 's/dead-after = .*/dead-after = 7/' /etc/romulus/romulus.conf >/tmp/bad.conf"
romulus_refuses 78 dead-after alpha check-config /tmp/bad.conf

# The peer does not answer.
host_ssh beta systemctl stop romulusd
romulus_refuses 6 beta alpha protect db beta

# After all that, protection works.
host_ssh beta systemctl start romulusd
wait_for 60 peer_alive alpha || fail "alpha does not hear beta again"
protect db alpha beta
