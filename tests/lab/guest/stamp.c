// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stamp: does the disk agree with RAM? Writes numbered records to the domU's disks and keeps in RAM
 * what each sector must hold; a check reads every sector of every disk and compares.
 *
 * Invariant: a sector that is not in flight holds what the table says. A sector in flight at a
 * checkpoint may hold the old or the new record then, but the resumed front end repeats the write,
 * so once nothing is in flight the invariant holds for all.
 *
 * stamp start [depth=4] [rate=100] [hold=2000]
 *     reads the disks as they are (/dev/xvda and xvdb), then writes: `depth` writes in flight at
 *     most, `rate` a second in all. Hides nothing: RAM that is taken back to a checkpoint would
 *     write the same numbers again, so where a write goes and what it holds also depend on the TSC.
 * stamp hold     no new writes. It holds by itself when the wall clock jumps by `hold` ms against
 *     the monotonic one, as it does when the domU is resumed from a checkpoint: later writes would
 *     hide what was not rolled back.
 * stamp go       writes again
 * stamp check    holds, waits for what is in flight, compares; the state is then "checked"
 * stamp status
 *
 * Every answer is the status. Mismatches are counted by what the disk has: `ahead` a newer record
 * than RAM knows, or another of that number (a write from after the checkpoint), `behind` an older
 * one (a completed write is lost), `garbage` anything else. One sector of one write is one
 * mismatch.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"
#include "record.h"

enum { SECTOR = sizeof(struct record), CHUNK_SECTORS = 256, BLOCK_SECTORS = 8 };
enum { MAX_DISKS = 2, MAX_DEPTH = 32, MAX_RUN = 64, HOT_SECTORS = 512, WRITES_PER_FLUSH = 16 };
enum { LOOK_MS = 20 };

enum state { OFF, READING, WRITING, HELD, CHECKING, CHECKED, FAILED };
static const char *const state_names[] = {
	"off", "reading", "writing", "held", "checking", "checked", "failed"};

/* What RAM knows of a sector. Number 0: it held no record of ours at `start`. */
struct sector {
	uint64_t number, digest;
	bool in_flight;
};

struct disk {
	const char *path;
	int fd;
	uint64_t sectors;
	uint64_t unit; /* sectors that the disk takes at least: 8 on one of 4 KiB sectors */
	uint64_t base; /* the disk's number in the top byte; a record's place is base + sector */
	struct sector *table;
};

struct tally {
	uint64_t sectors, mismatches, ahead, behind, garbage;
	char first[96];
};

static struct stamp {
	pthread_mutex_t
		lock; /* of all below; the tables are the director's while no writer lives */
	pthread_cond_t changed;
	enum state state;
	bool has_director;
	struct disk disks[MAX_DISKS];
	unsigned disk_count, depth, writers, in_flight;
	double rate;
	int64_t clock_offset, hold_ns;
	uint64_t number, errors, clock_holds, random;
	struct tally tally;
} s = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.disks = {{.path = "/dev/xvda", .fd = -1}, {.path = "/dev/xvdb", .fd = -1}}};

static uint64_t random_number(void)
{
	s.random = record_mix(s.random + __builtin_ia32_rdtsc());
	return s.random;
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * The kernel adds the time for which a domU was not there to its wall clock, not to its monotonic
 * clock (timekeeping_resume). Looked at often, so that short stops do not add up to a long one.
 */
static void look_at_clock(void)
{
	int64_t offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);

	if (s.state == WRITING && llabs(offset - s.clock_offset) > s.hold_ns) {
		s.state = HELD;
		s.clock_holds++;
	}
	s.clock_offset = offset;
}

/*
 * A run of sectors that no other write in flight touches. Half of all writes are whole aligned
 * blocks, as of a file system; half fall in a small hot area, so that one sector is often written
 * twice between checkpoints; some end at the disk's end.
 */
static struct disk *choose_run(uint64_t *ret_first, uint64_t *ret_count)
{
	for (;;) {
		struct disk *disk = &s.disks[random_number() % s.disk_count];
		uint64_t dice = random_number(), first, count, i;
		bool aligned = dice & 1, hot = dice & 2;

		count = aligned ? BLOCK_SECTORS : 1 + random_number() % MAX_RUN;
		first = hot ? disk->sectors / 3 + random_number() % HOT_SECTORS
			    : random_number() % disk->sectors;
		if (aligned)
			first -= first % BLOCK_SECTORS;
		count = (count + disk->unit - 1) / disk->unit * disk->unit;
		first -= first % disk->unit;
		if (!(dice & 0xf0) || first + count > disk->sectors)
			first = disk->sectors - count;
		for (i = 0; i < count && !disk->table[first + i].in_flight; i++)
			;
		if (i == count) {
			*ret_first = first;
			*ret_count = count;
			return disk;
		}
	}
}

