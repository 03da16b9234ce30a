/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to etcd's JSON gateway and their answers. The gateway is protobuf in JSON: bytes are
 * base64, 64-bit numbers are strings, and members that have their default are left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "failover/etcd.h"

#define VALUE_MAX 4096u

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encode(const char *text)
{
	const uint8_t *in = (const uint8_t *)text;
	size_t n = strlen(text);
	char *out = malloc((n + 2) / 3 * 4 + 1), *p = out;

	for (size_t i = 0; out && i < n; i += 3) {
		const size_t left = n - i;
		const uint32_t v = (uint32_t)in[i] << 16 |
				   (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
				   (left > 2 ? in[i + 2] : 0);

		*p++ = digits[v >> 18];
		*p++ = digits[v >> 12 & 63];
		*p++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*p++ = left > 2 ? digits[v & 63] : '=';
	}
	if (out)
		*p = '\0';
	return out;
}

/* NULL when it is not what encode() writes for a text, or too long. */
static char *decode(const char *text)
{
	const size_t n = strlen(text);
	const size_t pad = n && text[n - 1] == '=' ? 1 + (n > 1 && text[n - 2] == '=') : 0;
	char *out = n % 4 == 0 && n <= VALUE_MAX ? malloc(n / 4 * 3 + 1) : NULL;
	CLEANUP_FREE char *again = NULL;
	size_t length = 0;

	for (size_t i = 0; out && i < n; i += 4) {
		uint32_t v = 0;

		for (size_t k = i; k < i + 4; k++) {
			const char *digit = strchr(digits, text[k]);

			v = v << 6 | (k < n - pad && digit ? (uint32_t)(digit - digits) : 0);
		}
		for (int shift = 16; shift >= 0; shift -= 8)
			out[length++] = (char)(v >> shift & 0xff);
	}
	if (!out)
		return NULL;
	out[length - (length ? pad : 0)] = '\0';
	again = encode(out);
	if (again && strcmp(again, text) == 0)
		return out;
	free(out);
	return NULL;
}

char *failover_etcd_key(const char *prefix, const struct failover_etcd_entry *entry)
{
	char *key = NULL;

	return asprintf(&key, "%s/%s/%" PRIu64, prefix, entry->uuid, entry->generation) < 0 ? NULL
											    : key;
}

/* Compared as bytes by etcd: the same entry is always written in the same way. */
static char *value_of(const struct failover_etcd_entry *entry, bool decided)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "owner", entry->owner, "word",
		failover_decision_name(entry->word), "state", decided ? "decided" : "claimed",
		"domain", entry->domain);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	return text;
}

const char *failover_etcd_path(enum failover_etcd_operation operation)
{
	return operation == FAILOVER_ETCD_PROBE ? "/v3/kv/range" : "/v3/kv/txn";
}

/* Each: NULL without memory, which json_pack hands on. */
static json_t *enter(const char *key, const char *value)
{
	return json_pack("{s:[{s:s, s:s, s:s, s:s}], s:[{s:{s:s, s:s}}], s:[{s:{s:s}}]}", "compare",
		"key", key, "target", "CREATE", "result", "EQUAL", "create_revision", "0",
		"success", "request_put", "key", key, "value", value, "failure", "request_range",
		"key", key);
}

static json_t *decide(const char *key, const char *before, const char *value)
{
	return json_pack("{s:[{s:s, s:s, s:s, s:s}], s:[{s:{s:s, s:s}}], s:[{s:{s:s}}]}", "compare",
		"key", key, "target", "VALUE", "result", "EQUAL", "value", before, "success",
		"request_put", "key", key, "value", value, "failure", "request_range", "key", key);
}

