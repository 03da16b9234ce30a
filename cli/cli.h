/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `romulus`, the operator's tool: one request over the daemon's control socket, the answer turned
 * into lines for a person, or handed on as JSON. It decides nothing and touches no domain; a
 * planned drill is several requests.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

struct why;

#define CLI_SOCKET "/run/romulus/control.sock"
#define CLI_LINE_MAX (4u * 1024u * 1024u) /* longest reply line that is believed */

/* What the command line asked for; everything a command may look at. */
struct cli {
	const char *socket;
	const char *argument[2]; /* positional: domain, host or file; NULL when not given */
	bool json, planned;
	bool goes_on;   /* though nobody may read what is printed */
	json_t *wishes; /* what the options add to a request */
	bool terminal;  /* `out` is a terminal of `columns` columns */
	unsigned int columns;
	FILE *out, *err;
};

/* ---- commands.c: the table ------------------------------------------------------------------ */

/*
 * Parse @argv, run the command, say what went wrong on cli->err. @cli: out, err, terminal and
 * columns filled in by the caller. Returns the exit status, see common/exit_codes.h.
 */
int cli_run(struct cli *cli, int argc, char **argv);

/* Send @request (borrowed), show what is said meanwhile; returns as cli_call() does. */
int cli_call_shown(struct cli *cli, const json_t *request);

/* ---- drill_planned.c ------------------------------------------------------------------------ */

/* Move @domain here, look at it, move it back; exit code. */
int cli_drill_planned(struct cli *cli, const char *domain);

/* ---- client.c: the control socket ----------------------------------------------------------- */

/*
 * Called for each reply line before the final one, @reply borrowed. Returns false when the line is
 * not what the command expects: the exchange is then given up.
 */
typedef bool (*cli_reply_fn)(struct cli *cli, const json_t *reply, void *data);

/*
 * Send @request (borrowed) and hand each reply line to @each until the final one. Returns the exit
 * code that the daemon sent, EXIT_CODE_NO_DAEMON when it does not answer, or EXIT_CODE_PROTOCOL
 * when it says what cannot be understood; the sentence, if any, has been printed on cli->err.
 */
int cli_call(struct cli *cli, const json_t *request, cli_reply_fn each, void *data);

/* ---- status.c ------------------------------------------------------------------------------- */

/* One line about one domain of a status object, without a line end. */
void cli_status_line(FILE *out, const json_t *domain);

/* The lines for the host, its peers where something is wrong with them, and its domains. */
void cli_status_print(FILE *out, const json_t *status);

/* ---- check.c -------------------------------------------------------------------------------- */

/* A line for each row of a check object, in columns; below one that does not pass, what to do. */
void cli_check_print(FILE *out, const json_t *check);
void cli_drill_line(FILE *out, const json_t *drill); /* one of `romulus drills` */

/* ---- progress.c ----------------------------------------------------------------------------- */

/*
 * The initial copy as one line of at most @columns characters; without a bar when @columns is 0.
 * @progress is the object of a progress line.
 */
void cli_progress_format(char *out, size_t size, unsigned int columns, const json_t *progress);

/* ---- events.c ------------------------------------------------------------------------------- */

/* One line of the timeline: time of day, seconds since @previous_ns (0: first), who, what. */
void cli_event_line(FILE *out, const json_t *event, uint64_t previous_ns);

/* ---- fields of a reply, absent ones read as empty -------------------------------------------- */

const char *cli_text(const json_t *object, const char *key);
uint64_t cli_number(const json_t *object, const char *key);

#endif