/* One write. Called with the lock held and returns with it; it is not held while the disk writes.
 */
static void write_run(struct record *buffer)
{
	uint64_t first, count, i, number = ++s.number, nonce = random_number();
	struct disk *disk = choose_run(&first, &count);
	ssize_t done;
	bool failed;

	for (i = 0; i < count; i++) {
		record_fill(&buffer[i], number, disk->base + first + i, nonce);
		disk->table[first + i] = (struct sector){number, record_digest(&buffer[i]), true};
	}
	s.in_flight++;
	pthread_mutex_unlock(&s.lock);
	done = pwrite(disk->fd, buffer, count * SECTOR, (off_t)(first * SECTOR));
	failed = done != (ssize_t)(count * SECTOR);
	if (number % WRITES_PER_FLUSH == 0 && fdatasync(disk->fd) < 0)
		failed = true;
	pthread_mutex_lock(&s.lock);
	s.in_flight--;
	s.errors += failed;
	for (i = 0; i < count; i++)
		disk->table[first + i].in_flight = false;
}

static void *writer(void *unused)
{
	struct record *buffer = aligned_alloc(4096, MAX_RUN * SECTOR);
	struct timespec pause = {0};

	(void)unused;
	pthread_mutex_lock(&s.lock);
	for (;;) {
		double seconds = s.depth / s.rate;

		look_at_clock();
		if (s.state != WRITING || !buffer)
			break;
		write_run(buffer);
		pthread_mutex_unlock(&s.lock);
		pause.tv_sec = (time_t)seconds;
		pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&s.lock);
	}
	s.errors += !buffer;
	s.writers--;
	pthread_cond_broadcast(&s.changed);
	pthread_mutex_unlock(&s.lock);
	free(buffer);
	return NULL;
}

static void start_writers(void)
{
	pthread_t thread;

	s.state = WRITING;
	s.clock_offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
	while (s.writers < s.depth && pthread_create(&thread, NULL, writer, NULL) == 0) {
		pthread_detach(thread);
		s.writers++;
	}
}

static void compare(const struct disk *disk, uint64_t at, const struct record *found,
	const struct sector *expected, struct tally *tally)
{
	const char *what = "garbage";

	if (record_digest(found) == expected->digest)
		return;
	if (!record_valid(found, disk->base + at)) {
		tally->garbage++;
	} else if (found->number >= expected->number) {
		what = "ahead";
		tally->ahead++;
	} else {
		what = "behind";
		tally->behind++;
	}
	if (!tally->mismatches++)
		snprintf(tally->first, sizeof(tally->first),
			"%s sector %llu: RAM %llu, disk %s %llu", disk->path,
			(unsigned long long)at, (unsigned long long)expected->number, what,
			(unsigned long long)(*what == 'g' ? 0 : found->number));
}

/* Reads a disk from end to end: into the table, or to compare with it. No writer lives meanwhile.
 */
static int read_disk(struct disk *disk, bool learn, struct tally *tally, uint64_t *ret_newest)
{
	struct record *chunk = aligned_alloc(4096, CHUNK_SECTORS * SECTOR);
	uint64_t at, i, count;
	int error = chunk ? 0 : -ENOMEM;

	for (at = 0; !error && at < disk->sectors; at += count) {
		count = disk->sectors - at < CHUNK_SECTORS ? disk->sectors - at : CHUNK_SECTORS;
		if (pread(disk->fd, chunk, count * SECTOR, (off_t)(at * SECTOR)) !=
			(ssize_t)(count * SECTOR))
			error = -EIO;
		for (i = 0; !error && i < count; i++) {
			struct sector *sector = &disk->table[at + i];

			if (!learn) {
				compare(disk, at + i, &chunk[i], sector, tally);
				continue;
			}
			*sector = (struct sector){0, record_digest(&chunk[i]), false};
			if (!record_valid(&chunk[i], disk->base + at + i))
				continue;
			sector->number = chunk[i].number;
			if (sector->number > *ret_newest)
				*ret_newest = sector->number;
		}
		tally->sectors += count;
	}
	free(chunk);
	return error;
}

