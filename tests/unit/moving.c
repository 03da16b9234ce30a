/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-primary at work (replicator/primary_run.c) on the last epoch of a guest that is moved: a
 * process of its own with a made-up hypervisor and network. The test is its daemon and its backup.
 */
#include <errno.h>
#include <poll.h>
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

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "diskrep/primary.h"
#include "replicator/asked.h"
#include "replicator/primary.h"
#include "tests/unit/pair.h"

#define PATIENCE (20 * NSEC_PER_SEC)
#define SAVER "--save-domain"
#define STALL_MS 3000 /* a loaded machine is not one that stands still */

/* What the worker has done to its guest; in memory that the test sees. */
static struct seen {
	bool suspended, destroyed, stays;   /* cannot be destroyed */
	bool copied_still, no_plug, copies; /* without end */
	uint64_t first_round;               /* pages, as the end of the copy is reckoned with */
	unsigned int resumed, paused, unpaused, closed, released, let_go;
	int changed;   /* what it finds when it looks next in a pause */
	bool gave_way; /* to another hand */
} * seen;

/* ---- the guest and its network, in the worker's process ---------------------------------------
 */

struct hv {
	int nothing;
};

static uint32_t guest; /* nobody else's: savers are looked for on the whole machine */

static int epoch(struct hv *hv, int io_fd, const struct hv_save_calls *calls)
{
	const struct hv_pause pause = {1, 1, 1};
	int r = calls->before_suspend(calls->opaque);

	if (r)
		return r;
	seen->suspended = true;
	r = calls->suspended(calls->opaque);
	if (!r)
		r = write(io_fd, "memory", 6) == 6 ? calls->captured(calls->opaque) : -EIO;
	seen->suspended = false;
	seen->resumed++;
	return r ? r : calls->running(calls->opaque, &pause);
}

static int save(struct hv *hv, int io_fd, const struct hv_save_calls *calls, struct why *why)
{
	int r = write(io_fd, "all", 3) == 3 ? 0 : -EIO;

	while (!r && seen->copies)
		r = write(io_fd, "more", 4) == 4 ? 0 : -EPIPE;
	seen->copied_still = seen->paused > seen->unpaused;
	if (!r) /* Xen tells the guest's address space: 4 GiB, of which it has 4 MiB */
		r = calls->precopy(calls->opaque, 0, 1 << 20);
	seen->first_round = ((const struct primary *)calls->opaque)->precopy.pages;

	while (!r)
		r = epoch(hv, io_fd, calls);
	return r;
}

static int changed(struct hv *hv, struct why *why)
{
	return seen->suspended && seen->changed ? why_set(why, seen->changed, "it was changed") : 0;
}

static int look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *why)
{
	*ret = (struct hv_sight){.exists = true,
		.paused = seen->paused > seen->unpaused,
		.shut_down = seen->suspended,
		.end = HV_END_SUSPEND};
	return 0;
}

static int destroy(struct hv *hv, const char *name, struct why *why)
{
	if (seen->stays)
		return why_set(why, -EIO, "it cannot be destroyed");
	seen->destroyed = true;
	return 0;
}

static void give_way(struct hv *hv)
{
	seen->gave_way = true;
}

static int pause_guest(struct hv *hv, uint32_t domid, struct why *why)
{
	seen->paused++;
	return 0;
}

static int settle(struct hv *hv)
{
	return 0;
}

static int unpause_guest(struct hv *hv, uint32_t domid, struct why *why)
{
	seen->unpaused++;
	return 0;
}

static const struct hv_ops ops = {.name = "made up",
	.save = save,
	.changed = changed,
	.give_way = give_way,
	.settle = settle,
	.look = look,
	.destroy = destroy,
	.pause = pause_guest,
	.unpause = unpause_guest};

static int installed(struct netbuf *nb, struct why *why)
{
	return seen->no_plug ? why_set(why, -EIO, "it has no plug") : 0;
}

static int closed(struct netbuf *nb, struct why *why)
{
	seen->closed++;
	return seen->no_plug ? why_set(why, -EIO, "it has no plug") : 0;
}

