/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What DRBD says at length: `drbdsetup events2 --now` as a state with its sentences, `drbdsetup
 * show` as values, /proc/drbd as states of minors. An input is given to all of the readers.
 */
#include <errno.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "diskrep/drbd.h"
#include "diskrep/drbd_show.h"
#include "diskrep/lineage.h"
#include "tests/fuzz/fuzz.h"

#define RESOURCE "db"

unsigned long fuzz_accepted;

static void expect_volume(const struct diskrep_drbd_volume *v)
{
	FUZZ_EXPECT(v->disk <= DISKREP_DRBD_UP_TO_DATE && v->peer_disk <= DISKREP_DRBD_UP_TO_DATE);
	FUZZ_EXPECT(v->sync_percent >= -1 && v->sync_percent <= 100);
	FUZZ_EXPECT(v->sync_percent < 100 || v->out_of_sync_kib == 0);
	FUZZ_EXPECT(v->size_kib >= -1 && v->out_of_sync_kib >= -1);
}

/* Disks that may differ are never said to be in step. */
static void expect_honest(const struct diskrep_drbd_status *s)
{
	bool in_step = diskrep_drbd_in_step(s);
	struct why why = {""};

	FUZZ_EXPECT((diskrep_drbd_obstacle(s, RESOURCE, &why) == 0) == in_step);
	FUZZ_EXPECT(in_step || why.text[0]);
	for (size_t i = 0; in_step && i < s->volumes; i++)
		FUZZ_EXPECT(s->volume[i].disk == DISKREP_DRBD_UP_TO_DATE &&
			    s->volume[i].peer_disk == DISKREP_DRBD_UP_TO_DATE &&
			    s->volume[i].sync_percent == -1);
	FUZZ_EXPECT(!in_step || (s->up && s->volumes));
}

static void judge_status(const char *text, size_t n)
{
	const struct diskrep_drbd_status untouched = {.volumes = 77};
	struct diskrep_drbd_status s = untouched;
	char summary[DISKREP_DRBD_SUMMARY_MAX];
	struct why why = {""};

	if (diskrep_drbd_status_parse(text, n, RESOURCE, &s, &why)) {
		FUZZ_EXPECT(why.text[0] && memcmp(&s, &untouched, sizeof(s)) == 0);
		return;
	}
	fuzz_accepted += s.up;
	FUZZ_EXPECT(s.volumes <= DISKREP_MAX_VOLUMES);
	FUZZ_EXPECT(s.connection <= DISKREP_DRBD_SYNCING);
	for (size_t i = 0; i < s.volumes; i++)
		expect_volume(&s.volume[i]);
	FUZZ_EXPECT(diskrep_drbd_summary(&s, summary) == summary && summary[0]);
	expect_honest(&s);
}

static void judge_show(const char *text)
{
	static const struct {
		int volume;
		const char *section, *key;
	} asked[] = {{-1, "net", "protocol"}, {-1, "options", "on-no-data-accessible"},
		{0, "volume", "disk"}, {1, "disk", "c-max-rate"}, {-1, "", ""}};
	char value[DISKREP_DRBD_VALUE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		bool there = diskrep_drbd_show_value(
			text, asked[i].volume, asked[i].section, asked[i].key, value);

		FUZZ_EXPECT(memchr(value, '\0', sizeof(value)));
		FUZZ_EXPECT(there || !value[0]);
		fuzz_accepted += there && value[0];
	}
}

static void judge_lineage(const char *text)
{
	uint64_t generation = 0;

	for (int minor = -1; minor < 3; minor++)
		if (diskrep_lineage_in_step(text, minor)) {
			fuzz_accepted++;
			FUZZ_EXPECT(minor != -1 || strchr(text, '-'));
			FUZZ_EXPECT(strstr(text, "UpToDate/UpToDate"));
		}
	if (diskrep_lineage_generation(text, &generation) == 0) {
		fuzz_accepted++;
		FUZZ_EXPECT(strncmp(text, "0x", 2) == 0 && !(generation & 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *exact = fuzz_copy(data, size);
	CLEANUP_FREE char *string = calloc(1, size + 1);

	FUZZ_EXPECT(string);
	if (size)
		memcpy(string, data, size);
	judge_status(exact, size);
	judge_show(string);
	judge_lineage(string);
	return 0;
}

/* Those of a real DRBD are links to tests/unit/data/drbd. */
void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-largest", "exists resource name:db role:Primary\n"
				 "exists connection name:db connection:Connected role:Secondary\n"
				 "exists device name:db volume:0 minor:0 disk:UpToDate "
				 "size:9223372036854775807\n"
				 "exists device name:db volume:1 minor:1 disk:UpToDate "
				 "size:9223372036854775807\n"
				 "exists peer-device name:db volume:0 replication:SyncSource "
				 "peer-disk:Inconsistent out-of-sync:9223372036854775807\n"
				 "exists peer-device name:db volume:1 replication:SyncSource "
				 "peer-disk:Inconsistent out-of-sync:9223372036854775807\n"},
		{"good-generation", "0xDEADBEEF01020305\n"},
		{"good-show", "resource db {\n net { protocol C; } # {\n _this_host {\n volume 1 "
			      "{\n disk { c-max-rate \"4 ; }\"; } } } }\n"},
		{"deep", "{{{{{{{{{{{{{"},
		{"no-volume-0", "exists device name:db volume:1 minor:0 disk:UpToDate\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
