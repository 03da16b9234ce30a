/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/preflight.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "failover/preflight_rows.h"
#include "failover/terms.h"

#define MB (UINT64_C(1) << 20)
#define CLOCK_WARN_NS (500 * (int64_t)NSEC_PER_MSEC)
#define CLOCK_FAIL_NS (10 * (int64_t)NSEC_PER_SEC)
#define SPACE_LEAST (16 * MB) /* records, and whatever else writes there */
#define FEATURE_BITS 32u

static void set_text(char *to, const char *fmt, va_list ap)
{
	vsnprintf(to, WHY_MAX, fmt, ap);
	text_clean(to);
}

void failover_found(struct failover_judgement *j, enum failover_result result, const char *fmt, ...)
{
	va_list ap;

	j->row->result = result;
	va_start(ap, fmt);
	set_text(j->row->found, fmt, ap);
	va_end(ap);
}

void failover_todo(struct failover_judgement *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(j->row->todo, fmt, ap);
	va_end(ap);
}

void failover_list(struct failover_list *l, const char *item)
{
	const size_t need = strlen(item) + (l->n ? 2 : 0);

	if (l->left || l->used + need + 1 > sizeof(l->text)) {
		l->left++;
		return;
	}
	l->used += (size_t)snprintf(
		l->text + l->used, sizeof(l->text) - l->used, "%s%s", l->n ? ", " : "", item);
	l->n++;
}

/* ---- the guest ------------------------------------------------------------------------------- */

static void judge_guest(struct failover_judgement *j)
{
	const Romulus__Check *g = j->p->guest;

	if (!g->unfit[0]) {
		failover_found(j, FAILOVER_PASS, "%s, runs on %s", g->type, j->p->host);
		return;
	}
	failover_found(j, FAILOVER_FAIL, "%.400s", g->unfit);
	failover_todo(j, "%s", g->later ? "wait, and check again" : "change the guest as it says");
}

static void judge_suspend(struct failover_judgement *j)
{
	if (j->p->guest->feature_suspend) {
		failover_found(j, FAILOVER_PASS, "the guest can suspend");
		return;
	}
	failover_found(j, FAILOVER_FAIL, "the guest does not announce control/feature-suspend");
	failover_todo(j,
		"check again when it has started; if it never does, its kernel has no support for "
		"suspend under Xen and cannot be checkpointed");
}

static void judge_devices(struct failover_judgement *j)
{
	const char *devices = j->p->guest->passed_through;

	if (!devices[0]) {
		failover_found(j, FAILOVER_PASS, "no device of %s is passed through", j->p->host);
		return;
	}
	failover_found(j, FAILOVER_FAIL, "passed through from %s: %.200s", j->p->host, devices);
	failover_todo(j,
		"take it out of the guest (xl pci-detach, xl usbdev-detach): it is not on %s",
		j->p->peer);
}

/* ---- the hypervisor -------------------------------------------------------------------------- */

static void judge_hypervisor(struct failover_judgement *j)
{
	const char *here = j->p->here->hypervisor, *there = j->p->there->hypervisor;
	unsigned int a[2], b[2];
	bool older;

	if (sscanf(here, "%u.%u", &a[0], &a[1]) != 2 || sscanf(there, "%u.%u", &b[0], &b[1]) != 2) {
		failover_found(j, FAILOVER_FAIL, "Xen \"%.16s\" here, \"%.16s\" on %s", here, there,
			j->p->peer);
		failover_todo(j, "bring both hosts to one version of Xen");
		return;
	}
	older = b[0] < a[0] || (b[0] == a[0] && b[1] < a[1]);
	if (!strcmp(here, there)) {
		failover_found(j, FAILOVER_PASS, "Xen %s on both hosts", here);
		return;
	}
	failover_found(j, older ? FAILOVER_FAIL : FAILOVER_WARN, "Xen %s here, %.16s on %s", here,
		there, j->p->peer);
	failover_todo(j, "%s; bring both hosts to one version",
		older ? "Xen does not take a guest from a newer version"
		      : "the guest cannot come back from a newer version");
}

static bool has_bit(const uint32_t *words, size_t n, size_t bit)
{
	return bit / FEATURE_BITS < n && words[bit / FEATURE_BITS] & (1u << bit % FEATURE_BITS);
}

