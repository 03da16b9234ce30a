/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker may say to the undo store: the parsers of diskrep/control.h, and what the store's
 * end of the socket does with a message. An input is '0', '1' or '2', how the store takes it (well,
 * no such boundary, overflow), then one message.
 */
#include <stdbool.h>
#include <sys/socket.h>

#include "diskrep/undo_control.c" /* on_worker() */
#include "tests/fuzz/fuzz.h"

#define ANSWER_BYTES 555

unsigned long fuzz_accepted;

/* What the store was told. */
static struct {
	int calls, stops, r;
	enum diskrep_control_verb verb;
	struct diskrep_marker expected;
	uint64_t epoch;
	char path[PATH_MAX];
} told;
static struct diskrep_control_status status;
static struct diskrep_undo_store store;
static struct diskrep_undo_control control = {
	.store = &store, .lock = PTHREAD_MUTEX_INITIALIZER, .worker = -1};

void diskrep_undo_store_expect(struct diskrep_undo_store *s, const struct diskrep_marker *expected)
{
	told.calls++;
	told.verb = DISKREP_CONTROL_EXPECT;
	told.expected = *expected;
	diskrep_undo_control_news(&control, "ok");
}

int diskrep_undo_store_commit(struct diskrep_undo_store *s, uint64_t epoch)
{
	told.calls++;
	told.verb = DISKREP_CONTROL_COMMIT;
	told.epoch = epoch;
	return told.r;
}

int diskrep_undo_store_dump(struct diskrep_undo_store *s, uint64_t epoch, const char *path,
	uint64_t *ret_bytes, struct why *why)
{
	told.calls++;
	told.verb = DISKREP_CONTROL_DUMP;
	told.epoch = epoch;
	snprintf(told.path, sizeof(told.path), "%s", path);
	*ret_bytes = ANSWER_BYTES;
	return told.r ? why_set(why, told.r, "cannot write %s", path) : 0;
}

int diskrep_undo_store_snapshot(
	struct diskrep_undo_store *s, uint64_t epoch, const char *dir, struct why *why)
{
	told.calls++;
	told.verb = DISKREP_CONTROL_SNAPSHOT;
	told.epoch = epoch;
	snprintf(told.path, sizeof(told.path), "%s", dir);
	return told.r ? why_set(why, told.r, "no snapshot in %s", dir) : 0;
}

void diskrep_undo_store_release(struct diskrep_undo_store *s)
{
	told.calls++;
	told.verb = DISKREP_CONTROL_RELEASE;
}

void diskrep_undo_store_info(struct diskrep_undo_store *s, struct diskrep_undo_info *ret)
{
	told.calls++;
	told.verb = DISKREP_CONTROL_STATUS;
	*ret = status.undo;
}

void diskrep_undo_store_order(struct diskrep_undo_store *s, struct diskrep_order_count *ret)
{
	*ret = status.order;
}

static void on_stop(void)
{
	told.stops++;
}

static bool same_status(
	const struct diskrep_control_status *a, const struct diskrep_control_status *b)
{
	const struct diskrep_undo_info *u = &a->undo, *v = &b->undo;

	return u->state == v->state && u->oldest == v->oldest && u->newest == v->newest &&
	       u->used == v->used && u->largest == v->largest && u->limit == v->limit &&
	       u->locked == v->locked && !memcmp(&a->order, &b->order, sizeof(a->order));
}

static bool same_request(
	const struct diskrep_control_request *a, const struct diskrep_control_request *b)
{
	return a->verb == b->verb && a->epoch == b->epoch && strcmp(a->path, b->path) == 0 &&
	       memcmp(a->expected.uuid, b->expected.uuid, 16) == 0 &&
	       a->expected.nonce == b->expected.nonce &&
	       a->expected.generation == b->expected.generation;
}

