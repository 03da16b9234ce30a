/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real undo store, nbdkit and all, on files, and a user of its disks with a model of them.
 */
#ifndef TESTS_UNIT_STORE_RIG_H
#define TESTS_UNIT_STORE_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "diskrep/store.h"

#define UUID "deadbeef-0102-0304-0506-0708090a0b0c"
#define NONCE UINT64_C(0x123456789abcdef0)
#define GENERATION 5
#define VOLUMES 2
#define DISK_MAX (257 * 4096 + 512)
#define MARKER_SIZE 131072
#define EPOCHS 12

typedef uint8_t rig_disks[VOLUMES][DISK_MAX];

extern const size_t rig_sizes[VOLUMES];
extern char rig_dir[64], rig_paths[VOLUMES + 1][80], rig_list[80];
extern struct diskrep_store *store;
extern int rig_export[VOLUMES + 1]; /* the marker's last */
/* What the disks must hold, now and at each boundary. */
extern rig_disks rig_now, rig_at[EPOCHS + 1];

/* Run @tests, or skip one where there is no nbdkit or no plugin. */
#define RIG_RUN(tests) (rig_find_plugin() ? cmocka_run_group_tests(tests, NULL, NULL) : rig_skip())
int rig_find_plugin(void);
int rig_skip(void);

/* A directory that takes O_DIRECT, and one that may not. */
int rig_setup(void **state);
int rig_setup_shm(void **state);
/* Also shows that a store leaves nothing of its own behind. */
int rig_teardown(void **state);

void rig_put_file(const char *path, const void *data, size_t n);
struct diskrep_store_spec rig_spec(uint64_t limit);
void rig_start(uint64_t limit);
void rig_stop(void);

uint32_t rig_random(uint32_t below);
/* A random change of 512 bytes to 64 KiB, also in the model. */
void rig_change(void);
void rig_write_marker(const char *uuid, uint64_t nonce, uint64_t generation, uint64_t epoch);
/* Wait for the next news: at most 5 s. */
struct diskrep_store_news rig_next_news(void);
void rig_no_news(void);
void rig_boundary(uint64_t epoch);
/* Dump @epoch, replay it onto copies of the disks as they are, compare with the model. */
void rig_compare_rollback(uint64_t epoch);

#endif
