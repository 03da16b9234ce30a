/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of commands: it dispatches, checks the arguments and prints every usage text. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"

struct command {
	const char *name;
	const char *synopsis; /* what follows the name; a word in brackets is optional */
	const char *summary;
	const char *flags; /* letters of the options that it takes besides -s and -h */
	int min, max;      /* number of positional arguments */
	int (*run)(struct cli *cli, const struct command *c);
};

struct flag {
	char letter;
	const char *name, *argument, *summary;
	const char *key;                                         /* of the request */
	enum { OWN, SAYS_YES, SAYS_NO, NUMBER, MEGABYTES } says; /* OWN: it is none of its */
};

static const struct flag flags[] = {
	{'s', "socket", "PATH", "control socket of romulusd (" CLI_SOCKET ")", NULL, OWN},
	{'j', "json", NULL, "print JSON instead of lines for a person", NULL, OWN},
	{'p', "protect", NULL, "protect it in the other direction afterwards", "protect", SAYS_YES},
	{'n', "no-protect", NULL, "do not, though it is protected now", "protect", SAYS_NO},
	{'k', "no-check", NULL, "do not look first whether it can work: see romulus check", "check",
		SAYS_NO},
	{'r', "max-rounds", "N", "after so many rounds of copying the next is the last",
		"max-rounds", NUMBER},
	{'t', "dirty-threshold", "PAGES", "fewer pages than that are not worth a round",
		"dirty-threshold", NUMBER},
	{'d', "max-downtime", "MS", "the last round may begin when this is enough for the rest",
		"max-downtime", NUMBER},
	{'b', "bandwidth", "MB/S", "no more than that for the copy", "bandwidth", MEGABYTES},
	{'l', "no-live", NULL, "the guest stands still while it is copied", "live", SAYS_NO},
	{'o', "planned", NULL, "move the guest itself here instead, look at it, and move it back",
		NULL, OWN},
	{'f', "follow", NULL, "go on printing events as they happen", "follow", SAYS_YES},
	{'h', "help", NULL, "this text; after a command: that command only", NULL, OWN},
	{'V', "version", NULL, "version of this tool", NULL, OWN},
};

/* ---- what a reply line says ------------------------------------------------------------------ */

struct view {
	const char *domain;   /* status, events: this one only */
	bool found;           /* status: it was there */
	bool bar;             /* a progress bar stands on the terminal's last line */
	uint64_t previous_ns; /* time of the last event shown */
};

static void show_progress(struct cli *cli, struct view *view, const json_t *progress)
{
	char line[512];

	cli_progress_format(line, sizeof(line), cli->terminal ? cli->columns - 1 : 0, progress);
	fprintf(cli->out, cli->terminal ? "\r\033[K%s" : "%s\n", line);
	view->bar = cli->terminal;
}

static void show_event(struct cli *cli, struct view *view, const json_t *event)
{
	if (view->domain && strcmp(cli_text(event, "domain"), view->domain) != 0)
		return;
	if (cli->json) {
		json_dumpf(event, cli->out, JSON_COMPACT);
		fputc('\n', cli->out);
	} else {
		cli_event_line(cli->out, event, view->previous_ns);
	}
	view->previous_ns = (uint64_t)json_integer_value(json_object_get(event, "wall_ns"));
}

static void show_status(struct cli *cli, struct view *view, const json_t *status)
{
	json_t *kept = json_copy((json_t *)status), *domains = json_array(), *d;
	size_t i;

	json_array_foreach (json_object_get(status, "domains"), i, d)
		if (!view->domain || strcmp(cli_text(d, "name"), view->domain) == 0 ||
			strcmp(cli_text(d, "uuid"), view->domain) == 0)
			json_array_append(domains, d);
	view->found = json_array_size(domains) > 0;
	json_object_set_new(kept, "domains", domains);
	if (cli->json) {
		json_dumpf(kept, cli->out, JSON_INDENT(2));
		fputc('\n', cli->out);
	} else if (!view->domain) {
		cli_status_print(cli->out, kept);
	} else if (view->found) {
		cli_status_line(cli->out, json_array_get(domains, 0));
		fputc('\n', cli->out);
	}
	json_decref(kept);
}