static size_t print_request(const struct diskrep_control_request *q, char *ret, size_t size)
{
	const unsigned long long epoch = q->epoch;
	char uuid[DISKREP_UUID_TEXT];

	switch (q->verb) {
	case DISKREP_CONTROL_EXPECT:
		diskrep_uuid_print(q->expected.uuid, uuid);
		return (size_t)snprintf(ret, size, "expect %s %llu %llu", uuid,
			(unsigned long long)q->expected.nonce,
			(unsigned long long)q->expected.generation);
	case DISKREP_CONTROL_COMMIT:
		return (size_t)snprintf(ret, size, "commit %llu", epoch);
	case DISKREP_CONTROL_DUMP:
		return (size_t)snprintf(ret, size, "dump %llu %s", epoch, q->path);
	case DISKREP_CONTROL_SNAPSHOT:
		return (size_t)snprintf(ret, size, "snapshot %llu %s", epoch, q->path);
	case DISKREP_CONTROL_RELEASE:
		return (size_t)snprintf(ret, size, "release");
	case DISKREP_CONTROL_STATUS:
		return (size_t)snprintf(ret, size, "status");
	case DISKREP_CONTROL_STOP:
		return (size_t)snprintf(ret, size, "stop");
	}
	FUZZ_EXPECT(!"a verb that there is");
	return 0;
}

/* Within the limits that control.h gives, and the same when it is said again. */
static void expect_sound(const struct diskrep_control_request *q)
{
	struct diskrep_control_request again;
	char line[DISKREP_CONTROL_MAX + 64];
	size_t n = print_request(q, line, sizeof(line));
	const bool path = q->verb == DISKREP_CONTROL_DUMP || q->verb == DISKREP_CONTROL_SNAPSHOT;

	FUZZ_EXPECT(n <= DISKREP_CONTROL_MAX);
	FUZZ_EXPECT(diskrep_control_parse(line, n, &again) == 0 && same_request(q, &again));
	FUZZ_EXPECT((path || q->verb == DISKREP_CONTROL_COMMIT) == (q->epoch > 0));
	FUZZ_EXPECT((q->verb == DISKREP_CONTROL_EXPECT) == (q->expected.nonce > 0));
	FUZZ_EXPECT(path == (q->path[0] == '/'));
	for (const char *p = q->path; *p; p++)
		FUZZ_EXPECT((unsigned char)*p >= ' ' && *p != 0x7f);
}

static bool judge_parser(const uint8_t *line, size_t n, struct diskrep_control_request *ret)
{
	CLEANUP_FREE char *exact = fuzz_copy(line, n);
	const struct diskrep_control_request untouched = {.epoch = 42, .path = "x"};
	int r;

	*ret = untouched;
	r = diskrep_control_parse(exact, n, ret);
	FUZZ_EXPECT(r == 0 || (r == -EINVAL && same_request(ret, &untouched)));
	if (r)
		return false;
	FUZZ_EXPECT(n <= DISKREP_CONTROL_MAX && !memchr(line, '\0', n));
	expect_sound(ret);
	return true;
}

/* The worker's reading of an answer to status: stable, and in memory of its own size. */
static void judge_status(const uint8_t *text, size_t n)
{
	CLEANUP_FREE char *exact = malloc(n + 1);
	struct diskrep_control_status got, again;
	char line[DISKREP_CONTROL_STATUS_MAX];

	FUZZ_EXPECT(exact);
	memcpy(exact, text, n);
	exact[n] = '\0';
	if (diskrep_control_parse_status(exact, &got))
		return;
	FUZZ_EXPECT(got.undo.state <= DISKREP_UNDO_OVERFLOW);
	diskrep_control_print_status(&got, line, sizeof(line));
	FUZZ_EXPECT(diskrep_control_parse_status(line, &again) == 0 && same_status(&got, &again));
}

static void expect_answer(const char *answer, const struct diskrep_control_request *q)
{
	struct diskrep_control_status got;
	uint64_t bytes;

	if (q->verb == DISKREP_CONTROL_STATUS) {
		FUZZ_EXPECT(strncmp(answer, "ok ", 3) == 0);
		FUZZ_EXPECT(diskrep_control_parse_status(answer + 3, &got) == 0);
		FUZZ_EXPECT(same_status(&got, &status));
	} else if (told.r && told.calls && q->verb != DISKREP_CONTROL_EXPECT &&
		   q->verb != DISKREP_CONTROL_RELEASE) {
		FUZZ_EXPECT(strncmp(answer, "failed ", 7) == 0 && answer[7]);
	} else if (q->verb == DISKREP_CONTROL_DUMP) {
		FUZZ_EXPECT(strncmp(answer, "ok ", 3) == 0);
		FUZZ_EXPECT(diskrep_control_number(answer + 3, &bytes) == 0);
		FUZZ_EXPECT(bytes == ANSWER_BYTES);
	} else {
		FUZZ_EXPECT(strcmp(answer, "ok") == 0);
	}
}

