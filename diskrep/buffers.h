/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A few aligned buffers taken once, so that no request needs memory when there is none: the store
 * serves the host's own disks. Who has one waits for the disk, never for `barrier` of undo_store.h
 * nor for a second one; so one always comes back.
 */
#ifndef DISKREP_BUFFERS_H
#define DISKREP_BUFFERS_H

#include <pthread.h>
#include <stddef.h>

#define DISKREP_BUFFER_BYTES (256u << 10)
#define DISKREP_BUFFER_ALIGN 4096u /* enough for O_DIRECT on every device */
#define DISKREP_BUFFERS 32

struct diskrep_buffers {
	pthread_mutex_t lock;
	pthread_cond_t returned;
	void *memory, *free[DISKREP_BUFFERS];
	size_t free_n;
};

int diskrep_buffers_open(struct diskrep_buffers *b); /* 0 or -ENOMEM */
void diskrep_buffers_close(struct diskrep_buffers *b);
void *diskrep_buffer_get(struct diskrep_buffers *b); /* waits for one */
void diskrep_buffer_put(struct diskrep_buffers *b, void *buffer);

#endif
