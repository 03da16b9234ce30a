/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client of etcd: libcurl's multi interface, its sockets and its timer handed to the daemon's
 * loop. libcurl calls back only from curl_multi_socket_action(); whoever asked is called after
 * that, from advance().
 */
#include "failover/etcd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "common/cleanup.h"

struct failover_etcd {
	sd_event *event;
	const struct failover_etcd_config *conf;
	CURLM *multi;
	sd_event_source *timer;
	struct curl_slist *headers;
	size_t first; /* the endpoint that answered last */
};

struct failover_etcd_request {
	struct failover_etcd *e;
	struct failover_etcd_entry entry;
	enum failover_etcd_operation operation;
	failover_etcd_done *done;
	void *data;
	char *body;
	CURL *easy; /* at the endpoint that is being asked */
	size_t asked;
	struct why why; /* of the endpoints that failed */
	char error[CURL_ERROR_SIZE];
	char reply[FAILOVER_ETCD_REPLY_MAX];
	size_t reply_n;
};

static const char *endpoint_of(const struct failover_etcd_request *r)
{
	const struct failover_etcd_config *c = r->e->conf;

	return c->endpoints[(r->e->first + r->asked) % c->endpoints_n];
}

/* ---- one endpoint ---------------------------------------------------------------------------- */

static size_t on_bytes(char *bytes, size_t size, size_t n, void *data)
{
	struct failover_etcd_request *r = data;

	n *= size;
	if (n > sizeof(r->reply) - r->reply_n)
		return 0; /* libcurl ends it with an error */
	memcpy(r->reply + r->reply_n, bytes, n);
	r->reply_n += n;
	return n;
}

/* The workers and the fence agents that the daemon starts inherit nothing. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void end_transfer(struct failover_etcd_request *r)
{
	if (!r->easy)
		return;
	curl_multi_remove_handle(r->e->multi, r->easy);
	curl_easy_cleanup(r->easy);
	r->easy = NULL;
}

static void set_tls(CURL *easy, const struct failover_etcd_config *c)
{
	if (c->ca[0]) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* no other authority counts */
	}
	if (c->certificate[0]) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, c->certificate);
		curl_easy_setopt(easy, CURLOPT_SSLKEY, c->key);
	}
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static int begin_transfer(struct failover_etcd_request *r)
{
	const struct failover_etcd_config *c = r->e->conf;
	char url[512];

	r->easy = curl_easy_init();
	if (!r->easy)
		return -ENOMEM;
	r->reply_n = 0;
	r->error[0] = '\0';
	snprintf(url, sizeof(url), "%s%s", endpoint_of(r), failover_etcd_path(r->operation));
	curl_easy_setopt(r->easy, CURLOPT_URL, url);
	curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(r->easy, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(r->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->e->headers);
	curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->body);
	curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
	curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, c->timeout_ms);
	curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
	/* A name that does not resolve must not hold up the loop when it is given up. */
	curl_easy_setopt(r->easy, CURLOPT_QUICK_EXIT, 1L);
	/* A connection from before a silence would cost a time-out to find it dead. */
	curl_easy_setopt(r->easy, CURLOPT_FORBID_REUSE, 1L);
	set_tls(r->easy, c);
	if (curl_multi_add_handle(r->e->multi, r->easy) == CURLM_OK)
		return 0;
	curl_easy_cleanup(r->easy);
	r->easy = NULL;
	return -ENOMEM;
}

/* ---- a request: endpoint after endpoint ------------------------------------------------------ */

static void finish(struct failover_etcd_request *r, const struct failover_etcd_answer *answer)
{
	failover_etcd_done *done = r->done;
	void *data = r->data;
	const struct why why = r->why;

	if (answer)
		r->e->first = (r->e->first + r->asked) % r->e->conf->endpoints_n;
	failover_etcd_cancel(r);
	done(data, answer, &why);
}

static void note_failure(struct failover_etcd_request *r, const char *text)
{
	const size_t n = strlen(r->why.text);

	snprintf(r->why.text + n, sizeof(r->why.text) - n, "%s%s: %s", n ? "; " : "",
		endpoint_of(r), text);
}

