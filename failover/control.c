/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operator's socket: one JSON object per line in, lines out, the last one {"exit": CODE}. A
 * client that does not read what it asked for is dropped.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "failover/daemon.h"

#define MAX_CLIENTS 64u
#define FOR_ROOT 16u /* of these: who may only look cannot lock out who acts */
#define MAX_REQUEST 4096u
#define MAX_OUTPUT (4u * 1024u * 1024u)

struct failover_client {
	struct failover_client *next;
	struct failover_control *control;
	sd_event_source *io, *end;
	int fd;
	char in[MAX_REQUEST];
	size_t in_n;
	char *out;
	size_t out_n;
	bool asked, follows, last_line, gone;
	struct failover_client **slot;
};

struct failover_control {
	struct failover *fo;
	sd_event_source *io;
	char path[108];
	struct failover_client *clients;
	unsigned int n;
};

/* Whoever owned the slot may be gone as soon as this client waits for nothing. */
static void let_go(struct failover_client *c)
{
	if (c->slot && *c->slot == c)
		*c->slot = NULL;
	c->slot = NULL;
}

static void client_free(struct failover_client *c)
{
	struct failover_client **p = &c->control->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->control->n--;
	let_go(c);
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->end);
	close(c->fd);
	free(c->out);
	free(c);
}

static int on_end(sd_event_source *s, void *data)
{
	client_free(data);
	return 0;
}

/* From the loop: the caller may still hold the pointer. */
static void leave(struct failover_client *c)
{
	if (c->gone)
		return;
	c->gone = true;
	let_go(c);
	sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	sd_event_add_defer(c->control->fo->event, &c->end, on_end, c);
}

static void flush(struct failover_client *c)
{
	while (c->out_n > 0) {
		ssize_t n = send(c->fd, c->out, c->out_n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			leave(c);
			return;
		}
		c->out_n -= (size_t)n;
		memmove(c->out, c->out + n, c->out_n);
	}
	sd_event_source_set_io_events(c->io, EPOLLIN | (c->out_n ? (uint32_t)EPOLLOUT : 0));
	if (c->out_n == 0 && c->last_line)
		leave(c);
}

void failover_client_send(struct failover_client *c, json_t *line)
{
	CLEANUP_FREE char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;
	char *grown;

	json_decref(line);
	if (!text || c->gone)
		return;
	grown = c->out_n + n < MAX_OUTPUT ? realloc(c->out, c->out_n + n + 1) : NULL;
	if (!grown) {
		leave(c);
		return;
	}
	c->out = grown;
	memcpy(c->out + c->out_n, text, n);
	c->out[c->out_n + n] = '\n';
	c->out_n += n + 1;
	flush(c);
}

void failover_client_exit(struct failover_client *c, enum exit_code code, const char *text)
{
	char clean[WHY_MAX];

	if (!c)
		return;
	let_go(c);
	c->last_line = true;
	snprintf(clean, sizeof(clean), "%s", text ? text : "");
	text_clean(clean);
	failover_client_send(c, text ? json_pack("{s:i, s:s}", "exit", code, "error", clean)
				     : json_pack("{s:i}", "exit", code));
}

