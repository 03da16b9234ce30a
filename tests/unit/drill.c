/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole drill with a hypervisor that is made of numbers, in a network namespace of this test's:
 * what is made for it, what is asked, and that nothing of it stays, whatever happens in between.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "netbuf/bubble.h"
#include "replicator/drill.h"
#include "replicator/xenstream.h"
#include "tests/unit/made_stream.h"

#define UUID "0123abcd-0000-4000-8000-000000000001"
#define CONFIG                                                                                     \
	"{\"c_info\":{\"type\":\"pvh\",\"name\":\"db\",\"uuid\":\"" UUID "\"},\"on_crash\":"       \
	"\"restart\",\"nics\":[{\"mac\":\"00:16:3e:00:00:21\",\"bridge\":\"xenbr0\",\"ifname\":"   \
	"\"db0\"},{\"bridge\":\"xenbr1\"},{\"bridge\":\"xenbr0\"}],"                               \
	"\"p9s\":[{\"tag\":\"share\"}]}"
#define EPOCH 7u
#define DOMID 9u
#define PATIENCE_MS 60000

/* In memory that the processes of a drill share with the test. */
static struct {
	bool whole, runs, crashes, full, fails, suspended;
	unsigned int destroyed;
	char config[2048];
} * xen;

static char dir[32], script[64];
static struct why why;

/* ---- the hypervisor -------------------------------------------------------------------------- */

static struct hv *open_hv(struct why *w)
{
	return (struct hv *)&xen;
}

static void close_hv(struct hv *hv)
{
}

static int can_host(struct hv *hv, const char *name, const char *uuid, uint64_t memory_kb,
	const char *here, struct why *w)
{
	assert_string_equal(name, "db--drill");
	assert_string_not_equal(uuid, UUID);
	assert_int_equal(memory_kb, 65536);
	return xen->full ? why_set(w, -ENOMEM, "no room for '%s'", name) : 0;
}

static int read_in(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	uint32_t *ret_domid, struct why *w)
{
	struct xenstream s = {0};
	uint8_t piece[4096];
	ssize_t n;

	while (s.state != XENSTREAM_DONE && (n = read(stream_fd, piece, sizeof(piece))) > 0)
		if (xenstream_put(&s, piece, (size_t)n, w))
			return -EBADMSG;
	if (xenstream_end(&s, w))
		return -EBADMSG;
	if (xen->fails)
		return why_set(w, -EIO, "libxl could not restore it");
	snprintf(xen->config, sizeof(xen->config), "%s", config_json);
	xen->whole = true;
	*ret_domid = DOMID;
	return 0;
}

static int activate(struct hv *hv, uint32_t domid, const char *standby, const char *name, bool run,
	struct hv_domain *ret, struct why *w)
{
	char bridge[IFNAMSIZ], command[320];

	/* The guest's interface, as it were, which answers for nothing but its own address. */
	netbuf_bubble_name(UUID, 0, bridge);
	snprintf(command, sizeof(command),
		"ip link add back type veth peer name front && ip link set back master %s up && "
		"echo 1 >/proc/sys/net/ipv4/conf/front/arp_ignore && "
		"ip address add 192.0.2.1/24 dev front && ip link set front up",
		bridge);
	if (system(command) != 0)
		return why_set(w, -EIO, "no bridge of its own");
	*ret = (struct hv_domain){.domid = domid};
	xen->runs = run;
	return 0;
}

static int look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *w)
{
	assert_int_equal(domid, DOMID);
	*ret = (struct hv_sight){.exists = xen->runs,
		.shut_down = xen->crashes || xen->suspended,
		.end = xen->crashes ? HV_END_CRASH : HV_END_SUSPEND};
	return 0;
}

void hv_domain_clear(struct hv_domain *dom)
{
}

/* The guest itself. */
static int find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *w)
{
	assert_string_equal(name, "db");
	*ret = (struct hv_domain){.domid = DOMID, .uuid = UUID, .nic_count = 1};
	strcpy(ret->nics[0].bridge, "guestbr");
	return xen->runs ? 0 : why_set(w, -ENOENT, "no such domain");
}

static int destroy(struct hv *hv, const char *name, struct why *w)
{
	assert_int_equal(strncmp(name, "db--drill", 9), 0);
	(void)!system(
		"ip link delete back 2>/dev/null"); /* it may have been killed before it ran */
	xen->runs = xen->whole = false;
	xen->destroyed++;
	return 0;
}

