/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of `drbdsetup events2`, as diskrep/drbd_events.h reads them; an input is any number. */
#include <errno.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "diskrep/drbd_events.h"
#include "tests/fuzz/fuzz.h"

#define LINE_MAX_PRINTED 512
#define LAST_MINOR 1048575

unsigned long fuzz_accepted;

static const struct diskrep_drbd_event untouched = {.volume = 77};

static const char *const actions[] = {"", "exists", "create", "change", "destroy"};
static const char *const objects[] = {"-", "resource", "connection", "device", "peer-device"};
static const char *const roles[] = {"Unknown", "Primary", "Secondary"};
static const char *const links[] = {"Unknown", "StandAlone", "Connecting", "Connected"};
static const char *const disks[] = {"Unknown", "Diskless", "Attaching", "Failed", "Negotiating",
	"Inconsistent", "Outdated", "Consistent", "UpToDate"};
static const char *const replications[] = {
	"Unknown", "Off", "Established", "SyncSource", "SyncTarget", "VerifyS", "Ahead"};

static bool same(const struct diskrep_drbd_event *a, const struct diskrep_drbd_event *b)
{
	return a->action == b->action && a->object == b->object &&
	       strcmp(a->resource, b->resource) == 0 && a->volume == b->volume &&
	       a->minor == b->minor && a->role == b->role && a->connection == b->connection &&
	       a->disk == b->disk && a->replication == b->replication &&
	       a->size_kib == b->size_kib && a->out_of_sync_kib == b->out_of_sync_kib;
}

static int parse(const char *line, size_t n, struct diskrep_drbd_event *ret)
{
	CLEANUP_FREE char *exact = fuzz_copy(line, n);

	return diskrep_drbd_event_parse(exact, n, ret);
}

/* The value of the last word KEY:VALUE from the third word on, NULL: there is none. */
static char *find_value(const char *line, size_t n, const char *key)
{
	const size_t k = strlen(key);
	char *value = NULL;
	int word = 0;

	for (size_t i = 0; i < n;) {
		size_t end = i;

		while (end < n && line[end] != ' ' && line[end] != '\t')
			end++;
		word += end > i;
		if (word > 2 && end - i > k && memcmp(line + i, key, k) == 0 &&
			line[i + k] == ':') {
			free(value);
			value = strndup(line + i + k + 1, end - i - k - 1);
		}
		i = end + 1;
	}
	return value;
}

static void expect_number(const char *line, size_t n, const char *key, int64_t most, int64_t got)
{
	CLEANUP_FREE char *value = find_value(line, n, key);
	unsigned long long want;
	char *end;

	if (!value) {
		FUZZ_EXPECT(got == -1);
		return;
	}
	errno = 0;
	want = strtoull(value, &end, 10);
	FUZZ_EXPECT(!errno && !*end && *value >= '0' && *value <= '9');
	FUZZ_EXPECT(want <= (unsigned long long)most && got == (int64_t)want);
}

static void expect_name(const char *line, size_t n, const char *got)
{
	CLEANUP_FREE char *value = find_value(line, n, "name");

	FUZZ_EXPECT(memchr(got, '\0', DISKREP_DRBD_NAME_MAX + 1));
	FUZZ_EXPECT(strcmp(got, value ? value : "") == 0 && (!value || *value));
}

static void expect_known(const struct diskrep_drbd_event *e)
{
	FUZZ_EXPECT(e->action < ARRAY_SIZE(actions) && e->object < ARRAY_SIZE(objects));
	FUZZ_EXPECT(e->role < ARRAY_SIZE(roles) && e->connection < ARRAY_SIZE(links));
	FUZZ_EXPECT(e->disk < ARRAY_SIZE(disks) && e->replication < ARRAY_SIZE(replications));
}

static size_t put_number(char *out, size_t size, const char *key, int64_t value)
{
	return value < 0 ? 0 : (size_t)snprintf(out, size, " %s:%lld", key, (long long)value);
}

