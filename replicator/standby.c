/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/standby.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define STREAM_BUFFER (4 << 20) /* bytes */

void standby_name(char *out, size_t size, const char *domain)
{
	snprintf(out, size, "%s--standby", domain);
}

static void tell(int fd, enum standby_stage stage, const struct why *why, struct hv_domain *dom)
{
	struct standby_news news = {.stage = stage};

	if (why)
		news.why = *why;
	if (dom) {
		news.dom = *dom;
		news.dom.config_json = NULL;
	}
	(void)!write(fd, &news, sizeof(news));
}

/* The end of the stream is no order: whoever wrote it may just have died. */
static bool is_to_go(int fd)
{
	char word;

	return read(fd, &word, 1) == 1;
}

typedef int restore_fn(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	uint32_t *ret_domid, struct why *why);

static void run_child(const struct hv_ops *ops, restore_fn *restore, const char *standby,
	const char *domain, const char *config_json, int stream_fd, int news_fd)
{
	struct hv_domain dom = {0};
	struct why why = {""};
	uint32_t domid;
	struct hv *hv;
	int r;

	hv = ops->open(&why);
	r = hv ? restore(hv, config_json, standby, stream_fd, &domid, &why) : -ENODEV;
	if (!r) {
		tell(news_fd, STANDBY_RESTORED, NULL, NULL);
		if (!is_to_go(news_fd))
			_exit(1);
		r = ops->activate(hv, domid, standby, domain, true, &dom, &why);
	}
	if (r)
		tell(news_fd, STANDBY_FAILED, &why, NULL);
	else
		tell(news_fd, STANDBY_RUNNING, NULL, &dom);
	_exit(r ? 1 : 0);
}

/* @stream_fd becomes the child's. */
static int start(struct standby *sb, const struct hv_ops *ops, restore_fn *restore,
	const char *domain, const char *config_json, int stream_fd, struct why *why)
{
	int news[2];

	standby_name(sb->name, sizeof(sb->name), domain);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, news)) {
		close(stream_fd);
		return why_set(why, -errno, "no socket pair for the restore of '%s'", domain);
	}
	sb->pid = fork();
	if (sb->pid < 0)
		why_set(why, -errno, "cannot fork the restore of '%s'", domain);
	if (sb->pid == 0) {
		setpgid(0, 0); /* with libxl's save helper: killed as one */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		/* Only its own ends: a peer's stream held open here would outlive the worker. */
		dup2(stream_fd, 3);
		dup2(news[1], 4);
		close_range(5, ~0U, 0);
		run_child(ops, restore, sb->name, domain, config_json, 3, 4);
	}
	close(stream_fd);
	close(news[1]);
	if (sb->pid < 0) {
		close(news[0]);
		return -EAGAIN;
	}
	setpgid(sb->pid, sb->pid);
	sb->news_fd = news[0];
	return 0;
}

int standby_start(struct standby *sb, const struct hv_ops *ops, const char *domain,
	const char *config_json, struct why *why)
{
	const int buffer = STREAM_BUFFER;
	int stream[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream))
		return why_set(why, -errno, "no socket pair for the standby of '%s'", domain);
	/* A whole epoch at once, instead of a change of process every 200 KiB; capped by the
	 * kernel. */
	setsockopt(stream[1], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	r = start(sb, ops, ops->restore, domain, config_json, stream[0], why);
	if (r)
		close(stream[1]);
	else
		sb->stream_fd = stream[1];
	return r;
}

int standby_start_whole(struct standby *sb, const struct hv_ops *ops, const char *domain,
	const char *config_json, int stream_fd, struct why *why)
{
	sb->stream_fd = -1;
	return start(sb, ops, ops->read_in, domain, config_json, stream_fd, why);
}

int standby_news(struct standby *sb, struct standby_news *ret)
{
	ssize_t n = read(sb->news_fd, ret, sizeof(*ret));

	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(*ret);
}

void standby_go(struct standby *sb)
{
	(void)!write(sb->news_fd, "", 1);
}

int standby_destroy(struct standby *sb, const struct hv_ops *ops, struct hv *hv, struct why *why)
{
	if (sb->pid > 0) {
		kill(-sb->pid, SIGKILL);
		waitpid(sb->pid, NULL, 0);
		sb->pid = 0;
	}
	return ops->destroy(hv, sb->name, why);
}
