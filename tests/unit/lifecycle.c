/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is seen of a guest's end and what follows, and that a pause of ours is undone once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "replicator/lifecycle.h"
#include "replicator/restrain.h"

#define OLD 7u
#define NEW 8u
#define BEGIN (100 * NSEC_PER_SEC)

static const enum hv_then thens[HV_ENDS] = {
	[HV_END_POWEROFF] = HV_THEN_DESTROY,
	[HV_END_REBOOT] = HV_THEN_RESTART,
	[HV_END_SUSPEND] = HV_THEN_PRESERVE,
	[HV_END_CRASH] = HV_THEN_PRESERVE,
	[HV_END_WATCHDOG] = HV_THEN_DUMP_RESTART,
	[HV_END_SOFT_RESET] = HV_THEN_SOFT_RESET,
};

static const struct hv_sight runs = {.exists = true};
static const struct hv_sight gone = {.exists = false};
static const struct hv_sight again = {.other = NEW};
static const struct hv_sight killed = {.exists = true, .dying = true};

static struct hv_sight shut(enum hv_end end, bool dying)
{
	return (struct hv_sight){.exists = true, .shut_down = true, .end = end, .dying = dying};
}

static unsigned int see(struct lifecycle *l, struct hv_sight s, uint64_t at)
{
	return lifecycle_step(l, thens, &s, BEGIN + at);
}

static struct lifecycle begun(void)
{
	struct lifecycle l;

	lifecycle_begin(&l, OLD, BEGIN);
	assert_int_equal(see(&l, runs, 0), 0);
	return l;
}

static void assert_text(const struct lifecycle *l, const char *words)
{
	char text[WHY_MAX];

	lifecycle_text(l, text, sizeof(text));
	if (!strstr(text, words))
		fail_msg("no \"%s\" in \"%s\"", words, text);
}

static void a_checkpoint_is_no_end(void **state)
{
	struct lifecycle l = begun();

	for (uint64_t t = 0; t < 2 * LIFECYCLE_HAND_NS; t += NSEC_PER_SEC) {
		assert_int_equal(see(&l, shut(HV_END_SUSPEND, false), t), 0);
		assert_int_equal(l.state, LIFECYCLE_RUNS);
	}
	assert_int_equal(see(&l, runs, 2 * LIFECYCLE_HAND_NS), 0);
}

/* The process that created it does it all. */
static void xl_restarts_it(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, shut(HV_END_REBOOT, false), 0), LIFECYCLE_SAY_RESTARTS);
	assert_text(&l, "has rebooted and is started again (on_reboot)");
	assert_int_equal(see(&l, shut(HV_END_REBOOT, true), 1), 0);
	assert_int_equal(see(&l, gone, 2), 0);
	assert_int_equal(see(&l, again, LIFECYCLE_RESTART_NS - 1), LIFECYCLE_SAY_RESTARTED);
	assert_int_equal(l.domid, NEW);
	assert_int_equal(see(&l, runs, LIFECYCLE_RESTART_NS), 0);
	/* And the next time too. */
	assert_int_equal(see(&l, shut(HV_END_REBOOT, false), 0), LIFECYCLE_SAY_RESTARTS);
}

static void nobody_restarts_it(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, shut(HV_END_WATCHDOG, false), 0), LIFECYCLE_SAY_RESTARTS);
	assert_int_equal(see(&l, shut(HV_END_WATCHDOG, false), LIFECYCLE_HAND_NS - 1), 0);
	assert_int_equal(see(&l, shut(HV_END_WATCHDOG, false), LIFECYCLE_HAND_NS), LIFECYCLE_ACT);
	assert_int_equal(l.then, HV_THEN_DUMP_RESTART);
	assert_int_equal(lifecycle_acted(&l, NEW, BEGIN), LIFECYCLE_SAY_RESTARTED);
	assert_int_equal(l.domid, NEW);
	assert_int_equal(l.state, LIFECYCLE_RUNS);
}

/* xl takes its time: it has paused it, and its devices' scripts run. */
static void xl_is_slow(void **state)
{
	struct hv_sight s = shut(HV_END_REBOOT, false);
	struct lifecycle l = begun();

	see(&l, s, 0);
	s.paused = true;
	assert_int_equal(see(&l, s, LIFECYCLE_HAND_NS - 1), 0);
	assert_int_equal(see(&l, s, LIFECYCLE_HAND_NS), 0);
	assert_int_equal(see(&l, s, LIFECYCLE_HAND_NS + LIFECYCLE_RESTART_NS - 2), 0);
	assert_int_equal(see(&l, s, LIFECYCLE_HAND_NS + LIFECYCLE_RESTART_NS), LIFECYCLE_ACT);
}

