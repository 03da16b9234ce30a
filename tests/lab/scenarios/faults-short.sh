# shellcheck shell=bash
# The short form of `faults`, for each commit: the replication link, and the worker of the primary
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1200

ROUNDS=2
FAULTS="link-replication worker-primary"
. "$LAB_DIR/scenarios/faults.sh"