/* What drbdsetup would print for @e; the parser must understand it the same way. */
static void expect_same_printed(const struct diskrep_drbd_event *e)
{
	struct diskrep_drbd_event again;
	char line[LINE_MAX_PRINTED];
	size_t n;

	n = (size_t)snprintf(line, sizeof(line),
		"%s %s%s%s role:%s connection:%s peer-disk:%s replication:%s", actions[e->action],
		objects[e->object], e->resource[0] ? " name:" : "", e->resource, roles[e->role],
		links[e->connection], disks[e->disk], replications[e->replication]);
	n += put_number(line + n, sizeof(line) - n, "volume", e->volume);
	n += put_number(line + n, sizeof(line) - n, "minor", e->minor);
	n += put_number(line + n, sizeof(line) - n, "size", e->size_kib);
	n += put_number(line + n, sizeof(line) - n, "out-of-sync", e->out_of_sync_kib);
	FUZZ_EXPECT(n < sizeof(line));
	FUZZ_EXPECT(parse(line, n, &again) == 0 && same(e, &again));
}

/* Neither its end nor words of a newer tool change what a line says. */
static void expect_same_longer(
	const char *line, size_t n, int r, const struct diskrep_drbd_event *e)
{
	static const char more[] = " quorum:yes unheard-of \t blocked:upper\r\n";
	CLEANUP_FREE char *longer = malloc(n + sizeof(more));
	struct diskrep_drbd_event again = untouched;

	FUZZ_EXPECT(longer);
	memcpy(longer, line, n);
	longer[n] = '\n';
	FUZZ_EXPECT(parse(longer, n + 1, &again) == r && same(e, &again));
	if (e->action == DISKREP_DRBD_OTHER && r == 0)
		return; /* it may have lacked just the second word */
	again = untouched;
	memcpy(longer + n, more, sizeof(more));
	FUZZ_EXPECT(parse(longer, n + sizeof(more) - 1, &again) == r && same(e, &again));
}

static bool judge(const char *line, size_t n)
{
	struct diskrep_drbd_event e = untouched;
	int r;

	while (n && line[n - 1] == '\r')
		n--;
	r = parse(line, n, &e);
	expect_same_longer(line, n, r, &e);
	if (r) {
		FUZZ_EXPECT(r == -EBADMSG && same(&e, &untouched));
		return false;
	}
	expect_known(&e);
	if (e.action == DISKREP_DRBD_OTHER) {
		FUZZ_EXPECT(e.volume == -1 && e.minor == -1 && !e.resource[0]);
		return false;
	}
	expect_number(line, n, "volume", LAST_MINOR, e.volume);
	expect_number(line, n, "minor", LAST_MINOR, e.minor);
	expect_number(line, n, "size", INT64_MAX, e.size_kib);
	expect_number(line, n, "out-of-sync", INT64_MAX, e.out_of_sync_kib);
	expect_name(line, n, e.resource);
	expect_same_printed(&e);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data, *const end = line + size;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *to = newline ? newline : end;

		fuzz_accepted += judge(line, (size_t)(to - line));
		line = to + 1;
	}
	return 0;
}

/* Those of a real DRBD are links to tests/unit/data/drbd. */
void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *line;
	} seeds[] = {
		{"good-limits", "exists device name:"
				"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
				"volume:1048575 minor:0 disk:Failed size:9223372036854775807"},
		{"beyond-limits", "exists device name:db volume:1048576 size:9223372036854775808"},
		{"states", "change peer-device name:db volume:0 replication:PausedSyncT "
			   "peer-disk:Outdated out-of-sync:57792\n"
			   "change connection name:db connection:WFReportParams role:Unknown\n"
			   "create resource name:db role:Secondary\n"
			   "change peer-device name:db replication:Behind"},
		{"others", "- skipped 3\ncall helper name:db minor:1\nexists -\nexists\r\n\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].line, strlen(seeds[i].line));
}
