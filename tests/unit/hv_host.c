/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the Xen backend says of a host and of the features that a guest sees, over a made-up Xen. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/why.h"
#include "replicator/hv_xen.h"

#define WORDS 19u /* of Xen 4.17 */

static struct {
	uint64_t free_pages, promised;
	uint32_t asked_for; /* which featureset */
	uint32_t host[HV_FEATURE_WORDS], words;
	xen_cpuid_leaf_t leaves[16];
	uint32_t leaves_n;
	bool physinfo_fails, features_fail, policy_fails;
	int claim_err;         /* errno */
	unsigned long claimed; /* pages */
	unsigned int policies; /* that are not destroyed yet */
} xen;

static struct hv hv;
static struct why why;

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
	static const libxl_version_info version = {.xen_version_major = 4, .xen_version_minor = 17};

	return &version;
}

void libxl_physinfo_init(libxl_physinfo *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_physinfo_dispose(libxl_physinfo *p)
{
}

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *p)
{
	p->free_pages = xen.free_pages;
	p->outstanding_pages = xen.promised;
	return xen.physinfo_fails ? ERROR_FAIL : 0;
}

int xc_get_cpu_featureset(xc_interface *xch, uint32_t index, uint32_t *n, uint32_t *ret)
{
	if (xen.features_fail || *n < xen.words) {
		errno = ENOBUFS;
		return -1;
	}
	xen.asked_for = index;
	memcpy(ret, xen.host, xen.words * sizeof(*ret));
	*n = xen.words;
	return 0;
}

xc_cpu_policy_t *xc_cpu_policy_init(void)
{
	xen.policies++;
	return (xc_cpu_policy_t *)&xen;
}

void xc_cpu_policy_destroy(xc_cpu_policy_t *policy)
{
	xen.policies--;
}

int xc_cpu_policy_get_size(xc_interface *xch, uint32_t *leaves, uint32_t *msrs)
{
	*leaves = xen.leaves_n;
	*msrs = 1;
	return 0;
}

int xc_cpu_policy_get_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy)
{
	assert_int_equal(domid, 7);
	return xen.policy_fails ? -1 : 0;
}

int xc_cpu_policy_serialise(xc_interface *xch, const xc_cpu_policy_t *policy,
	xen_cpuid_leaf_t *leaves, uint32_t *leaves_n, xen_msr_entry_t *msrs, uint32_t *msrs_n)
{
	memcpy(leaves, xen.leaves, xen.leaves_n * sizeof(*leaves));
	*leaves_n = xen.leaves_n;
	return 0;
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
	*domid = 7;
	return strcmp(name, "db--standby") ? ERROR_INVAL : 0;
}

int xc_domain_claim_pages(xc_interface *xch, uint32_t domid, unsigned long pages)
{
	assert_int_equal(domid, 7);
	errno = xen.claim_err;
	xen.claimed = xen.claim_err ? 0 : pages;
	return xen.claim_err ? -1 : 0;
}

static int setup(void **state)
{
	memset(&xen, 0, sizeof(xen));
	memset(xen.host, 0xff, sizeof(xen.host));
	xen.words = WORDS;
	return 0;
}

static void memory_that_is_promised_is_not_free(void **state)
{
	struct hv_host host;

	xen.free_pages = 1000;
	xen.promised = 600;
	assert_int_equal(hv_xen_host(&hv, HV_TYPE_PVH, &host, &why), 0);
	assert_int_equal(host.free_kb, 1600);
	assert_string_equal(host.hypervisor, "4.17");
	xen.physinfo_fails = true;
	assert_int_equal(hv_xen_host(&hv, HV_TYPE_PVH, &host, &why), -EIO);
}

