# shellcheck shell=bash
# A peer that speaks another version of the protocol: whoever asks, it is the same sentence, and nothing changes
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"

speak() { # speak FAULT: arm it on beta
	host_ssh beta "sed -i 's/ROMULUS_FAULT=[^ ]*/ROMULUS_FAULT=$1/' /etc/systemd/system/romulusd.service.d/lab.conf" ||
		fail "$1 cannot be armed on beta"
	romulusd_restart beta
	wait_for 60 peer_alive alpha || fail "alpha does not hear beta"
	wait_for 60 peer_alive beta || fail "beta does not hear alpha"
}

romulus_up
speak hello-version=fail
host_ssh beta xl create -q /etc/xen/web.cfg || fail "web does not start on beta"
# shellcheck disable=SC2016
wait_for 180 host_ssh beta 'xenstore-read /local/domain/$(xl domid web)/control/feature-suspend | grep -qx 1' ||
	fail "web does not announce that it can be suspended"
romulus_refuses 7 'no common protocol version' alpha protect db beta
romulus_refuses 7 'no common protocol version' beta protect web alpha
host_ssh beta xl destroy web
speak ''
# Both had agreed before the stream was refused: db is tried again by itself until nobody wants it protected.
wait_for 30 romulus_on alpha unprotect db || fail "db cannot be unprotected: $(status_json alpha)"
protect db alpha beta
