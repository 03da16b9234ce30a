# shellcheck shell=bash
# Three rounds of `faults`: the primary's power, all links at once, and its worker
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

ROUNDS=3
FAULTS="power-primary link-all worker-primary"
. "$LAB_DIR/scenarios/faults.sh"