static void show_check(struct cli *cli, struct view *view, const json_t *check)
{
	if (!cli->json) {
		cli_check_print(cli->out, check);
		return;
	}
	json_dumpf(check, cli->out, JSON_INDENT(2));
	fputc('\n', cli->out);
}

static void show_note(struct cli *cli, struct view *view, const json_t *note)
{
	if (view->bar)
		fputs("\r\033[K", cli->out);
	view->bar = false;
	fprintf(cli->out, "%s\n", json_string_value(note));
}

static void show_drill(struct cli *cli, struct view *view, const json_t *drill)
{
	if (cli->json) {
		json_dumpf(drill, cli->out, JSON_COMPACT);
		fputc('\n', cli->out);
		return;
	}
	cli_drill_line(cli->out, drill);
}

static void show_version(struct cli *cli, struct view *view, const json_t *version)
{
	fprintf(cli->out, "romulusd %s, protocol %u\n", cli_text(version, "romulus"),
		(unsigned int)cli_number(version, "protocol"));
}

static const struct {
	const char *key;
	json_type type;
	void (*show)(struct cli *cli, struct view *view, const json_t *value);
} replies[] = {
	{"progress", JSON_OBJECT, show_progress},
	{"event", JSON_OBJECT, show_event},
	{"status", JSON_OBJECT, show_status},
	{"check", JSON_OBJECT, show_check},
	{"note", JSON_STRING, show_note},
	{"drill", JSON_OBJECT, show_drill},
	{"version", JSON_OBJECT, show_version},
};

static void end_bar(struct cli *cli, struct view *view)
{
	if (view->bar)
		fputc('\n', cli->out);
	view->bar = false;
	fflush(cli->out);
}

static bool show(struct cli *cli, const json_t *reply, void *data)
{
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		const json_t *value = json_object_get(reply, replies[i].key);

		if (!value)
			continue;
		if (json_typeof(value) != replies[i].type)
			return false;
		replies[i].show(cli, data, value);
		return true;
	}
	return true; /* a newer daemon may say more than we know */
}

/* ---- the commands ---------------------------------------------------------------------------- */

static int call_shown(struct cli *cli, const json_t *request, struct view *view)
{
	int code = cli_call(cli, request, show, view);

	end_bar(cli, view);
	return code;
}

int cli_call_shown(struct cli *cli, const json_t *request)
{
	return call_shown(cli, request, &(struct view){0});
}

/* @domain, @host: NULL where the command has none. */
static int call_about(struct cli *cli, const struct command *c, struct view *view,
	const char *domain, const char *host)
{
	json_t *request =
		json_pack("{s:s,s:s*,s:s*}", "command", c->name, "domain", domain, "host", host);
	int code;

	if (!request) {
		fprintf(cli->err, "romulus: the arguments must be UTF-8\n");
		return EXIT_CODE_USAGE;
	}
	json_object_update(request, cli->wishes);
	code = call_shown(cli, request, view);
	json_decref(request);
	return code;
}

static int call(struct cli *cli, const struct command *c, struct view *view)
{
	return call_about(cli, c, view, cli->argument[0], cli->argument[1]);
}

static int run_confirm_dead(struct cli *cli, const struct command *c)
{
	struct view view = {0};

	return call_about(cli, c, &view, NULL, cli->argument[0]);
}

static int run_call(struct cli *cli, const struct command *c)
{
	struct view view = {0};

	return call(cli, c, &view);
}

static int run_drill(struct cli *cli, const struct command *c)
{
	return cli->planned ? cli_drill_planned(cli, cli->argument[0]) : run_call(cli, c);
}

static int run_events(struct cli *cli, const struct command *c)
{
	struct view view = {.domain = cli->argument[0]};

	return call(cli, c, &view);
}

