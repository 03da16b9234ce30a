# shellcheck shell=bash
# Memory, vCPUs and interfaces of a protected domU are changed, it is paused: its standby is given up and built anew
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/lifecycle.sh"

# built_anew WORDS COMMAND...: run on alpha, the protection ends for that reason and comes back by itself
built_anew() {
	local words=$1 generation
	shift
	generation=$(status_field alpha db generation)
	step "$*"
	host_ssh alpha "$@" || fail "$* failed on alpha"
	wait_for 120 event_said alpha "$words" || fail "alpha did not say '$words': $(romulus_on alpha events db)"
	wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return after $*: $(status_json alpha)"
	domain_runs alpha db || fail "db does not run after $*: $(host_ssh alpha xl list)"
	is_gone beta db || fail "db was resumed on beta: $(host_ssh beta xl list)"
	[ "$(events_of beta grant)" = 0 ] || fail "beta was granted something: $(romulus_on beta events db)"
	nobody_was_fenced
}

event_said() { romulus_on "$1" events db --json | jq -r .text | grep -qE -- "$2"; } # event_said HOST PATTERN

romulus_up
host_ssh alpha xl destroy db || fail "db cannot be destroyed"
host_ssh alpha "sed 's/^vcpus.*/vcpus = 2/' /etc/xen/db.cfg >/run/db-two.cfg"
db_starts alpha /run/db-two.cfg
protect db alpha beta
redis_start db 300

built_anew 'vcpu 1 was taken away' xl vcpu-set db 1
built_anew 'vcpu 1 was added' xl vcpu-set --ignore-host db 2 # which has one processor
built_anew 'vif 1 was added' xl network-attach db bridge=xenbr0 mac=00:16:3e:90:01:21
built_anew 'vif 1 was taken away' xl network-detach db 1
built_anew 'memory was changed' xl mem-set db 152
redis_finish db

step "a disk that is not replicated: no protection, and why"
host_ssh alpha 'dd if=/dev/zero of=/run/disk.img bs=1M count=1 status=none && xl block-attach db file:/run/disk.img xvdx w' ||
	fail "no disk can be attached to db"
wait_for 120 why_matches alpha 'xvdx.*not replicated' || fail "status does not say why: $(status_json alpha)"
is_protected alpha db && fail "a domU with a disk that is not replicated counts as protected"
generation=$(status_field alpha db generation)
host_ssh alpha xl block-detach db xvdx || fail "the disk cannot be detached"
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"

step "paused by another hand"
generation=$(status_field alpha db generation)
host_ssh alpha xl pause db || fail "db cannot be paused"
wait_for 180 event_said alpha 'paused by another hand' || fail "alpha did not say that it is paused: $(romulus_on alpha events db)"
is_gone beta db || fail "db was resumed on beta: $(host_ssh beta xl list)"
host_ssh alpha xl unpause db || fail "db cannot be unpaused"
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
nobody_was_fenced
domain_runs alpha db || fail "db does not run"