static int released(struct netbuf *nb, struct why *why)
{
	seen->released++;
	return 0;
}

static int let_go(struct netbuf *nb, struct why *why)
{
	seen->let_go++;
	return 0;
}

static const struct netbuf_ops network = {"made up", installed, closed, released, let_go};

/* It has no disks. */
int diskrep_primary_prime(struct diskrep_primary *p, uint64_t generation, struct why *why)
{
	return 0;
}

void diskrep_primary_tested(
	const struct diskrep_primary *p, uint32_t probes, uint32_t violations, char *ret)
{
}

int diskrep_primary_mark(struct diskrep_primary *p, uint64_t n, struct why *why)
{
	return 0;
}

int diskrep_primary_mark_wait(struct diskrep_primary *p, struct why *why)
{
	return 0;
}

void diskrep_primary_obstacle(struct diskrep_primary *p, struct why *ret)
{
}

/* primary_main.c's says more, and does it to Xen. */
int primary_end(struct primary *p, int r)
{
	worker_say(&p->worker, r == -ECANCELED ? PROTO_REPORT_DONE : PROTO_REPORT_FAILED,
		p->why.text, worker_exit_code(r));
	return EXIT_CODE_OK;
}

static char dir[] = "/tmp/romulus-moving-XXXXXX";

static unsigned int patience_ms = 2000; /* with the backup */
static bool still;                      /* the guest is to be, while it is copied */

static int be_worker(struct proto_session *daemon, struct proto_session *stream)
{
	static struct hv hv;
	static struct primary p = {.ops = &ops, .hv = &hv, .staging.fd = -1, .changes = -1};
	int r;

	signal(SIGPIPE, SIG_IGN);
	p.worker = (struct worker){.domain = "db",
		.peer = "beta",
		.run_dir = dir,
		.interval_ms = 20,
		.ack_timeout_ms = patience_ms,
		.stall_ms = STALL_MS,
		.daemon = daemon};
	p.worker.no_live = still;
	p.dom = (struct hv_domain){.domid = guest, .name = "db", .memory_kb = 4096};
	snprintf(p.dom.uuid, sizeof(p.dom.uuid), "12345678-9abc-def0-1234-56789abcdef0");
	snprintf(p.netbuf_dir, sizeof(p.netbuf_dir), "%s", dir);
	p.stream = stream;
	p.netbuf = netbuf_new(&network, p.dom.uuid, NULL, 0, 4096, dir);
	if (!p.netbuf || staging_open(&p.staging, 1 << 20, &p.why))
		return EXIT_CODE_USAGE;
	r = primary_replicate(&p);
	if (r && r != -ECANCELED && p.epoch.committed)
		r = primary_hold(&p);
	return primary_end(&p, r);
}

/* ---- its daemon and its backup ----------------------------------------------------------------
 */

static struct rig {
	struct pair daemon, stream; /* a: the test's */
	pid_t pid;
	bool acks;
	uint64_t begun, ended, acked; /* epochs */
	uint32_t exit_code;           /* of what was awaited */
} rig;

static void hear_stream(void)
{
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	struct proto_frame f;
	struct why why;

	while (rig.stream.a && proto_session_receive(rig.stream.a, 0, &f, &why) > 0) {
		if (f.type == PROTO_EPOCH_BEGIN)
			rig.begun = ((const Romulus__EpochBegin *)f.message)->epoch;
		if (f.type != PROTO_EPOCH_END || !rig.begun)
			continue;
		rig.ended = rig.begun;
		if (!rig.acks)
			continue;
		ack.epoch = rig.acked = rig.begun;
		assert_int_equal(
			proto_session_send(rig.stream.a, PROTO_ACK, &ack.base, SOON, &why), 0);
	}
}

