/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/text.h"

#include <stddef.h>

/* Bytes of the character at @s, 0: none begins there. A string's end is no continuation. */
static size_t character(const unsigned char *s)
{
	/* Of the second byte, for no code point twice, no surrogate and none above U+10FFFF. */
	const unsigned char least = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	const unsigned char most = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] < 0x80)
		return s[0] >= ' ' && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4 || s[1] < least || s[1] > most)
		return 0;
	if (s[0] == 0xc2 && s[1] < 0xa0)
		return 0; /* C1: a terminal may obey them */
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

bool text_valid(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t n; *s; s += n) {
		n = character(s);
		if (!n)
			return false;
	}
	return true;
}

void text_clean(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t n = character(s);

		if (!n)
			*s = '?';
		s += n ? n : 1;
	}
}
