# Unit tests: tests/unit/NAME.c, each a cmocka program; see unit/ for what it links.
test_pkg := cmocka
unit_tests += tests/unit/fault
tests/unit/fault_src := tests/unit/fault.c $(common_src)
tests/unit/fault_pkg := cmocka
unit_tests += tests/unit/text
tests/unit/text_src := tests/unit/text.c $(common_src)
tests/unit/text_pkg := cmocka
unit_tests += tests/unit/netbuf
tests/unit/netbuf_src := tests/unit/netbuf.c $(netbuf_src) $(common_src)
tests/unit/netbuf_pkg := cmocka $(netbuf_pkg)
unit_tests += tests/unit/netbuf_kernel
tests/unit/netbuf_kernel_src := tests/unit/netbuf_kernel.c tests/unit/netbuf_rig.c $(netbuf_src) \
	$(common_src)
tests/unit/netbuf_kernel_pkg := cmocka $(netbuf_pkg)
unit_tests += tests/unit/announce
tests/unit/announce_src := tests/unit/announce.c failover/announce.c $(common_src)
tests/unit/announce_pkg := cmocka libnl-3.0 libnl-route-3.0

unit_tests += tests/unit/cli
tests/unit/cli_src := tests/unit/cli.c $(cli_src) $(common_src)
tests/unit/cli_pkg := cmocka jansson
tests/unit/daemon_drill_src += $(cli_src)
unit_tests += tests/unit/wire
tests/unit/wire_src := tests/unit/wire.c $(proto_src) $(common_src)
tests/unit/wire_pkg := cmocka $(proto_pkg)
unit_tests += tests/unit/session tests/unit/packed
tests/unit/session_src := tests/unit/session.c $(proto_src) $(common_src)
tests/unit/session_pkg := cmocka $(proto_pkg)
tests/unit/packed_src := tests/unit/packed.c $(proto_src) $(common_src)
tests/unit/packed_pkg := cmocka $(proto_pkg)
unit_tests += tests/unit/handshake
tests/unit/handshake_src := tests/unit/handshake.c $(proto_src) $(common_src)
tests/unit/handshake_pkg := cmocka $(proto_pkg)
tests/unit/handshake_lib := -lpthread
unit_tests += tests/unit/tls
tests/unit/tls_src := tests/unit/tls.c $(proto_src) $(common_src)
tests/unit/tls_pkg := cmocka $(proto_pkg)
tests/unit/tls_lib := -lpthread
unit_tests += tests/unit/pki
tests/unit/pki_src := tests/unit/pki.c failover/pki_command.c $(failover_core) $(proto_src) $(common_src)
tests/unit/pki_pkg := cmocka $(failover_pkg) $(proto_pkg)
unit_tests += tests/unit/accept
tests/unit/accept_src := tests/unit/accept.c replicator/backup_accept.c replicator/worker.c \
	$(proto_src) $(common_src)
tests/unit/accept_pkg := cmocka $(proto_pkg)
tests/unit/accept_lib := -lpthread
channel_tests := tests/unit/channel tests/unit/heartbeats
unit_tests += $(channel_tests)
channel_rig := tests/unit/channel_rig.c failover/peers.c failover/listener.c failover/request.c \
	failover/hello.c failover/address.c $(failover_core) $(proto_src) $(common_src)
$(foreach t,$(channel_tests),$(eval $(t)_src := $(t).c $$(channel_rig)))
$(foreach t,$(channel_tests),$(eval $(t)_pkg := cmocka $(failover_pkg) $(proto_pkg)))
$(foreach t,$(channel_tests),$(eval $(t)_lib := -Wl,--wrap=sendmsg))

# Fuzz targets: tests/fuzz/NAME.c. Over their seeds they are unit tests; FUZZER is set by `make fuzz`.
fuzz_targets := $(addprefix tests/fuzz/,marker rollback drbd_events undo_control wire \
	record config control heartbeat question answer stream child_output netbuf_state \
	drbd_status meta cli_reply etcd savefile preflight)