static int copy_out(
	struct hv *hv, const char *name, const struct replica *replica, int fd, struct why *w)
{
	struct made m = {.bytes = malloc(MADE_MAX)};
	int r;

	assert_string_equal(name, "db--standby");
	made_record(&m, XENSTREAM_RECORD_PAGE_DATA, 8 + 8 + 4096);
	r = send(fd, m.bytes, m.n, MSG_NOSIGNAL) == (ssize_t)m.n ? 0 : -EPIPE;
	free(m.bytes);
	return r ? why_set(w, r, "nobody takes it") : 0;
}

static const struct hv_ops ops = {.open = open_hv,
	.close = close_hv,
	.find = find,
	.can_host = can_host,
	.read_in = read_in,
	.activate = activate,
	.look = look,
	.destroy = destroy,
	.copy_out = copy_out};

/* ---- the process of a drill, its daemon and the backup's worker ------------------------------ */

static struct proto_session *daemon_end;
static pid_t drill_pid;
static struct worker_checks checks;
static struct drill_source *source;
static struct feed *feed;
static int restore_fd;
static bool visits; /* the guest, after a switchover */
static bool broken; /* nothing can be made of the standby */

static void init(struct drill *d)
{
	*d = (struct drill){.ops = &ops,
		.worker = {.domain = "db",
			.checks = checks,
			.uuid = UUID,
			.run_dir = dir,
			.state_dir = dir,
			.memory_kb = 65536}};
	d->hv = ops.open(NULL);
}

static void begin_drill(const char *fault)
{
	static struct drill d;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	drill_pid = fork();
	if (drill_pid == 0) {
		close(pair[0]);
		init(&d);
		d.worker.daemon = proto_session_new(pair[1]);
		setenv("ROMULUS_FAULT", fault, 1);
		d.worker.look = visits;
		_exit(fault_init(&why) ? 99 : visits ? drill_visit(&d) : drill_run(&d));
	}
	close(pair[1]);
	daemon_end = proto_session_new(pair[0]);
}

/* What the standby's restore would read. */
static void *swallow(void *unused)
{
	char piece[4096];

	while (read(restore_fd, piece, sizeof(piece)) > 0)
		;
	close(restore_fd);
	return NULL;
}

static struct chunk *made_checkpoint(void)
{
	struct made m = {.bytes = malloc(MADE_MAX)};
	struct chunk *c;

	made_memory_begin(&m, broken ? 1 : 2);
	made_record(&m, 9, 333);
	made_record(&m, XENSTREAM_RECORD_CHECKPOINT, 0);
	c = calloc(1, sizeof(*c) + m.n);
	c->length = c->capacity = m.n;
	memcpy(c->data, m.bytes, m.n);
	free(m.bytes);
	return c;
}

static void hand_over(const char *path)
{
	static pthread_t thread;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	restore_fd = pair[1];
	feed = feed_start(pair[0], 1 << 20);
	assert_int_equal(pthread_create(&thread, NULL, swallow, NULL), 0);
	pthread_detach(thread);
	feed_push(feed, made_checkpoint(), true);
	/* One that was called off meanwhile does not listen any more. */
	if (drill_source_open(path, &ops, "db--standby", CONFIG, &source, &why) == 0)
		drill_source_begin(source, feed, EPOCH);
}

static void end_source(void)
{
	if (!feed)
		return;
	if (source)
		drill_source_stop(source);
	assert_true(feed_complete(feed));
	source = drill_source_free(source);
	feed = feed_free(feed);
}

/*
 * Serve the drill to its end; @text: its last word, "" when it died. @call_off: after this stage,
 * NULL: never. Its exit code, or -1.
 */