static void transfer_ended(struct failover_etcd_request *r, CURLcode code)
{
	struct failover_etcd_answer answer;
	struct why why;
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	end_transfer(r);
	if (code != CURLE_OK)
		why_set(&why, -EIO, "%.150s", r->error[0] ? r->error : curl_easy_strerror(code));
	else if (failover_etcd_reply(r->e->conf->prefix, &r->entry, r->operation, status, r->reply,
			 r->reply_n, &answer, &why) == 0) {
		finish(r, &answer);
		return;
	}
	note_failure(r, why.text);
	while (++r->asked < r->e->conf->endpoints_n) {
		if (begin_transfer(r) == 0)
			return;
		note_failure(r, "no memory to ask it");
	}
	finish(r, NULL);
}

static void advance(struct failover_etcd *e, curl_socket_t fd, int ready)
{
	CURLMsg *m;
	int left;

	curl_multi_socket_action(e->multi, fd, ready, &left);
	while ((m = curl_multi_info_read(e->multi, &left))) {
		struct failover_etcd_request *r = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
		transfer_ended(r, m->data.result); /* @m is gone after this */
	}
}

int failover_etcd_ask(struct failover_etcd *e, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation, failover_etcd_done *done, void *data,
	struct failover_etcd_request **ret, struct why *why)
{
	struct failover_etcd_request *r = calloc(1, sizeof(*r));

	if (!r)
		return why_set(why, -ENOMEM, "no memory to ask etcd");
	*r = (struct failover_etcd_request){
		.e = e, .entry = *entry, .operation = operation, .done = done, .data = data};
	r->body = failover_etcd_request(e->conf->prefix, entry, operation);
	if (!r->body || begin_transfer(r) < 0) {
		failover_etcd_cancel(r);
		return why_set(why, -ENOMEM, "no memory to ask etcd");
	}
	*ret = r;
	return 0;
}

struct failover_etcd_request *failover_etcd_cancel(struct failover_etcd_request *r)
{
	if (!r)
		return NULL;
	end_transfer(r);
	free(r->body);
	free(r);
	return NULL;
}

/* ---- libcurl's sockets and timer in the loop ------------------------------------------------- */

static int on_socket(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	int ready = 0;

	if (revents & EPOLLIN)
		ready |= CURL_CSELECT_IN;
	if (revents & EPOLLOUT)
		ready |= CURL_CSELECT_OUT;
	if (revents & (EPOLLERR | EPOLLHUP))
		ready |= CURL_CSELECT_ERR;
	advance(data, fd, ready);
	return 0;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
	struct failover_etcd *e = data;
	sd_event_source *s = socket_data;
	const uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
				(what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);

	if (what == CURL_POLL_REMOVE) {
		sd_event_source_disable_unref(s);
		curl_multi_assign(e->multi, fd, NULL);
	} else if (s) {
		sd_event_source_set_io_events(s, events);
	} else if (sd_event_add_io(e->event, &s, fd, events, on_socket, e) >= 0) {
		curl_multi_assign(e->multi, fd, s);
	}
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *data)
{
	advance(data, CURL_SOCKET_TIMEOUT, 0);
	return 0;
}

static int set_timer(CURLM *multi, long ms, void *data)
{
	const struct failover_etcd *e = data;

	if (ms < 0)
		return sd_event_source_set_enabled(e->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	sd_event_source_set_time_relative(e->timer, (uint64_t)ms * 1000);
	return sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

int failover_etcd_new(sd_event *event, const struct failover_etcd_config *conf,
	struct failover_etcd **ret, struct why *why)
{
	struct failover_etcd *e = calloc(1, sizeof(*e));
	bool good;

	if (!e || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(e);
		return why_set(why, -ENOMEM, "no memory for the client of etcd");
	}
	e->event = event;
	e->conf = conf;
	e->multi = curl_multi_init();
	e->headers = curl_slist_append(NULL, "Content-Type: application/json");
	good = e->multi && e->headers &&
	       sd_event_add_time_relative(
		       event, &e->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, e) >= 0;
	if (!good) {
		failover_etcd_free(e);
		return why_set(why, -ENOMEM, "no memory for the client of etcd");
	}
	sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
	*ret = e;
	return 0;
}

struct failover_etcd *failover_etcd_free(struct failover_etcd *e)
{
	if (!e)
		return NULL;
	if (e->multi)
		curl_multi_cleanup(e->multi);
	curl_slist_free_all(e->headers);
	sd_event_source_disable_unref(e->timer);
	free(e);
	curl_global_cleanup();
	return NULL;
}
