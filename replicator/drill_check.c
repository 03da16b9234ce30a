/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the instance of a drill do what it is for? Asked again until it does, or time is up. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/clock.h"
#include "common/why.h"
#include "replicator/drill.h"

#define AGAIN_MS 500

/* 0 would be for ever. */
static long left_ms(uint64_t until_ns)
{
	const uint64_t now = clock_now_ns();

	return until_ns > now ? (long)((until_ns - now) / NSEC_PER_MSEC) + 1 : 1;
}

static size_t swallow(char *data, size_t size, size_t n, void *unused)
{
	return size * n;
}

/* @connect: that it accepts is enough. */
static int ask(const char *url, bool connect, uint64_t until_ns, struct why *why)
{
	CURL *curl = curl_easy_init();
	char said[CURL_ERROR_SIZE] = "";
	long code = 0;
	int r = 0;

	if (!curl)
		return why_set(why, -ENOMEM, "no memory to ask %s", url);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, said);
	curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, (long)connect);
	curl_easy_setopt(curl, CURLOPT_NOBODY, 0L);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left_ms(until_ns));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, swallow);
	if (curl_easy_perform(curl) != CURLE_OK)
		r = why_set(why, -EIO, "%s does not answer: %s", url, said);
	else if (!connect && (curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code) != CURLE_OK ||
				     code < 200 || code > 299))
		r = why_set(why, -EIO, "%s answers with %ld", url, code);
	curl_easy_cleanup(curl);
	return r;
}

static void become(const struct drill *d)
{
	char epoch[24];

	snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)d->head.epoch);
	setenv("ROMULUS_DOMAIN", d->worker.domain, 1);
	setenv("ROMULUS_DRILL", d->worker.look ? d->worker.domain : d->name, 1);
	setenv("ROMULUS_CHECKPOINT", epoch, 1);
	execl(d->worker.checks.command, d->worker.checks.command, (char *)NULL);
	fprintf(stdout, "%s\n", strerror(errno));
	fflush(stdout);
	_exit(127);
}

/* One run; killed when its time is over. */
static int run(const struct drill *d, uint64_t until_ns, struct why *why)
{
	const char *program = d->worker.checks.command;
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return why_set(why, -errno, "cannot run %s: %s", program, strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		become(d);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_now_ns() > until_ns) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return why_set(why, -ETIMEDOUT, "%s did not end in time", program);
		}
		poll(NULL, 0, 20);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return why_set(why, -EIO,
		WIFEXITED(status) ? "%s exits with %d" : "%s was killed by signal %d", program,
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static int once(const struct drill *d, uint64_t until_ns, struct why *why)
{
	char url[300];
	int r = 0;

	if (d->worker.checks.tcp) {
		snprintf(url, sizeof(url), "http://%s/", d->worker.checks.tcp);
		r = ask(url, true, until_ns, why);
	}
	if (!r && d->worker.checks.http)
		r = ask(d->worker.checks.http, false, until_ns, why);
	if (!r && d->worker.checks.command)
		r = run(d, until_ns, why);
	return r;
}

int drill_check(const struct drill *d, struct why *why)
{
	const uint64_t until = clock_now_ns() + d->worker.checks.limit_s * NSEC_PER_SEC;
	int r;

	/* One that would be cut short says less than the one before. */
	while ((r = once(d, until, why)) != 0 &&
		clock_now_ns() + 2 * AGAIN_MS * NSEC_PER_MSEC < until)
		poll(NULL, 0, AGAIN_MS);
	return r;
}
