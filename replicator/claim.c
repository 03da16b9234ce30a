/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/claim.h"

#include <errno.h>

#include "common/log.h"
#include "common/why.h"
#include "replicator/hv.h"

#define TRIES 256u /* each with a piece of the copy: by then it is there, or never can be */

int claim_try(struct claim *c, const struct hv_ops *ops, struct hv *hv, const char *domain,
	const char *standby, uint64_t memory_kb, struct why *why)
{
	int r;

	if (c->settled)
		return 0;
	r = ops->claim(hv, standby, memory_kb, why);
	c->settled = r != -EAGAIN || ++c->tries == TRIES;
	if (r == -EAGAIN)
		return 0;
	if (!r)
		return 0;
	if (r == -ENOMEM)
		return why_set(why, r,
			"no room for '%s' on the backup host any more: another domain has taken "
			"memory that was free when its protection began; shrink or move other "
			"domains there",
			domain);
	log_warning("%s: %s; the copy goes on without", standby, why->text);
	return 0;
}
