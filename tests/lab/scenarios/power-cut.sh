# shellcheck shell=bash
# The primary loses power under load: the domU carries on at the backup, nothing acknowledged is lost
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"

for i in $(seq "${ROUNDS:-5}"); do
	[ "$i" = 1 ] || lab_restart
	romulus_up
	power_cut_round
	step "round $i of ${ROUNDS:-5} passed"
done