static int run_protect(struct cli *cli, const struct command *c)
{
	struct view view = {0};
	int code = call(cli, c, &view);

	if (code == EXIT_CODE_OK)
		fprintf(cli->out, "%s is protected, its backup is %s\n", cli->argument[0],
			cli->argument[1]);
	return code;
}

static int run_migrate(struct cli *cli, const struct command *c)
{
	struct view view = {0};
	int code = call(cli, c, &view);

	if (code == EXIT_CODE_OK)
		fprintf(cli->out,
			"%s runs on %s now; `romulus status` there says whether it is protected\n",
			cli->argument[0], cli->argument[1]);
	return code;
}

static int run_status(struct cli *cli, const struct command *c)
{
	struct view view = {.domain = cli->argument[0]};
	int code = call(cli, c, &view);

	if (code != EXIT_CODE_OK || !view.domain || view.found)
		return code;
	fprintf(cli->err,
		"romulus: romulusd has no domain %s under protection: "
		"`romulus status` lists all\n",
		view.domain);
	return EXIT_CODE_UNKNOWN;
}

/* The daemon's version beside ours, when one runs; that none does is no failure here. */
static int run_version(struct cli *cli, const struct command *c)
{
	struct view view = {0};
	FILE *err = cli->err;
	CLEANUP_FCLOSE FILE *nowhere = fopen("/dev/null", "w");

	fprintf(cli->out, "romulus %s\n", ROMULUS_VERSION);
	if (nowhere)
		cli->err = nowhere;
	if (call(cli, c, &view) != EXIT_CODE_OK)
		fprintf(cli->out, "romulusd does not answer on %s\n", cli->socket);
	cli->err = err;
	return EXIT_CODE_OK;
}

/* The daemon's own parser is the only one that knows the configuration: run it. */
static int become_romulusd(struct cli *cli, char **argv)
{
	argv[0] = "romulusd";
	fflush(NULL);
	execvp(argv[0], argv);
	execv("/usr/sbin/romulusd", argv); /* not in the path of an ordinary user */
	fprintf(cli->err, "romulus: cannot run romulusd to read the configuration: %s\n",
		strerror(errno));
	return EXIT_CODE_FAILED;
}

/* check-config, timeouts: romulusd has an option of that name. */
static int run_about_config(struct cli *cli, const struct command *c)
{
	char option[32];
	char *argv[] = {NULL, option, "-c",
		(char *)(cli->argument[0] ? cli->argument[0]
					  : ROMULUS_SYSCONFDIR "/romulus/romulus.conf"),
		NULL};

	snprintf(option, sizeof(option), "--%s", c->name);
	return become_romulusd(cli, argv);
}

/* Only without a verb: otherwise cli_run has passed all on as it is, options too. */
static int run_disk(struct cli *cli, const struct command *c)
{
	return become_romulusd(cli, (char *[]){NULL, "--disk", NULL});
}

/* A verb of romulus-save, which prints its usage. */
static int run_save(struct cli *cli, const struct command *c)
{
	return become_romulusd(cli, (char *[]){NULL, "--save", (char *)c->name, NULL});
}

static int run_pki(struct cli *cli, const struct command *c)
{
	return become_romulusd(cli, (char *[]){NULL, "--pki", NULL});
}

