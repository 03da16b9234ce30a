/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void progress_bytes_format(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)bytes;
	unsigned int u = 0;

	while (v >= 999.5 && u < 6) {
		v /= 1000;
		u++;
	}
	snprintf(out, size, u && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void progress_duration_format(char *out, size_t size, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(out, size, "%" PRIu64 " ms", ms);
	else if (s < 60)
		snprintf(out, size, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(out, size, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 48 * 3600)
		snprintf(out, size, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
	else
		snprintf(out, size, "%" PRIu64 " days", s / 86400);
}

/*
 * "copy  [#########...........]  45 %  115/256 MB..." with the bar taking what room is left. Pages
 * that the guest dirties again are sent again, so `pages` may pass `total`: then the bar stays
 * full instead of lying past its end. A stage that counts nothing is its name.
 */
void progress_format(char *out, size_t size, unsigned int columns, const struct progress *p)
{
	const uint64_t pages = p->pages, total = p->total;
	char figures[240], sent[16], rate[16], left[32], again[64] = "";
	size_t room, width, full;

	if (!p->counts) {
		snprintf(out, size, "%s", p->stage);
		if (columns && columns < size)
			out[columns] = '\0';
		return;
	}
	progress_bytes_format(sent, sizeof(sent), p->bytes);
	snprintf(rate, sizeof(rate), "%.1f MB/s", (double)p->bytes_per_s / 1e6);
	progress_duration_format(left, sizeof(left), p->eta_s * 1000);
	if (p->eta_s > 0 && p->eta_s < 60)
		snprintf(left, sizeof(left), "%" PRIu64 " s", p->eta_s);
	if (p->round > 1)
		snprintf(again, sizeof(again), "  round %" PRIu64 ", %" PRIu64 " dirty", p->round,
			p->dirty);
	snprintf(figures, sizeof(figures), "%3.0f %%  %" PRIu64 "/%" PRIu64 " pages  %s  %s%s%s%s",
		total ? (pages < total ? 100.0 * (double)pages / (double)total : 100.0) : 0.0,
		pages, total, sent, rate, again, p->eta_s ? "  ETA " : "", p->eta_s ? left : "");
	room = strlen(p->stage) + 2 + 2 + 2 + strlen(figures);
	if (columns < room + 10) {
		snprintf(out, size, "%s  %s", p->stage, figures);
		if (columns && columns < size)
			out[columns] = '\0';
		return;
	}
	width = columns - room > 40 ? 40 : columns - room;
	full = !total ? 0 : pages < total ? (size_t)(pages * width / total) : width;
	snprintf(out, size, "%s  [%.*s%.*s]  %s", p->stage, (int)full,
		"########################################", (int)(width - full),
		"........................................", figures);
}