/* Until it reports @kind, or, 0, ends; true: within @ns. */
static bool await_for(uint32_t kind, uint64_t ns)
{
	const uint64_t last = clock_now_ns() + ns;
	struct proto_frame f;
	struct why why;
	int r;

	while (clock_now_ns() < last) {
		hear_stream();
		r = proto_session_receive(rig.daemon.a, clock_now_ns() + NSEC_PER_MSEC, &f, &why);
		if (r < 0)
			return kind == 0;
		if (r > 0 && f.type == PROTO_REPORT &&
			((const Romulus__Report *)f.message)->kind == kind) {
			rig.exit_code = ((const Romulus__Report *)f.message)->exit_code;
			return true;
		}
	}
	return false;
}

static void await(uint32_t kind)
{
	if (!await_for(kind, PATIENCE))
		fail_msg("it does not report %u", kind);
}

static void tell(enum proto_order kind)
{
	Romulus__Order order = ROMULUS__ORDER__INIT;
	struct why why;

	order.kind = kind;
	assert_int_equal(proto_session_send(rig.daemon.a, PROTO_ORDER, &order.base, SOON, &why), 0);
}

static void start(void)
{
	rig.pid = fork();
	if (rig.pid == 0) {
		proto_session_free(rig.daemon.a);
		proto_session_free(rig.stream.a);
		_exit(be_worker(rig.daemon.b, rig.stream.b));
	}
	rig.daemon.b = proto_session_free(rig.daemon.b);
	rig.stream.b = proto_session_free(rig.stream.b);
}

static int begin(void **state)
{
	rig = (struct rig){.daemon = open_pair(true), .stream = open_pair(true), .acks = true};
	memset(seen, 0, sizeof(*seen));
	start();
	await(PROTO_REPORT_PROTECTED);
	await(PROTO_REPORT_EPOCH);
	return 0;
}

/* Its network cannot be held at the end of the copy. */
static int begin_to_fail(void **state)
{
	rig = (struct rig){.daemon = open_pair(true), .stream = open_pair(true), .acks = true};
	memset(seen, 0, sizeof(*seen));
	still = seen->no_plug = true;
	start();
	still = false;
	await(PROTO_REPORT_FAILED);
	return 0;
}

static int begin_still(void **state)
{
	int r;

	still = true;
	r = begin(state);
	still = false;
	return r;
}

static int finish(void **state)
{
	kill(rig.pid, SIGKILL);
	waitpid(rig.pid, NULL, 0);
	close_pair(&rig.daemon);
	close_pair(&rig.stream);
	return 0;
}

static void moved(void)
{
	tell(PROTO_ORDER_MOVE);
	await(PROTO_REPORT_COMPLETE);
}

/* ---- tests ------------------------------------------------------------------------------------
 */

/* Paused before anything is copied, and let go before it is to suspend. */
static void a_guest_may_stand_still_for_its_copy(void **state)
{
	assert_int_equal(seen->paused, 1);
	assert_int_equal(seen->unpaused, 1);
	assert_true(seen->copied_still);
}

/* Else what is left would look as if it were sent in no time. */
static void the_first_round_is_all_of_its_memory(void **state)
{
	assert_int_equal(seen->first_round, 4096 / 4);
}

/* It runs on, unprotected. */
static void a_copy_that_fails_lets_it_go(void **state)
{
	assert_true(seen->copied_still);
	assert_int_equal(seen->paused, 1);
	assert_int_equal(seen->unpaused, 1);
}

/* As it would have been before the copy had begun. */
static void a_copy_without_room_is_refused(void **state)
{
	rig = (struct rig){.daemon = open_pair(true), .stream = open_pair(true)};
	memset(seen, 0, sizeof(*seen));
	seen->copies = true;
	start();
	await(PROTO_REPORT_PROGRESS);
	proto_session_bye(rig.stream.a, PROTO_BYE_FAILED, "no room for 'db'");
	rig.stream.a = proto_session_free(rig.stream.a);
	await(PROTO_REPORT_FAILED);
	assert_int_equal(rig.exit_code, EXIT_CODE_REFUSED);
	assert_int_equal(seen->resumed, 0);
}

/* Resumed, it is not about to suspend as a dead worker has asked. */
static void a_failed_checkpoint_was_answered(void **state)
{
	seen->no_plug = true;
	await(PROTO_REPORT_LOST);
	assert_false(seen->suspended);
	assert_false(asked_noted(dir, "12345678-9abc-def0-1234-56789abcdef0", guest));
}

