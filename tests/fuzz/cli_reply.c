/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon answers, as `romulus` shows it to a person: the first byte of an input says which
 * command asked (bits 0-1) and whether a terminal shows it (bit 2), the rest is the answer.
 */
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "cli/cli.h"
#include "cli/commands.c" /* show() */
#include "tests/fuzz/fuzz.h"

#include "cli/client.c"

unsigned long fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *out = NULL;
	CLEANUP_FREE char *err = NULL;
	size_t out_n, err_n;
	struct view view = {.domain = size && data[0] & 1 ? "db" : NULL};
	struct cli cli = {.socket = "/x", .columns = 80};
	FILE *in;
	int code;

	if (size < 2)
		return 0;
	cli.json = (data[0] & 3) == 2;
	cli.terminal = data[0] & 4;
	cli.out = open_memstream(&out, &out_n);
	cli.err = open_memstream(&err, &err_n);
	in = fmemopen((void *)(data + 1), size - 1, "r");
	FUZZ_EXPECT(cli.out && cli.err && in);
	code = read_replies(&cli, in, show, &view);
	fclose(in);
	fclose(cli.out);
	fclose(cli.err);
	FUZZ_EXPECT(code >= 0 && code <= 255);
	FUZZ_EXPECT(code == EXIT_CODE_OK || err[0]); /* no failure without a sentence */
	fuzz_accepted += code == EXIT_CODE_OK;
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-version", "\x04{\"version\": {\"romulus\": \"0.1.0\", \"protocol\": 1}}\n"
				 "{\"exit\": 0}\n"},
		{"good-event", "\x04{\"event\": {\"wall_ns\": 1700000000000000000, "
			       "\"monotonic_ns\": 5, \"host\": \"alpha\", \"domain\": \"db\", "
			       "\"kind\": \"solo\", \"text\": \"runs on alone\"}}\n{\"exit\": "
			       "0}\n"},
		{"good-progress",
			"\x04{\"progress\": {\"stage\": \"copy\", \"pages\": 9, \"total\": 10, "
			"\"bytes\": 1, \"bytes_per_s\": 2, \"eta_s\": 3}}\n{\"exit\": 0}\n"},
		{"good-status",
			"\x04{\"status\": {\"host\": \"alpha\", \"transport\": \"plain\", "
			"\"peers\": [{\"name\": \"beta\", \"alive\": false, \"arbiter\": "
			"\"manual\", \"paths\": [{\"name\": \"r\", \"alive\": false, "
			"\"silent_ms\": 5}]}], \"domains\": [{\"name\": \"db\", \"role\": "
			"\"primary\", \"state\": \"protected\", \"protected\": true, \"why\": "
			"\"\", \"peer\": \"beta\", \"generation\": 3, \"epoch\": 9, "
			"\"commit_age_ms\": 12, \"pause_ms\": 1.5, \"undo_bytes\": 4096, "
			"\"undo_limit\": 8192, \"boundary\": \"wait\"}]}}\n{\"exit\": 0}\n"},
		{"good-check",
			"\x04{\"check\": {\"domain\": \"db\", \"host\": \"beta\", \"checks\": "
			"[{\"name\": \"cpu\", \"result\": \"fail\", \"found\": \"no AVX\", "
			"\"do\": \"mask it\"}, {\"name\": \"clock\", \"result\": \"warn\"}]}}\n"
			"{\"exit\": 0}\n"},
		{"good-drill",
			"\x04{\"drill\": {\"began_ns\": 1790000000000000000, \"domain\": \"db\", "
			"\"result\": \"passed\", \"why\": \"\", \"checkpoint\": 7, \"age_ms\": "
			"120, "
			"\"phases_ms\": {\"room\": 3, \"copy\": 1900}, \"said\": \"ok\"}}\n"
			"{\"note\": \"the drill of db has passed\"}\n{\"exit\": 0}\n"},
		{"refused", "\x01{\"exit\": 3, \"error\": \"db is not known to this host\"}\n"},
		{"numbers", "\x05{\"progress\": {\"pages\": 1e308, \"total\": -1, \"eta_s\": "
			    "9223372036854775807}}\n{\"exit\": -1}\n"},
		{"no-code", "\x01{\"exit\": \"0\"}\n"},
		{"unended", "\x01{\"status\": 1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
