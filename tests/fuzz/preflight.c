/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer says of itself, as failover/preflight.c judges it for a guest that needs a little of
 * everything. An input is the payload of a Checked frame.
 */
#include <stdbool.h>
#include <string.h>

#include "common/text.h"
#include "failover/preflight.h"
#include "tests/fuzz/fuzz.h"

unsigned long fuzz_accepted;

static uint32_t features[] = {3, 1};
static char bridge_name[] = "xenbr0", path[] = "/srv/cd.iso", word[] = "db", version[] = "4.17";
static char arbiter[] = "fence";
static char *bridges[] = {bridge_name};
static Romulus__CheckDisk disk[2], *disks[] = {&disk[0], &disk[1]};
static Romulus__CheckVolume volume, *volumes[] = {&volume};
static Romulus__CheckResource resource;
static Romulus__CheckBridge bridge, *present[] = {&bridge};
static Romulus__Check guest;
static Romulus__Checked good;

static void build(void)
{
	romulus__check_disk__init(&disk[0]);
	romulus__check_disk__init(&disk[1]);
	disk[0].writable = disk[0].covered = true;
	disk[1].path = path;
	disk[1].found = true;
	romulus__check_volume__init(&volume);
	volume.good = volume.peer_good = volume.generation = 1;
	romulus__check_resource__init(&resource);
	resource.name = word;
	resource.configured = resource.up = resource.connected = true;
	resource.volumes = volumes;
	resource.n_volumes = 1;
	romulus__check_bridge__init(&bridge);
	bridge.name = bridge_name;
	bridge.present = bridge.heard = true;
	romulus__check__init(&guest);
	guest.domain = word;
	guest.memory_kb = 1024;
	guest.features = features;
	guest.n_features = 2;
	guest.bridges = bridges;
	guest.n_bridges = 1;
	guest.disks = disks;
	guest.n_disks = 2;
	guest.feature_suspend = true;
	romulus__checked__init(&good);
	good.hypervisor = version;
	good.free_kb = good.dom0_kb = UINT64_C(1) << 20;
	good.space = UINT64_C(1) << 30;
	good.features = features;
	good.n_features = 2;
	good.bridges = present;
	good.n_bridges = 1;
	good.disks = &disks[1];
	good.n_disks = 1;
	good.resource = &resource;
	good.arbiter = arbiter;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failover_check_row rows[FAILOVER_CHECKS];
	struct failover_preflight p = {
		.host = "alpha", .peer = "beta", .guest = &guest, .here = &good};
	Romulus__Checked *there;
	size_t fails = 0, n;

	build();
	there = (Romulus__Checked *)proto_unpack(PROTO_CHECKED, data, size);
	if (!there)
		return 0;
	p.there = there;
	p.ahead_ns = (int64_t)there->wall_ns;
	n = failover_preflight(&p, rows);
	for (size_t i = 0; i < FAILOVER_CHECKS; i++) {
		FUZZ_EXPECT(rows[i].found[0] && text_valid(rows[i].found));
		FUZZ_EXPECT(text_valid(rows[i].todo));
		FUZZ_EXPECT(!rows[i].todo[0] == (rows[i].result == FAILOVER_PASS));
		fails += rows[i].result == FAILOVER_FAIL;
	}
	FUZZ_EXPECT(n == fails);
	fuzz_accepted += !fails;
	romulus__checked__free_unpacked(there, NULL);
	return 0;
}

static void seed(fuzz_put *put, const char *name, const Romulus__Checked *m)
{
	uint8_t packed[1024];

	FUZZ_EXPECT(romulus__checked__get_packed_size(m) <= sizeof(packed));
	put(name, packed, romulus__checked__pack(m, packed));
}

void fuzz_seeds(fuzz_put *put)
{
	build();
	seed(put, "good-host", &good);
	good.standby = true;
	good.free_kb = 0;
	good.undo_limit = UINT64_MAX;
	seed(put, "good-standby", &good);
	good.resource = NULL;
	good.n_bridges = good.n_disks = good.n_features = 0;
	good.taken = good.autostart = word;
	good.wall_ns = UINT64_C(1) << 63;
	seed(put, "nothing-there", &good);
}
