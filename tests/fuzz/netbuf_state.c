/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of what is ours in the kernel, as netbuf/state.c reads it: an input is the file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "netbuf/internal.h"
#include "tests/fuzz/fuzz.h"

unsigned long fuzz_accepted;

static int read_record(const void *data, size_t size, struct netbuf_state *ret)
{
	CLEANUP_CLOSE int fd = memfd_create("record", MFD_CLOEXEC);
	struct why why = {""};
	char name[16];
	int r;

	FUZZ_EXPECT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(name, sizeof(name), "%d", fd);
	r = netbuf_state_read("/proc/self/fd", name, ret, &why);
	FUZZ_EXPECT(r == 0 || (r == -EBADMSG && why.text[0]));
	return r;
}

/* What was understood, as it is written: the file must have been this, but for zeros ahead. */
static size_t print(const struct netbuf_state *s, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size, "romulus-netbuf 1 %zu\n", s->count);

	for (size_t i = 0; i < s->count; i++)
		n += (size_t)snprintf(ret + n, size - n, "%s %s\n", s->vifs[i].vif, s->vifs[i].ifb);
	FUZZ_EXPECT(n < size);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct netbuf_state untouched = {.count = 77};
	struct netbuf_state got = untouched, again;
	char text[64 + NETBUF_MAX_VIFS * 2 * IFNAMSIZ];
	const char *names;
	size_t n;

	if (read_record(data, size, &got)) {
		FUZZ_EXPECT(memcmp(&got, &untouched, sizeof(got)) == 0);
		return 0;
	}
	fuzz_accepted++;
	FUZZ_EXPECT(got.count <= NETBUF_MAX_VIFS);
	for (size_t i = 0; i < got.count; i++) /* they become names of files in /sys */
		FUZZ_EXPECT(netbuf_valid_ifname(got.vifs[i].vif) &&
			    netbuf_valid_ifname(got.vifs[i].ifb));
	n = print(&got, text, sizeof(text));
	names = strchr(text, '\n');
	FUZZ_EXPECT(size >= n && memcmp(data + size - strlen(names), names, strlen(names)) == 0);
	FUZZ_EXPECT(read_record(text, n, &again) == 0 && memcmp(&got, &again, sizeof(got)) == 0);
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-none", "romulus-netbuf 1 0\n"},
		{"good-two", "romulus-netbuf 1 2\nvif3.0 rb3.0\nvif3.1 rb3.1\n"},
		{"good-longest", "romulus-netbuf 1 1\nabcdefghijklmno 0123456789abcde\n"},
		{"too-long", "romulus-netbuf 1 1\nvif3.0 0123456789abcdef\n"},
		{"path", "romulus-netbuf 1 1\nvif3.0 ../x\n"},
		{"cut", "romulus-netbuf 1 2\nvif3.0 rb3.0\n"},
		{"more", "romulus-netbuf 1 1\nvif3.0 rb3.0\nvif3.1 rb3.1\n"},
		{"too-many", "romulus-netbuf 1 17\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
