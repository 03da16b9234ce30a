/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What romulus-facts collects, over a made-up hypervisor and DRBD; disks are files and devices
 * here. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "replicator/facts.h"

static struct facts f;
static char dir[64];
static struct {
	struct hv_domain dom;
	int unfit, taken, features_fail;
	struct diskrep_drbd_status drbd;
	int drbd_fails;
} world;

/* ---- the hypervisor -------------------------------------------------------------------------- */

static int find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *why)
{
	if (strcmp(name, "db") != 0)
		return why_set(why, -ENOENT, "there is no %s", name);
	*ret = world.dom;
	return 0;
}

static int can_protect(struct hv *hv, const struct hv_domain *dom, struct why *why)
{
	if (!dom->feature_suspend)
		return why_set(why, -EOPNOTSUPP, "it cannot suspend");
	return world.unfit ? why_set(why, world.unfit, "it is paused") : 0;
}

static int taken(
	struct hv *hv, const char *name, const char *uuid, const char *here, struct why *why)
{
	return world.taken ? why_set(why, world.taken, "'%s' already runs on %s", name, here) : 0;
}

static int host(struct hv *hv, enum hv_type type, struct hv_host *ret, struct why *why)
{
	*ret = (struct hv_host){.hypervisor = "4.17", .free_kb = 5000, .features_n = 2};
	ret->features[1] = type == HV_TYPE_PVH ? 3 : 0;
	return 0;
}

static int features(struct hv *hv, const struct hv_domain *dom, const struct hv_host *h,
	uint32_t ret[HV_FEATURE_WORDS], struct why *why)
{
	if (world.features_fail)
		return why_set(why, -EIO, "not told");
	ret[0] = 0;
	ret[1] = 2;
	return 0;
}

static const struct hv_ops ops = {
	.find = find,
	.can_protect = can_protect,
	.taken = taken,
	.host = host,
	.features = features,
};

/* ---- DRBD ------------------------------------------------------------------------------------ */

int __wrap_diskrep_drbd_status(
	const char *resource, struct diskrep_drbd_status *ret, struct why *why);
int __wrap_diskrep_drbd_status(
	const char *resource, struct diskrep_drbd_status *ret, struct why *why)
{
	assert_string_equal(resource, "db");
	*ret = world.drbd;
	return world.drbd_fails ? why_set(why, world.drbd_fails, "no drbdsetup") : 0;
}

int __wrap_diskrep_lineage_current(int minor, uint64_t *ret, struct why *why);
int __wrap_diskrep_lineage_current(int minor, uint64_t *ret, struct why *why)
{
	*ret = 100 + (uint64_t)minor;
	return 0;
}

int __wrap_diskrep_identity_held(
	const char *path, const char *mapper, char ret[DISKREP_HELD_MAX], struct why *why);
int __wrap_diskrep_identity_held(
	const char *path, const char *mapper, char ret[DISKREP_HELD_MAX], struct why *why)
{
	snprintf(ret, DISKREP_HELD_MAX, "%s beneath %s", path, mapper);
	return 0;
}

/* ---- the guest ------------------------------------------------------------------------------- */

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned int n;

	return snprintf(path[n++ % 4], 256, "%s/%s", dir, name), path[(n - 1) % 4];
}

static void write_file(const char *name, size_t size, char what)
{
	CLEANUP_FCLOSE FILE *out = fopen(in_dir(name), "we");

	assert_non_null(out);
	for (size_t i = 0; i < size; i++)
		putc(i == size / 2 ? 'x' : what, out);
}

