/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypervisor that is made of numbers, with one domain to be saved and perhaps one that is built,
 * and a folder for files. Who links this gets it in place of Xen's.
 */
#ifndef TESTS_UNIT_SAVE_RIG_H
#define TESTS_UNIT_SAVE_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "replicator/save.h"
#include "tests/unit/made_stream.h"

#define RIG_UUID "00000000-0000-4000-8000-000000000001"
#define RIG_DOMID 7u
#define RIG_BUILT 9u

/* In memory that a process which dies shares with its survivor. */
extern struct rig_xen {
	struct made stream;
	size_t stops_at; /* libxl fails there; 0: it does not */
	bool cut;        /* it says that all went well, with half of the stream */
	bool disks;
	uint64_t memory_kb;

	bool runs, suspended, gone; /* of the domain that is saved */
	unsigned int builds;        /* domains that were begun */
	bool built, standby, built_runs;
	char *got; /* what arrived in it */
	size_t got_n;
	char config[512];
} * rig_xen;
extern struct save_notice *rig_notice; /* shared as well */

extern char rig_dir[64], rig_file[96], rig_disk[96], rig_hook[96], rig_traces[96];

int rig_begin(void); /* once */
int rig_setup(void **state);
int rig_teardown(void **state); /* nothing else was left in the folder */

/* As romulus-save begins; what was saved or built before is forgotten. */
struct save rig_begin_save(void);
/* A file of @format, whose domain is then gone, or runs on. */
void rig_save_as(enum savefile_format format, bool checkpoint);
/* How many names there are in the folder of the file, which is empty to begin with. */
unsigned int rig_names(void);
void rig_put_file(const char *path, const void *data, size_t n, mode_t mode);
uint8_t *rig_get_file(const char *path, size_t *ret_n); /* the caller's to free */
/* A hook that notes its words in rig_traces and runs @body. */
void rig_write_hook(const char *body);
void rig_arm(const char *fault);
void rig_make_stream(uint32_t pages);

#endif