static int serve(const char *call_off, char text[WHY_MAX])
{
	Romulus__Order order = ROMULUS__ORDER__INIT;
	struct proto_frame frame;
	int status;

	text[0] = '\0';
	order.kind = PROTO_ORDER_DISCARD;
	while (proto_session_receive(daemon_end, clock_now_ns() + PATIENCE_MS * NSEC_PER_MSEC,
		       &frame, &why) > 0) {
		const Romulus__Report *r = (const Romulus__Report *)frame.message;

		if (r->kind == PROTO_REPORT_LISTENING)
			hand_over(r->text);
		else if (r->kind == PROTO_REPORT_STAGE && call_off && strstr(r->text, call_off))
			proto_session_send(daemon_end, PROTO_ORDER, &order.base, UINT64_MAX, &why);
		else if (r->kind == PROTO_REPORT_DONE || r->kind == PROTO_REPORT_FAILED)
			snprintf(text, WHY_MAX, "%s", r->text);
	}
	proto_session_free(daemon_end);
	assert_int_equal(waitpid(drill_pid, &status, 0), drill_pid);
	end_source();
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int drill_with(const char *fault, const char *call_off, char text[WHY_MAX])
{
	begin_drill(fault);
	return serve(call_off, text);
}

static void assert_nothing_left(void)
{
	struct if_nameindex *list = if_nameindex();
	char command[128];

	assert_non_null(list);
	for (struct if_nameindex *i = list; i->if_index; i++)
		if (strncmp(i->if_name, "rd", 2) == 0)
			fail_msg("%s is left", i->if_name);
	if_freenameindex(list);
	assert_false(xen->runs);
	assert_false(xen->whole);
	snprintf(command, sizeof(command), "! ls %s | grep -v '^drills$'", dir);
	assert_int_equal(system(command), 0);
}

static void assert_noted(const char *what)
{
	char command[256];

	snprintf(command, sizeof(command), "tail -n 1 %s/drills | grep -q -F '%s'", dir, what);
	assert_int_equal(system(command), 0);
}

static void write_script(const char *body)
{
	CLEANUP_FCLOSE FILE *f = NULL;

	f = fopen(script, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", body);
	fchmod(fileno(f), 0700);
	checks.command = script;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_drill_passes(void **state)
{
	char text[WHY_MAX];

	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_non_null(strstr(text, "the drill of db has passed; checkpoint 7, "));
	assert_non_null(strstr(text, "clean "));
	assert_nothing_left();
	assert_noted("\"result\":\"passed\"");
	assert_noted("\"checkpoint\":7");
	/* Its own name and uuid, on bridges that lead nowhere, and once only. */
	assert_non_null(strstr(xen->config, "\"name\": \"db--drill\""));
	assert_null(strstr(xen->config, UUID));
	assert_null(strstr(xen->config, "xenbr"));
	assert_null(strstr(xen->config, "ifname"));
	assert_null(strstr(xen->config, "restart"));
	assert_non_null(strstr(xen->config, "00:16:3e:00:00:21"));
	for (unsigned int i = 0; i < 3; i++) {
		char bridge[IFNAMSIZ];

		netbuf_bubble_name(UUID, i, bridge);
		assert_int_equal(strstr(xen->config, bridge) != NULL, i < 2);
	}
	assert_null(strstr(xen->config, "p9s"));
}

static void the_check_has_the_bubble_and_nothing_else(void **state)
{
	char text[WHY_MAX];

	write_script("[ $(ip -o link | wc -l) = 2 ] || { echo more than the bubble; exit 1; }\n"
		     "ip -o address show dev drill | grep -q 192.0.2.9/24 || { echo no address; "
		     "exit 1; }\n"
		     "ping -c 1 -W 10 -q 192.0.2.1 >/dev/null || { echo no guest; exit 1; }\n"
		     "echo $ROMULUS_DOMAIN $ROMULUS_DRILL $ROMULUS_CHECKPOINT; [ $ROMULUS_DOMAIN = "
		     "db ]");
	checks.address = "192.0.2.9/24";
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_noted("\"said\":\"db db--drill 7\"");
	assert_nothing_left();
}

/* Though it has addresses elsewhere, and answers for them where it is asked (Linux' default). */
static void the_host_says_nothing_in_the_bubble(void **state)
{
	char text[WHY_MAX];

	assert_int_equal(system("ip link set lo up && ip address add 198.51.100.1/32 dev lo"), 0);
	write_script("ip route add 198.51.100.1 dev drill || { echo no route; exit 1; }\n"
		     "ping -c 1 -W 10 -q 192.0.2.1 >/dev/null || { echo no guest; exit 1; }\n"
		     "ip neighbour flush dev drill\n"
		     "! ping -c 2 -W 2 -q 198.51.100.1 >/dev/null || { echo the host answers; exit "
		     "1; }");
	checks.address = "192.0.2.9/24";
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_int_equal(system("ip address del 198.51.100.1/32 dev lo"), 0);
	assert_nothing_left();
}

static void what_accepts_is_enough_and_what_does_not_fails(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[WHY_MAX], tcp[64];

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	getsockname(fd, (struct sockaddr *)&address, &size);
	snprintf(tcp, sizeof(tcp), "192.0.2.1:%u", ntohs(address.sin_port));
	checks = (struct worker_checks){.address = "192.0.2.9/24", .tcp = tcp, .limit_s = 60};
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	close(fd);
	checks.limit_s = 1;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(
		text, "the drill of db has FAILED: the check has failed: http://192.0.2.1:"));
	assert_nothing_left();
	assert_noted("\"result\":\"failed\"");
}

static void a_check_that_fails_says_why(void **state)
{
	char text[WHY_MAX];

	write_script("echo the table is empty; exit 3");
	checks.limit_s = 1;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "exits with 3"));
	assert_nothing_left();
	write_script("exec sleep 1000");
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "did not end in time"));
	assert_nothing_left();
}

