/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of etcd, and that only its very own answer to that grants anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "failover/etcd.h"

#define UUID "12345678-9abc-def0-1234-56789abcdef0"
/* /romulus/UUID/7 */
#define KEY "L3JvbXVsdXMvMTIzNDU2NzgtOWFiYy1kZWYwLTEyMzQtNTY3ODlhYmNkZWYwLzc="
#define PUT                                                                                        \
	"{\"header\":{\"revision\":\"9\"},\"succeeded\":true,\"responses\":[{\"response_put\":{"   \
	"\"header\":{\"revision\":\"9\"}}}]}"
#define PAIR(key, value) "{\"key\":\"" key "\",\"create_revision\":\"3\",\"value\":\"" value "\"}"
#define RANGE(pairs)                                                                               \
	"{\"header\":{},\"responses\":[{\"response_range\":{\"kvs\":[" pairs "],\"count\":\"1\"}}" \
	"]}"

static const struct failover_etcd_entry alpha = {
	.domain = "db",
	.uuid = UUID,
	.generation = 7,
	.owner = "alpha",
	.word = FAILOVER_DECISION_SOLO,
};

/* The value that @request would put, or compares with: decoded here by another hand. */
static char *decoded(const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = calloc(1, strlen(text) + 1);
	unsigned int bits = 0, held = 0;
	size_t n = 0;

	for (; *text && *text != '='; text++) {
		bits = bits << 6 | (unsigned int)(strchr(digits, *text) - digits);
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		out[n++] = (char)(bits >> held & 0xff);
	}
	return out;
}

static const char *string_at(json_t *j, const char *member, const char *operation, const char *key)
{
	json_t *o = json_array_get(json_object_get(j, member), 0);

	if (operation)
		o = json_object_get(o, operation);
	return json_string_value(json_object_get(o, key));
}

static void expect_put(
	enum failover_etcd_operation operation, bool decided, const char *target, const char *value)
{
	struct failover_etcd_entry entry = alpha;
	CLEANUP_FREE char *text = NULL, *put = NULL;
	json_t *j;

	entry.decided = decided;
	text = failover_etcd_request("/romulus", &entry, operation);
	j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_string_equal(string_at(j, "compare", NULL, "key"), KEY);
	assert_string_equal(string_at(j, "compare", NULL, "target"), target);
	assert_string_equal(string_at(j, "compare", NULL, "result"), "EQUAL");
	assert_string_equal(string_at(j, "success", "request_put", "key"), KEY);
	assert_string_equal(string_at(j, "failure", "request_range", "key"), KEY);
	put = decoded(string_at(j, "success", "request_put", "value"));
	assert_string_equal(put, value);
	if (operation == FAILOVER_ETCD_ENTER)
		assert_string_equal(string_at(j, "compare", NULL, "create_revision"), "0");
	json_decref(j);
}

static void an_entry_is_made_once_and_decided_by_its_owner(void **state)
{
	static const char claim[] =
		"{\"owner\":\"alpha\",\"word\":\"solo\",\"state\":\"claimed\",\"domain\":\"db\"}";
	static const char decision[] =
		"{\"owner\":\"alpha\",\"word\":\"solo\",\"state\":\"decided\",\"domain\":\"db\"}";
	CLEANUP_FREE char *text = failover_etcd_request("/romulus", &alpha, FAILOVER_ETCD_DECIDE);
	CLEANUP_FREE char *before = NULL;
	json_t *j = json_loads(text, 0, NULL);

	expect_put(FAILOVER_ETCD_ENTER, false, "CREATE", claim);
	expect_put(FAILOVER_ETCD_ENTER, true, "CREATE", decision);
	expect_put(FAILOVER_ETCD_DECIDE, false, "VALUE", decision);
	before = decoded(string_at(j, "compare", NULL, "value"));
	assert_string_equal(before, claim);
	json_decref(j);
}

static char *encoded(const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const size_t n = strlen(text);
	char *out = calloc(1, n * 2 + 8);

	for (size_t i = 0; i < (n * 8 + 5) / 6; i++) { /* six bits at a time */
		const size_t at = i * 6 / 8, shift = i * 6 % 8;
		const unsigned int two = (unsigned int)(unsigned char)text[at] << 8 |
					 (at + 1 < n ? (unsigned char)text[at + 1] : 0);

		out[i] = digits[two >> (10 - shift) & 63];
	}
	while (strlen(out) % 4)
		strcat(out, "=");
	return out;
}

/* The answer to alpha's question when the key has @value. */
static int answer_with(enum failover_etcd_operation operation, const char *value,
	struct failover_etcd_answer *ret, struct why *why)
{
	CLEANUP_FREE char *value64 = encoded(value);
	char text[2048];

	snprintf(text, sizeof(text), RANGE(PAIR(KEY, "%s")), value64);
	return failover_etcd_reply(
		"/romulus", &alpha, operation, 200, text, strlen(text), ret, why);
}

#define VALUE(owner, word, state)                                                                  \
	"{\"owner\":\"" owner "\",\"word\":\"" word "\",\"state\":\"" state "\",\"domain\":"       \
	"\"db\"}"

