/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instance of a drill, as libxl's configuration has it: the domain's, but with a name and a
 * uuid of its own, its interfaces on bridges that lead nowhere, its disks those of the snapshot,
 * and nothing that starts it again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "netbuf/bubble.h"
#include "replicator/drill.h"

/* What it would share with this host, or with the instance that a takeover starts. */
static const char *const shared[] = {
	"p9s", "channels", "vfbs", "vkbs", "usbctrls", "usbdevs", "pvcallsifs", "vsnds", "vdispls"};

static const char *const endings[] = {
	"on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"};

/* @seen: the bridges so far, whose places say which one is meant. */
static int move_nic(json_t *nic, json_t *seen, const char *bubble_uuid, struct why *why)
{
	const json_t *bridge = json_object_get(nic, "bridge"), *before;
	const char *name = json_is_string(bridge) ? json_string_value(bridge) : "";
	char bubble[IFNAMSIZ];
	size_t i;

	json_array_foreach (seen, i, before)
		if (strcmp(json_string_value(before), name) == 0)
			break;
	if (i == NETBUF_BUBBLE_MAX)
		return why_set(why, -E2BIG, "it uses more than %u bridges", NETBUF_BUBBLE_MAX);
	if (i == json_array_size(seen))
		json_array_append_new(seen, json_string(name));
	netbuf_bubble_name(bubble_uuid, (unsigned int)i, bubble);
	json_object_set_new(nic, "bridge", json_string(bubble));
	json_object_del(nic, "ifname");
	json_object_del(nic, "script"); /* of a network that it does not see */
	json_object_del(nic, "gatewaydev");
	return 0;
}

/* What the domain cannot write, and the resource does not have, it may share with the instance. */
static int move_disk(json_t *disk, const struct diskrep_drill *disks, struct why *why)
{
	const json_t *path = json_object_get(disk, "pdev_path");
	const json_t *writes = json_object_get(disk, "readwrite");
	const char *text = json_is_string(path) ? json_string_value(path) : "";
	const char *device = diskrep_drill_device(disks, text);

	if (!device && (json_is_true(writes) || json_integer_value(writes) != 0) && text[0])
		return why_set(why, -EOPNOTSUPP,
			"its disk %.100s is not on its DRBD resource: there is no snapshot of it",
			text);
	if (!device)
		return 0;
	json_object_set_new(disk, "pdev_path", json_string(device));
	json_object_del(disk, "script");
	return 0;
}

char *drill_domain(
	const struct drill *d, const char *config_json, unsigned int *ret_bridges, struct why *why)
{
	json_t *config = json_loads(config_json, 0, NULL), *seen = json_array(), *nic, *disk;
	json_t *info = json_object_get(config, "c_info");
	char *text = NULL;
	size_t i;
	int r = 0;

	if (!json_is_object(info) || !seen)
		r = why_set(why, -EBADMSG, "its configuration is not libxl's");
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		json_object_del(config, shared[i]);
	json_object_set_new(info, "name", json_string(d->name));
	json_object_set_new(info, "uuid", json_string(d->uuid));
	json_array_foreach (json_object_get(config, "nics"), i, nic)
		r = r ? r : move_nic(nic, seen, d->worker.uuid, why);
	json_array_foreach (json_object_get(config, "disks"), i, disk)
		r = r ? r : move_disk(disk, &d->disks, why);
	for (i = 0; i < ARRAY_SIZE(endings); i++)
		json_object_set_new(config, endings[i], json_string("destroy"));
	*ret_bridges = (unsigned int)json_array_size(seen);
	if (!r)
		text = json_dumps(config, 0);
	json_decref(seen);
	json_decref(config);
	return text;
}