static int begin(void **state)
{
	strcpy(dir, "/tmp/romulus-facts-XXXXXX");
	assert_non_null(mkdtemp(dir));
	memset(&f, 0, sizeof(f));
	memset(&world, 0, sizeof(world));
	world.dom = (struct hv_domain){.domid = 7,
		.name = "db",
		.uuid = "u",
		.type = HV_TYPE_PVH,
		.memory_kb = 65536,
		.feature_suspend = true,
		.nic_count = 3,
		.nics = {{"vif7.0", "", "xenbr0"}, {"vif7.1", "", "xenbr1"},
			{"vif7.2", "", "xenbr0"}},
		.passed_through = "PCI 0000:03:00.0"};
	f.ops = &ops;
	f.worker = (struct worker){.domain = "db", .host = "beta", .state_dir = dir};
	return 0;
}

static int end(void **state)
{
	unlink(in_dir("cd.iso"));
	return rmdir(dir);
}

static void a_guest_says_what_it_needs(void **state)
{
	assert_int_equal(facts_of_guest(&f), 0);
	assert_string_equal(f.check.type, "pvh");
	assert_int_equal(f.check.memory_kb, 65536 + HV_OVERHEAD_KB);
	assert_int_equal(f.check.n_bridges, 2); /* each once */
	assert_string_equal(f.check.bridges[1], "xenbr1");
	assert_int_equal(f.check.n_features, 2);
	assert_int_equal(f.check.features[1], 2);
	assert_int_equal(f.check.nonce.len, PROTO_NONCE_BYTES);
	assert_string_equal(f.check.unfit, "");
	assert_string_equal(f.check.passed_through, "PCI 0000:03:00.0");
	assert_false(f.resource.configured);
	assert_int_equal(facts_of_host(&f, &f.check), 0);
	assert_int_equal(f.checked.free_kb, 5000);
	assert_true(f.checked.space > 0 && f.checked.dom0_kb > 0 && f.checked.space_known);
	assert_int_equal(f.checked.n_bridges, 2);
	assert_false(f.checked.bridges[0]->present);
	assert_string_equal(f.checked.taken, ""); /* by itself it is not */
}

static void what_is_against_it_is_told(void **state)
{
	world.unfit = -EAGAIN;
	world.features_fail = true;
	assert_int_equal(facts_of_guest(&f), 0);
	assert_string_equal(f.check.unfit, "it is paused");
	assert_true(f.check.later);
	assert_int_equal(f.check.n_features, 0);
	world.unfit = 0; /* what has a fact of its own is not told twice */
	world.dom.feature_suspend = false;
	assert_int_equal(facts_of_guest(&f), 0);
	assert_string_equal(f.check.unfit, "");
	assert_false(f.check.feature_suspend);
	f.worker.state_dir = "/nowhere";
	assert_int_equal(facts_of_host(&f, &f.check), 0);
	assert_false(f.checked.space_known);
	f.worker.domain = "web";
	assert_int_equal(facts_of_guest(&f), -ENOENT);
	assert_string_equal(f.why.text, "there is no web");
}

static void drbd(unsigned int minor_number)
{
	f.worker.resource = "db";
	f.worker.volumes = "/dev/a,/dev/m";
	world.drbd = (struct diskrep_drbd_status){.up = true,
		.connection = DISKREP_DRBD_CONNECTED,
		.role = DISKREP_DRBD_PRIMARY,
		.peer_role = DISKREP_DRBD_SECONDARY,
		.volumes = 2};
	for (size_t v = 0; v < 2; v++)
		world.drbd.volume[v] = (struct diskrep_drbd_volume){
			.minor = (int)(minor_number + v),
			.disk = DISKREP_DRBD_UP_TO_DATE,
			.peer_disk = v ? DISKREP_DRBD_INCONSISTENT : DISKREP_DRBD_UP_TO_DATE,
			.size_kib = 64};
}

