/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operator's socket of failover/control.c, with the answers of failover/status.c. The first
 * byte of an input is the size of the pieces in which it arrives, 0: all at once. The rest is what
 * a client sends, and beside that what a worker has said last of the domain "db".
 */
#include <stdbool.h>

#include "failover/control.c" /* client_new() */
#include "tests/fuzz/fuzz.h"

unsigned long fuzz_accepted;

static struct failover_config config = {.host = "alpha", .transport = "plain"};
static struct failover fo = {.config = &config};
static struct failover_domain db = {.fo = &fo, .record.name = "db"};
static struct failover_control control = {.fo = &fo};
static struct failover_client *kept;
static unsigned int asked;

struct failover_domain *failover_domain_by_name(struct failover *f, const char *name)
{
	return strcmp(name, db.record.name) == 0 ? &db : NULL;
}

bool failover_peer_alive(const struct failover_peer *p)
{
	return true;
}

bool failover_peer_silent(const struct failover_peer *p)
{
	return false;
}

/* Says again what it was asked for, in the words of the one who asked. */
static void refuse(struct failover_client *client, const char *name)
{
	char text[128];

	asked++;
	FUZZ_EXPECT(name);
	snprintf(text, sizeof(text), "%s cannot be protected from here now: it is idle", name);
	failover_client_exit(client, EXIT_CODE_WRONG_STATE, text);
}

void failover_domain_protect(
	struct failover *f, struct failover_client *client, const char *name, const char *host)
{
	FUZZ_EXPECT(host);
	refuse(client, name);
}

void failover_domain_migrate(struct failover *f, struct failover_client *client, const char *name,
	const char *host, const struct failover_wishes *w)
{
	FUZZ_EXPECT(host);
	FUZZ_EXPECT(!(w->protect && w->no_protect));
	refuse(client, name);
}

const struct failover_copy failover_move_default = {.max_rounds = 1};

void failover_domain_cancel(struct failover *f, struct failover_client *client, const char *name)
{
	refuse(client, name);
}

void failover_check_first(struct failover *f, struct failover_client *client, const char *name,
	const char *host, const struct failover_wishes *wishes, failover_check_then *then)
{
	FUZZ_EXPECT(host);
	then(f, client, name, host, wishes);
}

bool failover_check_call_off(struct failover *f, const char *name, failover_check_then *then)
{
	FUZZ_EXPECT(name && then);
	return name[0] == 'd';
}

void failover_check(
	struct failover *f, struct failover_client *client, const char *name, const char *host)
{
	FUZZ_EXPECT(host);
	refuse(client, name);
}

/* Answered later, if whoever asked is still there. */
void failover_domain_unprotect(struct failover *f, struct failover_client *client, const char *name)
{
	asked++;
	FUZZ_EXPECT(name);
	failover_client_keep(client, &kept);
}

void failover_domain_failover(struct failover *f, struct failover_client *client, const char *name)
{
	refuse(client, name);
}

void failover_drill(struct failover *f, struct failover_client *client, const char *name, bool look)
{
	refuse(client, name);
}

void failover_drill_note(struct failover *f, struct failover_client *client, const json_t *drill)
{
	FUZZ_EXPECT(json_is_object(drill));
	failover_client_exit(client, EXIT_CODE_OK, NULL);
}

void failover_drill_list(struct failover *f, struct failover_client *client, const char *name)
{
	failover_client_exit(client, EXIT_CODE_OK, NULL);
}

void failover_peer_confirm_dead(
	struct failover *f, struct failover_client *client, const char *host)
{
	refuse(client, host);
}

static void settle(void)
{
	while (sd_event_run(fo.event, 0) > 0)
		;
}

/* Lines of JSON, of which the last, and only that one, has an exit code. */
static void expect_answer(int fd, bool follows)
{
	static char text[1 << 20];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	char *line = text, *end;
	bool last = false;

	FUZZ_EXPECT(n > 0 && text[n - 1] == '\n');
	for (; line < text + n; line = end + 1) {
		json_t *j;

		end = memchr(line, '\n', (size_t)(text + n - line));
		j = json_loadb(line, (size_t)(end - line), 0, NULL);
		FUZZ_EXPECT(json_is_object(j) && !last);
		last = json_is_integer(json_object_get(j, "exit"));
		fuzz_accepted +=
			last && json_integer_value(json_object_get(j, "exit")) != EXIT_CODE_USAGE;
		json_decref(j);
	}
	FUZZ_EXPECT(last != follows);
}