static int open_disks(void)
{
	unsigned i;

	s.disk_count = 0;
	for (i = 0; i < MAX_DISKS; i++) {
		struct disk *disk = &s.disks[i];
		uint64_t bytes = 0;
		int block = 0;

		if (disk->fd < 0)
			disk->fd = open(disk->path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (disk->fd < 0 || ioctl(disk->fd, BLKGETSIZE64, &bytes) < 0 ||
			ioctl(disk->fd, BLKSSZGET, &block) < 0)
			return -errno;
		disk->sectors = bytes / SECTOR;
		disk->unit = (uint64_t)block / SECTOR;
		disk->base = (uint64_t)(i + 1) << 56;
		if (disk->sectors < 4 * HOT_SECTORS)
			return -EINVAL;
		free(disk->table);
		disk->table = calloc(disk->sectors, sizeof(*disk->table));
		if (!disk->table)
			return -ENOMEM;
		s.disk_count++;
	}
	return 0;
}

/* What takes long: reading the disks at the start and for a check. Called and returns locked. */
static void read_disks(bool learn)
{
	struct tally tally = {0};
	uint64_t newest = 0;
	unsigned i;
	int error;

	pthread_mutex_unlock(&s.lock);
	error = learn ? open_disks() : 0;
	for (i = 0; !error && i < s.disk_count; i++)
		error = read_disk(&s.disks[i], learn, &tally, &newest);
	pthread_mutex_lock(&s.lock);
	s.tally = tally;
	if (error) {
		s.state = FAILED;
		snprintf(s.tally.first, sizeof(s.tally.first), "disk %u: %s", i, strerror(-error));
	} else if (learn) {
		s.number = newest;
		s.errors = s.clock_holds = 0;
		start_writers();
	} else {
		s.state = CHECKED;
	}
}

static void *director(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&s.lock);
	for (;;) {
		struct timespec until;

		look_at_clock();
		if (!s.writers && (s.state == READING || s.state == CHECKING))
			read_disks(s.state == READING);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_MS * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&s.changed, &s.lock, &until);
	}
	return NULL;
}

static void start(const char *line)
{
	double depth = probe_option(line, "depth=", 4), rate = probe_option(line, "rate=", 100);
	pthread_t thread;

	s.depth = depth < 1 ? 1 : depth > MAX_DEPTH ? MAX_DEPTH : (unsigned)depth;
	s.rate = rate < 0.1 ? 0.1 : rate;
	s.hold_ns = (int64_t)(probe_option(line, "hold=", 2000) * 1e6);
	if (!s.has_director && pthread_create(&thread, NULL, director, NULL) == 0) {
		pthread_detach(thread);
		s.has_director = true;
	}
	s.state = s.has_director ? READING : FAILED;
}

static bool is_one_of(enum state a, enum state b, enum state c)
{
	return s.state == a || s.state == b || s.state == c;
}

void stamp_command(const char *line, char *answer, size_t size)
{
	pthread_mutex_lock(&s.lock);
	look_at_clock();
	if (!strncmp(line, "start", 5) && !is_one_of(READING, WRITING, CHECKING))
		start(line);
	else if (!strncmp(line, "hold", 4) && s.state == WRITING)
		s.state = HELD;
	else if (!strncmp(line, "go", 2) && !s.writers && is_one_of(HELD, CHECKED, CHECKED))
		start_writers();
	else if (!strncmp(line, "check", 5) && is_one_of(WRITING, HELD, CHECKED))
		s.state = CHECKING;
	pthread_cond_broadcast(&s.changed);
	snprintf(answer, size,
		"{\"state\":\"%s\",\"writes\":%llu,\"in_flight\":%u,\"errors\":%llu,"
		"\"clock_holds\":%llu,\"sectors\":%llu,\"mismatches\":%llu,\"ahead\":%llu,"
		"\"behind\":%llu,\"garbage\":%llu,\"first\":\"%s\"}\n",
		state_names[s.state], (unsigned long long)s.number, s.in_flight,
		(unsigned long long)s.errors, (unsigned long long)s.clock_holds,
		(unsigned long long)s.tally.sectors, (unsigned long long)s.tally.mismatches,
		(unsigned long long)s.tally.ahead, (unsigned long long)s.tally.behind,
		(unsigned long long)s.tally.garbage, s.tally.first);
	pthread_mutex_unlock(&s.lock);
}