static void the_resource_is_told(void **state)
{
	const Romulus__CheckResource *r = &f.resource;

	drbd(10);
	assert_int_equal(facts_of_guest(&f), 0);
	assert_true(r->configured && r->up && r->connected && r->primary);
	assert_false(r->peer_primary || r->alone);
	assert_int_equal(r->n_volumes, 2);
	assert_int_equal(r->volumes[1]->minor, 11);
	assert_true(r->volumes[0]->peer_good && !r->volumes[1]->peer_good);
	assert_int_equal(r->volumes[1]->generation, 111);
	assert_string_equal(r->volumes[0]->held, "/dev/a beneath romulus-db-0");
	assert_string_equal(r->volumes[1]->held, "/dev/m beneath romulus-db-1");
	world.drbd.connection = DISKREP_DRBD_STANDALONE;
	facts_of_resource(&f);
	assert_true(r->alone && !r->connected);
	world.drbd.up = false;
	facts_of_resource(&f);
	assert_true(r->configured && !r->up && !r->n_volumes);
	world.drbd_fails = -ENOENT;
	facts_of_resource(&f);
	assert_true(r->configured && !r->up);
	assert_string_equal(r->summary, "no drbdsetup");
}

/* More devices than the configuration names, and the other way round. */
static void volumes_need_not_agree_with_the_configuration(void **state)
{
	drbd(10);
	f.worker.volumes = "/dev/a";
	facts_of_resource(&f);
	assert_string_equal(f.resource.volumes[1]->held, "");
	f.worker.volumes = "/dev/a,/dev/b,/dev/c,/dev/m";
	facts_of_resource(&f);
	assert_int_equal(f.resource.n_volumes, 2);
	f.worker.volumes = NULL;
	facts_of_resource(&f);
	assert_string_equal(f.resource.volumes[0]->held, "");
}

/* Only volumes of DRBD are: neither a file nor the marker. */
static void disks_are_covered_by_volumes(void **state)
{
	const char *device = in_dir("drbd10"), *marker = in_dir("drbd11");

	drbd(10);
	if (mknod(device, S_IFBLK | 0600, makedev(147, 10)) ||
		mknod(marker, S_IFBLK | 0600, makedev(147, 11)))
		skip();
	facts_of_resource(&f);
	assert_true(facts_covers(&f, device));
	assert_false(facts_covers(&f, marker));
	assert_false(facts_covers(&f, "/dev/null"));
	assert_false(facts_covers(&f, in_dir("none")));
	world.dom.fixed_count = 2; /* also of those that it only reads */
	snprintf(world.dom.fixed[0].path, sizeof(world.dom.fixed[0].path), "%s", device);
	snprintf(world.dom.fixed[1].path, sizeof(world.dom.fixed[1].path), "%s", marker);
	assert_int_equal(facts_of_guest(&f), 0);
	assert_true(f.check.disks[0]->covered && !f.check.disks[1]->covered);
	unlink(device);
	unlink(marker);
}

/* ---- of another host's guest ----------------------------------------------------------------- */

static Romulus__CheckDisk cd[40];
static Romulus__CheckDisk *cds[40];
static char *names[40];

static Romulus__Check question(size_t disks, size_t bridges)
{
	Romulus__Check q = ROMULUS__CHECK__INIT;

	q.domain = "web";
	q.type = "hvm";
	for (size_t i = 0; i < 40; i++) {
		romulus__check_disk__init(&cd[i]);
		cd[i].vdev = "xvdc";
		cd[i].path = (char *)in_dir("cd.iso");
		cds[i] = &cd[i];
		names[i] = "lo";
	}
	q.disks = cds;
	q.n_disks = disks;
	q.bridges = names;
	q.n_bridges = bridges;
	return q;
}

static void disks_are_told_apart_by_their_content(void **state)
{
	Romulus__Check q = question(1, 0);
	uint64_t fingerprint;

	write_file("cd.iso", 100000, 'a');
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_int_equal(f.checked.n_disks, 1);
	assert_true(f.checked.disks[0]->found);
	assert_int_equal(f.checked.disks[0]->bytes, 100000);
	fingerprint = f.checked.disks[0]->fingerprint;
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_true(f.checked.disks[0]->fingerprint == fingerprint);
	write_file("cd.iso", 100000, 'b');
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_true(f.checked.disks[0]->fingerprint != fingerprint);
	assert_false(f.checked.disks[0]->unreadable);
	unlink(in_dir("cd.iso"));
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_false(f.checked.disks[0]->found || f.checked.disks[0]->unreadable);
	assert_int_equal(mkdir(in_dir("cd.iso"), 0700), 0); /* as a drive without a disc */
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_false(f.checked.disks[0]->found);
	assert_true(f.checked.disks[0]->unreadable);
	rmdir(in_dir("cd.iso"));
}

