/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/terms.h"

#include <errno.h>
#include <string.h>

#include "common/why.h"

int failover_terms_agree(
	const struct failover_terms *ours, const struct failover_terms *theirs, struct why *why)
{
	if (!theirs->arbiter[0])
		return why_set(why, -EPERM,
			"%s does not say who is its arbiter: install the same Romulus on both",
			theirs->host);
	if (strcmp(ours->arbiter, theirs->arbiter) != 0)
		return why_set(why, -EPERM,
			"arbiter is \"%s\" on %s and \"%.32s\" on %s: either could go on without "
			"the other one knowing; make it the same in both romulus.conf, then "
			"restart romulusd",
			ours->arbiter, ours->host, theirs->arbiter, theirs->host);
	if (strcmp(ours->etcd_prefix, theirs->etcd_prefix) != 0)
		return why_set(why, -EPERM,
			"the prefix in etcd is \"%s\" on %s and \"%.128s\" on %s: each would find "
			"itself to be the owner; make it the same in both romulus.conf, then "
			"restart romulusd",
			ours->etcd_prefix, ours->host, theirs->etcd_prefix, theirs->host);
	if (ours->etcd_prefix[0] && ours->etcd_cluster && theirs->etcd_cluster &&
		ours->etcd_cluster != theirs->etcd_cluster)
		return why_set(why, -EPERM,
			"the endpoints of %s and of %s are two different etcd clusters (%llx and "
			"%llx): each host would find itself to be the owner; name the same one in "
			"both romulus.conf, then restart romulusd",
			ours->host, theirs->host, (unsigned long long)ours->etcd_cluster,
			(unsigned long long)theirs->etcd_cluster);
	return 0;
}