static const struct command commands[] = {
	{"protect", "DOMAIN HOST", "replicate a running domain to HOST and keep doing so", "k", 2,
		2, run_protect},
	{"unprotect", "DOMAIN", "end the protection; the domain runs on unharmed", "", 1, 1,
		run_call},
	{"migrate", "DOMAIN HOST", "move a running domain to HOST, its backup if it has one",
		"pnkrtdbl", 2, 2, run_migrate},
	{"cancel", "DOMAIN", "call its move off: it stays where it is", "", 1, 1, run_call},
	{"check", "DOMAIN HOST",
		"can it be protected on HOST or moved there: a line for each check; changes "
		"nothing",
		"j", 2, 2, run_call},
	{"status", "[DOMAIN]", "protected or not, why not, role, peer, age of the last commit", "j",
		0, 1, run_status},
	{"events", "[DOMAIN]", "what happened, oldest first", "jf", 0, 1, run_events},
	{"failover", "DOMAIN", "grant this host the domain: say it only when the peer is off", "",
		1, 1, run_call},
	{"drill", "DOMAIN", "rehearse its takeover on its backup, this host; nothing else notices",
		"o", 1, 1, run_drill},
	{"drills", "[DOMAIN]", "the drills that there were on this host, oldest first", "j", 0, 1,
		run_call},
	{"confirm-dead", "HOST", "HOST is off, I have made sure: what waits for it may go on", "",
		1, 1, run_confirm_dead},
	{"disk", "VERB DOMAIN", "prepare, check, up, down, status: the replication of its disks",
		"", 0, 0, run_disk},
	{"save", "DOMAIN FILE", "write a running domain to FILE; --checkpoint: and let it run on",
		"", 0, 0, run_save},
	{"restore", "FILE", "make a domain of FILE and let it run; FILE stays as it is", "", 0, 0,
		run_save},
	{"resume", "DOMAIN", "let a guest that a killed save has left suspended run on", "", 0, 0,
		run_save},
	{"pki", "VERB", "init, join HOST, show: the certificates that the hosts know each other by",
		"", 0, 0, run_pki},
	{"version", "", "versions of this tool and of the daemon", "", 0, 0, run_version},
	{"check-config", "[FILE]", "check a configuration file without using it", "", 0, 1,
		run_about_config},
	{"timeouts", "[FILE]", "all times that follow from a configuration file", "", 0, 1,
		run_about_config},
};

/* ---- usage and dispatch ---------------------------------------------------------------------- */

static const struct flag *flag_find(int letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].letter == letter)
			return &flags[i];
	return NULL;
}

static void synopsis(FILE *out, const struct command *c)
{
	fprintf(out, "romulus %s", c->name);
	for (const char *f = c->flags; *f; f++) {
		const struct flag *flag = flag_find(*f);

		fprintf(out, " [--%s%s%s]", flag->name, flag->argument ? " " : "",
			flag->argument ? flag->argument : "");
	}
	fprintf(out, "%s%s\n", c->synopsis[0] ? " " : "", c->synopsis);
}

static void help(FILE *out, const struct command *only)
{
	if (only) {
		fputs("usage: ", out);
		synopsis(out, only);
		fprintf(out, "%s\n", only->summary);
	} else {
		fputs("usage: romulus [-s PATH] COMMAND [ARGUMENT...]\n\n", out);
		for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
			fprintf(out, "  %-12s %-12s %s\n", commands[i].name, commands[i].synopsis,
				commands[i].summary);
	}
	fputc('\n', out);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		char text[32];

		if (only && !strchr("sh", flags[i].letter) && !strchr(only->flags, flags[i].letter))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", flags[i].name,
			flags[i].argument ? " " : "", flags[i].argument ? flags[i].argument : "");
		fprintf(out, "  -%c, %-23s %s\n", flags[i].letter, text, flags[i].summary);
	}
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int usage_error(struct cli *cli, const struct command *c, const char *what, const char *on)
{
	fprintf(cli->err, "romulus%s%s: %s%s%s\n", c ? " " : "", c ? c->name : "", what,
		on ? " " : "", on ? on : "");
	fputs(c ? "usage: "
		: "usage: romulus [-s PATH] COMMAND [ARGUMENT...]; "
		  "`romulus --help` lists the commands\n",
		cli->err);
	if (c)
		synopsis(cli->err, c);
	return EXIT_CODE_USAGE;
}

static int stray_option(struct cli *cli, const struct command *c, const struct flag *flag)
{
	char option[32];

	snprintf(option, sizeof(option), "--%s", flag->name);
	return usage_error(cli, c, "does not take the option", option);
}

static int check_arguments(struct cli *cli, const struct command *c, int n, char **argv)
{
	if (n < c->min)
		return usage_error(cli, c, "too few arguments", NULL);
	if (n > c->max)
		return usage_error(cli, c, "unexpected argument", argv[c->max]);
	for (int i = 0; i < n; i++) {
		if (!argv[i][0])
			return usage_error(cli, c, "an argument is empty", NULL);
		cli->argument[i] = argv[i];
	}
	return EXIT_CODE_OK;
}