void failover_client_keep(struct failover_client *c, struct failover_client **slot)
{
	c->slot = slot;
	*slot = c;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void protect(struct failover *fo, struct failover_client *c, const char *name,
	const char *host, const struct failover_wishes *unused)
{
	failover_domain_protect(fo, c, name, host);
}

/* Unless the client says that it wants no checks. */
static void after_checks(struct failover_client *c, json_t *j, failover_check_then *then,
	const struct failover_wishes *wishes)
{
	const char *name = json_string_value(json_object_get(j, "domain"));
	const char *host = json_string_value(json_object_get(j, "host"));

	if (json_is_false(json_object_get(j, "check")))
		then(c->control->fo, c, name, host, wishes);
	else
		failover_check_first(c->control->fo, c, name, host, wishes, then);
}

static void do_protect(struct failover_client *c, json_t *j)
{
	after_checks(c, j, protect, NULL);
}

static void do_unprotect(struct failover_client *c, json_t *j)
{
	struct failover *fo = c->control->fo;
	const char *name = json_string_value(json_object_get(j, "domain"));
	const bool protects = failover_check_call_off(fo, name, protect);
	const bool moves = failover_check_call_off(fo, name, failover_domain_migrate);
	const struct failover_domain *d = failover_domain_by_name(fo, name);

	if ((protects || moves) && (!d || !d->recorded))
		failover_client_exit(c, EXIT_CODE_OK, NULL);
	else
		failover_domain_unprotect(fo, c, name);
}

/* A limit that is not given is @otherwise. */
static uint64_t limit(const json_t *j, const char *key, uint64_t otherwise)
{
	const json_t *value = json_object_get(j, key);

	return json_is_integer(value) && json_integer_value(value) >= 0
		       ? (uint64_t)json_integer_value(value)
		       : otherwise;
}

static uint32_t limit32(const json_t *j, const char *key, uint32_t otherwise)
{
	const uint64_t value = limit(j, key, otherwise);

	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static void do_migrate(struct failover_client *c, json_t *j)
{
	const json_t *protect = json_object_get(j, "protect");
	const struct failover_copy *usual = &failover_move_default;
	const struct failover_wishes wishes = {
		.protect = json_is_true(protect),
		.no_protect = json_is_false(protect),
		.copy = {.max_rounds = limit32(j, "max-rounds", usual->max_rounds),
			.dirty_threshold = limit32(j, "dirty-threshold", usual->dirty_threshold),
			.max_downtime_ms = limit32(j, "max-downtime", usual->max_downtime_ms),
			.bandwidth = limit(j, "bandwidth", usual->bandwidth),
			.no_live = json_is_false(json_object_get(j, "live"))},
	};

	after_checks(c, j, failover_domain_migrate, &wishes);
}

static void do_cancel(struct failover_client *c, json_t *j)
{
	const char *name = json_string_value(json_object_get(j, "domain"));

	if (failover_check_call_off(c->control->fo, name, failover_domain_migrate))
		failover_client_exit(c, EXIT_CODE_OK, NULL);
	else
		failover_domain_cancel(c->control->fo, c, name);
}

static void do_check(struct failover_client *c, json_t *j)
{
	failover_check(c->control->fo, c, json_string_value(json_object_get(j, "domain")),
		json_string_value(json_object_get(j, "host")));
}

static void do_failover(struct failover_client *c, json_t *j)
{
	failover_domain_failover(
		c->control->fo, c, json_string_value(json_object_get(j, "domain")));
}

static void do_drill(struct failover_client *c, json_t *j)
{
	failover_drill(c->control->fo, c, json_string_value(json_object_get(j, "domain")),
		json_is_true(json_object_get(j, "look")));
}

static void do_note_drill(struct failover_client *c, json_t *j)
{
	const json_t *drill = json_object_get(j, "drill");

	if (json_is_object(drill))
		failover_drill_note(c->control->fo, c, drill);
	else
		failover_client_exit(c, EXIT_CODE_USAGE, "there is no drill to note");
}

static void do_drills(struct failover_client *c, json_t *j)
{
	failover_drill_list(c->control->fo, c, json_string_value(json_object_get(j, "domain")));
}

static void do_confirm_dead(struct failover_client *c, json_t *j)
{
	failover_peer_confirm_dead(
		c->control->fo, c, json_string_value(json_object_get(j, "host")));
}

static void do_status(struct failover_client *c, json_t *j)
{
	struct failover *fo = c->control->fo;
	const char *domain = json_string_value(json_object_get(j, "domain"));
	char text[WHY_MAX];

	if (domain && !failover_domain_by_name(fo, domain)) {
		snprintf(text, sizeof(text), "%.128s is not known to this host", domain);
		failover_client_exit(c, EXIT_CODE_UNKNOWN, text);
		return;
	}
	failover_client_send(c, failover_status(fo, domain));
	failover_client_exit(c, EXIT_CODE_OK, NULL);
}

static void do_events(struct failover_client *c, json_t *j)
{
	const struct failover_events *ev = &c->control->fo->events;
	uint64_t first = ev->last > FAILOVER_EVENTS_MAX ? ev->last - FAILOVER_EVENTS_MAX + 1 : 1;

	for (uint64_t n = first; n <= ev->last; n++) {
		const struct failover_event_entry *e = failover_events_get(ev, n);

		if (e)
			failover_client_send(c, failover_event_json(ev, e));
	}
	if (json_is_true(json_object_get(j, "follow")))
		c->follows = true;
	else
		failover_client_exit(c, EXIT_CODE_OK, NULL);
}

static void do_version(struct failover_client *c, json_t *j)
{
	failover_client_send(c, json_pack("{s:{s:s, s:i}}", "version", "romulus", ROMULUS_VERSION,
					"protocol", PROTO_VERSION));
	failover_client_exit(c, EXIT_CODE_OK, NULL);
}

static const struct {
	const char *name;
	bool acts;            /* for root only */
	const char *needs[3]; /* strings that must be there */
	void (*run)(struct failover_client *c, json_t *j);
} commands[] = {
	{"protect", true, {"domain", "host"}, do_protect},
	{"unprotect", true, {"domain"}, do_unprotect},
	{"migrate", true, {"domain", "host"}, do_migrate},
	{"cancel", true, {"domain"}, do_cancel},
	{"check", true, {"domain", "host"}, do_check},
	{"failover", true, {"domain"}, do_failover},
	{"drill", true, {"domain"}, do_drill},
	{"drills", false, {NULL}, do_drills},
	{"note-drill", true, {NULL}, do_note_drill},
	{"confirm-dead", true, {"host"}, do_confirm_dead},
	{"status", false, {NULL}, do_status},
	{"events", false, {NULL}, do_events},
	{"version", false, {NULL}, do_version},
};

/* Who opened the socket: the kernel says so, the client cannot. */
static bool is_root(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

static void run_line(struct failover_client *c, const char *line, size_t length)
{
	json_t *j = json_loadb(line, length, 0, NULL);
	const char *name = json_string_value(json_object_get(j, "command"));

	for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		for (const char *const *k = commands[i].needs; *k; k++)
			if (!json_is_string(json_object_get(j, *k)))
				goto bad;
		if (commands[i].acts && !is_root(c->fd))
			failover_client_exit(c, EXIT_CODE_PERMISSION,
				"only root may do that; nothing was changed");
		else
			commands[i].run(c, j);
		json_decref(j);
		return;
	}
bad:
	failover_client_exit(c, EXIT_CODE_USAGE,
		"the request is no command of this romulusd: is the tool of the same version?");
	json_decref(j);
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	struct failover_client *c = data;
	ssize_t n;
	char *end;

	if (revents & EPOLLOUT)
		flush(c);
	if (c->gone || !(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = recv(fd, c->in + c->in_n, sizeof(c->in) - c->in_n, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) { /* also a request longer than the buffer */
		leave(c);
		return 0;
	}
	c->in_n += (size_t)n;
	end = memchr(c->in, '\n', c->in_n);
	if (!end || c->asked)
		return 0;
	c->asked = true;
	run_line(c, c->in, (size_t)(end - c->in));
	return 0;
}

/* @fd is owned from here on. */
static void client_new(struct failover_control *k, int fd)
{
	const size_t room = is_root(fd) ? MAX_CLIENTS : MAX_CLIENTS - FOR_ROOT;
	struct failover_client *c = k->n < room ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		close(fd);
		return;
	}
	c->control = k;
	c->fd = fd;
	c->next = k->clients;
	k->clients = c;
	k->n++;
	sd_event_add_io(k->fo->event, &c->io, fd, EPOLLIN, on_client, c);
}

static int on_connection(sd_event_source *s, int listening, uint32_t revents, void *data)
{
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		client_new(data, fd);
	return 0;
}

static void on_new_event(void *data, const struct failover_event_entry *e)
{
	struct failover_control *k = data;

	for (struct failover_client *c = k->clients; c; c = c->next)
		if (c->follows)
			failover_client_send(c, failover_event_json(&k->fo->events, e));
}

/* Members of `group` may look, see commands[]. */
static int admit_group(const struct failover_control *k, struct why *why)
{
	const char *name = k->fo->config->group;
	const struct group *g = name[0] ? getgrnam(name) : NULL;

	if (!name[0])
		return 0;
	if (!g)
		return why_set(why, -ENOENT,
			"there is no group %s on this host, which `group` in the configuration "
			"lets look at the status: add it or leave the key out",
			name);
	if (chown(k->path, 0, g->gr_gid) < 0)
		return why_set(why, -errno, "cannot give %s to group %s: %s", k->path, name,
			strerror(errno));
	return 0;
}

int failover_control_open(struct failover *fo, struct why *why)
{
	struct failover_control *k = calloc(1, sizeof(*k));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask;
	int r;

	if (!k)
		return -ENOMEM;
	fo->control = k;
	k->fo = fo;
	mkdir(fo->config->run_dir, 0755);
	if ((size_t)snprintf(k->path, sizeof(k->path), "%s/control.sock", fo->config->run_dir) >=
		sizeof(address.sun_path))
		return why_set(why, -ENAMETOOLONG, "run-dir is too long for a socket's name");
	memcpy(address.sun_path, k->path, sizeof(address.sun_path));
	unlink(k->path);
	mask = umask(0117); /* 0660 from the first moment */
	r = fd < 0 ? -errno : bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, 16) < 0)
		return why_set(why, -errno, "cannot listen on %s: %s", k->path, strerror(errno));
	r = admit_group(k, why);
	if (r < 0)
		return r;
	r = sd_event_add_io(fo->event, &k->io, fd, EPOLLIN, on_connection, k);
	if (r < 0)
		return why_set(why, r, "cannot watch %s", k->path);
	sd_event_source_set_io_fd_own(k->io, 1);
	TAKE_FD(fd);
	fo->events.follow = on_new_event;
	fo->events.data = k;
	return 0;
}

void failover_control_close(struct failover *fo)
{
	struct failover_control *k = fo->control;

	if (!k)
		return;
	fo->events.follow = NULL;
	while (k->clients)
		client_free(k->clients);
	sd_event_source_disable_unref(k->io);
	if (k->path[0])
		unlink(k->path);
	free(k);
	fo->control = NULL;
}
