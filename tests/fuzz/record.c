/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's record on disk, as failover/state.h reads it: an input is the file. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "failover/state.h"
#include "tests/fuzz/fuzz.h"

unsigned long fuzz_accepted;

#define UUID "12345678-9abc-def0-1234-56789abcdef0"

static const struct failover_record untouched = {.generation = 77};

/* Where records are written to be read again; made once. */
static const char *folder(void)
{
	static char dir[] = "/tmp/romulus-fuzz-XXXXXX";
	static bool made;
	char domains[64];

	if (!made) {
		FUZZ_EXPECT(mkdtemp(dir));
		snprintf(domains, sizeof(domains), "%s/domains", dir);
		FUZZ_EXPECT(mkdir(domains, 0700) == 0);
		made = true;
	}
	return dir;
}

static void expect_sound(const struct failover_record *r)
{
	FUZZ_EXPECT(failover_uuid_valid(r->uuid) && failover_name_valid(r->name));
	FUZZ_EXPECT(r->role <= PROTO_ROLE_BACKUP && r->decision <= FAILOVER_DECISION_HANDED);
	FUZZ_EXPECT(
		memchr(r->peer, '\0', sizeof(r->peer)) && memchr(r->boot, '\0', sizeof(r->boot)));
}

/* What was understood is what is written, and read again. */
static void expect_same_again(const struct failover_record *r)
{
	struct failover_record again;
	char file[128];
	struct why why;

	if (failover_state_save(folder(), r, &why) < 0)
		return; /* a name that is no UTF-8: refused, nothing written */
	snprintf(file, sizeof(file), "%s/domains/%s.json", folder(), r->uuid);
	FUZZ_EXPECT(failover_state_read(file, &again, &why) == 0);
	FUZZ_EXPECT(strcmp(again.name, r->name) == 0 && strcmp(again.uuid, r->uuid) == 0);
	FUZZ_EXPECT(strcmp(again.peer, r->peer) == 0 && strcmp(again.boot, r->boot) == 0);
	FUZZ_EXPECT(again.generation == r->generation && again.role == r->role);
	FUZZ_EXPECT(again.decision == r->decision && again.intent == r->intent);
	unlink(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_CLOSE int fd = memfd_create("record", MFD_CLOEXEC);
	struct failover_record r = untouched;
	struct why why = {""};
	char file[32];

	FUZZ_EXPECT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	if (failover_state_read(file, &r, &why) < 0) {
		FUZZ_EXPECT(why.text[0] && memcmp(&r, &untouched, sizeof(r)) == 0);
		return 0;
	}
	fuzz_accepted++;
	expect_sound(&r);
	expect_same_again(&r);
	return 0;
}

/* clang-format off */
#define RECORD(name, uuid, decision, boot)                                                         \
	"{\"version\": 1, \"name\": \"" name "\", \"uuid\": \"" uuid "\", \"generation\": 7, "     \
	"\"role\": \"primary\", \"peer\": \"beta\", \"decision\": \"" decision "\", "              \
	"\"intent\": true, \"boot\": \"" boot "\"}"
/* clang-format on */

void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-solo", RECORD("db", UUID, "solo", "none")},
		{"good-left", RECORD("db", UUID, "left", UUID)},
		{"good-handed-over", RECORD("db", UUID, "handed-over", UUID)},
		{"no-such-decision", RECORD("db", UUID, "dice", "none")},
		{"path-in-uuid", RECORD("db", "../../../../etc/passwd", "solo", "none")},
		{"path-in-name", RECORD("../db", UUID, "solo", "none")},
		{"long-boot", RECORD("db", UUID, "solo", UUID UUID UUID)},
		{"cut", "{\"version\": 1, \"name\": \"db\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
