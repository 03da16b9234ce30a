/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 4096u
#define TRACE_LINES 80u
#define TRACE_LINE 160u

struct pending {
	uint64_t at, order;
	struct host *host;
	sim_handler *handler;
	uint64_t a, b;
};

struct sim sim;
static struct pending heap[EVENTS_MAX];
static size_t pending;
static uint64_t ordinal;
static char trace[TRACE_LINES][TRACE_LINE];
static uint64_t traced;

static bool before(const struct pending *x, const struct pending *y)
{
	return x->at != y->at ? x->at < y->at : x->order < y->order;
}

void sim_after(uint64_t when, struct host *h, sim_handler *handler, uint64_t a, uint64_t b)
{
	size_t i = pending++;

	if (pending > EVENTS_MAX) {
		fprintf(stderr, "seed %llu: too many events\n", (unsigned long long)sim.seed);
		abort();
	}
	heap[i] = (struct pending){sim.now + when, ordinal++, h, handler, a, b};
	while (i && before(&heap[i], &heap[(i - 1) / 2])) {
		struct pending p = heap[i];

		heap[i] = heap[(i - 1) / 2];
		heap[(i - 1) / 2] = p;
		i = (i - 1) / 2;
	}
}

static struct pending take(void)
{
	struct pending first = heap[0], p;
	size_t i = 0, least;

	heap[0] = heap[--pending];
	for (;;) {
		least = i;
		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < pending; c++)
			if (before(&heap[c], &heap[least]))
				least = c;
		if (least == i)
			return first;
		p = heap[i];
		heap[i] = heap[least];
		heap[least] = p;
		i = least;
	}
}

bool sim_awake(const struct host *h)
{
	return h->power && sim.now >= h->paused_until;
}

uint64_t host_now(const struct host *h)
{
	return SECOND + (uint64_t)((double)sim.now / SECOND * (double)h->clock);
}

uint64_t host_wait(const struct host *h, uint64_t ns)
{
	return (uint64_t)((double)ns / (double)h->clock * SECOND);
}

bool sim_step(void)
{
	struct pending p;

	if (!pending)
		return false;
	p = take();
	sim.now = p.at;
	/* What a host that stands still has to do waits for it. */
	if (p.host && p.host->power && sim.now < p.host->paused_until) {
		sim_after(p.host->paused_until - sim.now, p.host, p.handler, p.a, p.b);
		return true;
	}
	p.handler(p.host, p.a, p.b);
	return true;
}

void sim_forget(void)
{
	pending = 0;
	ordinal = traced = 0;
}

/* splitmix64 */
uint64_t sim_random(uint64_t below)
{
	uint64_t z = (sim.random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

uint64_t sim_between(uint64_t least, uint64_t most)
{
	return least + sim_random(most - least + 1);
}

bool sim_chance(unsigned int per_mille)
{
	return sim_random(1000) < per_mille;
}

void sim_say(const struct host *h, const char *format, ...)
{
	char *line = trace[traced++ % TRACE_LINES];
	va_list ap;
	int n = snprintf(
		line, TRACE_LINE, "%9.3f s  %-5s  ", (double)sim.now / SECOND, h ? h->name : "");

	va_start(ap, format);
	vsnprintf(line + n, TRACE_LINE - (size_t)n, format, ap);
	va_end(ap);
}

void sim_print_trace(FILE *f)
{
	for (uint64_t i = traced > TRACE_LINES ? traced - TRACE_LINES : 0; i < traced; i++)
		fprintf(f, "%s\n", trace[i % TRACE_LINES]);
}

void sim_violated(const char *what)
{
	if (!sim.violation)
		sim_say(NULL, "VIOLATION: %s", what);
	if (!sim.violation)
		sim.violation = what;
}

struct host *sim_other(const struct host *h)
{
	return &sim.host[1 - h->number];
}
