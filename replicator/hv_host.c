/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a host has to give, and what a guest uses of its processor. A featureset is Xen's public one
 * (arch-x86/cpufeatureset.h): words of 32 features, each an output of CPUID.
 */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/why.h"

int hv_xen_free_kb(struct hv *hv, uint64_t *ret, struct why *why)
{
	libxl_physinfo phys;
	int r;

	libxl_physinfo_init(&phys);
	r = libxl_get_physinfo(hv->xl, &phys);
	*ret = r ? 0 : (phys.free_pages - phys.outstanding_pages) * 4;
	libxl_physinfo_dispose(&phys);
	if (r)
		return why_set(why, -EIO, "the hypervisor does not tell its free memory");
	return 0;
}

/*
 * xen/common/page_alloc.c, domain_set_outstanding_pages(): in all, what it has included. EINVAL
 * also before libxl has set the domain's limit, and when it has more by now.
 */
int hv_xen_claim(struct hv *hv, const char *name, uint64_t memory_kb, struct why *why)
{
	uint32_t domid;

	if (libxl_name_to_domid(hv->xl, name, &domid))
		return -EAGAIN;
	if (!xc_domain_claim_pages(hv->xc, domid, memory_kb / 4))
		return 0;
	if (errno == EINVAL)
		return -EAGAIN;
	if (errno == ENOMEM)
		return why_set(why, -ENOMEM, "the hypervisor has no room for '%s' any more", name);
	return why_set(why, -EIO, "its memory cannot be claimed: %s", strerror(errno));
}

/* What can be given at the most: a guest that comes from elsewhere may have more than the default.
 */
static int read_featureset(struct hv *hv, enum hv_type type, struct hv_host *ret, struct why *why)
{
	static const uint32_t most[] = {
		[HV_TYPE_PV] = XEN_SYSCTL_cpu_featureset_pv_max,
		[HV_TYPE_PVH] = XEN_SYSCTL_cpu_featureset_hvm_max,
		[HV_TYPE_HVM] = XEN_SYSCTL_cpu_featureset_hvm_max,
	};
	uint32_t n = HV_FEATURE_WORDS;

	if (xc_get_cpu_featureset(hv->xc, most[type], &n, ret->features))
		return why_set(why, -EIO,
			"the hypervisor does not tell which processor features it gives: %s",
			strerror(errno));
	ret->features_n = n;
	return 0;
}

int hv_xen_host(struct hv *hv, enum hv_type type, struct hv_host *ret, struct why *why)
{
	const libxl_version_info *version = libxl_get_version_info(hv->xl);
	int r;

	memset(ret, 0, sizeof(*ret));
	if (version)
		snprintf(ret->hypervisor, sizeof(ret->hypervisor), "%d.%d",
			version->xen_version_major, version->xen_version_minor);
	r = hv_xen_free_kb(hv, &ret->free_kb, why);
	return r ? r : read_featureset(hv, type, ret, why);
}

/* ---- what a guest sees ----------------------------------------------------------------------- */

enum output { A, B, C, D };

/* Where a word of a featureset comes from, in its order. What follows in it is no CPUID. */
static const struct source {
	uint32_t leaf, subleaf;
	enum output output;
} sources[] = {
	{0x1, XEN_CPUID_NO_SUBLEAF, D},
	{0x1, XEN_CPUID_NO_SUBLEAF, C},
	{0x80000001, XEN_CPUID_NO_SUBLEAF, D},
	{0x80000001, XEN_CPUID_NO_SUBLEAF, C},
	{0xd, 1, A},
	{0x7, 0, B},
	{0x7, 0, C},
	{0x80000007, XEN_CPUID_NO_SUBLEAF, D},
	{0x80000008, XEN_CPUID_NO_SUBLEAF, B},
	{0x7, 0, D},
	{0x7, 1, A},
	{0x80000021, XEN_CPUID_NO_SUBLEAF, A},
	{0x7, 1, B},
	{0x7, 2, D},
	{0x7, 1, C},
	{0x7, 1, D},
};

static uint32_t output_of(const xen_cpuid_leaf_t *l, enum output output)
{
	const uint32_t outputs[] = {[A] = l->a, [B] = l->b, [C] = l->c, [D] = l->d};

	return outputs[output];
}

static uint32_t find_word(const xen_cpuid_leaf_t *leaves, uint32_t n, const struct source *s)
{
	for (uint32_t i = 0; i < n; i++)
		if (leaves[i].leaf == s->leaf && leaves[i].subleaf == s->subleaf)
			return output_of(&leaves[i], s->output);
	return 0;
}

static int read_leaves(struct hv *hv, uint32_t domid, xen_cpuid_leaf_t **ret, uint32_t *ret_n)
{
	xc_cpu_policy_t *policy = xc_cpu_policy_init();
	xen_cpuid_leaf_t *leaves = NULL;
	xen_msr_entry_t *msrs = NULL;
	uint32_t msrs_n;
	int r = -1;

	if (policy && !xc_cpu_policy_get_size(hv->xc, ret_n, &msrs_n)) {
		leaves = calloc(*ret_n, sizeof(*leaves));
		msrs = calloc(msrs_n, sizeof(*msrs));
	}
	if (leaves && msrs && !xc_cpu_policy_get_domain(hv->xc, domid, policy))
		r = xc_cpu_policy_serialise(hv->xc, policy, leaves, ret_n, msrs, &msrs_n);
	if (policy)
		xc_cpu_policy_destroy(policy);
	free(msrs);
	if (r)
		free(leaves);
	else
		*ret = leaves;
	return r ? -EIO : 0;
}

int hv_xen_features(struct hv *hv, const struct hv_domain *dom, const struct hv_host *host,
	uint32_t ret[HV_FEATURE_WORDS], struct why *why)
{
	CLEANUP_FREE xen_cpuid_leaf_t *leaves = NULL;
	uint32_t n = 0;
	int r = read_leaves(hv, dom->domid, &leaves, &n);

	if (r)
		return why_set(why, r,
			"the hypervisor does not tell which processor features '%s' sees",
			dom->name);
	memset(ret, 0, sizeof(uint32_t) * HV_FEATURE_WORDS);
	for (size_t i = 0; i < ARRAY_SIZE(sources) && i < host->features_n; i++)
		ret[i] = find_word(leaves, n, &sources[i]) & host->features[i];
	return 0;
}