static void judge_cpu(struct failover_judgement *j)
{
	const Romulus__Check *g = j->p->guest;
	const Romulus__Checked *t = j->p->there;
	struct failover_list missing = {.n = 0};
	size_t seen = 0;

	for (size_t bit = 0; bit < g->n_features * FEATURE_BITS; bit++) {
		char number[24];
		const char *name = failover_cpu_feature(bit);

		if (!has_bit(g->features, g->n_features, bit))
			continue;
		seen++;
		if (has_bit(t->features, t->n_features, bit))
			continue;
		snprintf(number, sizeof(number), "%zu:%zu", bit / FEATURE_BITS, bit % FEATURE_BITS);
		failover_list(&missing, name ? name : number);
	}
	if (!seen || !t->n_features) {
		failover_found(j, FAILOVER_WARN,
			"the hypervisor of %s does not tell the processor features",
			seen ? j->p->peer : j->p->host);
		failover_todo(j, "compare the processors by hand: xen-cpuid on both hosts");
	} else if (!missing.n) {
		failover_found(j, FAILOVER_PASS, "%s gives all %zu features that the guest sees",
			j->p->peer, seen);
	} else {
		failover_found(j, FAILOVER_FAIL, "the guest sees what %s cannot give: " LIST_FMT,
			j->p->peer, LIST_ARGS(&missing));
		failover_todo(j,
			"take these from the guest (cpuid= in its configuration) or from both "
			"hosts (cpuid= on Xen's command line), and start it again");
	}
}

static void judge_memory(struct failover_judgement *j)
{
	const uint64_t need = j->p->guest->memory_kb, have = j->p->there->free_kb;

	if (j->p->there->standby) {
		failover_found(j, FAILOVER_PASS, "its standby on %s has its memory", j->p->peer);
		return;
	}
	failover_found(j, have < need ? FAILOVER_FAIL : FAILOVER_PASS,
		"%" PRIu64 " MB needed, %" PRIu64 " MB free on %s", (need + 1023) / 1024,
		have / 1024, j->p->peer);
	if (have < need)
		failover_todo(j, "shrink or move other domains there");
}

/* What the workers and the undo store of the backup take of its dom0. */
static void judge_dom0(struct failover_judgement *j)
{
	const uint64_t need = j->p->staging_bytes / MB + j->p->there->undo_limit / MB;
	const uint64_t have = j->p->there->dom0_kb / 1024;

	if (j->p->there->standby) {
		failover_found(j, FAILOVER_PASS, "its backup on %s runs already", j->p->peer);
		return;
	}
	failover_found(j, have < need ? FAILOVER_WARN : FAILOVER_PASS,
		"staging and undo-limit may take %" PRIu64 " MB, %" PRIu64
		" MB are available in dom0 of %s",
		need, have, j->p->peer);
	if (have < need)
		failover_todo(j, "give dom0 there more memory, or lower staging or undo-limit");
}

static void judge_name(struct failover_judgement *j)
{
	const char *taken = j->p->there->taken;

	if (j->p->there->standby)
		failover_found(j, FAILOVER_PASS, "what %s has of it is its standby", j->p->peer);
	else if (!taken[0])
		failover_found(
			j, FAILOVER_PASS, "no other domain on %s has its name or uuid", j->p->peer);
	else
		failover_found(j, FAILOVER_FAIL, "%.400s", taken);
	if (j->row->result == FAILOVER_FAIL)
		failover_todo(j, "destroy or rename that domain on %s", j->p->peer);
}

/* ---- the network ----------------------------------------------------------------------------- */

static const Romulus__CheckBridge *find_bridge(const Romulus__Checked *c, const char *name)
{
	for (size_t i = 0; i < c->n_bridges; i++)
		if (!strcmp(c->bridges[i]->name, name))
			return c->bridges[i];
	return NULL;
}

static bool is_present(const Romulus__Checked *c, const char *name)
{
	const Romulus__CheckBridge *b = find_bridge(c, name);

	return b && b->present;
}