/* False: @text is no number that it takes. */
static bool wish(struct cli *cli, const struct flag *flag, const char *text)
{
	const bool counts = flag->says == NUMBER || flag->says == MEGABYTES;
	unsigned long n = 0;
	char *end = "";

	if (counts)
		n = strtoul(text, &end, 10);
	if (counts && (!text[0] || !isdigit((unsigned char)text[0]) || *end || n > INT32_MAX))
		return false;
	json_object_set_new(cli->wishes, flag->key,
		counts ? json_integer((json_int_t)n * (flag->says == MEGABYTES ? 1000000 : 1))
		       : json_boolean(flag->says == SAYS_YES));
	return true;
}

static bool is_of_save(const char *word)
{
	const struct command *c = command_find(word);

	return c && c->run == run_save;
}

/* `romulus save ...` as `romulusd --save save ...`. */
static int pass_on(struct cli *cli, int argc, char **argv)
{
	CLEANUP_FREE char **words = calloc((size_t)argc + 2, sizeof(*words));

	if (!words)
		return EXIT_CODE_FAILED;
	words[1] = "--save";
	memcpy(words + 2, argv + 1, (size_t)argc * sizeof(*words)); /* with the NULL behind */
	return become_romulusd(cli, words);
}

static int parse_and_run(struct cli *cli, int argc, char **argv)
{
	struct option options[ARRAY_SIZE(flags) + 1] = {0};
	char given[ARRAY_SIZE(flags) + 1] = "";
	const struct command *c;
	int letter, code;

	if (argc > 2 && strcmp(argv[1], "disk") == 0) {
		argv[1] = "--disk";
		return become_romulusd(cli, argv);
	}
	if (argc > 2 && strcmp(argv[1], "pki") == 0) {
		argv[1] = "--pki";
		return become_romulusd(cli, argv);
	}
	if (argc > 2 && is_of_save(argv[1]))
		return pass_on(cli, argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		options[i] = (struct option){flags[i].name,
			flags[i].argument ? required_argument : no_argument, NULL, flags[i].letter};
	cli->socket = CLI_SOCKET;
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":s:jpnkr:t:d:b:lofhV", options, NULL)) != -1) {
		if (letter == '?' || letter == ':')
			return usage_error(cli, NULL,
				letter == ':' ? "an argument is missing after" : "unknown option",
				argv[optind - 1]);
		if (!strchr(given, letter))
			given[strlen(given)] = (char)letter;
		if (letter == 's')
			cli->socket = optarg;
		if (flag_find(letter)->key && !wish(cli, flag_find(letter), optarg))
			return usage_error(cli, NULL, "no number:", optarg);
	}
	if (strchr(given, 'V')) {
		fprintf(cli->out, "romulus %s\n", ROMULUS_VERSION);
		return EXIT_CODE_OK;
	}
	c = optind < argc ? command_find(argv[optind]) : NULL;
	if (optind < argc && !c)
		return usage_error(cli, NULL, "no such command:", argv[optind]);
	if (strchr(given, 'h')) {
		help(cli->out, c);
		return EXIT_CODE_OK;
	}
	if (!c)
		return usage_error(cli, NULL, "no command", NULL);
	for (const char *g = given; *g; g++)
		if (*g != 's' && !strchr(c->flags, *g))
			return stray_option(cli, c, flag_find(*g));
	cli->json = strchr(given, 'j') != NULL;
	cli->planned = strchr(given, 'o') != NULL;
	code = check_arguments(cli, c, argc - optind - 1, argv + optind + 1);
	return code == EXIT_CODE_OK ? c->run(cli, c) : code;
}

int cli_run(struct cli *cli, int argc, char **argv)
{
	int code;

	cli->wishes = json_object();
	code = parse_and_run(cli, argc, argv);
	json_decref(cli->wishes);
	return code;
}