static void send_all(int fd, const uint8_t *data, size_t n, size_t piece)
{
	for (size_t at = 0; at < n; at += piece) {
		if (piece > n - at)
			piece = n - at;
		if (send(fd, data + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return; /* it was given up */
		settle();
	}
}

static struct failover_client *connect_client(int *ret_fd)
{
	int fd[2];

	FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) == 0);
	*ret_fd = fd[1];
	client_new(&control, fd[0]);
	FUZZ_EXPECT(control.clients && control.n == 1);
	return control.clients;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size ? memchr(data + 1, '\n', size - 1) : NULL;
	const bool complete = newline && newline - data - 1 < MAX_REQUEST - 1;
	struct failover_client *c;
	int fd;

	if (!size || size > 2 * MAX_REQUEST)
		return 0;
	if (!fo.event)
		FUZZ_EXPECT(sd_event_new(&fo.event) == 0);
	fo.domains = &db;
	fo.events.host = "alpha";
	snprintf(db.why, sizeof(db.why), "%.*s", (int)(size - 1), (const char *)data + 1);
	failover_event(&fo.events, "db", "failed", "%s", db.why);
	asked = 0;
	c = connect_client(&fd);
	send_all(fd, data + 1, size - 1, data[0] ? data[0] : size - 1);
	if (kept) {
		fuzz_accepted++;
		failover_client_exit(kept, EXIT_CODE_OK, NULL);
		settle();
	} else if (complete) {
		bool follows = control.n && c->follows;

		expect_answer(fd, follows);
		/* Unless it follows the events it is not kept for ever. */
		FUZZ_EXPECT(control.n == follows);
	}
	FUZZ_EXPECT(!kept && asked <= 1);
	close(fd);
	settle();
	FUZZ_EXPECT(control.n == 0 && !control.clients);
	failover_events_clear(&fo.events);
	fo.events.last = 0;
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
#define E4 "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
#define E16 E4 E4 E4 E4
	static const char nul[] = "\0\0{\"command\": \"version\"}\n";
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-protect", "\x40{\"command\": \"protect\", \"domain\": \"db\", \"host\": "
				 "\"beta\"}\n"},
		{"good-unprotect", "\x07{\"command\": \"unprotect\", \"domain\": \"db\"}\n"},
		{"good-migrate", "\x40{\"command\": \"migrate\", \"domain\": \"db\", \"host\": "
				 "\"beta\", \"protect\": false}\n"},
		{"good-check", "\x40{\"command\": \"check\", \"domain\": \"db\", \"host\": "
			       "\"beta\"}\n"},
		{"good-failover", "\x40{\"command\": \"failover\", \"domain\": \"db\"}\n"},
		{"good-confirm", "\x40{\"command\": \"confirm-dead\", \"host\": \"beta\"}\n"},
		{"good-status", "\x40{\"command\": \"status\"}\n"},
		{"good-status-domain", "\x40{\"command\": \"status\", \"domain\": \"db\"}\n"},
		{"follow", "\x40{\"command\": \"events\", \"follow\": true}\n"},
		{"good-events", "\x40{\"command\": \"events\"}\n"},
		{"good-version", "\x01{\"command\": \"version\"}\n"},
		{"good-cut-in-a-letter",
			"\x40{\"command\": \"status\", \"domain\": \"x" E16 E16 E16 E16 "\"}\n"},
		{"good-cut-in-a-name",
			"\x40{\"command\": \"failover\", \"domain\": \"x" E16 E16 E16 E16 "\"}\n"},
		{"no-text", "\x40\xff\xfe{\"command\": \"status\"}\n"},
		{"no-command", "\x40{\"command\": \"shell\"}\n"},
		{"wrong-types", "\x40{\"command\": \"protect\", \"domain\": 1, \"host\": []}\n"},
		{"unended", "\x40{\"command\": \"status\"}"},
		{"empty-line", "\x40\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
	put("zero", nul, sizeof(nul) - 1);
}