static void whose_entry_it_is(void **state)
{
	static const struct {
		const char *value;
		enum failover_etcd_owner owner;
		bool decided;
	} cases[] = {
		{VALUE("alpha", "solo", "claimed"), FAILOVER_ETCD_OURS, false},
		{VALUE("alpha", "solo", "decided"), FAILOVER_ETCD_OURS, true},
		{VALUE("beta", "takeover", "claimed"), FAILOVER_ETCD_THEIRS, false},
		{VALUE("beta", "takeover", "decided"), FAILOVER_ETCD_THEIRS, true},
	};
	struct failover_etcd_answer answer;
	struct why why = {""};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (answer_with(FAILOVER_ETCD_ENTER, cases[i].value, &answer, &why) < 0)
			fail_msg("%s: %s", cases[i].value, why.text);
		assert_int_equal(answer.owner, cases[i].owner);
		assert_int_equal(answer.decided, cases[i].decided);
	}
	assert_string_equal(answer.name, "beta");
	assert_int_equal(failover_etcd_reply("/romulus", &alpha, FAILOVER_ETCD_ENTER, 200, PUT,
				 strlen(PUT), &answer, &why),
		0);
	assert_int_equal(answer.owner, FAILOVER_ETCD_OURS);
	assert_false(answer.decided);
	assert_int_equal(failover_etcd_reply("/romulus", &alpha, FAILOVER_ETCD_DECIDE, 200, PUT,
				 strlen(PUT), &answer, &why),
		0);
	assert_true(answer.decided);
	assert_int_equal(failover_etcd_reply("/romulus", &alpha, FAILOVER_ETCD_DECIDE, 200,
				 RANGE(""), strlen(RANGE("")), &answer, &why),
		0);
	assert_int_equal(answer.owner, FAILOVER_ETCD_NOBODY);
}

static void nothing_else_grants(void **state)
{
	static const struct {
		const char *text;
		long status;
		const char *expect;
	} cases[] = {
		{"", 200, "not that of etcd"},
		{"<html>", 200, "not that of etcd"},
		{PUT "x", 200, "not that of etcd"},
		{"{\"succeeded\":true}", 200, "not that of etcd"},
		{"{\"header\":{},\"succeeded\":true}", 200, "transaction"},
		{"{\"header\":{},\"succeeded\":1,\"responses\":[{\"response_put\":{}}]}", 200,
			"transaction"},
		{"{\"header\":{},\"responses\":[{\"response_put\":{}}]}", 200, "transaction"},
		{"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{}}]}", 200,
			"transaction"},
		{RANGE(""), 200, "no value"},
		{RANGE("{},{}"), 200, "no value"},
		{RANGE(PAIR("L3JvbXVsdXM=", "e30=")), 200, "another key"},
		{RANGE(PAIR(KEY "====", "e30=")), 200, "another key"},
		{RANGE(PAIR(KEY, "e30=")), 200, "somebody else"},
		{RANGE(PAIR(KEY, "e3")), 200, "somebody else"},
		{RANGE(PAIR(KEY, "")), 200, "somebody else"},
		{PUT, 503, "503"},
		{"{\"error\":\"etcdserver: no leader\",\"message\":\"no\\u0007leader\"}", 503,
			"no?leader"},
	};
	static const char *const values[] = {
		VALUE("alpha", "takeover", "claimed"), /* one role in a generation */
		VALUE("alpha", "left", "claimed"),
		VALUE("alpha", "solo", "perhaps"),
		VALUE("../x", "solo", "claimed"),
		VALUE("", "solo", "claimed"),
		VALUE("alpha", "solo", "claimed") "{}",
		"[]",
	};
	struct failover_etcd_answer answer = {.owner = FAILOVER_ETCD_THEIRS};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct why why = {""};

		if (failover_etcd_reply("/romulus", &alpha, FAILOVER_ETCD_ENTER, cases[i].status,
			    cases[i].text, strlen(cases[i].text), &answer, &why) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(why.text, cases[i].expect))
			fail_msg("%s: %s", cases[i].text, why.text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct why why = {""};

		if (answer_with(FAILOVER_ETCD_ENTER, values[i], &answer, &why) == 0)
			fail_msg("accepted: %s", values[i]);
	}
	assert_int_equal(answer.owner, FAILOVER_ETCD_THEIRS); /* untouched */
}

static uint64_t cluster_in(const char *text)
{
	struct failover_etcd_answer answer = {.cluster = 1};
	struct why why;

	assert_int_equal(failover_etcd_reply("/romulus", &alpha, FAILOVER_ETCD_PROBE, 200, text,
				 strlen(text), &answer, &why),
		0);
	return answer.cluster;
}

static void it_says_which_cluster_it_is(void **state)
{
	assert_true(cluster_in("{\"header\":{\"cluster_id\":\"14841639068965178418\"}}") ==
		    UINT64_C(14841639068965178418));
	assert_true(cluster_in("{\"header\":{}}") == 0);
	assert_true(cluster_in("{\"header\":{\"cluster_id\":[7]}}") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_made_once_and_decided_by_its_owner),
		cmocka_unit_test(whose_entry_it_is),
		cmocka_unit_test(nothing_else_grants),
		cmocka_unit_test(it_says_which_cluster_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
