/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures for people: bytes, durations, and how far a copy of memory has come. */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	const char *stage;
	bool counts; /* else the stage is all there is to say */
	uint64_t pages, total;
	uint64_t bytes, bytes_per_s; /* of what is sent or written for them */
	uint64_t eta_s;              /* 0: not known */
	uint64_t round, dirty;       /* from 1, and pages that it sends; 0: there are no rounds */
};

/* The copy as one line of at most @columns characters; without a bar when @columns is 0. */
void progress_format(char *out, size_t size, unsigned int columns, const struct progress *p);

/* "1.5 GB", "820 MB", "12 KB": at most seven characters, powers of 1000. */
void progress_bytes_format(char *out, size_t size, uint64_t bytes);

/* "45 ms", "1.2 s", "3 min 20 s": an age or a time to go. */
void progress_duration_format(char *out, size_t size, uint64_t ms);

#endif
