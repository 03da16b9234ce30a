/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A takeover goes on without its daemon; what builds the standby does nothing without its parent.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "replicator/adopt.h"
#include "replicator/standby.h"

#define UUID "12345678-9abc-def0-1234-56789abcdef0"

static char dir[64];
static struct worker worker = {.domain = "db", .uuid = UUID, .run_dir = dir};
static struct why why;

/* ---- the hypervisor, shared with the process that restores ----------------------------------- */

struct hv {
	bool there, paused, another, active;
};
static struct hv *xen;

void hv_domain_clear(struct hv_domain *dom)
{
	memset(dom, 0, sizeof(*dom));
}

static struct hv *open_xen(struct why *w)
{
	return xen;
}

static int find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *w)
{
	if (!hv->there)
		return why_set(w, -ENOENT, "no such domain");
	*ret = (struct hv_domain){.domid = 7, .paused = hv->paused};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->uuid, sizeof(ret->uuid), "%s", hv->another ? "another" : UUID);
	return 0;
}

static int unpause(struct hv *hv, uint32_t domid, struct why *w)
{
	hv->paused = false;
	return 0;
}

static int restore(struct hv *hv, const char *config, const char *name, int fd, uint32_t *ret_domid,
	struct why *w)
{
	char c;

	while (read(fd, &c, 1) == 1)
		;
	*ret_domid = 7;
	return 0;
}

static int activate(struct hv *hv, uint32_t domid, const char *standby, const char *name, bool run,
	struct hv_domain *ret, struct why *w)
{
	hv->active = true;
	return 0;
}

static const struct hv_ops ops = {.open = open_xen,
	.find = find,
	.unpause = unpause,
	.restore = restore,
	.activate = activate};

static int begin(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/romulus-adopt-XXXXXX");
	assert_non_null(mkdtemp(dir));
	memset(xen, 0, sizeof(*xen));
	return 0;
}

static int finish(void **state)
{
	return rmdir(dir);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void who_asks_waits_for_who_has_begun(void **state)
{
	int ready[2], over[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(ready) | pipe(over), 0);
	pid = fork();
	if (pid == 0) {
		int signal_then = -1;

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (adopt_begin(&worker, &why) || prctl(PR_GET_PDEATHSIG, &signal_then) ||
			signal_then)
			_exit(1);
		(void)!write(ready[1], "", 1);
		(void)!read(over[0], &c, 1);
		xen->active = true;
		adopt_end(&worker);
		_exit(0);
	}
	close(ready[1]); /* one that has failed is not waited for */
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(adopt_begin(&worker, &why), -EBUSY);
	assert_false(xen->active);
	assert_int_equal(write(over[1], "", 1), 1);
	assert_int_equal(adopt_await(&worker, &why), 0);
	assert_true(xen->active);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	adopt_end(&worker);
}

/* It was granted, and the other host's guest may be gone. */
static void a_takeover_is_not_given_up_for_want_of_room(void **state)
{
	struct worker nowhere = worker;

	nowhere.run_dir = "/tmp/romulus-adopt-none";
	assert_int_equal(adopt_begin(&nowhere, &why), 0);
}

static void the_guest_is_found_by_name_and_uuid(void **state)
{
	struct hv_domain dom;

	assert_int_equal(adopt_guest(&worker, &ops, xen, &dom, &why), -ENOENT);
	xen->there = true;
	assert_int_equal(adopt_guest(&worker, &ops, xen, &dom, &why), 0);
	assert_int_equal(dom.domid, 7);
	xen->another = xen->paused = true;
	assert_int_equal(adopt_guest(&worker, &ops, xen, &dom, &why), -EEXIST);
	assert_true(xen->paused);
}

static void one_that_had_all_but_its_first_run_is_let_run(void **state)
{
	struct hv_domain dom;

	xen->there = xen->paused = true;
	assert_int_equal(adopt_guest(&worker, &ops, xen, &dom, &why), 0);
	assert_false(xen->paused);
}

static void a_standby_is_activated_when_that_is_said(void **state)
{
	struct standby sb = {.pid = 0};
	struct standby_news news;

	assert_int_equal(standby_start(&sb, &ops, "db", "{}", &why), 0);
	close(sb.stream_fd);
	assert_int_equal(standby_news(&sb, &news), 1);
	assert_int_equal(news.stage, STANDBY_RESTORED);
	assert_false(xen->active);
	standby_go(&sb);
	assert_int_equal(standby_news(&sb, &news), 1);
	assert_int_equal(news.stage, STANDBY_RUNNING);
	assert_true(xen->active);
	assert_int_equal(waitpid(sb.pid, NULL, 0), sb.pid);
	close(sb.news_fd);
}

/* As they are closed by the kernel when the worker is killed. */
static void the_end_of_its_stream_is_no_order(void **state)
{
	struct standby sb = {.pid = 0};

	assert_int_equal(standby_start(&sb, &ops, "db", "{}", &why), 0);
	close(sb.stream_fd);
	close(sb.news_fd);
	assert_int_equal(waitpid(sb.pid, NULL, 0), sb.pid);
	assert_false(xen->active);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(who_asks_waits_for_who_has_begun),
		TEST(a_takeover_is_not_given_up_for_want_of_room),
		TEST(the_guest_is_found_by_name_and_uuid),
		TEST(one_that_had_all_but_its_first_run_is_let_run),
		TEST(a_standby_is_activated_when_that_is_said),
		TEST(the_end_of_its_stream_is_no_order),
	};

	xen = mmap(NULL, sizeof(*xen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return xen == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