/* Nor is it waited for: it ends with the check. */
static void what_a_check_has_started_ends(void **state)
{
	char text[WHY_MAX];

	write_script("setsid sleep 1000 & echo $!; exit 0");
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_nothing_left();
	write_script("setsid sleep 1000 & sleep 1000; exit 0");
	checks.limit_s = 1;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "did not end in time"));
	assert_nothing_left();
}

static void a_guest_that_crashes_fails(void **state)
{
	char text[WHY_MAX];

	xen->crashes = true;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "the instance has crashed"));
	assert_nothing_left();
	write_script("exec sleep 1000"); /* it is noticed meanwhile, too */
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "the instance has crashed"));
	assert_nothing_left();
}

static void what_cannot_be_is_said(void **state)
{
	char text[WHY_MAX];

	xen->full = true;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "no room for 'db--drill'"));
	assert_nothing_left();
	assert_int_equal(xen->destroyed, 0); /* what has its name is somebody's own */
	xen->full = false;
	xen->fails = true;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "libxl could not restore it"));
	assert_nothing_left();
	xen->fails = false;
	broken = true;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "PV guest"));
	assert_nothing_left();
}

static void it_can_be_called_off_in_every_phase(void **state)
{
	static const char *const stages[] = {
		"making room", "is copied", "the instance starts", "is looked at"};
	char text[WHY_MAX];

	write_script("exec sleep 1000");
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		assert_int_equal(drill_with("", stages[i], text), EXIT_CODE_FAILED);
		assert_non_null(strstr(text, "was broken off: it was called off"));
		assert_nothing_left();
		assert_noted("\"result\":\"broken off\"");
	}
}

/* At every fault point; the next one, or the daemon's sweep, finds nothing of it. */
static void what_a_dead_one_left_is_removed(void **state)
{
	static const char *const points[] = {
		"drill-room=", "drill-copied=", "drill-started=", "drill-checked="};
	char fault[64], text[WHY_MAX];
	struct drill d;

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		snprintf(fault, sizeof(fault), "%scrash", points[i]);
		assert_int_equal(drill_with(fault, NULL, text), -1);
		assert_string_equal(text, "");
		xen->destroyed = 0;
		init(&d);
		assert_int_equal(drill_clean(&d), EXIT_CODE_OK);
		assert_true(xen->destroyed > 0);
		close(d.lock_fd);
		assert_nothing_left();
		snprintf(fault, sizeof(fault), "%sfail", points[i]);
		assert_int_equal(drill_with(fault, NULL, text), EXIT_CODE_FAILED);
		assert_nothing_left();
	}
	assert_int_equal(drill_with("drill-checked=crash", NULL, text), -1);
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_nothing_left();
}

static void there_is_one_at_a_time(void **state)
{
	struct proto_session *first;
	char text[WHY_MAX], path[128];
	pid_t first_pid;
	struct drill d;

	begin_drill("drill-room=delay:3000");
	first = daemon_end;
	first_pid = drill_pid;
	snprintf(path, sizeof(path), "%s/drill-" UUID ".sock", dir);
	while (access(path, F_OK) < 0)
		poll(NULL, 0, 10);
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "a drill of 'db' is under way"));
	daemon_end = first;
	drill_pid = first_pid;
	init(&d);
	proto_session_free(
		TAKE_PTR(daemon_end)); /* its daemon dies; the next one's sweep waits for it */
	assert_int_equal(drill_clean(&d), EXIT_CODE_OK);
	close(d.lock_fd);
	assert_int_equal(waitpid(drill_pid, NULL, 0), drill_pid);
	assert_nothing_left();
}

