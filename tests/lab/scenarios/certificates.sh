# shellcheck shell=bash
# A new CA and new certificates while a domU is protected: taken by a reload, its protection goes on, and begins anew with them
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900
TRANSPORT=tls

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/lifecycle.sh"

ca_of() { host_ssh "$1" sha256sum /etc/romulus/pki/ca.pem; } # of HOST
certificate_events() { # certificate_events HOST: what romulusd there has said of its certificate
	romulus_on "$1" events --json | jq -r 'select(.kind == "certificate").text'
}

has_read() { certificate_events "$1" | grep -q .; } # has_read HOST

romulus_up
protect db alpha beta
generation=$(status_field alpha db generation)
ca=$(ca_of alpha)

step "all is made anew, and read by one host after the other"
romulus_pki
[ "$(ca_of alpha)" != "$ca" ] || fail "the CA is the old one"
for host in $HOSTS; do
	host_ssh "$host" systemctl reload romulusd || fail "$host does not reload"
	wait_for 60 has_read "$host" || fail "$host does not say what it has read"
	step "$host: $(certificate_events "$host")"
done
epoch=$(status_field alpha db epoch)
wait_for 60 epoch_beyond alpha db "$((epoch + 20))" || fail "no epochs are committed any more: $(status_json alpha)"
is_protected alpha db || fail "protection ended: $(status_json alpha)"
[ "$(status_field alpha db generation)" = "$generation" ] || fail "protection had to begin again"
for host in $HOSTS; do
	romulus_on "$host" events --json | jq -es 'any(.kind == "peer-silent")' >/dev/null &&
		fail "$host did not hear the other one for a while: $(romulus_on "$host" events)"
done

step "a new session, with what is there now"
host_ssh alpha pkill -KILL -x -o romulus-primary
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
nobody_was_fenced
