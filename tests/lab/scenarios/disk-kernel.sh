# shellcheck shell=bash
# The unit tests of diskrep that need device mapper and NBD, in a dom0 that has them: nothing may be skipped
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=300

. "$LAB_DIR/lib/unit.sh"

unit_in_dom0 disk_kernel ROMULUS_REQUIRE_DISK
