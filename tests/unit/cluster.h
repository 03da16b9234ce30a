/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clusters of test hosts, with certificates made as `romulus pki` makes them. After cmocka.h. */
#ifndef TESTS_UNIT_CLUSTER_H
#define TESTS_UNIT_CLUSTER_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "proto/identity.h"
#include "proto/pki.h"

#define DAYS(n) ((time_t)(n)*24 * 3600)

struct cluster {
	char *ca, *ca_key, *heartbeat;
};

static inline struct cluster cluster_new(void)
{
	struct cluster c;

	assert_int_equal(proto_pki_make_key(&c.ca_key, NULL), 0);
	assert_int_equal(
		proto_pki_make_ca(c.ca_key, "alpha", proto_pki_ten_years(time(NULL)), &c.ca, NULL),
		0);
	assert_int_equal(proto_pki_make_heartbeat_key(&c.heartbeat, NULL), 0);
	return c;
}

static inline void cluster_free(struct cluster *c)
{
	free(c->ca);
	free(c->ca_key);
	free(c->heartbeat);
}

/* Write the files of @host into @dir, an existing folder. */
static inline void cluster_write(const struct cluster *c, const char *dir, const char *host,
	struct proto_pki_validity validity)
{
	CLEANUP_FREE char *key = NULL, *request = NULL, *certificate = NULL;

	assert_int_equal(proto_pki_make_key(&key, NULL), 0);
	assert_int_equal(proto_pki_make_request(key, host, &request, NULL), 0);
	assert_int_equal(
		proto_pki_issue(c->ca, c->ca_key, request, host, validity, &certificate, NULL), 0);
	assert_int_equal(proto_pki_write(dir, PROTO_FILE_CA, c->ca, NULL), 0);
	assert_int_equal(proto_pki_write(dir, PROTO_FILE_HOST, certificate, NULL), 0);
	assert_int_equal(proto_pki_write(dir, PROTO_FILE_HOST_KEY, key, NULL), 0);
	assert_int_equal(proto_pki_write(dir, PROTO_FILE_HEARTBEAT, c->heartbeat, NULL), 0);
}

static inline void cluster_remove(const char *dir)
{
	static const char *const names[] = {PROTO_FILE_CA, PROTO_FILE_CA_KEY, PROTO_FILE_HOST,
		PROTO_FILE_HOST_KEY, PROTO_FILE_HEARTBEAT};
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static inline struct proto_identity *cluster_host(
	const struct cluster *c, const char *host, time_t from, time_t until)
{
	char dir[] = "/tmp/romulus-pki-XXXXXX";
	struct proto_identity *id = NULL;
	time_t now = time(NULL);
	struct why why = {""};

	assert_non_null(mkdtemp(dir));
	cluster_write(c, dir, host,
		(struct proto_pki_validity){.from = now + from, .until = now + until});
	if (proto_identity_load(dir, host, &id, &why) < 0)
		fail_msg("%s", why.text);
	cluster_remove(dir);
	return id;
}

#endif
