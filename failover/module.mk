sbin += romulusd

failover_core := failover/config.c failover/config_options.c failover/config_build.c \
	failover/detector.c failover/timeouts.c failover/state.c failover/arbiter.c \
	failover/arbiter_etcd.c failover/etcd.c failover/etcd_message.c failover/etcd_watch.c failover/fence_agent.c \
	failover/child.c failover/events.c failover/domain_machine.c \
	failover/decide.c failover/domain_plan.c failover/replay.c failover/autostart.c \
	failover/watchdog.c failover/terms.c failover/preflight.c failover/preflight_disks.c failover/cpu_features.c
failover_src := $(failover_core) failover/address.c failover/disk_command.c failover/pki_command.c \
	failover/save_command.c failover/hello.c failover/peers.c \
	failover/listener.c failover/request.c failover/worker.c failover/domain.c \
	failover/domain_actions.c failover/domain_primary.c failover/domain_move.c failover/domain_fetch.c failover/domain_backup.c \
	failover/domain_work.c failover/domain_monitor.c failover/domain_start.c failover/domain_requests.c \
	failover/check.c failover/drill.c replicator/drill_history.c failover/control.c failover/status.c failover/announcement.c $(wildcard failover/announce.c)
failover_pkg := libsystemd libconfuse jansson libcurl
romulusd_src := failover/main.c failover/watchdog_xen.c $(failover_src) $(proto_src) $(common_src)
romulusd_pkg := $(proto_pkg) $(failover_pkg) libnl-3.0 libnl-route-3.0 xencontrol

failover_test_names := arbiter autostart config decide detector etcd etcd_cluster domain_machine domain_plan state \
	reap terms watchdog preflight
unit_tests += $(failover_test_names:%=tests/unit/%)
define failover_test
tests/unit/$(1)_src := tests/unit/$(1).c $(failover_core) $(proto_src) $(common_src)
tests/unit/$(1)_pkg := cmocka $(failover_pkg) $(proto_pkg)
endef
$(foreach t,$(failover_test_names),$(eval $(call failover_test,$(t))))
tests/unit/reap_src += failover/worker.c
unit_tests += tests/unit/save_command
tests/unit/save_command_src := tests/unit/save_command.c failover/save_command.c failover/state.c $(common_src)
tests/unit/save_command_pkg := cmocka jansson $(proto_pkg)
tests/unit/etcd_cluster_src += tests/unit/etcd_rig.c tests/unit/daemon_rig.c

# The daemon itself, beside the test.
unit_tests += tests/unit/etcd_daemon tests/unit/monitor_daemon
tests/unit/etcd_daemon_src := tests/unit/etcd_daemon.c tests/unit/etcd_rig.c tests/unit/daemon_rig.c \
	$(failover_core) $(proto_src) $(common_src)
tests/unit/monitor_daemon_src := tests/unit/monitor_daemon.c tests/unit/daemon_rig.c failover/state.c \
	$(proto_src) $(common_src)
tests/unit/monitor_daemon_pkg := cmocka jansson $(proto_pkg)
tests/unit/etcd_daemon_pkg := cmocka $(failover_pkg) $(proto_pkg)
$(BUILD)/tests/unit/etcd_daemon $(BUILD)/tests/unit/monitor_daemon: | $(BUILD)/romulusd

daemons_tests := tests/unit/daemon tests/unit/daemon_move tests/unit/daemon_live tests/unit/daemon_check \
	tests/unit/daemon_drill \
	tests/unit/daemon_certificates
unit_tests += $(daemons_tests)
define daemons_test
$(1)_src := $(1).c tests/unit/daemons.c tests/unit/daemon_rig.c $(failover_core) $(proto_src) $(common_src)
$(1)_pkg := cmocka $(failover_pkg) $(proto_pkg)
endef
$(foreach t,$(daemons_tests),$(eval $(call daemons_test,$(t))))
$(daemons_tests:%=$(BUILD)/%): | $(BUILD)/romulusd
