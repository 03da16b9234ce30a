/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers of etcd's JSON gateway, as failover/etcd.h reads them. The first byte says what was
 * asked; what follows is the answer, or, for 'E' and 'D', the value of the key in an answer around
 * it.
 */
#include <jansson.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "failover/etcd.h"
#include "tests/fuzz/fuzz.h"

unsigned long fuzz_accepted;

#define KEY "L3JvbXVsdXMvMTIzNDU2NzgtOWFiYy1kZWYwLTEyMzQtNTY3ODlhYmNkZWYwLzc="

static const struct failover_etcd_entry entry = {
	.domain = "db",
	.uuid = "12345678-9abc-def0-1234-56789abcdef0",
	.generation = 7,
	.owner = "alpha",
	.word = FAILOVER_DECISION_SOLO,
};

/* Six bits at a time. */
static char *wrap(const uint8_t *value, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	CLEANUP_FREE char *text = calloc(1, n * 2 + 8);
	char *reply = NULL;
	size_t length = 0;

	FUZZ_EXPECT(text);
	for (; length < (n * 8 + 5) / 6; length++) {
		const size_t at = length * 6 / 8, shift = length * 6 % 8;
		const unsigned int two =
			(unsigned int)value[at] << 8 | (at + 1 < n ? value[at + 1] : 0);

		text[length] = digits[two >> (10 - shift) & 63];
	}
	while (length % 4)
		text[length++] = '=';
	FUZZ_EXPECT(asprintf(&reply,
			    "{\"header\":{},\"responses\":[{\"response_range\":{\"kvs\":[{\"key\":"
			    "\"" KEY "\",\"value\":\"%s\"}]}}]}",
			    text) >= 0);
	return reply;
}

/* What a value says, read by members instead of as a whole. */
static void expect_said(
	const uint8_t *value, size_t size, const struct failover_etcd_answer *answer)
{
	json_t *j = json_loadb((const char *)value, size, 0, NULL);
	const char *owner = json_string_value(json_object_get(j, "owner"));
	const char *word = json_string_value(json_object_get(j, "word"));
	const char *state = json_string_value(json_object_get(j, "state"));

	FUZZ_EXPECT(owner && word && state && strcmp(owner, answer->name) == 0);
	FUZZ_EXPECT(answer->owner ==
		    (strcmp(owner, "alpha") == 0 ? FAILOVER_ETCD_OURS : FAILOVER_ETCD_THEIRS));
	FUZZ_EXPECT(strcmp(word, "solo") == 0 ||
		    (strcmp(word, "takeover") == 0 && answer->owner == FAILOVER_ETCD_THEIRS));
	FUZZ_EXPECT(strcmp(state, answer->decided ? "decided" : "claimed") == 0);
	json_decref(j);
}

/* An entry of ours is one that was put, or one that is shown. */
static void expect_sound(const char *reply, size_t size, enum failover_etcd_operation operation,
	const struct failover_etcd_answer *answer)
{
	json_t *j = json_loadb(reply, size, 0, NULL);
	const json_t *response = json_array_get(json_object_get(j, "responses"), 0);
	const bool put = json_object_get(response, "response_put") &&
			 json_is_true(json_object_get(j, "succeeded"));
	const json_t *range = json_object_get(response, "response_range");

	FUZZ_EXPECT(json_object_get(j, "header"));
	FUZZ_EXPECT(memchr(answer->name, '\0', sizeof(answer->name)));
	switch (answer->owner) {
	case FAILOVER_ETCD_OURS:
		FUZZ_EXPECT(put || json_array_size(json_object_get(range, "kvs")) == 1);
		FUZZ_EXPECT(strcmp(answer->name, "alpha") == 0);
		break;
	case FAILOVER_ETCD_THEIRS:
		FUZZ_EXPECT(!put && json_array_size(json_object_get(range, "kvs")) == 1);
		FUZZ_EXPECT(failover_name_valid(answer->name));
		break;
	case FAILOVER_ETCD_NOBODY:
		FUZZ_EXPECT(operation != FAILOVER_ETCD_ENTER && !answer->name[0]);
		break;
	}
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct failover_etcd_answer untouched = {.name = "nobody's"};
	const bool value = size && (data[0] == 'E' || data[0] == 'D');
	struct failover_etcd_answer answer = untouched;
	enum failover_etcd_operation operation;
	CLEANUP_FREE char *reply = NULL;
	struct why why = {""};
	size_t n;

	if (size == 0 || !strchr("edpED", data[0]) || !data[0])
		return 0;
	operation = data[0] == 'p'                     ? FAILOVER_ETCD_PROBE
		    : data[0] == 'd' || data[0] == 'D' ? FAILOVER_ETCD_DECIDE
						       : FAILOVER_ETCD_ENTER;
	reply = value ? wrap(data + 1, size - 1) : fuzz_copy(data + 1, size - 1);
	n = value ? strlen(reply) : size - 1;
	if (failover_etcd_reply("/romulus", &entry, operation, 200, reply, n, &answer, &why) < 0) {
		FUZZ_EXPECT(why.text[0] && memcmp(&answer, &untouched, sizeof(answer)) == 0);
		FUZZ_EXPECT(failover_etcd_reply("/romulus", &entry, operation, 503, reply, n,
				    &answer, &why) < 0);
		return 0;
	}
	fuzz_accepted++;
	FUZZ_EXPECT(n <= FAILOVER_ETCD_REPLY_MAX);
	if (operation != FAILOVER_ETCD_PROBE)
		expect_sound(reply, n, operation, &answer);
	if (value)
		expect_said(data + 1, size - 1, &answer);
	return 0;
}

#define PUT                                                                                        \
	"{\"header\":{\"revision\":\"9\"},\"succeeded\":true,\"responses\":[{\"response_put\":{}}" \
	"]}"
#define RANGE(pairs) "{\"header\":{},\"responses\":[{\"response_range\":{\"kvs\":[" pairs "]}}]}"
#define VALUE(owner, word, state)                                                                  \
	"{\"owner\":\"" owner "\",\"word\":\"" word "\",\"state\":\"" state "\",\"domain\":"       \
	"\"db\"}"

void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-put", "e" PUT},
		{"good-decided", "d" PUT},
		{"good-nobody", "d" RANGE("")},
		{"good-probe", "p{\"header\":{\"revision\":\"9\"}}"},
		{"good-ours", "E" VALUE("alpha", "solo", "claimed")},
		{"good-theirs", "E" VALUE("beta", "takeover", "claimed")},
		{"good-theirs-decided", "D" VALUE("beta", "takeover", "decided")},
		{"other-role", "E" VALUE("alpha", "takeover", "claimed")},
		{"no-such-state", "E" VALUE("beta", "takeover", "perhaps")},
		{"no-pair", "e" RANGE("")},
		{"two-pairs", "e" RANGE("{},{}")},
		{"bad-base64", "e" RANGE("{\"key\":\"" KEY "\",\"value\":\"e30\"}")},
		{"other-key", "e" RANGE("{\"key\":\"L3JvbXVsdXM=\",\"value\":\"e30=\"}")},
		{"error", "e{\"error\":\"etcdserver: no leader\",\"code\":14}"},
		{"page", "e<html>"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
