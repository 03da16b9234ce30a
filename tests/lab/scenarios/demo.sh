# shellcheck shell=bash
# What `make demo` shows: protect, load, power cut, takeover, and the client's account of it
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"

romulus_up
echo
echo "Two Xen hosts are up. The domU db runs Redis on alpha; now it gets a standby on beta."
echo
power_cut_round
echo
echo "db ran on alpha, whose power is gone; now it runs on beta:"
romulus_on beta status
