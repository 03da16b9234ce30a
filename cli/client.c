/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One exchange over the control socket: a request line, reply lines, a final line. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"

const char *cli_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

uint64_t cli_number(const json_t *object, const char *key)
{
	double v = json_number_value(json_object_get(object, key));

	if (v >= 0x1p64) /* no count is: UINT64_MAX is the nearest */
		return UINT64_MAX;
	return v > 0 ? (uint64_t)v : 0;
}

static int connect_daemon(struct cli *cli)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = -1;

	if (strlen(cli->socket) >= sizeof(address.sun_path)) {
		fprintf(cli->err, "romulus: the socket path %s is longer than %zu characters\n",
			cli->socket, sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, cli->socket, strlen(cli->socket) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == EACCES || errno == EPERM)
			fprintf(cli->err, "romulus: not allowed to use %s: run as root\n",
				cli->socket);
		else
			fprintf(cli->err,
				"romulus: romulusd does not answer on %s (%s): "
				"see `systemctl status romulusd`\n",
				cli->socket, strerror(errno));
		return -1;
	}
	return TAKE_FD(fd);
}

static int send_line(int fd, const json_t *request)
{
	CLEANUP_FREE char *text = json_dumps(request, JSON_COMPACT);
	size_t length, done = 0;

	if (!text)
		return -ENOMEM;
	length = strlen(text);
	text[length] = '\n'; /* the end of the string is not needed any more */
	while (done <= length) {
		ssize_t n = send(fd, text + done, length + 1 - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* getline() with a limit on what the other side can make us hold. */
static ssize_t read_line(FILE *in, char **line, size_t *size)
{
	size_t n = 0;
	int c;

	while ((c = getc(in)) != EOF) {
		if (n + 2 > *size) {
			size_t more = *size ? *size * 2 : 4096;
			char *bigger = more <= CLI_LINE_MAX ? realloc(*line, more) : NULL;

			if (!bigger)
				return -1;
			*line = bigger;
			*size = more;
		}
		(*line)[n++] = (char)c;
		if (c == '\n')
			break;
	}
	if (n > 0)
		(*line)[n] = '\0';
	return (ssize_t)n;
}

static int finish(struct cli *cli, const json_t *final)
{
	json_int_t code = json_integer_value(json_object_get(final, "exit"));
	const char *error = cli_text(final, "error");

	if (error[0])
		fprintf(cli->err, "romulus: %s\n", error);
	else if (code != EXIT_CODE_OK)
		fprintf(cli->err, "romulus: the daemon refused without a reason: "
				  "see `journalctl -u romulusd`\n");
	return code >= 0 && code <= 255 ? (int)code : EXIT_CODE_PROTOCOL;
}

static int not_understood(struct cli *cli)
{
	fprintf(cli->err,
		"romulus: the answer on %s is not one that this version understands: "
		"compare `romulus version` with the daemon's\n",
		cli->socket);
	return EXIT_CODE_PROTOCOL;
}

static int read_replies(struct cli *cli, FILE *in, cli_reply_fn each, void *data)
{
	CLEANUP_FREE char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = read_line(in, &line, &size)) > 0) {
		json_t *reply = json_loadb(line, (size_t)n, 0, NULL);
		bool good = json_is_object(reply);
		bool last = good && json_is_integer(json_object_get(reply, "exit"));
		int code = last ? finish(cli, reply) : 0;

		if (good && !last)
			good = each(cli, reply, data);
		json_decref(reply);
		if (last)
			return code;
		if (!good)
			return not_understood(cli);
		fflush(cli->out);
		if (ferror(cli->out) && !cli->goes_on)
			return EXIT_CODE_FAILED; /* nobody reads us any more: `events | head` */
	}
	if (n < 0)
		return not_understood(cli);
	fprintf(cli->err, "romulus: romulusd closed the connection before it had answered; what "
			  "was asked may still be under way: see `romulus status`\n");
	return EXIT_CODE_NO_DAEMON;
}

int cli_call(struct cli *cli, const json_t *request, cli_reply_fn each, void *data)
{
	CLEANUP_CLOSE int fd = connect_daemon(cli);
	CLEANUP_FCLOSE FILE *in = NULL;
	int r;

	if (fd < 0)
		return EXIT_CODE_NO_DAEMON;
	r = send_line(fd, request);
	if (r < 0) {
		fprintf(cli->err, "romulus: cannot send to romulusd on %s: %s\n", cli->socket,
			strerror(-r));
		return EXIT_CODE_NO_DAEMON;
	}
	in = fdopen(fd, "r");
	if (!in) {
		fprintf(cli->err, "romulus: no memory to read the answer\n");
		return EXIT_CODE_FAILED;
	}
	(void)TAKE_FD(fd);
	return read_replies(cli, in, each, data);
}
