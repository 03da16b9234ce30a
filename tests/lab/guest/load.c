// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * load: how fast is the domU's disk, as the domU sees it? Overwrites what is on it.
 *
 * load start pattern=random|sequential|sync [bytes=4096] [depth=4] [seconds=10] [span=BYTES]
 *     `depth` threads write to the first `span` bytes of /dev/xvda past the page cache, `bytes` at
 *     a time, for so long: at random places, one after the other from the start on, or at random
 *     places with an fdatasync after each write, which then counts as part of it.
 *
 * load status
 *
 * Every answer is the status, one line of JSON: state off, running, done or failed; operations,
 * bytes and seconds so far; median, p99 and longest time of an operation in microseconds; errors.
 *
 * Time is the TSC, for the monotonic clock does not count the pauses that the domU is to suffer
 * from.
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
#include <unistd.h>

#include "probe.h"
#include "record.h"

enum { MAX_DEPTH = 32, MAX_BYTES = 1 << 20, BLOCK = 4096 };
enum { OCTAVE = 64, BUCKETS = 40 * OCTAVE }; /* a bucket is 1/64 of its power of two wide */

enum pattern { RANDOM, SEQUENTIAL, SYNC };
enum state { OFF, RUNNING, DONE, FAILED };
static const char *const state_names[] = {"off", "running", "done", "failed"};

static struct load {
	pthread_mutex_t lock; /* of all below */
	enum state state;
	enum pattern pattern;
	int fd;
	uint64_t size, bytes, next, random; /* of the disk; of a write; of the sequence */
	uint64_t begun, until, ended;       /* TSC */
	unsigned threads;
	uint64_t operations, errors, longest, buckets[BUCKETS];
} l = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static unsigned bucket_of(uint64_t us)
{
	unsigned octave = 0;

	while (us >> octave >= 2 * OCTAVE)
		octave++;
	return octave * OCTAVE + (unsigned)(us >> octave);
}

/* The lower end of the bucket in which the share @part of all operations is done. */
static uint64_t percentile(double part)
{
	uint64_t seen = 0, wanted = (uint64_t)((double)l.operations * part);
	unsigned i;

	for (i = 0; l.operations && i < BUCKETS - 1; i++) {
		seen += l.buckets[i];
		if (seen > wanted)
			break;
	}
	return i < 2 * OCTAVE ? i : (uint64_t)(OCTAVE + i % OCTAVE) << (i / OCTAVE - 1);
}

static uint64_t choose_place(void)
{
	uint64_t place, slots = l.size / l.bytes;

	if (l.pattern == SEQUENTIAL) {
		place = l.next;
		l.next = l.next + 2 * l.bytes > l.size ? 0 : l.next + l.bytes;
		return place;
	}
	l.random = record_mix(l.random + probe_tsc());
	return l.random % slots * l.bytes;
}

static void *writer(void *unused)
{
	uint8_t *buffer = aligned_alloc(BLOCK, l.bytes);
	uint64_t i, place, began, us;
	bool failed;

	(void)unused;
	for (i = 0; buffer && i < l.bytes / 8; i++)
		((uint64_t *)(void *)buffer)[i] = record_mix(i + 1);
	pthread_mutex_lock(&l.lock);
	while (buffer && l.state == RUNNING && probe_tsc() < l.until) {
		place = choose_place();
		pthread_mutex_unlock(&l.lock);
		began = probe_tsc();
		failed = pwrite(l.fd, buffer, l.bytes, (off_t)place) != (ssize_t)l.bytes;
		if (l.pattern == SYNC && fdatasync(l.fd) < 0)
			failed = true;
		us = (uint64_t)((double)(probe_tsc() - began) / probe_tsc_per_us());
		pthread_mutex_lock(&l.lock);
		l.errors += failed;
		l.operations++;
		l.buckets[bucket_of(us) < BUCKETS ? bucket_of(us) : BUCKETS - 1]++;
		if (us > l.longest)
			l.longest = us;
	}
	l.errors += !buffer;
	if (!--l.threads) {
		l.ended = probe_tsc();
		l.state = l.errors ? FAILED : DONE;
	}
	pthread_mutex_unlock(&l.lock);
	free(buffer);
	return NULL;
}

static int open_disk(uint64_t span)
{
	if (l.fd < 0)
		l.fd = open("/dev/xvda", O_RDWR | O_DIRECT | O_CLOEXEC);
	if (l.fd < 0 || ioctl(l.fd, BLKGETSIZE64, &l.size) < 0)
		return -errno;
	if (span && span < l.size)
		l.size = span;
	return l.size < l.bytes ? -EINVAL : 0;
}

static void start(const char *line)
{
	double depth = probe_option(line, "depth=", 4), bytes = probe_option(line, "bytes=", BLOCK);
	pthread_t thread;
	unsigned i;

	l.pattern = strstr(line, "pattern=sync")         ? SYNC
		    : strstr(line, "pattern=sequential") ? SEQUENTIAL
							 : RANDOM;
	depth = depth < 1 ? 1 : depth > MAX_DEPTH ? MAX_DEPTH : depth;
	l.bytes = bytes < BLOCK       ? BLOCK
		  : bytes > MAX_BYTES ? MAX_BYTES
				      : (uint64_t)bytes / BLOCK * BLOCK;
	l.operations = l.errors = l.longest = l.next = 0;
	memset(l.buckets, 0, sizeof(l.buckets));
	l.begun = l.ended = probe_tsc();
	l.state = FAILED;
	if (open_disk((uint64_t)probe_option(line, "span=", 0)))
		return;
	l.until =
		l.begun + (uint64_t)(probe_option(line, "seconds=", 10) * 1e6 * probe_tsc_per_us());
	for (i = 0; i < (unsigned)depth && pthread_create(&thread, NULL, writer, NULL) == 0; i++) {
		pthread_detach(thread);
		l.threads++;
		l.state = RUNNING;
	}
}

void load_command(const char *line, char *answer, size_t size)
{
	uint64_t end;

	pthread_mutex_lock(&l.lock);
	if (!strncmp(line, "start", 5) && l.state != RUNNING)
		start(line);
	end = l.state == RUNNING ? probe_tsc() : l.ended;
	snprintf(answer, size,
		"{\"state\":\"%s\",\"operations\":%llu,\"bytes\":%llu,\"seconds\":%.3f,"
		"\"median_us\":%llu,\"p99_us\":%llu,\"longest_us\":%llu,\"errors\":%llu}\n",
		state_names[l.state], (unsigned long long)l.operations,
		(unsigned long long)(l.operations * l.bytes),
		(double)(end - l.begun) / probe_tsc_per_us() / 1e6,
		(unsigned long long)percentile(0.5), (unsigned long long)percentile(0.99),
		(unsigned long long)l.longest, (unsigned long long)l.errors);
	pthread_mutex_unlock(&l.lock);
}
