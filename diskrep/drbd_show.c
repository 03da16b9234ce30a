/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/drbd_show.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8
#define STATEMENT_MAX 512

struct reader {
	const char *at;
	struct {
		char name[32];
		int volume; /* -1: not within one */
	} section[DEPTH_MAX];
	int depth;
};

/*
 * The words up to the next '{', ';' or '}', which is returned (or '\0' at the end), without
 * comments; quotes stay. What does not fit is cut off.
 */
static char next_statement(struct reader *r, char words[STATEMENT_MAX])
{
	size_t n = 0;
	bool quoted = false;

	for (;; r->at++) {
		char c = *r->at;

		if (c == '\0')
			break;
		if (c == '"')
			quoted = !quoted;
		if (!quoted && c == '#') {
			while (r->at[1] && r->at[1] != '\n')
				r->at++;
			continue;
		}
		if (!quoted && (c == '{' || c == ';' || c == '}'))
			break;
		if (isspace((unsigned char)c))
			c = ' ';
		if (c == ' ' && (n == 0 || words[n - 1] == ' '))
			continue;
		if (n + 1 < STATEMENT_MAX)
			words[n++] = c;
	}
	while (n && words[n - 1] == ' ')
		n--;
	words[n] = '\0';
	return *r->at ? *r->at++ : '\0';
}

static bool enter(struct reader *r, const char *words)
{
	int volume = r->depth ? r->section[r->depth - 1].volume : -1;
	size_t n = strcspn(words, " ");

	if (r->depth == DEPTH_MAX || n >= sizeof(r->section[0].name))
		return false;
	if (n == 6 && !strncmp(words, "volume", n))
		volume = atoi(words + n);
	memcpy(r->section[r->depth].name, words, n);
	r->section[r->depth].name[n] = '\0';
	r->section[r->depth++].volume = volume;
	return true;
}

static bool copy_value(const char *from, char value[DISKREP_DRBD_VALUE_MAX])
{
	size_t n;

	while (*from == ' ')
		from++;
	n = strlen(from);
	if (n >= 2 && from[0] == '"' && from[n - 1] == '"') {
		from++;
		n -= 2;
	}
	if (n >= DISKREP_DRBD_VALUE_MAX)
		return false;
	memcpy(value, from, n);
	value[n] = '\0';
	return true;
}

bool diskrep_drbd_show_value(const char *text, int volume, const char *section, const char *key,
	char value[DISKREP_DRBD_VALUE_MAX])
{
	struct reader r = {.at = text};
	char words[STATEMENT_MAX], end;
	size_t n = strlen(key);

	value[0] = '\0';
	while ((end = next_statement(&r, words)) != '\0') {
		if (end == '{') {
			if (!enter(&r, words))
				return false;
		} else if (end == '}') {
			if (r.depth)
				r.depth--;
		} else if (r.depth && r.section[r.depth - 1].volume == volume &&
			   !strcmp(r.section[r.depth - 1].name, section) &&
			   !strncmp(words, key, n) && (words[n] == ' ' || !words[n])) {
			return copy_value(words + n, value);
		}
	}
	return false;
}