/* All of it is acked and what it has sent is let out; from then on it neither runs nor ends. */
static void the_guest_stands_when_all_is_acked(void **state)
{
	uint64_t last;
	unsigned int resumed;

	moved();
	last = rig.acked;
	resumed = seen->resumed;
	assert_true(seen->suspended);
	assert_int_equal(seen->released, last);
	assert_int_equal(seen->closed, last);
	assert_int_equal(resumed, last - 1);
	assert_false(await_for(PROTO_REPORT_EPOCH, 200 * NSEC_PER_MSEC));
	assert_true(seen->suspended);
	assert_int_equal(rig.begun, last);
	assert_int_equal(seen->resumed, resumed);
}

static int begin_patient(void **state)
{
	int r;

	patience_ms = 60000;
	r = begin(state);
	patience_ms = 2000;
	return r;
}

static void until(const uint64_t *what, uint64_t beyond)
{
	const uint64_t last = clock_now_ns() + PATIENCE;

	while (*what <= beyond && clock_now_ns() < last)
		await_for(0, NSEC_PER_MSEC);
	assert_true(*what > beyond);
}

/* As its backup may have been granted the takeover while it did. */
static void what_was_acked_while_it_stood_still_is_held(void **state)
{
	const struct timespec nap = {.tv_sec = STALL_MS / 1000 + 1};
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	struct why why;
	unsigned int released, closed;

	rig.acks = false;
	until(&rig.ended, rig.acked);
	released = seen->released;
	closed = seen->closed;
	assert_int_equal(released, rig.acked);
	kill(rig.pid, SIGSTOP);
	ack.epoch = rig.acked = rig.ended;
	assert_int_equal(proto_session_send(rig.stream.a, PROTO_ACK, &ack.base, SOON, &why), 0);
	nanosleep(&nap, NULL);
	kill(rig.pid, SIGCONT);
	until(&rig.ended, rig.acked);
	assert_int_equal(seen->released, released);
	assert_int_equal(seen->closed, closed); /* or the next release would not be of this one */
	ack.epoch = rig.acked = rig.ended;
	assert_int_equal(proto_session_send(rig.stream.a, PROTO_ACK, &ack.base, SOON, &why), 0);
	until(&rig.ended, rig.acked);
	assert_int_equal(seen->released, released + 1);
	assert_int_equal(seen->closed, closed + 1);
}

static void it_goes_on_when_it_is_taken_back(void **state)
{
	moved();
	assert_int_equal(seen->let_go, 0);
	tell(PROTO_ORDER_SOLO);
	await(PROTO_REPORT_DONE);
	assert_false(seen->suspended || seen->destroyed);
	assert_int_equal(seen->let_go, 1);
}

static void it_is_destroyed_where_it_stands(void **state)
{
	unsigned int resumed;

	moved();
	resumed = seen->resumed;
	tell(PROTO_ORDER_DISCARD);
	await(PROTO_REPORT_DONE);
	await(0);
	assert_true(seen->destroyed && seen->suspended);
	assert_int_equal(seen->resumed, resumed);
	assert_int_equal(seen->let_go, 0);
}

/* Its daemon sees that it has failed, and tries again. */
static void one_that_cannot_be_destroyed_is_not_told_as_gone(void **state)
{
	int status;

	moved();
	seen->stays = true;
	tell(PROTO_ORDER_DISCARD);
	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_CODE_FAILED);
	await(0);
	assert_true(seen->suspended);
	assert_int_equal(seen->let_go, 0);
}

/* Its backup is lost before the ack: it runs, mute, until it is decided who owns it. */
static void a_last_epoch_without_an_ack_is_no_last_one(void **state)
{
	const uint64_t acked = rig.acked;

	rig.acks = false;
	tell(PROTO_ORDER_MOVE);
	while (rig.begun == acked)
		hear_stream();
	rig.stream.a = proto_session_free(rig.stream.a);
	await(PROTO_REPORT_LOST);
	assert_false(seen->suspended);
	assert_int_equal(seen->let_go, 0);
	tell(PROTO_ORDER_SOLO);
	await(PROTO_REPORT_DONE);
	assert_int_equal(seen->let_go, 1);
}