/* A guest of many GiB on a slow disk; only then it is paused, and destroyed. */
static void xl_dumps_it_for_long(void **state)
{
	struct hv_sight s = shut(HV_END_WATCHDOG, false);
	struct lifecycle l = begun();
	uint64_t t;

	see(&l, s, 0);
	s.dumped = true;
	for (t = NSEC_PER_SEC; t < 5 * LIFECYCLE_HAND_NS; t += NSEC_PER_SEC)
		assert_int_equal(see(&l, s, t), 0);
	/* Whoever dumped it has died. */
	s.dumped = false;
	assert_int_equal(see(&l, s, t), 0);
	assert_int_equal(see(&l, s, t + LIFECYCLE_HAND_NS), LIFECYCLE_ACT);
}

static void it_cannot_be_restarted(void **state)
{
	struct lifecycle l = begun();

	see(&l, shut(HV_END_REBOOT, false), 0);
	assert_int_equal(see(&l, shut(HV_END_REBOOT, false), LIFECYCLE_HAND_NS), LIFECYCLE_ACT);
	assert_int_equal(lifecycle_acted(&l, 0, BEGIN), 0);
	/* It may have failed because somebody else was faster. */
	assert_int_equal(see(&l, gone, LIFECYCLE_RESTART_NS - 1), 0);
	assert_int_equal(see(&l, gone, LIFECYCLE_RESTART_NS), LIFECYCLE_SAY_ENDED);
	assert_text(&l, "was not started again as on_reboot asks for");
	assert_int_equal(l.state, LIFECYCLE_OVER);
}

static void xl_fails_to_restart_it(void **state)
{
	struct lifecycle l = begun();

	see(&l, shut(HV_END_REBOOT, false), 0);
	assert_int_equal(see(&l, gone, 0), 0);
	assert_int_equal(see(&l, gone, LIFECYCLE_RESTART_NS - 1), 0);
	assert_int_equal(see(&l, gone, LIFECYCLE_RESTART_NS), LIFECYCLE_SAY_ENDED);
	assert_int_equal(l.state, LIFECYCLE_OVER);
}

static void it_powers_off(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, shut(HV_END_POWEROFF, false), 0), LIFECYCLE_SAY_ENDED);
	assert_text(&l, "has powered off and is destroyed (on_poweroff)");
	assert_int_equal(l.state, LIFECYCLE_SHUT_DOWN);
	assert_int_equal(see(&l, gone, 1), 0);
	assert_int_equal(l.state, LIFECYCLE_OVER);

	/* Nobody destroys it. */
	l = begun();
	see(&l, shut(HV_END_POWEROFF, false), 0);
	assert_int_equal(see(&l, shut(HV_END_POWEROFF, false), LIFECYCLE_HAND_NS), LIFECYCLE_ACT);
	assert_int_equal(lifecycle_acted(&l, 0, BEGIN), 0);
	assert_int_equal(l.state, LIFECYCLE_OVER);
}

/* It stays where it is, which is no restart, and nobody touches it. */
static void a_crash_is_preserved(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, shut(HV_END_CRASH, false), 0), LIFECYCLE_SAY_ENDED);
	assert_text(&l, "has crashed and is kept as it is (on_crash)");
	assert_int_equal(l.state, LIFECYCLE_OVER);
	assert_int_equal(see(&l, shut(HV_END_CRASH, false), 2 * LIFECYCLE_HAND_NS), 0);
}

static void it_is_destroyed_or_taken_away(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, killed, 0), LIFECYCLE_SAY_ENDED);
	assert_text(&l, "was destroyed");
	l = begun();
	assert_int_equal(see(&l, shut(HV_END_SUSPEND, true), 0), LIFECYCLE_SAY_ENDED);
	assert_text(&l, "saved, migrated away");
	assert_int_equal(l.state, LIFECYCLE_OVER);
	/* In the middle of what on_reboot asks for, it is just that. */
	l = begun();
	assert_int_equal(see(&l, shut(HV_END_REBOOT, true), 0), LIFECYCLE_SAY_RESTARTS);
}

/* Between two looks: it may be xl's restart, or somebody's xl destroy. */
static void it_is_gone_without_a_trace(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, gone, 0), 0);
	assert_int_equal(see(&l, again, LIFECYCLE_TRACE_NS - 1),
		LIFECYCLE_SAY_RESTARTS | LIFECYCLE_SAY_RESTARTED);
	assert_text(&l, "has rebooted and is started again");
	assert_int_equal(l.domid, NEW);
	l = begun();
	assert_int_equal(see(&l, gone, 0), 0);
	assert_int_equal(see(&l, gone, LIFECYCLE_TRACE_NS), LIFECYCLE_SAY_ENDED);
	assert_text(&l, "gone from this host");
	/* Nor was it there in the first place. */
	lifecycle_begin(&l, 0, BEGIN);
	assert_int_equal(see(&l, gone, LIFECYCLE_TRACE_NS - 1), 0);
	assert_int_equal(see(&l, gone, LIFECYCLE_TRACE_NS), LIFECYCLE_SAY_ENDED);
}

static void a_soft_reset_keeps_the_domain(void **state)
{
	struct lifecycle l = begun();

	assert_int_equal(see(&l, shut(HV_END_SOFT_RESET, false), 0), LIFECYCLE_SAY_RESTARTS);
	assert_int_equal(see(&l, runs, 1), LIFECYCLE_SAY_RESTARTED);
	assert_int_equal(l.domid, OLD);
}

