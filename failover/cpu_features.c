/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of processor features, as Xen's public header has them; nothing of Xen is linked. */
#include "failover/preflight.h"

#include "common/cleanup.h"

static const char *const names[] = {
#define XEN_CPUFEATURE(name, value) [value] = #name,
#include <xen/arch-x86/cpufeatureset.h>
};

const char *failover_cpu_feature(size_t bit)
{
	return bit < ARRAY_SIZE(names) ? names[bit] : NULL;
}
