/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/daemon_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/why.h"

static char program[PATH_MAX];
static const char *folder;
uint16_t rig_port;

struct host host_alpha = {"alpha", "beta", "127.0.0.1", "127.0.0.2", 0};
struct host host_beta = {"beta", "alpha", "127.0.0.2", "127.0.0.1", 0};

void rig_shell(const char *format, ...)
{
	char line[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (system(line) != 0)
		fail_msg("failed: %s", line);
}

const char *rig_path(const struct host *h, const char *name)
{
	static char path[8][PATH_MAX];
	static unsigned int n;
	char *ret = path[n++ % 8];

	snprintf(ret, PATH_MAX, "%s/%s/%s", folder, h->name, name);
	return ret;
}

uint16_t rig_free_port(int *ret_fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

void daemon_rig_begin(const char *dir)
{
	char self[PATH_MAX] = "";
	char *slash;
	int fd;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	slash = strstr(self, "/tests/unit/");
	assert_non_null(slash);
	*slash = '\0';
	snprintf(program, sizeof(program), "%.4000s/romulusd", self);
	rig_port = rig_free_port(&fd);
	close(fd);
	folder = dir;
}

void daemon_rig_finish(void)
{
	for (struct host *h = &host_alpha; h; h = h == &host_alpha ? &host_beta : NULL) {
		if (!h->pid)
			continue;
		kill(h->pid, SIGKILL);
		waitpid(h->pid, NULL, 0);
		h->pid = 0;
	}
}

void daemon_configure(const struct host *h, const char *arbiter, const char *more)
{
	rig_shell("rm -rf %s/%s && mkdir -p %s/%s/libexec %s/%s/state/domains && cd %s/%s && "
		  "for w in primary backup; do printf '#!/bin/sh\\necho \"$@\" >>%s/%s/calls\\n' "
		  ">libexec/romulus-$w && chmod +x libexec/romulus-$w || exit 1; done",
		folder, h->name, folder, h->name, folder, h->name, folder, h->name, folder,
		h->name);
	rig_shell("cat >%s/%s/conf <<'X'\nhost = \"%s\"\ntransport = \"plain\"\nport = %u\n"
		  "state-dir = \"%s/%s/state\"\nrun-dir = \"%s/%s/run\"\npeer \"%s\" {\n"
		  "path \"a\" { local = \"%s\" remote = \"%s\" }\narbiter = \"%s\"\n}\n%s\nX",
		folder, h->name, h->name, rig_port, folder, h->name, folder, h->name, h->peer,
		h->address, h->peer_address, arbiter, more);
}

void daemon_record(const struct host *h, enum proto_role role, uint64_t generation)
{
	struct failover_record r = {.name = "db",
		.uuid = RIG_UUID,
		.generation = generation,
		.role = role,
		.intent = true};
	struct why why;

	snprintf(r.peer, sizeof(r.peer), "%s", h->peer);
	failover_boot_id(r.boot);
	assert_int_equal(failover_state_save(rig_path(h, "state"), &r, &why), 0);
}

struct failover_record daemon_record_of(const struct host *h)
{
	struct failover_record r = {.generation = 0};
	struct why why;

	assert_int_equal(
		failover_state_read(rig_path(h, "state/domains/" RIG_UUID ".json"), &r, &why), 0);
	return r;
}

void daemon_run(struct host *h)
{
	int fd;

	h->pid = fork();
	assert_true(h->pid >= 0);
	if (h->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(rig_path(h, "log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execl(program, program, "-c", rig_path(h, "conf"), "--libexec", rig_path(h, "libexec"),
		NULL);
	_exit(127);
}

void daemon_kill(struct host *h)
{
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	h->pid = 0;
}

void daemon_end(struct host *h)
{
	int status = -1;

	kill(h->pid, SIGTERM);
	waitpid(h->pid, &status, 0);
	h->pid = 0;
	if (status) /* the sanitizers too have nothing to say */
		rig_shell("cat %s; false", rig_path(h, "log"));
}

int daemon_ask(const struct host *h, const char *line)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig_path(h, "run/control.sock"));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		write(fd, line, strlen(line)) == (ssize_t)strlen(line))
		return fd;
	close(fd);
	return -1;
}

char *daemon_answer(int fd)
{
	char *text = calloc(1, 65536);
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && n < 65535 && (got = read(fd, text + n, 65535 - n)) > 0)
		n += (size_t)got;
	if (fd >= 0)
		close(fd);
	return text;
}

char *daemon_command(const struct host *h, const char *line)
{
	return daemon_answer(daemon_ask(h, line));
}

void daemon_await(const struct host *h, const char *expect)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;
	CLEANUP_FREE char *text = NULL;

	do {
		free(text);
		usleep(20000);
		text = daemon_command(h, "{\"command\":\"status\"}\n");
	} while (!strstr(text, expect) && clock_now_ns() < last);
	if (!strstr(text, expect))
		fail_msg("%s does not say %s: %s", h->name, expect, text);
}

bool daemon_called(const struct host *h, const char *pattern)
{
	char line[PATH_MAX + 256];

	snprintf(line, sizeof(line), "grep -qe '%s' %s 2>/dev/null", pattern, rig_path(h, "calls"));
	return system(line) == 0;
}