static void the_most_that_a_guest_of_its_type_can_get(void **state)
{
	struct hv_host host;

	assert_int_equal(hv_xen_host(&hv, HV_TYPE_PVH, &host, &why), 0);
	assert_int_equal(xen.asked_for, XEN_SYSCTL_cpu_featureset_hvm_max);
	assert_int_equal(host.features_n, WORDS);
	assert_int_equal(hv_xen_host(&hv, HV_TYPE_PV, &host, &why), 0);
	assert_int_equal(xen.asked_for, XEN_SYSCTL_cpu_featureset_pv_max);
	xen.features_fail = true;
	assert_int_equal(hv_xen_host(&hv, HV_TYPE_HVM, &host, &why), -EIO);
}

static void memory_is_claimed_in_pages(void **state)
{
	assert_int_equal(hv_xen_claim(&hv, "web--standby", 65536, &why), -EAGAIN);
	assert_int_equal(xen.claimed, 0);
	assert_int_equal(hv_xen_claim(&hv, "db--standby", 65536, &why), 0);
	assert_int_equal(xen.claimed, 16384);
	xen.claim_err = EINVAL; /* its limit is not set yet */
	assert_int_equal(hv_xen_claim(&hv, "db--standby", 65536, &why), -EAGAIN);
	xen.claim_err = ENOMEM;
	assert_int_equal(hv_xen_claim(&hv, "db--standby", 65536, &why), -ENOMEM);
	assert_non_null(strstr(why.text, "no room for 'db--standby'"));
	xen.claim_err = EPERM;
	assert_int_equal(hv_xen_claim(&hv, "db--standby", 65536, &why), -EIO);
}

static void add(uint32_t leaf, uint32_t subleaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	xen.leaves[xen.leaves_n++] = (xen_cpuid_leaf_t){leaf, subleaf, a, b, c, d};
}

/* Each output of CPUID where the word of its features is: arch-x86/cpufeatureset.h says which. */
static void outputs_become_words(void **state)
{
	static const uint32_t expected[WORDS] = {0x14, 0x13, 0x24, 0x23, 0x31, 0x42, 0x43, 0x54,
		0x62, 0x44, 0x71, 0x81, 0x72, 0x94, 0x73, 0x74};
	const uint32_t no = XEN_CPUID_NO_SUBLEAF;
	struct hv_domain dom = {.domid = 7, .name = "db"};
	uint32_t words[HV_FEATURE_WORDS];
	struct hv_host host;

	add(0x1, no, 0x11, 0x12, 0x13, 0x14);
	add(0x80000001, no, 0x21, 0x22, 0x23, 0x24);
	add(0xd, 0, 0xff, 0xff, 0xff, 0xff);
	add(0xd, 1, 0x31, 0x32, 0x33, 0x34);
	add(0x7, 0, 0x41, 0x42, 0x43, 0x44);
	add(0x80000007, no, 0x51, 0x52, 0x53, 0x54);
	add(0x80000008, no, 0x61, 0x62, 0x63, 0x64);
	add(0x7, 1, 0x71, 0x72, 0x73, 0x74);
	add(0x80000021, no, 0x81, 0x82, 0x83, 0x84);
	add(0x7, 2, 0x91, 0x92, 0x93, 0x94);
	assert_int_equal(hv_xen_host(&hv, HV_TYPE_HVM, &host, &why), 0);
	assert_int_equal(hv_xen_features(&hv, &dom, &host, words, &why), 0);
	assert_memory_equal(words, expected, sizeof(expected));
	xen.host[0] = 0x10; /* what its processor does not have Xen has made up */
	assert_int_equal(hv_xen_host(&hv, HV_TYPE_HVM, &host, &why), 0);
	assert_int_equal(hv_xen_features(&hv, &dom, &host, words, &why), 0);
	assert_int_equal(words[0], 0x10);
	assert_int_equal(words[1], 0x13);
	xen.policy_fails = true;
	assert_int_equal(hv_xen_features(&hv, &dom, &host, words, &why), -EIO);
	assert_int_equal(xen.policies, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_that_is_promised_is_not_free),
		TEST(the_most_that_a_guest_of_its_type_can_get),
		TEST(memory_is_claimed_in_pages),
		TEST(outputs_become_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