/* Every end with every wish says one thing, once, whatever follows. */
static void what_is_said_is_said_once(void **state)
{
	for (int end = 0; end < HV_ENDS; end++)
		for (int then = 0; then <= HV_THEN_SOFT_RESET; then++) {
			enum hv_then all[HV_ENDS];
			struct lifecycle l = begun();
			struct hv_sight s = shut((enum hv_end)end, false);
			unsigned int ended = 0, restarts = 0, a;

			for (int i = 0; i < HV_ENDS; i++)
				all[i] = (enum hv_then)then;
			for (uint64_t t = 0; t < 200; t++) {
				if (t == 10)
					s = gone;
				a = lifecycle_step(&l, all, &s, BEGIN + t * NSEC_PER_SEC);
				ended += (a & LIFECYCLE_SAY_ENDED) != 0;
				restarts += (a & LIFECYCLE_SAY_RESTARTS) != 0;
			}
			assert_int_equal(ended, 1);
			assert_int_equal(restarts,
				end != HV_END_SUSPEND && lifecycle_restarts((enum hv_then)then));
			assert_int_equal(l.state, LIFECYCLE_OVER);
		}
}

/* ---- a pause of ours ------------------------------------------------------------------------- */

static int pauses, unpauses;
static bool paused;

static int count_pause(struct hv *hv, uint32_t domid, struct why *why)
{
	pauses++;
	paused = true;
	return 0;
}

static int count_unpause(struct hv *hv, uint32_t domid, struct why *why)
{
	unpauses++;
	assert_int_equal(domid, NEW);
	assert_true(paused);
	paused = false;
	return 0;
}

static bool blind; /* what it is cannot be told */

static int see_pause(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *why)
{
	if (blind)
		return -EIO;
	*ret = (struct hv_sight){.exists = true, .paused = paused};
	return 0;
}

static const struct hv_ops ops = {
	.pause = count_pause, .unpause = count_unpause, .look = see_pause};
static const char uuid[] = "00000000-0000-4000-8000-000000000001";

static void a_pause_is_undone_once(void **state)
{
	char dir[] = "/tmp/romulus-restrain-XXXXXX";
	struct why why;

	pauses = unpauses = 0;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(restrain_let_go(&ops, NULL, dir, uuid, &why), 0);
	assert_int_equal(unpauses, 0);
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, OLD, &why), 0);
	/* Two monitors, one after the other, see the same guest. */
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, NEW, &why), 0);
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, NEW, &why), 0);
	assert_int_equal(pauses, 2);
	assert_int_equal(restrain_let_go(&ops, NULL, dir, uuid, &why), 0);
	assert_int_equal(restrain_let_go(&ops, NULL, dir, uuid, &why), 0);
	assert_int_equal(unpauses, 1);
	assert_int_equal(rmdir(dir), 0);
}

/* Somebody has said `xl unpause`: what the note says is not so any more. */
static void a_note_of_a_pause_is_no_pause(void **state)
{
	char dir[] = "/tmp/romulus-restrain-XXXXXX";
	struct why why;

	pauses = unpauses = 0;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, NEW, &why), 0);
	paused = false;
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, NEW, &why), 0);
	assert_int_equal(pauses, 2);
	assert_true(paused);
	paused = false;
	assert_int_equal(restrain_let_go(&ops, NULL, dir, uuid, &why), 0);
	assert_int_equal(unpauses, 0);
	assert_int_equal(rmdir(dir), 0);
}

static void a_note_is_believed_where_nothing_can_be_told(void **state)
{
	char dir[] = "/tmp/romulus-restrain-XXXXXX";
	struct why why;

	pauses = unpauses = 0;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, NEW, &why), 0);
	blind = true;
	assert_int_equal(restrain_pause(&ops, NULL, dir, uuid, NEW, &why), 0);
	assert_int_equal(pauses, 1);
	assert_int_equal(restrain_let_go(&ops, NULL, dir, uuid, &why), 0);
	assert_int_equal(unpauses, 1);
	blind = false;
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_checkpoint_is_no_end),
		cmocka_unit_test(xl_restarts_it),
		cmocka_unit_test(nobody_restarts_it),
		cmocka_unit_test(xl_is_slow),
		cmocka_unit_test(xl_dumps_it_for_long),
		cmocka_unit_test(it_cannot_be_restarted),
		cmocka_unit_test(xl_fails_to_restart_it),
		cmocka_unit_test(it_powers_off),
		cmocka_unit_test(a_crash_is_preserved),
		cmocka_unit_test(it_is_destroyed_or_taken_away),
		cmocka_unit_test(it_is_gone_without_a_trace),
		cmocka_unit_test(a_soft_reset_keeps_the_domain),
		cmocka_unit_test(what_is_said_is_said_once),
		cmocka_unit_test(a_pause_is_undone_once),
		cmocka_unit_test(a_note_of_a_pause_is_no_pause),
		cmocka_unit_test(a_note_is_believed_where_nothing_can_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
