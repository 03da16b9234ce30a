/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo store's end of the control socket: one thread, one worker at a time. A worker that
 * connects takes over from the one before: it is the newer. Without a worker the store goes on, and
 * what it would have said is lost; `status` says where it stands.
 */
#ifndef DISKREP_UNDO_CONTROL_H
#define DISKREP_UNDO_CONTROL_H

#include <pthread.h>

#include "diskrep/undo_store.h"

struct diskrep_undo_control {
	struct diskrep_undo_store *store;
	void (*on_stop)(void); /* the worker asks for the process to end */
	int listener, quit;    /* quit: eventfd */
	pthread_t thread;
	pthread_mutex_t lock; /* of worker, for sending and replacing; innermost */
	int worker;
};

/*
 * Listen on @path, replacing what is there, for root only. @c is the store's news_data from here
 * on; call it before @store is opened with diskrep_undo_control_news. 0 or a negative errno.
 */
int diskrep_undo_control_listen(struct diskrep_undo_control *c, const char *path, struct why *why);

/* diskrep_undo_store_news: to the worker, if there is one. */
void diskrep_undo_control_news(void *control, const char *line);

/* Serve @store until _stop(). 0 or a negative errno. */
int diskrep_undo_control_start(
	struct diskrep_undo_control *c, struct diskrep_undo_store *store, void (*on_stop)(void));
void diskrep_undo_control_stop(struct diskrep_undo_control *c); /* joins the thread */

#endif