unit_tests += $(fuzz_targets)
fuzz_src := $(if $(FUZZER),,tests/fuzz/replay.c) tests/fuzz/log.c \
	$(filter-out common/log.c,$(common_src))
$(foreach t,$(fuzz_targets),$(eval $(t)_lib := $(if $(FUZZER),-fsanitize=fuzzer)))
tests/fuzz/marker_src := tests/fuzz/marker.c diskrep/marker.c $(fuzz_src)
tests/fuzz/rollback_src := tests/fuzz/rollback.c diskrep/rollback.c diskrep/rollback_write.c \
	diskrep/undo.c diskrep/directory.c $(fuzz_src)
tests/fuzz/drbd_events_src := tests/fuzz/drbd_events.c diskrep/drbd_events.c $(fuzz_src)
tests/fuzz/undo_control_src := tests/fuzz/undo_control.c diskrep/control.c diskrep/marker.c $(fuzz_src)
tests/fuzz/undo_control_lib += -lpthread
tests/fuzz/wire_src := tests/fuzz/wire.c $(proto_src) $(fuzz_src)
tests/fuzz/wire_pkg := $(proto_pkg)
tests/fuzz/record_src := tests/fuzz/record.c failover/state.c $(fuzz_src)
tests/fuzz/record_pkg := jansson
tests/fuzz/config_src := tests/fuzz/config.c failover/config.c failover/config_options.c \
	failover/config_build.c failover/autostart.c failover/state.c $(fuzz_src)
tests/fuzz/config_pkg := libconfuse jansson
tests/fuzz/control_src := tests/fuzz/control.c failover/status.c $(failover_core) $(proto_src) $(fuzz_src)
tests/fuzz/control_pkg := $(failover_pkg) $(proto_pkg)
tests/fuzz/heartbeat_src := tests/fuzz/heartbeat.c failover/address.c $(failover_core) \
	$(proto_src) $(fuzz_src)
tests/fuzz/heartbeat_pkg := $(proto_pkg) $(failover_pkg)
tests/fuzz/question_src := tests/fuzz/question.c failover/hello.c $(proto_src) $(fuzz_src)
tests/fuzz/question_pkg := $(proto_pkg) libsystemd jansson
tests/fuzz/answer_src := tests/fuzz/answer.c failover/hello.c $(proto_src) $(fuzz_src)
tests/fuzz/answer_pkg := $(proto_pkg) libsystemd jansson
tests/fuzz/stream_src := tests/fuzz/stream.c replicator/backup_receive.c replicator/backup_epoch.c \
	replicator/receive.c $(proto_src) $(fuzz_src)
tests/fuzz/stream_pkg := $(proto_pkg)
tests/fuzz/child_output_src := tests/fuzz/child_output.c $(fuzz_src)
tests/fuzz/child_output_pkg := libsystemd jansson
tests/fuzz/netbuf_state_src := tests/fuzz/netbuf_state.c $(netbuf_src) $(fuzz_src)
tests/fuzz/netbuf_state_pkg := $(netbuf_pkg)
tests/fuzz/drbd_status_src := tests/fuzz/drbd_status.c diskrep/command.c diskrep/device.c \
	diskrep/drbd_events.c diskrep/drbd_show.c diskrep/drbd_status.c diskrep/lineage.c \
	$(fuzz_src)
tests/fuzz/meta_src := tests/fuzz/meta.c diskrep/meta.c $(fuzz_src)
tests/fuzz/cli_reply_src := tests/fuzz/cli_reply.c cli/status.c cli/check.c cli/drills.c cli/drill_planned.c cli/progress.c cli/events.c $(fuzz_src)
tests/fuzz/cli_reply_pkg := jansson
tests/fuzz/preflight_src := tests/fuzz/preflight.c failover/preflight.c failover/preflight_disks.c failover/cpu_features.c failover/terms.c \
	$(proto_src) $(fuzz_src)
