/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `romulus drill --planned`: the guest itself is moved to this host, its backup, looked at, and
 * moved back; each step is a command that an operator could give, and what there is to undo is to
 * give the last two. So one that is broken off goes back first.
 */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/why.h"

#define LOOK_US 500000
#define TRIES 3
#define PROTECTED_NS (3600 * NSEC_PER_SEC) /* a copy of all the guest, of its disks perhaps */

struct rehearsal {
	struct cli *cli;
	const char *domain;
	char here[64], there[64], state[32];
	json_t *phases;
	const char *result, *why;
};

static volatile sig_atomic_t broken_off;

static void on_signal(int signal)
{
	broken_off = 1;
}

/* What is under way goes on, though nobody may be there any more to read of it. */
static void defer_signals(struct cli *cli)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	cli->goes_on = true;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static bool take_status(struct cli *cli, const json_t *reply, void *data)
{
	const json_t *status = json_object_get(reply, "status"), *d;
	struct rehearsal *r = data;
	size_t i;

	r->state[0] = '\0';
	snprintf(r->here, sizeof(r->here), "%s", cli_text(status, "host"));
	json_array_foreach (json_object_get(status, "domains"), i, d) {
		if (strcmp(cli_text(d, "name"), r->domain) != 0)
			continue;
		snprintf(r->state, sizeof(r->state), "%s", cli_text(d, "state"));
		snprintf(r->there, sizeof(r->there), "%s", cli_text(d, "peer"));
	}
	return status;
}

static int look(struct rehearsal *r)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "status", "domain", r->domain);
	int code = cli_call(r->cli, request, take_status, r);

	json_decref(request);
	return code;
}

static bool is_one_of(const char *state, const char *const list[])
{
	while (*list && strcmp(*list, state) != 0)
		list++;
	return *list;
}

/* @ends: states that it does not come from. */
static int await(struct rehearsal *r, const char *state, const char *const ends[])
{
	const uint64_t until = clock_now_ns() + PROTECTED_NS;
	int code;

	while ((code = look(r)) == EXIT_CODE_OK && strcmp(r->state, state) != 0) {
		if (is_one_of(r->state, ends) || clock_now_ns() > until)
			return EXIT_CODE_FAILED;
		usleep(LOOK_US);
	}
	return code;
}

static const char *const unprotected[] = {
	"broken", "stuck", "idle", "vacant", "leaving", "released", NULL};

static int is_protected(struct rehearsal *r)
{
	fprintf(r->cli->out, "it is being protected by %s\n", r->there);
	fflush(r->cli->out);
	return await(r, "protected", unprotected);
}

static int is_protected_again(struct rehearsal *r)
{
	/* The other host may have let go of it twice before it has it for good. */
	static const char *const ends[] = {"taken-over", "broken", "stuck", NULL};

	fprintf(r->cli->out, "it is back, and being protected by %s\n", r->here);
	fflush(r->cli->out);
	return await(r, "ready", ends);
}

static int ask(struct rehearsal *r, json_t *request)
{
	int code = cli_call_shown(r->cli, request);

	json_decref(request);
	return code;
}

static int move(struct rehearsal *r, const char *host)
{
	return ask(r, json_pack("{s:s, s:s, s:s}", "command", "migrate", "domain", r->domain,
			      "host", host));
}

/* Whatever was said: it may have come all the same. */
static int move_here(struct rehearsal *r)
{
	static const char *const here[] = {
		"taken-over", "checking", "preparing", "syncing", "protected", NULL};
	int code = move(r, r->here);

	if (code != EXIT_CODE_OK && look(r) == EXIT_CODE_OK && is_one_of(r->state, here))
		return EXIT_CODE_OK;
	return code;
}

/* Its protection may be interrupted just then. */
static int move_back(struct rehearsal *r)
{
	int code = EXIT_CODE_FAILED;

	for (unsigned int i = 0; i < TRIES && code != EXIT_CODE_OK; i++) {
		code = await(r, "protected", unprotected);
		if (code == EXIT_CODE_OK)
			code = move(r, r->there);
	}
	return code;
}

static int check(struct rehearsal *r)
{
	return ask(r,
		json_pack("{s:s, s:s, s:b}", "command", "drill", "domain", r->domain, "look", 1));
}

/* In turn; with a check that fails, or one that is left out, it goes back all the same. */
static const struct step {
	const char *name;
	int (*run)(struct rehearsal *r);
	const char *failed; /* what that means */
	bool check;
} steps[] = {
	{"switchover", move_here, "it was not moved here", false},
	{"protected", is_protected, "it runs here and is not protected: see `romulus status`",
		false},
	{"check", check, "its check has failed: see `romulus events`", true},
	{"failback", move_back, "it could not be moved back, and runs here: `romulus migrate` does",
		false},
	{"protected again", is_protected_again,
		"it is back, and not protected: see `romulus status` there", false},
};

static int run_step(struct rehearsal *r, const struct step *step)
{
	const uint64_t began = clock_now_ns();
	int code;

	if (step->check && broken_off) {
		r->result = "broken off";
		return EXIT_CODE_OK;
	}
	code = step->run(r);
	json_object_set_new(r->phases, step->name,
		json_integer((json_int_t)((clock_now_ns() - began) / NSEC_PER_MSEC)));
	if (code != EXIT_CODE_OK) {
		r->result = "failed";
		r->why = step->failed;
	}
	return step->check ? EXIT_CODE_OK : code;
}

static void note(struct rehearsal *r, uint64_t began_ns)
{
	json_t *drill = json_pack("{s:I, s:s, s:s, s:s, s:b, s:O}", "began_ns",
		(json_int_t)began_ns, "domain", r->domain, "result", r->result, "why", r->why,
		"planned", 1, "phases_ms", r->phases);
	json_t *request = json_pack("{s:s, s:O}", "command", "note-drill", "drill", drill);

	cli_drill_line(r->cli->out, drill);
	fflush(r->cli->out);
	ask(r, request);
	json_decref(drill);
}

int cli_drill_planned(struct cli *cli, const char *domain)
{
	struct rehearsal r = {.cli = cli, .domain = domain, .result = "passed", .why = ""};
	const uint64_t began_ns = clock_wall_ns();
	int code = look(&r);

	if (code != EXIT_CODE_OK)
		return code;
	if (strcmp(r.state, "ready") != 0) {
		fprintf(cli->err,
			"romulus: %s is %s on %s: a planned drill is begun on its backup, when "
			"that "
			"is ready\n",
			domain, r.state, r.here);
		return EXIT_CODE_WRONG_STATE;
	}
	r.phases = json_object();
	defer_signals(cli);
	for (size_t i = 0; code == EXIT_CODE_OK && i < ARRAY_SIZE(steps); i++)
		code = run_step(&r, &steps[i]);
	note(&r, began_ns);
	json_decref(r.phases);
	return strcmp(r.result, "passed") == 0 ? EXIT_CODE_OK : code ? code : EXIT_CODE_FAILED;
}
