/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

static const struct {
	const char *name;
	size_t arguments;
} verbs[] = {
	[DISKREP_CONTROL_EXPECT] = {"expect", 3},
	[DISKREP_CONTROL_COMMIT] = {"commit", 1},
	[DISKREP_CONTROL_DUMP] = {"dump", 2},
	[DISKREP_CONTROL_SNAPSHOT] = {"snapshot", 2},
	[DISKREP_CONTROL_RELEASE] = {"release", 0},
	[DISKREP_CONTROL_STATUS] = {"status", 0},
	[DISKREP_CONTROL_STOP] = {"stop", 0},
};

#define ARGUMENTS_MAX 3

static const char *const states[] = {
	[DISKREP_UNDO_IDLE] = "idle",
	[DISKREP_UNDO_SAVING] = "saving",
	[DISKREP_UNDO_OVERFLOW] = "overflow",
};

int diskrep_control_number(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -EINVAL;
	}
	*ret = n;
	return 0;
}

/* Split at single spaces into exactly @n words; the last one takes the rest (a path may have any).
 */
static bool split(char *line, char **words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *space = strchr(line, ' ');

		words[i] = line;
		if (i + 1 == n)
			break;
		if (!space)
			return false;
		*space = '\0';
		line = space + 1;
	}
	return true;
}

static int parse_arguments(char *const *args, struct diskrep_control_request *ret)
{
	int r = 0;

	switch (ret->verb) {
	case DISKREP_CONTROL_EXPECT:
		r = diskrep_uuid_parse(args[0], ret->expected.uuid);
		if (!r)
			r = diskrep_control_number(args[1], &ret->expected.nonce);
		if (!r)
			r = diskrep_control_number(args[2], &ret->expected.generation);
		return r || ret->expected.nonce ? r : -EINVAL;
	case DISKREP_CONTROL_DUMP:
	case DISKREP_CONTROL_SNAPSHOT:
		if (args[1][0] != '/' || strlen(args[1]) >= sizeof(ret->path))
			return -EINVAL;
		strcpy(ret->path, args[1]);
		/* fall through */
	case DISKREP_CONTROL_COMMIT:
		r = diskrep_control_number(args[0], &ret->epoch);
		return r || ret->epoch ? r : -EINVAL;
	case DISKREP_CONTROL_RELEASE:
	case DISKREP_CONTROL_STATUS:
	case DISKREP_CONTROL_STOP:
		return 0;
	}
	return -EINVAL;
}

int diskrep_control_parse(const char *line, size_t length, struct diskrep_control_request *ret)
{
	char copy[DISKREP_CONTROL_MAX + 1], *words[1 + ARGUMENTS_MAX] = {0};
	struct diskrep_control_request request = {0};
	int r;

	if (length > DISKREP_CONTROL_MAX)
		return -EINVAL;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return -EINVAL;
	memcpy(copy, line, length);
	copy[length] = '\0';
	for (size_t v = 0; v < ARRAY_SIZE(verbs); v++) {
		const size_t n = strlen(verbs[v].name);

		if (strncmp(copy, verbs[v].name, n) != 0 ||
			copy[n] != (verbs[v].arguments ? ' ' : '\0'))
			continue;
		request.verb = (enum diskrep_control_verb)v;
		if (!split(copy, words, 1 + verbs[v].arguments))
			return -EINVAL;
		r = parse_arguments(words + 1, &request);
		if (!r)
			*ret = request;
		return r;
	}
	return -EINVAL;
}

void diskrep_control_print_status(
	const struct diskrep_control_status *status, char *ret, size_t size)
{
	const struct diskrep_undo_info *info = &status->undo;

	snprintf(ret, size, "%s %llu %llu %llu %llu %llu %d %u %u %u", states[info->state],
		(unsigned long long)info->oldest, (unsigned long long)info->newest,
		(unsigned long long)info->used, (unsigned long long)info->largest,
		(unsigned long long)info->limit, info->locked, status->order.probes,
		status->order.all, status->order.violations);
}

static int parse_counts(char *const words[3], struct diskrep_order_count *ret)
{
	uint64_t n[3];

	for (size_t i = 0; i < 3; i++)
		if (diskrep_control_number(words[i], &n[i]) || n[i] > UINT32_MAX)
			return -EINVAL;
	*ret = (struct diskrep_order_count){(uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2]};
	return 0;
}

int diskrep_control_parse_status(const char *text, struct diskrep_control_status *ret)
{
	struct diskrep_control_status status = {0};
	struct diskrep_undo_info *info = &status.undo;
	char copy[DISKREP_CONTROL_STATUS_MAX], *words[10];
	uint64_t locked;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) ||
		!split(copy, words, ARRAY_SIZE(words)))
		return -EINVAL;
	if (diskrep_control_number(words[1], &info->oldest) ||
		diskrep_control_number(words[2], &info->newest) ||
		diskrep_control_number(words[3], &info->used) ||
		diskrep_control_number(words[4], &info->largest) ||
		diskrep_control_number(words[5], &info->limit) ||
		diskrep_control_number(words[6], &locked) || parse_counts(words + 7, &status.order))
		return -EINVAL;
	info->locked = locked != 0;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (strcmp(words[0], states[i]) != 0)
			continue;
		info->state = (enum diskrep_undo_state)i;
		*ret = status;
		return 0;
	}
	return -EINVAL;
}
