/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that others have made (a peer, a fence agent, a tool, a name that was cut to fit) on its way
 * to a person: into JSON, which must be UTF-8 or is not made at all, and onto a terminal.
 */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>

/* UTF-8 (RFC 3629) without control characters. */
bool text_valid(const char *text);

/* Make it so in place: each byte that is no part of such text becomes '?'. */
void text_clean(char *text);

#endif
