# SPDX-License-Identifier: GPL-2.0-or-later
# Baseline: stock xl remus between the hosts makes progress, with the stops and the rate that it costs
# shellcheck shell=bash disable=SC2034,SC2016
TIMEOUT=300
SECONDS_MEASURED=${SECONDS_MEASURED:-20}
DIRTY_PAGES=${DIRTY_PAGES:-200}

pulse_send db start "dirty=$DIRTY_PAGES" >/dev/null || fail "pulse does not answer"
client_start watch watch --seconds "$SECONDS_MEASURED"
unprotected=$(client_result watch) || fail "no report from pulse"
step "unprotected: $unprotected"

host_ssh alpha 'xl remus -F -n -d -i 200 db 10.90.1.12 >/tmp/remus.log 2>&1 & echo $! >/tmp/remus.pid' </dev/null
remus_runs() { host_ssh alpha 'kill -0 $(cat /tmp/remus.pid)' </dev/null; }
standby_exists() { host_ssh beta 'xl list db || xl list db--incoming' </dev/null; }
epochs() { host_ssh alpha 'grep -c "Domain now suspended" /tmp/remus.log; true' </dev/null; }

wait_for 60 standby_exists || fail "no domU arrives on beta: $(host_ssh alpha 'tail -3 /tmp/remus.log')"
step "replicating"
wait_for 120 eval '[ "$(epochs)" -ge 6 ]' || fail "no epochs: $(host_ssh alpha 'tail -5 /tmp/remus.log')"
before=$(epochs)
client_start watch watch --seconds "$SECONDS_MEASURED"
protected=$(client_result watch) || fail "no report from pulse under xl remus"
after=$(epochs)
rate=$(awk -v n="$((after - before))" -v s="$SECONDS_MEASURED" 'BEGIN { printf "%.2f", n / s }')
remus_runs || fail "xl remus ended: $(host_ssh alpha 'tail -5 /tmp/remus.log')"
[ "$after" -gt "$before" ] || fail "xl remus makes no epochs"
step "xl remus: $rate epochs per second; $protected"
echo "{\"unprotected\":$unprotected,\"xl_remus\":$protected,\"epochs_per_second\":$rate}"
