# shellcheck shell=bash
# Both hosts lose their power at once: the domain is started once, from the primary's disks, and protection returns
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800
DEAD_AFTER=20000 # romulusd takes seconds to restart there, and must not be fenced for it

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# shellcheck disable=SC2034 # romulus_config reads it
DB_START='start = "/etc/xen/db-disk.cfg"'

runs_on() { host_ssh "$1" 'xl list' | awk '$1 ~ /^db/' | wc -l; } # runs_on HOST: how many domains of that name, standby too

disks_protected
stamp_more 100
writes=$(stamp_writes)
wait_for 300 is_protected alpha db || fail "db is not protected any more: $(status_json alpha)"
step "cutting both hosts' power after $writes writes"
for host in $HOSTS; do host_power_cut "$host"; done
for host in $HOSTS; do host_power_on "$host"; done
for host in $HOSTS; do
	wait_for 400 host_is_ready "$host" || fail "$host does not boot again"
	[ "$(runs_on "$host")" = 0 ] || fail "db is on $host before romulusd is"
done

step "alpha alone: beta may have taken over, as far as it knows"
host_ssh alpha systemctl start romulusd || fail "romulusd does not start on alpha"
wait_for 120 why_has alpha "beta is silent, which may have taken it over" ||
	fail "alpha's status does not say why it waits: $(status_json alpha)"
step "status: $(romulus_on alpha status db)"
[ "$(runs_on alpha)" = 0 ] || fail "db was started without beta's word"

step "both"
host_ssh beta systemctl start romulusd || fail "romulusd does not start on beta"
wait_for 400 domain_runs alpha db || fail "db was not started on alpha: $(status_json alpha; drbd_state alpha)"
wait_for 180 pulse_send db stamp status || fail "db does not answer"
stamp_start hold=60000
newest=$(stamp_writes)
step "status: $(romulus_on alpha status db); the disks have writes up to $newest"
[ "$newest" -ge $((writes - 64)) ] || fail "the disks have writes up to $newest only, $writes were made"
wait_for 400 is_protected alpha db || fail "protection did not return: $(status_json alpha; drbd_state alpha)"
romulus_on alpha events
[ "$(romulus_on alpha events db --json | jq -s 'map(select(.kind == "started")) | length')" = 1 ] || fail "it was not started once"
[ "$(runs_on alpha)" = 1 ] || fail "not one domain is on alpha: $(host_ssh alpha xl list)"
host_ssh beta xl list db 2>/dev/null && fail "db runs on beta too"
nobody_was_fenced
stamp_more 50
stamp_agrees
stamp_go

step "and a restart of romulusd starts nothing"
host_ssh alpha systemctl restart romulusd || fail "romulusd does not start on alpha"
wait_for 300 is_protected alpha db || fail "protection did not return: $(status_json alpha; drbd_state alpha)"
[ "$(runs_on alpha)" = 1 ] || fail "not one domain is on alpha: $(host_ssh alpha xl list)"
stamp_agrees
disks_end alpha