/* On neither host: it is routed, say, and nothing can be said of that. */
static void judge_bridges(struct failover_judgement *j)
{
	const Romulus__Check *g = j->p->guest;
	struct failover_list both = {.n = 0}, here = {.n = 0}, there = {.n = 0}, neither = {.n = 0};

	for (size_t i = 0; i < g->n_bridges; i++) {
		const char *name = g->bridges[i][0] ? g->bridges[i] : "an interface without one";
		const bool a = is_present(j->p->here, g->bridges[i]);
		const bool b = is_present(j->p->there, g->bridges[i]);

		failover_list(a && b ? &both : a ? &here : b ? &there : &neither, name);
	}
	if (here.n || there.n) {
		failover_found(j, FAILOVER_FAIL, "no bridge on %s: " LIST_FMT,
			here.n ? j->p->peer : j->p->host, LIST_ARGS(here.n ? &here : &there));
		failover_todo(j,
			"every interface of the guest needs a bridge of the same name on both "
			"hosts");
	} else if (neither.n) {
		failover_found(j, FAILOVER_WARN, "no bridge on either host: " LIST_FMT,
			LIST_ARGS(&neither));
		failover_todo(j,
			"if it is not bridged at all, see to it that %s has its network too",
			j->p->peer);
	} else if (both.n) {
		failover_found(j, FAILOVER_PASS, "on both hosts: " LIST_FMT, LIST_ARGS(&both));
	} else {
		failover_found(j, FAILOVER_PASS, "the guest has no network");
	}
}

