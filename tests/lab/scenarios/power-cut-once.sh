# shellcheck shell=bash
# The primary loses power under load, once: the short form of power-cut
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900
TRANSPORT=tls

. "$LAB_DIR/lib/romulus.sh"

romulus_up
power_cut_round