char *failover_etcd_request(const char *prefix, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation)
{
	CLEANUP_FREE char *key = failover_etcd_key(prefix, entry);
	CLEANUP_FREE char *claim = value_of(entry, false);
	CLEANUP_FREE char *decision = value_of(entry, true);
	CLEANUP_FREE char *key64 = key ? encode(key) : NULL;
	CLEANUP_FREE char *claim64 = claim ? encode(claim) : NULL;
	CLEANUP_FREE char *decision64 = decision ? encode(decision) : NULL;
	json_t *j = NULL;
	char *text;

	if (!key64 || !claim64 || !decision64)
		return NULL;
	switch (operation) {
	case FAILOVER_ETCD_ENTER:
		j = enter(key64, entry->decided ? decision64 : claim64);
		break;
	case FAILOVER_ETCD_DECIDE:
		j = decide(key64, claim64, decision64);
		break;
	case FAILOVER_ETCD_PROBE:
		j = json_pack("{s:s, s:b}", "key", key64, "keys_only", 1);
		break;
	}
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return text;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What a stranger says is shown to a person: no control characters, and not too much. */
static int refused(long status, const json_t *j, struct why *why)
{
	const char *text = json_string_value(json_object_get(j, "message"));
	char shown[200];

	if (!text)
		text = json_string_value(json_object_get(j, "error"));
	snprintf(shown, sizeof(shown), "%s", text ? text : "no word of why");
	for (char *p = shown; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return why_set(why, -EPROTO, "HTTP status %ld: %s", status, shown);
}

static bool read_value(const char *text, struct failover_etcd_entry *ret)
{
	const char *owner, *word, *state;
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	bool good = false;

	if (j && json_unpack(j, "{s:s, s:s, s:s}", "owner", &owner, "word", &word, "state",
			 &state) == 0) {
		ret->decided = strcmp(state, "decided") == 0;
		ret->word = strcmp(word, "solo") == 0 ? FAILOVER_DECISION_SOLO
						      : FAILOVER_DECISION_TAKEOVER;
		good = failover_name_valid(owner) &&
		       (ret->decided || strcmp(state, "claimed") == 0) &&
		       strcmp(word, failover_decision_name(ret->word)) == 0;
		if (good)
			snprintf(ret->owner, sizeof(ret->owner), "%s", owner);
	}
	json_decref(j);
	return good;
}

/* The one pair of a range answer; NULL: there is none, or not this one. */
static const json_t *pair_of(const json_t *range)
{
	const json_t *pairs = json_object_get(range, "kvs");

	return json_array_size(pairs) == 1 ? json_array_get(pairs, 0) : NULL;
}

static int read_entry(const char *key, const struct failover_etcd_entry *entry, const json_t *pair,
	struct failover_etcd_answer *ret, struct why *why)
{
	const char *key64 = json_string_value(json_object_get(pair, "key"));
	const char *value64 = json_string_value(json_object_get(pair, "value"));
	CLEANUP_FREE char *there = key64 ? decode(key64) : NULL;
	CLEANUP_FREE char *value = value64 ? decode(value64) : NULL;
	struct failover_etcd_entry found = {.decided = false};

	if (!there || strcmp(there, key) != 0)
		return why_set(why, -EPROTO, "it answers about another key than %s", key);
	if (!value || !read_value(value, &found))
		return why_set(why, -EPROTO,
			"the value of %s is none that Romulus writes: somebody else writes there",
			key);
	ret->owner =
		strcmp(found.owner, entry->owner) == 0 ? FAILOVER_ETCD_OURS : FAILOVER_ETCD_THEIRS;
	if (ret->owner == FAILOVER_ETCD_OURS && found.word != entry->word)
		return why_set(why, -EPROTO,
			"%s says %s for this host, which asks for %s: is host the same in both "
			"configurations?",
			key, failover_decision_name(found.word),
			failover_decision_name(entry->word));
	ret->decided = found.decided;
	snprintf(ret->name, sizeof(ret->name), "%s", found.owner);
	return 0;
}

static int read_transaction(const char *prefix, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation, const json_t *j, struct failover_etcd_answer *ret,
	struct why *why)
{
	const json_t *responses = json_object_get(j, "responses");
	const json_t *response = json_array_get(responses, 0);
	const json_t *range = json_object_get(response, "response_range");
	CLEANUP_FREE char *key = failover_etcd_key(prefix, entry);

	if (!key)
		return why_set(why, -ENOMEM, "no memory for the answer of etcd");
	if (json_is_true(json_object_get(j, "succeeded")) && json_array_size(responses) == 1 &&
		json_is_object(json_object_get(response, "response_put"))) {
		ret->owner = FAILOVER_ETCD_OURS;
		ret->decided = operation == FAILOVER_ETCD_DECIDE || entry->decided;
		snprintf(ret->name, sizeof(ret->name), "%s", entry->owner);
		return 0;
	}
	if (json_is_true(json_object_get(j, "succeeded")) || json_array_size(responses) != 1 ||
		!json_is_object(range))
		return why_set(why, -EPROTO, "its answer is not that of etcd to a transaction");
	if (pair_of(range))
		return read_entry(key, entry, pair_of(range), ret, why);
	if (operation == FAILOVER_ETCD_ENTER || json_array_size(json_object_get(range, "kvs")))
		return why_set(why, -EPROTO, "it says that %s is there, and shows no value", key);
	ret->owner = FAILOVER_ETCD_NOBODY;
	return 0;
}

/* JSON cannot hold 64 bits: etcd writes them as text. */
static uint64_t cluster_of(const json_t *header)
{
	const char *text = json_string_value(json_object_get(header, "cluster_id"));

	return text ? strtoull(text, NULL, 10) : 0;
}

int failover_etcd_reply(const char *prefix, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation, long status, const char *bytes, size_t size,
	struct failover_etcd_answer *ret, struct why *why)
{
	json_t *j = size <= FAILOVER_ETCD_REPLY_MAX
			    ? json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL)
			    : NULL;
	struct failover_etcd_answer answer = {.owner = FAILOVER_ETCD_NOBODY};
	int r = 0;

	if (status != 200)
		r = refused(status, j, why);
	else if (!json_is_object(j) || !json_is_object(json_object_get(j, "header")))
		r = why_set(why, -EPROTO, "its answer is not that of etcd");
	else if (operation != FAILOVER_ETCD_PROBE)
		r = read_transaction(prefix, entry, operation, j, &answer, why);
	if (r == 0)
		answer.cluster = cluster_of(json_object_get(j, "header"));
	json_decref(j);
	if (r == 0)
		*ret = answer;
	return r;
}
