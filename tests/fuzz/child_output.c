/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fence agent or another program has written, of which failover/child.c makes one line for
 * events, `status` and the log: an input is the output.
 */
#include <stdbool.h>

#include <jansson.h>

#include "failover/child.c" /* last_line() */
#include "tests/fuzz/fuzz.h"

#define LINE 64 /* smaller than what is used, so that more is cut */

unsigned long fuzz_accepted;

static bool blank(uint8_t c)
{
	return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

/* The last line with something in it, where all is text and nothing must be cut. */
static void expect_whole(const uint8_t *data, size_t size, const char *line)
{
	size_t end = size, from;

	if (memchr(data, '\0', size))
		return;
	while (end && blank(data[end - 1]))
		end--;
	for (from = end; from && data[from - 1] != '\n'; from--)
		;
	for (size_t i = from; i < end; i++)
		if (data[i] < ' ' || data[i] > '~')
			return;
	fuzz_accepted++;
	FUZZ_EXPECT(strlen(line) == end - from && memcmp(line, data + from, end - from) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_CLOSE int fd = memfd_create("output", MFD_CLOEXEC);
	char *line = malloc(LINE);
	json_t *j;

	FUZZ_EXPECT(line && fd >= 0 && write(fd, data, size) == (ssize_t)size);
	last_line(fd, line, LINE);
	FUZZ_EXPECT(memchr(line, '\0', LINE));
	for (const char *p = line; *p; p++)
		FUZZ_EXPECT((unsigned char)*p >= ' ' && *p != 0x7f);
	j = json_string(line);
	FUZZ_EXPECT(j);
	json_decref(j);
	if (size && size < LINE)
		expect_whole(data, size, line);
	free(line);
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-line", "Failed: Unable to connect/login\n"},
		{"good-last", "starting\r\nERROR: no such plug\r\n \t\n"},
		{"good-unended", "off"},
		{"escape", "\033]0;x\007\033[2Jok\n"},
		{"no-text", "caf\xe9 \xc3\xa9 \xed\xa0\x80 \xc0\xaf\n"},
		{"cut-text", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
			     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
			     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
			     "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