static void make_guests_bridge(void)
{
	assert_int_equal(system("ip link add guestbr type bridge && ip link set guestbr up && "
				"ip address add 192.0.2.1/24 dev guestbr"),
		0);
}

static void drop_guests_bridge(void)
{
	assert_int_equal(system("ip link delete guestbr"), 0);
}

/* On its own bridge, while its checkpoints go on; nothing is made for it, and nothing noted. */
static void a_guest_that_was_moved_here_is_looked_at(void **state)
{
	char text[WHY_MAX];

	visits = xen->runs = xen->suspended = true;
	make_guests_bridge();
	write_script("ping -c 1 -W 10 -q 192.0.2.1 >/dev/null || { echo no guest; exit 1; }\n"
		     "[ $ROMULUS_DOMAIN$ROMULUS_DRILL = dbdb ]");
	checks.address = "192.0.2.9/24";
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_string_equal(text, "db has passed its check");
	write_script("exit 3");
	checks.limit_s = 1;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "db has FAILED its check: the check has failed: "));
	xen->crashes = true;
	write_script("exec sleep 1000");
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "the guest has crashed"));
	xen->runs = false;
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_FAILED);
	assert_non_null(strstr(text, "no such domain"));
	assert_int_equal(xen->destroyed, 0);
	drop_guests_bridge();
	assert_nothing_left();
}

/* What an earlier drill could not remove is removed: the guest is not. */
static void a_look_does_not_touch_the_guest(void **state)
{
	char text[WHY_MAX], command[128];

	visits = xen->runs = true;
	make_guests_bridge();
	snprintf(command, sizeof(command), "echo db--drill >%s/drill-db", dir);
	assert_int_equal(system(command), 0);
	write_script("exit 0");
	assert_int_equal(drill_with("", NULL, text), EXIT_CODE_OK);
	assert_true(xen->destroyed > 0); /* "db--drill", as destroy() asserts */
	drop_guests_bridge();
}

/* One whose address nobody has set has the lowest of its ports', and their lowest MTU. */
static void a_bridge_that_is_looked_from_stays_as_it_is(void **state)
{
	int ready[2];
	char byte;
	pid_t pid;

	make_guests_bridge();
	assert_int_equal(system("ip link add port type veth peer name far && "
				"ip link set port address fe:ff:ff:ff:ff:fe mtu 9000 && "
				"ip link set far mtu 9000 && ip link set port master guestbr up"),
		0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		(void)!(unshare(CLONE_NEWNET) == 0 && write(ready[1], "", 1) == 1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(netbuf_bubble_join(UUID, "nobridge", pid, &why), -EIO);
	assert_int_equal(netbuf_bubble_join(UUID, "guestbr", pid, &why), 0);
	assert_int_equal(system("ip link show guestbr | grep -q 'mtu 9000' && "
				"ip link show guestbr | grep -q fe:ff:ff:ff:ff:fe"),
		0);
	assert_int_equal(netbuf_bubble_close(UUID, &why), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(system("ip link delete port"), 0);
	drop_guests_bridge();
}

static int set_up(void **state)
{
	*xen = (__typeof__(*xen)){0};
	checks = (struct worker_checks){.limit_s = 60};
	broken = visits = false;
	strcpy(dir, "/tmp/romulus-drill-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(script, sizeof(script), "%s-check", dir);
	return 0;
}

static int tear_down(void **state)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf %s %s", dir, script);
	return system(command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_drill_passes),
		TEST(a_guest_that_was_moved_here_is_looked_at),
		TEST(a_look_does_not_touch_the_guest),
		TEST(a_bridge_that_is_looked_from_stays_as_it_is),
		TEST(the_check_has_the_bubble_and_nothing_else),
		TEST(the_host_says_nothing_in_the_bubble),
		TEST(what_accepts_is_enough_and_what_does_not_fails),
		TEST(a_check_that_fails_says_why),
		TEST(what_a_check_has_started_ends),
		TEST(a_guest_that_crashes_fails),
		TEST(what_cannot_be_is_said),
		TEST(it_can_be_called_off_in_every_phase),
		TEST(what_a_dead_one_left_is_removed),
		TEST(there_is_one_at_a_time),
	};

	signal(SIGPIPE, SIG_IGN);
	xen = mmap(NULL, sizeof(*xen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (xen == MAP_FAILED)
		return 1;
	if (unshare(CLONE_NEWNET) < 0) {
		print_message("no network namespace here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
