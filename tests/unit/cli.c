/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operator's tool: what it prints for fixed answers, and its exit codes before a fake daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "common/progress.h"

static json_t *parse(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	assert_non_null(j);
	return j;
}

/* ---- formatting ------------------------------------------------------------------------------ */

static void bytes_and_durations_are_short(void **state)
{
	static const struct {
		uint64_t value;
		const char *bytes, *duration;
	} rows[] = {
		{0, "0 B", "0 ms"},
		{999, "999 B", "999 ms"},
		{1000, "1.0 KB", "1.0 s"},
		{59999, "60 KB", "59.9 s"},
		{61000, "61 KB", "1 min 1 s"},
		{999600, "1.0 MB", "16 min 39 s"},
		{7260000, "7.3 MB", "2 h 1 min"},
		{200000000, "200 MB", "2 days"},
	};
	char text[32];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		progress_bytes_format(text, sizeof(text), rows[i].value);
		assert_string_equal(text, rows[i].bytes);
		progress_duration_format(text, sizeof(text), rows[i].value);
		assert_string_equal(text, rows[i].duration);
	}
}

static void each_state_has_its_status_line(void **state)
{
	static const char *const rows[][2] = {
		{"{\"name\":\"db\",\"role\":\"primary\",\"state\":\"protected\",\"protected\":true,"
		 "\"why\":\"\",\"peer\":\"beta\",\"epoch\":4711,\"commit_age_ms\":120,"
		 "\"pause_ms\":45.75}",
			"db: protected, primary here, peer beta, epoch 4711, committed 120 ms ago, "
			"pause 45 ms"},
		{"{\"name\":\"db\",\"role\":\"backup\",\"state\":\"ready\",\"protected\":true,"
		 "\"peer\":\"alpha\",\"epoch\":4711,\"commit_age_ms\":80}",
			"db: protected, backup here, peer alpha, epoch 4711, acked 80 ms ago"},
		{"{\"name\":\"db\",\"role\":\"primary\",\"state\":\"syncing\",\"protected\":false,"
		 "\"why\":\"runs alone\",\"peer\":\"beta\",\"epoch\":0,\"copy_pages\":18432,"
		 "\"copy_total\":40960}",
			"db: NOT PROTECTED (runs alone), primary here, peer beta, copying 45 %"},
		{"{\"name\":\"db\",\"role\":\"primary\",\"state\":\"want-solo\",\"protected\":"
		 "false,"
		 "\"why\":\"waiting for beta to let go\",\"peer\":\"beta\",\"epoch\":9,"
		 "\"commit_age_ms\":61000}",
			"db: NOT PROTECTED (waiting for beta to let go), primary here, peer beta, "
			"epoch 9, committed 1 min 1 s ago"},
		{"{\"name\":\"db\",\"role\":\"backup\",\"state\":\"holding\",\"protected\":false,"
		 "\"why\":\"alpha is silent: waiting for an operator\",\"peer\":\"alpha\","
		 "\"epoch\":7,\"commit_age_ms\":-1,\"pause_ms\":0.0}",
			"db: NOT PROTECTED (alpha is silent: waiting for an operator), backup "
			"here, "
			"peer alpha"},
		{"{\"name\":\"db\",\"role\":\"none\",\"state\":\"idle\",\"protected\":false}",
			"db: NOT PROTECTED (idle)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP_FREE char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);
		json_t *d = parse(rows[i][0]);

		cli_status_line(out, d);
		fclose(out);
		assert_string_equal(text, rows[i][1]);
		json_decref(d);
	}
}

static void progress_fits_the_terminal(void **state)
{
	json_t *p = parse("{\"stage\":\"copy\",\"pages\":16384,\"total\":32768,"
			  "\"bytes\":67108864,\"bytes_per_s\":12500000,\"eta_s\":5}");
	char text[256];

	cli_progress_format(text, sizeof(text), 120, p);
	assert_string_equal(text, "copy  [####################....................]"
				  "   50 %  16384/32768 pages  67 MB  12.5 MB/s  ETA 5 s");
	cli_progress_format(text, sizeof(text), 0, p);
	assert_string_equal(text, "copy   50 %  16384/32768 pages  67 MB  12.5 MB/s  ETA 5 s");
	for (unsigned int columns = 1; columns < 200; columns++) {
		cli_progress_format(text, sizeof(text), columns, p);
		assert_true(strlen(text) <= columns);
	}
	json_decref(p);
}

static void progress_past_its_total_stays_full(void **state)
{
	json_t *more = parse("{\"stage\":\"copy\",\"pages\":9,\"total\":4,\"bytes\":1,"
			     "\"bytes_per_s\":0,\"eta_s\":0}");
	json_t *none = parse("{}");
	char text[256];

	cli_progress_format(text, sizeof(text), 80, more);
	assert_non_null(strstr(text, "####]"));
	assert_non_null(strstr(text, "100 %"));
	cli_progress_format(text, sizeof(text), 80, none);
	assert_non_null(strstr(text, "  0 %"));
	json_decref(more);
	json_decref(none);
}

/* The stages of a move have nothing to count. */
static void progress_without_figures_is_its_stage(void **state)
{
	json_t *p = parse("{\"stage\":\"beta has all of it\"}");
	char text[256];

	cli_progress_format(text, sizeof(text), 80, p);
	assert_string_equal(text, "beta has all of it");
	cli_progress_format(text, sizeof(text), 0, p);
	assert_string_equal(text, "beta has all of it");
	cli_progress_format(text, sizeof(text), 4, p);
	assert_string_equal(text, "beta");
	json_decref(p);
}

static void numbers_that_are_none_do_no_harm(void **state)
{
	json_t *j =
		parse("{\"pages\": 1e308, \"total\": -1e308, \"eta_s\": 18446744073709551616.0}");

	assert_true(cli_number(j, "pages") == UINT64_MAX);
	assert_int_equal(cli_number(j, "total"), 0);
	assert_true(cli_number(j, "eta_s") == UINT64_MAX);
	json_decref(j);
}

static void events_show_the_time_between_them(void **state)
{
	CLEANUP_FREE char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *e = parse("{\"wall_ns\":1700000001500000000,\"host\":\"beta\",\"domain\":\"db\","
			  "\"kind\":\"granted\",\"text\":\"alpha is off\"}");

	setenv("TZ", "UTC", 1);
	tzset();
	cli_event_line(out, e, 1700000001250000000);
	fclose(out);
	assert_string_equal(text, "2023-11-14 22:13:21.500     +0.250 s  beta/db  granted      "
				  "alpha is off\n");
	json_decref(e);
}

/* ---- a fake daemon ----------------------------------------------------------------------------
 */

#define STATUS                                                                                     \
	"{\"status\":{\"host\":\"alpha\",\"rss_kb\":9000,\"peers\":[{\"name\":\"beta\","           \
	"\"alive\":true,\"paths\":[{\"name\":\"replication\",\"alive\":false,"                     \
	"\"silent_ms\":2000},{\"name\":\"lan\",\"alive\":true,\"silent_ms\":12},{\"name\":"        \
	"\"third\",\"alive\":false,\"silent_ms\":-1}]}],"                                          \
	"\"domains\":[{\"name\":\"db\",\"role\":\"primary\",\"protected\":true,"                   \
	"\"peer\":\"beta\"},{\"name\":\"web\",\"role\":\"none\",\"protected\":false,"              \
	"\"why\":\"refused\"}]}}\n"
#define OK "{\"exit\":0}\n"

struct answer {
	int code;
	char *out, *err, *request;
};

static void answer_free(struct answer *a)
{
	free(a->out);
	free(a->err);
	free(a->request);
}

/*
 * Run the tool with @argv ("romulus", "-s" and the socket are put before it) against a process that
 * reads one line, writes @reply and closes. NULL: nobody listens.
 */
static struct answer ask(const char *reply, bool terminal, const char *const *argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/romulus-cli-XXXXXX", *full[16] = {"romulus", "-s", address.sun_path};
	struct answer a = {0};
	struct cli cli = {.terminal = terminal, .columns = terminal ? 100 : 0};
	size_t size[3];
	int listener, pipes[2], n = 3;
	pid_t child = -1;
	FILE *request;
	char block[512];
	ssize_t got;

	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
	while (*argv)
		full[n++] = (char *)*argv++;
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(pipe(pipes), 0);
	if (reply) {
		assert_int_equal(bind(listener, (void *)&address, sizeof(address)), 0);
		assert_int_equal(listen(listener, 1), 0);
		child = fork();
		if (child == 0) {
			int fd = accept(listener, NULL, NULL);

			got = read(fd, block, sizeof(block));
			_exit(got <= 0 || write(pipes[1], block, (size_t)got) != got ||
				write(fd, reply, strlen(reply)) < 0);
		}
	}
	close(pipes[1]);
	cli.out = open_memstream(&a.out, &size[0]);
	cli.err = open_memstream(&a.err, &size[1]);
	a.code = cli_run(&cli, n, full);
	fclose(cli.out);
	fclose(cli.err);
	close(listener);
	request = open_memstream(&a.request, &size[2]);
	while ((got = read(pipes[0], block, sizeof(block))) > 0)
		fwrite(block, 1, (size_t)got, request);
	fclose(request);
	close(pipes[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	unlink(address.sun_path);
	rmdir(folder);
	return a;
}

#define ASK(reply, ...) ask(reply, false, (const char *const[]){__VA_ARGS__, NULL})

static void the_daemons_exit_code_is_ours(void **state)
{
	static const struct {
		const char *reply;
		int code;
		const char *says;
	} rows[] = {
		{OK, EXIT_CODE_OK, ""},
		{"{\"exit\":3,\"error\":\"no domain db\"}\n", EXIT_CODE_UNKNOWN,
			"romulus: no domain db\n"},
		{"{\"exit\":4,\"error\":\"PV\"}\n", EXIT_CODE_PREFLIGHT, "romulus: PV\n"},
		{"{\"exit\":9}\n", EXIT_CODE_WRONG_STATE, "without a reason"},
		{"{\"surprise\":1}\n" OK, EXIT_CODE_OK, ""},
		{"", EXIT_CODE_NO_DAEMON, "closed the connection"},
		{"{\"progress\":{}}\n", EXIT_CODE_NO_DAEMON, "closed the connection"},
		{"not json\n", EXIT_CODE_PROTOCOL, "not one that this version understands"},
		{"[1]\n", EXIT_CODE_PROTOCOL, "not one that this version understands"},
		{"{\"progress\":7}\n" OK, EXIT_CODE_PROTOCOL, "not one that this version"},
		{"{\"exit\":4711}\n", EXIT_CODE_PROTOCOL, ""},
		{NULL, EXIT_CODE_NO_DAEMON, "does not answer"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct answer a = ASK(rows[i].reply, "unprotect", "db");

		assert_int_equal(a.code, rows[i].code);
		assert_non_null(strstr(a.err, rows[i].says));
		answer_free(&a);
	}
}

static void requests_are_what_the_daemon_expects(void **state)
{
	struct answer a = ASK(OK, "protect", "db", "beta");

	assert_string_equal(
		a.request, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"beta\"}\n");
	assert_string_equal(a.out, "db is protected, its backup is beta\n");
	answer_free(&a);
	a = ASK(OK, "migrate", "db", "beta");
	assert_string_equal(
		a.request, "{\"command\":\"migrate\",\"domain\":\"db\",\"host\":\"beta\"}\n");
	assert_non_null(strstr(a.out, "db runs on beta now; "));
	answer_free(&a);
	a = ASK(OK, "migrate", "db", "beta", "--max-rounds", "7", "--max-downtime=250",
		"--bandwidth", "20", "--no-live");
	assert_non_null(strstr(a.request, "\"max-rounds\":7,\"max-downtime\":250,\"bandwidth\":"
					  "20000000,\"live\":false}"));
	answer_free(&a);
	a = ASK(OK, "cancel", "db");
	assert_string_equal(a.request, "{\"command\":\"cancel\",\"domain\":\"db\"}\n");
	answer_free(&a);
	a = ASK(OK, "migrate", "db", "beta", "--no-protect");
	assert_string_equal(a.request, "{\"command\":\"migrate\",\"domain\":\"db\",\"host\":"
				       "\"beta\",\"protect\":false}\n");
	answer_free(&a);
	a = ASK(OK, "protect", "--no-check", "db", "beta");
	assert_string_equal(a.request, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":"
				       "\"beta\",\"check\":false}\n");
	answer_free(&a);
	a = ASK(OK, "migrate", "db", "beta", "--no-check", "--max-rounds=3");
	assert_string_equal(a.request, "{\"command\":\"migrate\",\"domain\":\"db\",\"host\":"
				       "\"beta\",\"check\":false,\"max-rounds\":3}\n");
	answer_free(&a);
	a = ASK("{\"exit\":6,\"error\":\"beta is silent\"}\n", "migrate", "db", "beta");
	assert_int_equal(a.code, EXIT_CODE_UNREACHABLE);
	assert_string_equal(a.out, "");
	answer_free(&a);
	a = ASK(OK, "events", "--follow");
	assert_string_equal(a.request, "{\"command\":\"events\",\"follow\":true}\n");
	answer_free(&a);
	a = ASK("{\"version\":{\"romulus\":\"9.9\",\"protocol\":1}}\n" OK, "version");
	assert_string_equal(a.request, "{\"command\":\"version\"}\n");
	assert_string_equal(a.out, "romulus " ROMULUS_VERSION "\nromulusd 9.9, protocol 1\n");
	answer_free(&a);
}

static void status_says_how_the_hosts_talk(void **state)
{
	struct answer a = ASK("{\"status\":{\"host\":\"a\",\"transport\":\"plain\","
			      "\"certificate\":null,\"peers\":[],\"domains\":[]}}\n" OK,
		"status");

	assert_non_null(strstr(a.out, "transport PLAIN: "));
	assert_non_null(strstr(a.out, "neither encrypted nor authenticated"));
	answer_free(&a);
	a = ASK("{\"status\":{\"host\":\"a\",\"transport\":\"tls\",\"certificate\":"
		"{\"expires\":1,\"warning\":\"expired on a day\"},"
		"\"peers\":[],\"domains\":[]}}\n" OK,
		"status");
	assert_null(strstr(a.out, "PLAIN"));
	assert_non_null(strstr(a.out, "certificate: expired on a day\n"));
	answer_free(&a);
}

static void status_is_lines_or_json(void **state)
{
	struct answer a = ASK(STATUS OK, "status");
	json_t *j;

	assert_string_equal(a.out, "db: protected, primary here, peer beta\n"
				   "web: NOT PROTECTED (refused)\n"
				   "peer beta: alive, path replication DOWN for 2.0 s, "
				   "path lan up, path third NEVER HEARD\n");
	answer_free(&a);
	a = ASK(STATUS OK, "status", "web");
	assert_string_equal(a.out, "web: NOT PROTECTED (refused)\n");
	answer_free(&a);
	a = ASK(STATUS OK, "status", "wiki");
	assert_int_equal(a.code, EXIT_CODE_UNKNOWN);
	assert_string_equal(a.out, "");
	assert_non_null(strstr(a.err, "no domain wiki"));
	answer_free(&a);
	a = ASK(STATUS OK, "status", "--json");
	j = parse(a.out);
	assert_int_equal(cli_number(j, "rss_kb"), 9000);
	assert_int_equal(json_array_size(json_object_get(j, "domains")), 2);
	assert_string_equal(
		cli_text(json_array_get(json_object_get(j, "domains"), 0), "name"), "db");
	json_decref(j);
	answer_free(&a);
}

#define ROW(name, result, found, todo)                                                             \
	"{\"name\":\"" name "\",\"result\":\"" result "\",\"found\":\"" found "\",\"do\":\"" todo  \
	"\"}"
#define CHECK                                                                                      \
	"{\"check\":{\"domain\":\"db\",\"host\":\"beta\",\"checks\":[" ROW("cpu", "pass", "all",   \
		"") "," ROW("clock", "warn", "1.0 s ahead", "set it") "," ROW("dom0-"              \
									      "memory",            \
		"fail", "none", "add some") "]}}\n"

static void checks_are_a_table_or_json(void **state)
{
	struct answer a = ASK(CHECK OK, "check", "db", "beta");
	json_t *j;

	assert_string_equal(
		a.request, "{\"command\":\"check\",\"domain\":\"db\",\"host\":\"beta\"}\n");
	assert_string_equal(a.out, "pass  cpu          all\n"
				   "WARN  clock        1.0 s ahead\n"
				   "                   -> set it\n"
				   "FAIL  dom0-memory  none\n"
				   "                   -> add some\n"
				   "db on beta: 1 passed, 1 warning, 1 failed\n");
	answer_free(&a);
	a = ASK(CHECK "{\"exit\":4,\"error\":\"1 of 3 failed\"}\n", "check", "--json", "db",
		"beta");
	assert_int_equal(a.code, EXIT_CODE_PREFLIGHT);
	assert_string_equal(a.err, "romulus: 1 of 3 failed\n");
	j = parse(a.out);
	assert_int_equal(json_array_size(json_object_get(j, "checks")), 3);
	json_decref(j);
	answer_free(&a);
	a = ASK("{\"check\":{\"checks\":[7,{}]}}\n" OK, "check", "db", "beta");
	assert_int_equal(a.code, EXIT_CODE_OK); /* odd, and no harm */
	answer_free(&a);
}

static void json_events_are_handed_on_exactly(void **state)
{
	struct answer a = ASK("{\"event\":{\"wall_ns\":1700000001500000001,\"kind\":\"x\"}}\n" OK,
		"events", "--json");

	assert_string_equal(a.out, "{\"wall_ns\":1700000001500000001,\"kind\":\"x\"}\n");
	answer_free(&a);
}

static void events_of_one_domain_can_be_asked_for(void **state)
{
	struct answer a = ASK("{\"event\":{\"wall_ns\":1,\"domain\":\"db\",\"kind\":\"x\"}}\n"
			      "{\"event\":{\"wall_ns\":2,\"domain\":\"web\",\"kind\":\"y\"}}\n" OK,
		"events", "--json", "web");

	assert_string_equal(a.out, "{\"wall_ns\":2,\"domain\":\"web\",\"kind\":\"y\"}\n");
	answer_free(&a);
}

static void a_bar_is_drawn_on_terminals_only(void **state)
{
	static const char reply[] = "{\"progress\":{\"pages\":1,\"total\":2}}\n"
				    "{\"progress\":{\"pages\":2,\"total\":2}}\n" OK;
	const char *const argv[] = {"protect", "db", "beta", NULL};
	struct answer a = ask(reply, false, argv);

	assert_null(strchr(a.out, '\r'));
	assert_null(strchr(a.out, '#'));
	answer_free(&a);
	a = ask(reply, true, argv);
	assert_non_null(strstr(a.out, "\r\033[Kcopy  [####"));
	assert_non_null(strstr(a.out, "\ndb is protected"));
	answer_free(&a);
}

static void wrong_usage_says_what_is_right(void **state)
{
	static const struct {
		const char *argv[5];
		const char *says;
	} rows[] = {
		{{NULL}, "no command"},
		{{"protct"}, "no such command: protct"},
		{{"protect", "db"}, "usage: romulus protect [--no-check] DOMAIN HOST\n"},
		{{"unprotect", "db", "beta"}, "unexpected argument beta"},
		{{"protect", "--json", "db", "beta"}, "does not take the option --json"},
		{{"protect", "--no-protect", "db", "beta"},
			"does not take the option --no-protect"},
		{{"migrate", "db"},
			"usage: romulus migrate [--protect] [--no-protect] [--no-check] "},
		{{"migrate", "db", "beta", "--max-rounds=-1"}, "no number: -1"},
		{{"migrate", "db", "beta", "--bandwidth=1M"}, "no number: 1M"},
		{{"status", "--jsn"}, "unknown option --jsn"},
		{{"failover", ""}, "an argument is empty"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct answer a = ask(NULL, false, rows[i].argv);

		assert_int_equal(a.code, EXIT_CODE_USAGE);
		assert_non_null(strstr(a.err, rows[i].says));
		assert_non_null(strstr(a.err, "usage: romulus"));
		assert_string_equal(a.out, "");
		answer_free(&a);
	}
}

static void help_names_every_command(void **state)
{
	struct answer a = ASK(NULL, "--help");

	assert_int_equal(a.code, EXIT_CODE_OK);
	assert_non_null(strstr(a.out, "  protect "));
	assert_non_null(strstr(a.out, "  check-config "));
	answer_free(&a);
	a = ASK(NULL, "events", "--help");
	assert_non_null(strstr(a.out, "usage: romulus events [--json] [--follow] [DOMAIN]\n"));
	answer_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_and_durations_are_short),
		cmocka_unit_test(each_state_has_its_status_line),
		cmocka_unit_test(progress_fits_the_terminal),
		cmocka_unit_test(progress_past_its_total_stays_full),
		cmocka_unit_test(progress_without_figures_is_its_stage),
		cmocka_unit_test(numbers_that_are_none_do_no_harm),
		cmocka_unit_test(events_show_the_time_between_them),
		cmocka_unit_test(the_daemons_exit_code_is_ours),
		cmocka_unit_test(requests_are_what_the_daemon_expects),
		cmocka_unit_test(status_is_lines_or_json),
		cmocka_unit_test(status_says_how_the_hosts_talk),
		cmocka_unit_test(checks_are_a_table_or_json),
		cmocka_unit_test(json_events_are_handed_on_exactly),
		cmocka_unit_test(events_of_one_domain_can_be_asked_for),
		cmocka_unit_test(a_bar_is_drawn_on_terminals_only),
		cmocka_unit_test(wrong_usage_says_what_is_right),
		cmocka_unit_test(help_names_every_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