tests/fuzz/preflight_pkg := $(proto_pkg)
tests/fuzz/etcd_src := tests/fuzz/etcd.c failover/etcd_message.c failover/state.c $(fuzz_src)
tests/fuzz/etcd_pkg := jansson
tests/fuzz/savefile_src := tests/fuzz/savefile.c $(savefile_src) $(fuzz_src)
tests/fuzz/savefile_pkg := $(savefile_pkg)

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

unit:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-asan CFLAGS='-O1 -g $(SANITIZE)' \
		HARDENING= LDFLAGS= unit-run

unit-run: $(unit_tests:%=$(BUILD)/%) $(plugins:%=$(BUILD)/%)
	$(Q)tests/unit/run $(unit_tests:%=$(BUILD)/%)

# The simulator: the objects that decide in romulusd and the workers, and a world of numbers.
test_programs += tests/sim/sim
tests/sim/sim_src := $(wildcard tests/sim/*.c) failover/domain_machine.c failover/domain_plan.c failover/decide.c \
	failover/detector.c failover/replay.c failover/timeouts.c failover/arbiter.c failover/arbiter_etcd.c failover/state.c \
	replicator/primary_epoch.c replicator/backup_epoch.c diskrep/undo.c diskrep/lineage.c diskrep/takeover.c \
	$(common_src)
tests/sim/sim_pkg := jansson
tests/sim/sim_lib := -Wl,--wrap=primary_epoch_step -Wl,--wrap=backup_epoch_step
SEEDS ?= 20000
FIRST ?= 1

sim: $(BUILD)/tests/sim/sim
	$(Q)tests/sim/run $< $(FIRST) $(SEEDS)

model:
	$(Q)BUILD=$(BUILD) CC=$(CC) tests/model/run

fuzz:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=clang FUZZER=1 \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link $(SANITIZE)' HARDENING= LDFLAGS= \
		WARNINGS= fuzz-run

# Its loop is no branch worth following, and most of the time would go there.
ifdef FUZZER
$(BUILD)/common/crc32c.o: override CFLAGS := -O2 -g $(SANITIZE)
endif

fuzz-run: $(fuzz_targets:%=$(BUILD)/%)
	$(Q)tests/fuzz/run $^

check: deps
	$(Q)BUILD=$(BUILD) MAKE='$(MAKE)' tests/check

lab-all: deps
	$(Q)BUILD=$(BUILD) MAKE='$(MAKE)' tests/check --all

# ROUNDS=60 SEED=7: what happens at random, and the table of it
lab-faults: deps
	$(Q)tests/lab/lab build
	$(Q)tests/lab/lab run faults

demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/lab/demo

# Two processes on loopback; no lab.
test_programs += tests/bench/stream
tests/bench/stream_src := tests/bench/stream.c $(proto_src) $(common_src)
tests/bench/stream_pkg := $(proto_pkg)

bench-stream: $(BUILD)/tests/bench/stream
	$(Q)$<

bench: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/run
	$(Q)tests/bench/disks
	$(Q)tests/bench/migrate

bench-migrate: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/migrate

bench-disks: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/disks

deps:
	$(Q)tests/deps

SOURCES = $(shell git ls-files '*.c' '*.h')
SCRIPTS = $(shell git ls-files | xargs grep -lE '^\#!.*(ba)?sh' --)

lint: $(generated)
	clang-format --dry-run -Werror $(SOURCES)
	cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,portability \
		--suppress=missingIncludeSystem -j $(shell nproc) \
		--library=tests/cppcheck.cfg -I. -I$(BUILD) $(filter %.c,$(SOURCES))
	shellcheck -x $(SCRIPTS)
	codespell -q 3 --ignore-words-list=fo,inflight,uptodate --skip=COPYING,./build*,.git .

.PHONY: unit unit-run sim model fuzz fuzz-run check lab-all lab-faults demo bench bench-disks bench-migrate bench-stream deps lint
