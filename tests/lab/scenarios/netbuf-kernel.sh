# shellcheck shell=bash
# The unit tests of netbuf that need sch_plug, and of probe frames that need VLANs, in a dom0 whose kernel has both: nothing may be skipped
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=600

. "$LAB_DIR/lib/unit.sh"

unit_in_dom0 netbuf_kernel ROMULUS_REQUIRE_PLUG
unit_in_dom0 segment ROMULUS_REQUIRE_PLUG