/* @q NULL: nothing of the message may reach the store. */
static void expect_told(const struct diskrep_control_request *q)
{
	const bool stop = q && q->verb == DISKREP_CONTROL_STOP;

	FUZZ_EXPECT(told.stops == stop && told.calls == (q && !stop));
	if (!told.calls)
		return;
	FUZZ_EXPECT(told.verb == q->verb && told.epoch == q->epoch);
	FUZZ_EXPECT(strcmp(told.path, q->path) == 0);
	FUZZ_EXPECT(memcmp(told.expected.uuid, q->expected.uuid, 16) == 0);
	FUZZ_EXPECT(told.expected.nonce == q->expected.nonce);
	FUZZ_EXPECT(told.expected.generation == q->expected.generation);
}

/* One answer to each message, whatever it is, and none more. */
static void judge_socket(const uint8_t *line, size_t n, const struct diskrep_control_request *q)
{
	char answer[2 * WHY_MAX];
	ssize_t length;
	int fd[2];

	FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0);
	FUZZ_EXPECT(send(fd[1], line, n, MSG_NOSIGNAL) == (ssize_t)n);
	control.worker = fd[0];
	control.on_stop = on_stop;
	on_worker(&control, false);
	FUZZ_EXPECT(control.worker == fd[0]);
	length = recv(fd[1], answer, sizeof(answer) - 1, MSG_DONTWAIT);
	FUZZ_EXPECT(length > 0 && length <= DISKREP_CONTROL_MAX);
	answer[length] = '\0';
	FUZZ_EXPECT(recv(fd[1], answer + length, 1, MSG_DONTWAIT) < 0);
	answer[length] = '\0';
	expect_told(q);
	if (q)
		expect_answer(answer, q);
	else
		FUZZ_EXPECT(strcmp(answer, "failed not a request of this store") == 0);
	replace_worker(&control, -1);
	close(fd[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int outcomes[] = {0, -EINVAL, -ENOSPC};
	struct diskrep_control_request q;
	bool good;

	if (!size || size > 3 * DISKREP_CONTROL_MAX)
		return 0;
	memset(&told, 0, sizeof(told));
	told.r = outcomes[data[0] % 3];
	status.undo = (struct diskrep_undo_info){.state = (enum diskrep_undo_state)(data[0] % 3),
		.oldest = size,
		.newest = UINT64_MAX,
		.used = 4096 * size,
		.largest = 8192 * size,
		.limit = UINT64_MAX - size,
		.locked = size % 2};
	status.order = (struct diskrep_order_count){
		.probes = (uint32_t)size, .all = 42, .violations = data[0]};
	good = judge_parser(data + 1, size - 1, &q);
	judge_status(data + 1, size - 1);
	judge_socket(data + 1, size - 1, good ? &q : NULL);
	fuzz_accepted += good;
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-expect", "0expect deadbeef-0102-0304-0506-0708090a0b0c 123 4"},
		{"good-commit", "0commit 12"},
		{"good-commit-refused", "1commit 18446744073709551615"},
		{"good-dump", "0dump 7 /var/lib/a list"},
		{"good-dump-refused", "2dump 7 /a"},
		{"good-status", "1status"},
		{"good-stop", "0stop"},
		{"answer-to-status",
			"0saving 3 18446744073709551615 8192 16384 65536 1 5 5 0 5 6 1"},
		{"too-large", "0commit 18446744073709551616"},
		{"empty", "0"},
	};
	char longest[1 + DISKREP_CONTROL_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "0dump 1 /", 9);
	put("good-longest-path", longest, 1 + 7 + PATH_MAX - 1);
	put("too-long", longest, sizeof(longest));
}