/* This program, as libxl's helper that saves the guest. */
static pid_t begin_saver(void)
{
	const pid_t pid = fork();
	char path[64], number[16];

	snprintf(path, sizeof(path), "%s/libxl-save-helper", dir);
	snprintf(number, sizeof(number), "%u", guest);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pid == 0 && !symlink("/proc/self/exe", path))
		execl(path, path, SAVER, "10", "-1", number, (char *)NULL);
	if (pid == 0)
		_exit(1);
	assert_true(pid > 0);
	return pid;
}

/* `xl migrate` while it is undecided who owns the guest: it stays until that is known. */
static void a_mute_guest_does_not_get_away(void **state)
{
	const uint64_t last = clock_now_ns() + PATIENCE;
	pid_t saver;

	rig.stream.a = proto_session_free(rig.stream.a);
	await(PROTO_REPORT_LOST);
	assert_int_equal(seen->paused, 0);
	saver = begin_saver();
	while (!seen->paused && clock_now_ns() < last)
		poll(NULL, 0, 10);
	assert_int_equal(seen->paused, 1);
	assert_true(seen->gave_way);
	tell(PROTO_ORDER_SOLO);
	await(PROTO_REPORT_DONE);
	assert_int_equal(seen->let_go, 1);
	assert_int_equal(seen->paused, 1); /* once */
	assert_int_equal(seen->unpaused, 1);
	kill(saver, SIGKILL);
	waitpid(saver, NULL, 0);
}

/* What no standby was built for is neither shipped nor heard. */
static void a_guest_that_was_changed_is_not_moved(void **state)
{
	uint64_t begun;

	hear_stream();
	begun = rig.begun;
	seen->changed = -ESTALE;
	tell(PROTO_ORDER_MOVE);
	await(PROTO_REPORT_LOST);
	assert_true(rig.begun <= begun + 1); /* one may have been under way */
	assert_int_equal(rig.begun, rig.acked);
	assert_int_equal(seen->paused, 1);
	assert_int_equal(seen->let_go, 0);
}

/* Nobody is left who could say whose it is: the next daemon finds it as it is. */
static void it_stands_when_its_daemon_dies(void **state)
{
	int status;

	moved();
	rig.daemon.a = proto_session_free(rig.daemon.a);
	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	assert_true(WIFEXITED(status));
	assert_true(seen->suspended);
	assert_false(seen->destroyed);
	assert_int_equal(seen->let_go, 0);
}

static int set_up(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	guest = 100000 + (uint32_t)getpid();
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(seen != MAP_FAILED);
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int tear_down(void **state)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -r %s", dir); /* what it notes there outlives a worker */
	return system(line);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_guest_may_stand_still_for_its_copy, begin_still, finish),
		cmocka_unit_test_setup_teardown(
			a_copy_that_fails_lets_it_go, begin_to_fail, finish),
		cmocka_unit_test_teardown(a_copy_without_room_is_refused, finish),
		TEST(the_first_round_is_all_of_its_memory),
		TEST(a_failed_checkpoint_was_answered),
		TEST(the_guest_stands_when_all_is_acked),
		cmocka_unit_test_setup_teardown(
			what_was_acked_while_it_stood_still_is_held, begin_patient, finish),
		TEST(it_goes_on_when_it_is_taken_back),
		TEST(it_is_destroyed_where_it_stands),
		TEST(one_that_cannot_be_destroyed_is_not_told_as_gone),
		TEST(a_last_epoch_without_an_ack_is_no_last_one),
		TEST(a_mute_guest_does_not_get_away),
		TEST(a_guest_that_was_changed_is_not_moved),
		TEST(it_stands_when_its_daemon_dies),
	};

	if (argc > 1 && strcmp(argv[1], SAVER) == 0)
		return pause();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
