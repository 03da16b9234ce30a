# shellcheck shell=bash
# Two domUs protected at once, one in each direction: the loss of one host leaves both on the other
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1200

. "$LAB_DIR/lib/romulus.sh"

romulus_up
host_ssh beta xl create -q /etc/xen/web.cfg || fail "web does not start on beta"
wait_for 180 in_lab ping -c 1 -W 1 10.90.0.22 || fail "web does not answer"
wait_for 120 host_ssh beta 'xenstore-read /local/domain/$(xl domid web)/control/feature-suspend' ||
	fail "web does not announce that it can be suspended"
protect db alpha beta
protect web beta alpha
redis_start web 90
redis_start db 90
host_power_cut alpha
wait_for 240 is_state beta db taken-over || fail "beta did not take db over: $(status_json beta)"
wait_for 120 is_state beta web solo || fail "web was not granted solo: $(status_json beta)"
domain_runs beta db || fail "db does not run on beta"
domain_runs beta web || fail "web does not run on beta"
redis_finish db
redis_finish web
romulus_on beta events
