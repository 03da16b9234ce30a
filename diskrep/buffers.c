/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/buffers.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

int diskrep_buffers_open(struct diskrep_buffers *b)
{
	b->memory = mmap(NULL, (size_t)DISKREP_BUFFERS * DISKREP_BUFFER_BYTES,
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b->memory == MAP_FAILED)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->returned, NULL);
	for (b->free_n = 0; b->free_n < DISKREP_BUFFERS; b->free_n++)
		b->free[b->free_n] = (uint8_t *)b->memory + b->free_n * DISKREP_BUFFER_BYTES;
	return 0;
}

void diskrep_buffers_close(struct diskrep_buffers *b)
{
	munmap(b->memory, (size_t)DISKREP_BUFFERS * DISKREP_BUFFER_BYTES);
	pthread_cond_destroy(&b->returned);
	pthread_mutex_destroy(&b->lock);
}

void *diskrep_buffer_get(struct diskrep_buffers *b)
{
	void *buffer;

	pthread_mutex_lock(&b->lock);
	while (b->free_n == 0)
		pthread_cond_wait(&b->returned, &b->lock);
	buffer = b->free[--b->free_n];
	pthread_mutex_unlock(&b->lock);
	return buffer;
}

void diskrep_buffer_put(struct diskrep_buffers *b, void *buffer)
{
	pthread_mutex_lock(&b->lock);
	b->free[b->free_n++] = buffer;
	pthread_cond_signal(&b->returned);
	pthread_mutex_unlock(&b->lock);
}
