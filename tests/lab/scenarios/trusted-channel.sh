# shellcheck shell=bash
# A host of another CA is not heard, and a flood of strangers leaves a protected domain alone
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900
TRANSPORT=tls

. "$LAB_DIR/lib/romulus.sh"

STRANGERS=300

peer_field() { status_json "$1" | jq -r ".peers[0].$2"; } # peer_field HOST FIELD
peer_silent() { ! peer_alive "$1"; }
forged_beyond() { [ "$(peer_field "$1" heartbeats_forged)" -gt "$2" ]; } # forged_beyond HOST N
refused_beyond() { [ "$(peer_field "$1" sessions_refused)" -ge "$2" ]; } # refused_beyond HOST N

romulus_up
for host in $HOSTS; do
	[ "$(status_json "$host" | jq -r .transport)" = tls ] || fail "the transport of $host is not tls"
done

step "beta gets a CA of its own"
host_ssh beta "romulus pki init --force && systemctl restart romulusd" || fail "romulus pki init failed on beta"
wait_for 60 forged_beyond alpha 10 || fail "alpha does not refuse beta's heartbeats: $(status_json alpha)"
wait_for 60 peer_silent alpha || fail "alpha hears a host of another CA: $(status_json alpha)"
before=$(host_ssh alpha xl list db)
romulus_on alpha protect db beta && fail "db was protected on a host of another CA"
[ "$(host_ssh alpha "xl list db | awk '{ print \$2 }'")" = "$(awk '{ print $2 }' <<<"$before")" ] ||
	fail "the refusal changed db: $before / $(host_ssh alpha xl list db)"
host_ssh beta "rm /etc/romulus/pki/ca-key.pem"
romulus_pki
for host in $HOSTS; do host_ssh "$host" systemctl restart romulusd || fail "romulusd does not start on $host"; done
for host in $HOSTS; do wait_for 60 peer_alive "$host" || fail "$host does not hear $(other_host "$host")"; done

protect db alpha beta
epoch=$(status_field alpha db epoch)
generation=$(status_field alpha db generation)
rss=$(status_json alpha | jq .rss_kb)
step "$STRANGERS strangers from beta's address"
host_ssh beta "for i in \$(seq $STRANGERS); do
		head -c 300 /dev/urandom 2>/dev/null >/dev/tcp/$(host_address alpha repl)/7800
	done 2>/dev/null" || true
wait_for 120 refused_beyond alpha "$STRANGERS" || fail "alpha has not refused them all: $(status_json alpha)"
step "refused: $(peer_field alpha last_refusal)"
grown=$(($(status_json alpha | jq .rss_kb) - rss))
[ "$grown" -lt 8192 ] || fail "romulusd grew by $grown KiB"
wait_for 60 epoch_beyond alpha db "$epoch" || fail "no epochs are committed any more"
is_protected alpha db || fail "db is not protected any more: $(status_json alpha)"
[ "$(status_field alpha db generation)" = "$generation" ] || fail "protection had to begin again"