static void judge_segment(struct failover_judgement *j)
{
	const Romulus__Check *g = j->p->guest;
	struct failover_list deaf = {.n = 0}, heard = {.n = 0};
	struct failover_list untried = {.n = 0}, filters = {.n = 0};

	for (size_t i = 0; i < g->n_bridges; i++) {
		const Romulus__CheckBridge *a = find_bridge(j->p->here, g->bridges[i]);
		const Romulus__CheckBridge *b = find_bridge(j->p->there, g->bridges[i]);

		if (!a || !a->present) /* nothing was sent */
			continue;
		failover_list(b && b->heard                                   ? &heard
			      : !a->tried || (b && b->present && !b->tried)   ? &untried
			      : a->filters || (b && b->present && b->filters) ? &filters
									      : &deaf,
			g->bridges[i]);
	}
	if (deaf.n) {
		failover_found(j, FAILOVER_FAIL,
			"no probe frame from %s has arrived on %s: " LIST_FMT, j->p->host,
			j->p->peer, LIST_ARGS(&deaf));
		failover_todo(j,
			"one of the two hosts is cut off on that bridge, or they are not in the "
			"same VLAN there: look at the bridge and its uplink on both");
	} else if (untried.n) {
		failover_found(j, FAILOVER_WARN,
			"the way from %s to %s could not be tried: " LIST_FMT, j->p->host,
			j->p->peer, LIST_ARGS(&untried));
		failover_todo(j, "see journalctl -u romulusd on both hosts for why");
	} else if (filters.n) {
		failover_found(j, FAILOVER_WARN,
			"the way from %s to %s cannot be tried for the guest's own VLAN: " LIST_FMT,
			j->p->host, j->p->peer, LIST_ARGS(&filters));
		failover_todo(j,
			"the bridge filters VLANs: see to it that its uplinks carry the guest's on "
			"both hosts (bridge vlan show)");
	} else if (heard.n) {
		failover_found(j, FAILOVER_PASS, "probe frames from %s arrive on " LIST_FMT,
			j->p->host, LIST_ARGS(&heard));
	} else {
		failover_found(j, FAILOVER_PASS, "nothing to try: the guest is on no bridge here");
	}
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void judge_clock(struct failover_judgement *j)
{
	const int64_t ahead = j->p->ahead_ns;
	const uint64_t apart = ahead < 0 ? -(uint64_t)ahead : (uint64_t)ahead;
	const enum failover_result r = apart >= CLOCK_FAIL_NS   ? FAILOVER_FAIL
				       : apart >= CLOCK_WARN_NS ? FAILOVER_WARN
								: FAILOVER_PASS;

	failover_found(j, r, "the clock of %s is %" PRIu64 ".%03" PRIu64 " s %s", j->p->peer,
		apart / NSEC_PER_SEC, apart % NSEC_PER_SEC / NSEC_PER_MSEC,
		ahead < 0 ? "behind" : "ahead");
	if (r != FAILOVER_PASS)
		failover_todo(j,
			"the guest's own clock would jump by that: set the clocks (chronyd, ntpd)");
}

/* A takeover writes down there what it rolls back, at most undo-limit. */
static void judge_space(struct failover_judgement *j)
{
	const uint64_t undo = j->p->there->undo_limit, here = j->p->here->space,
		       there = j->p->there->space;
	const bool full = there < SPACE_LEAST || here < SPACE_LEAST;
	const bool tight = there < undo || there - undo < SPACE_LEAST;

	if (!j->p->here->space_known || !j->p->there->space_known) {
		failover_found(j, FAILOVER_WARN, "%s does not tell how much is free in state-dir",
			j->p->here->space_known ? j->p->peer : j->p->host);
		failover_todo(j, "look at it there: df, journalctl -u romulusd");
		return;
	}
	/* Where only this host is full, it notices when it has to write. */
	if (full && there >= SPACE_LEAST)
		j->row->refuses = false;
	failover_found(j,
		full    ? FAILOVER_FAIL
		: tight ? FAILOVER_WARN
			: FAILOVER_PASS,
		"%" PRIu64 " MB free in state-dir on %s, %" PRIu64 " MB on %s", here / MB,
		j->p->host, there / MB, j->p->peer);
	if (full)
		failover_todo(
			j, "make room: without it no promise and no takeover can be written down");
	else if (tight)
		failover_todo(j,
			"make room on %s for undo-limit (%" PRIu64
			" MB): a takeover writes down what it rolls back",
			j->p->peer, undo / MB);
}

static void judge_autostart(struct failover_judgement *j)
{
	const char *here = j->p->here->autostart, *there = j->p->there->autostart;

	if (!here[0] && !there[0]) {
		failover_found(j, FAILOVER_PASS, "neither host starts the guest at boot");
		return;
	}
	failover_found(j, FAILOVER_FAIL, "on %s: %.400s", here[0] ? j->p->host : j->p->peer,
		here[0] ? here : there);
	failover_todo(j, "romulusd alone may start a protected guest: do as it says");
}

static void judge_arbiter(struct failover_judgement *j)
{
	const Romulus__Checked *h = j->p->here, *t = j->p->there;
	const struct failover_terms ours = {
		j->p->host, h->arbiter, h->etcd_prefix, h->etcd_cluster};
	const struct failover_terms theirs = {
		j->p->peer, t->arbiter, t->etcd_prefix, t->etcd_cluster};
	struct why why;

	if (failover_terms_agree(&ours, &theirs, &why) == 0) {
		failover_found(j, FAILOVER_PASS, "both hosts say \"%s\"", h->arbiter);
		return;
	}
	failover_found(j, FAILOVER_FAIL, "%s", why.text);
	failover_todo(j, "do as it says");
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What is not refused has its judge in the workers and daemons, who say it in their own time. */
static const struct {
	const char *name;
	void (*judge)(struct failover_judgement *j);
	bool refuses, lets_go;
} checks[] = {
	{"guest", judge_guest, false, false},
	{"suspend", judge_suspend, false, false},
	{"passthrough", judge_devices, true, false},
	{"hypervisor", judge_hypervisor, true, false},
	{"cpu", judge_cpu, true, false},
	{"memory", judge_memory, false, false},
	{"dom0-memory", judge_dom0, false, false},
	{"name", judge_name, false, false},
	{"bridge", judge_bridges, true, false},
	{"segment", judge_segment, true, true},
	{"disks", failover_judge_disks, false, false},
	{"drbd", failover_judge_drbd, false, false},
	{"disks-in-use", failover_judge_use, false, false},
	{"read-only-disks", failover_judge_fixed, true, false},
	{"clock", judge_clock, true, true},
	{"space", judge_space, true, true},
	{"autostart", judge_autostart, false, false},
	{"arbiter", judge_arbiter, false, false},
};

_Static_assert(ARRAY_SIZE(checks) == FAILOVER_CHECKS, "a row for each check");

size_t failover_preflight(
	const struct failover_preflight *p, struct failover_check_row ret[FAILOVER_CHECKS])
{
	size_t fails = 0;

	for (size_t i = 0; i < FAILOVER_CHECKS; i++) {
		struct failover_judgement j = {p, &ret[i]};

		ret[i] = (struct failover_check_row){.name = checks[i].name,
			.refuses = checks[i].refuses,
			.lets_go = checks[i].lets_go};
		checks[i].judge(&j);
		assert(ret[i].found[0] && !ret[i].todo[0] == (ret[i].result == FAILOVER_PASS));
		fails += ret[i].result == FAILOVER_FAIL;
	}
	return fails;
}

const char *failover_result_name(enum failover_result result)
{
	static const char *const names[] = {"pass", "warn", "fail"};

	return names[result];
}