static void the_last_byte_counts(void **state)
{
	static const size_t sizes[] = {1, 511, 4096, 4097, 8191, 300001};
	struct diskrep_identity before, after;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		CLEANUP_CLOSE int fd = -1;

		write_file("cd.iso", sizes[i], 'a');
		assert_int_equal(diskrep_identity_read(in_dir("cd.iso"), &before, &f.why), 0);
		fd = open(in_dir("cd.iso"), O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "z", 1, (off_t)sizes[i] - 1), 1);
		assert_int_equal(diskrep_identity_read(in_dir("cd.iso"), &after, &f.why), 0);
		assert_int_equal(before.bytes, after.bytes);
		assert_true(before.fingerprint != after.fingerprint);
	}
}

/* A peer may send anything: what is no disk is not opened, what is too much is left out. */
static void a_question_may_be_anything(void **state)
{
	static const char *const bad[] = {"", "relative", "/proc/self/fd", "/dev/tty", "/nowhere",
		"/proc/self/status", "/sys/kernel/uevent_seqnum"};
	struct diskrep_identity id;
	Romulus__Check q = question(40, 40);
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(diskrep_identity_read(bad[i], &id, &f.why) < 0);
	assert_int_equal(mkfifo(in_dir("cd.iso"), 0600), 0); /* would block whoever opens it */
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_int_equal(f.checked.n_disks, ARRAY_SIZE(f.disk));
	assert_int_equal(f.checked.n_bridges, HV_MAX_NICS);
	assert_false(f.checked.disks[0]->found || f.checked.bridges[0]->present);
	assert_int_equal(stat(in_dir("cd.iso"), &st), 0);
	facts_listen(&f, &q);
	assert_int_equal(facts_hear(&f, &q), 0); /* nothing to wait for */
}

static void what_has_its_name_is_told(void **state)
{
	Romulus__Check q = question(0, 0);

	world.taken = -EEXIST;
	assert_int_equal(facts_of_host(&f, &q), 0);
	assert_string_equal(f.checked.taken, "'web' already runs on beta");
	assert_int_equal(f.checked.features[1], 0); /* those of an HVM guest */
}

/* ---- in use ---------------------------------------------------------------------------------- */

static void mounts_are_found_by_their_number(void **state)
{
	static const char text[] =
		"22 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n"
		"27 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n"
		"88 27 8:17 /sub /mnt/old rw - xfs /dev/sdb1 rw\n"
		"half a line";
	char where[DISKREP_HELD_MAX];

	assert_true(diskrep_identity_mounted(text, makedev(8, 17), where));
	assert_string_equal(where, "/mnt/old");
	assert_true(diskrep_identity_mounted(text, makedev(253, 0), where));
	assert_string_equal(where, "/");
	assert_false(diskrep_identity_mounted(text, makedev(8, 1), where));
	assert_false(diskrep_identity_mounted(text, makedev(17, 8), where));
	assert_false(diskrep_identity_mounted("", makedev(8, 17), where));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_says_what_it_needs),
		TEST(what_is_against_it_is_told),
		TEST(the_resource_is_told),
		TEST(volumes_need_not_agree_with_the_configuration),
		TEST(disks_are_covered_by_volumes),
		TEST(disks_are_told_apart_by_their_content),
		TEST(the_last_byte_counts),
		TEST(a_question_may_be_anything),
		TEST(what_has_its_name_is_told),
		TEST(mounts_are_found_by_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
