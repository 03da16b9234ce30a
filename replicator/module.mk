libexec += romulus-primary romulus-backup romulus-monitor romulus-save romulus-facts romulus-drill

hv_src := replicator/hv_xen.c replicator/hv_suspend.c replicator/hv_save.c replicator/hv_capture.c \
	replicator/hv_restore.c replicator/hv_whole.c replicator/hv_end.c replicator/hv_shape.c \
	replicator/hv_host.c replicator/shape.c replicator/replica.c
hv_pkg := xencontrol xenguest xenlight xenstore xenevtchn xenforeignmemory xentoollog

romulus-primary_src := replicator/primary_main.c replicator/primary_setup.c replicator/primary_run.c replicator/awake.c \
	replicator/primary_hold.c replicator/precopy.c replicator/primary_repair.c \
	replicator/primary_epoch.c replicator/ship.c replicator/staging.c $(hv_src) \
	replicator/asked.c replicator/restrain.c replicator/saver.c replicator/worker.c \
	$(diskrep_primary_src) $(diskrep_drbd_src) $(netbuf_src) $(proto_src) $(common_src)
romulus-primary_pkg := $(netbuf_pkg) $(proto_pkg) $(diskrep_pkg) $(hv_pkg)
romulus-primary_lib := -lpthread -laio

romulus-backup_src := replicator/backup_main.c replicator/backup_accept.c replicator/backup_receive.c \
	replicator/backup_takeover.c replicator/adopt.c replicator/backup_epoch.c replicator/receive.c \
	replicator/claim.c replicator/feed.c replicator/drill_source.c replicator/xenstream.c replicator/standby.c replicator/saver.c replicator/worker.c $(hv_src) \
	diskrep/backup.c diskrep/takeover.c $(diskrep_src) $(diskrep_store_src) $(proto_src) \
	$(common_src)
romulus-backup_pkg := $(proto_pkg) $(diskrep_pkg) $(hv_pkg)
romulus-backup_lib := -lpthread

romulus-monitor_src := replicator/monitor_main.c replicator/lifecycle.c replicator/restrain.c \
	replicator/saver.c replicator/worker.c $(hv_src) $(proto_src) $(common_src)
romulus-monitor_pkg := $(proto_pkg) $(hv_pkg)

drill_src := replicator/drill.c replicator/drill_room.c replicator/drill_copy.c \
	replicator/drill_look.c replicator/drill_domain.c replicator/drill_check.c \
	replicator/drill_history.c replicator/standby.c netbuf/bubble.c diskrep/drill.c \
	diskrep/store_process.c $(diskrep_drbd_src)
drill_pkg := libnl-3.0 libnl-route-3.0 jansson libcurl libsystemd $(diskrep_pkg)
romulus-drill_src := replicator/drill_main.c $(drill_src) replicator/saver.c replicator/worker.c \
	$(hv_src) $(proto_src) $(common_src)
romulus-drill_pkg := $(drill_pkg) $(proto_pkg) $(hv_pkg)

facts_src := replicator/facts.c replicator/facts_disks.c replicator/segment.c diskrep/identity.c
romulus-facts_src := replicator/facts_main.c $(facts_src) replicator/saver.c replicator/worker.c \
	$(hv_src) $(diskrep_drbd_src) diskrep/resource.c diskrep/meta.c $(proto_src) $(common_src)
romulus-facts_pkg := $(proto_pkg) $(diskrep_pkg) $(hv_pkg)

savefile_src := replicator/savefile_format.c replicator/savefile_write.c replicator/savefile_read.c \
	replicator/xenstream.c $(BUILD)/proto/romulus.pb-c.c
savefile_pkg := libprotobuf-c gnutls libzstd
romulus-save_src := replicator/save_main.c replicator/save.c replicator/restore.c replicator/outfile.c \
	$(savefile_src) $(hv_src) replicator/saver.c diskrep/command.c $(common_src)
romulus-save_pkg := $(savefile_pkg) jansson libsystemd $(hv_pkg)
romulus-save_lib := -lpthread

save_tests := tests/unit/save tests/unit/save_damage tests/unit/save_death
unit_tests += $(save_tests) tests/unit/save_processes
tests/unit/save_processes_src := tests/unit/save_processes.c replicator/save.c replicator/restore.c \
	replicator/outfile.c $(savefile_src) diskrep/command.c $(common_src)
tests/unit/save_processes_pkg := cmocka jansson libsystemd $(savefile_pkg)
tests/unit/save_processes_lib := -lpthread
define save_test
$(1)_src := $(1).c tests/unit/save_rig.c replicator/save.c replicator/restore.c replicator/outfile.c \
	$(savefile_src) diskrep/command.c $(common_src)
$(1)_pkg := cmocka jansson $(savefile_pkg)
$(1)_lib := -lpthread
endef
$(foreach t,$(save_tests),$(eval $(call save_test,$(t))))

tests/unit/moving_src := tests/unit/moving.c replicator/primary_run.c replicator/primary_hold.c replicator/awake.c \
	replicator/precopy.c replicator/primary_epoch.c \
	replicator/ship.c replicator/staging.c replicator/asked.c replicator/restrain.c \
	replicator/saver.c replicator/worker.c $(netbuf_src) $(proto_src) $(common_src)
tests/unit/moving_pkg := cmocka $(netbuf_pkg) $(proto_pkg)
tests/unit/moving_lib := -lpthread
unit_tests += tests/unit/epochs tests/unit/receive tests/unit/lifecycle tests/unit/monitor \
	tests/unit/shape tests/unit/saver tests/unit/hv tests/unit/repair tests/unit/moving \
	tests/unit/precopy tests/unit/segment tests/unit/facts tests/unit/hv_host tests/unit/claim
tests/unit/repair_src := tests/unit/repair.c replicator/primary_repair.c replicator/restrain.c \
	replicator/asked.c replicator/saver.c $(common_src)
tests/unit/repair_pkg := cmocka $(proto_pkg)
tests/unit/hv_src := tests/unit/hv.c tests/unit/xen_rig.c $(hv_src) $(common_src)
tests/unit/hv_pkg := cmocka $(hv_pkg)
tests/unit/monitor_src := tests/unit/monitor.c replicator/lifecycle.c replicator/restrain.c \
	replicator/worker.c $(proto_src) $(common_src)
tests/unit/monitor_pkg := cmocka $(proto_pkg)
tests/unit/precopy_src := tests/unit/precopy.c replicator/precopy.c
tests/unit/precopy_pkg := cmocka
unit_tests += tests/unit/replica tests/unit/drill
tests/unit/replica_src := tests/unit/replica.c replicator/replica.c
tests/unit/replica_pkg := cmocka
tests/unit/drill_src := tests/unit/drill.c $(drill_src) replicator/drill_source.c replicator/feed.c \
	replicator/replica.c replicator/xenstream.c replicator/worker.c $(proto_src) $(common_src)
tests/unit/drill_pkg := cmocka $(drill_pkg) $(proto_pkg)
tests/unit/drill_lib := -lpthread
tests/unit/saver_src := tests/unit/saver.c replicator/saver.c
tests/unit/saver_pkg := cmocka
tests/unit/segment_src := tests/unit/segment.c replicator/segment.c $(common_src)
tests/unit/segment_pkg := cmocka
tests/unit/facts_src := tests/unit/facts.c $(facts_src) diskrep/resource.c diskrep/meta.c $(diskrep_drbd_src) \
	$(proto_src) $(common_src)
tests/unit/facts_pkg := cmocka $(proto_pkg) $(diskrep_pkg)
tests/unit/facts_lib := -Wl,--wrap=diskrep_drbd_status,--wrap=diskrep_lineage_current \
	-Wl,--wrap=diskrep_identity_held
unit_tests += tests/unit/adopt
tests/unit/adopt_src := tests/unit/adopt.c replicator/adopt.c replicator/standby.c $(common_src)
tests/unit/adopt_pkg := cmocka $(proto_pkg)
tests/unit/claim_src := tests/unit/claim.c replicator/claim.c $(common_src)
tests/unit/claim_pkg := cmocka
tests/unit/hv_host_src := tests/unit/hv_host.c replicator/hv_host.c $(common_src)
tests/unit/hv_host_pkg := cmocka
tests/unit/shape_src := tests/unit/shape.c replicator/shape.c
tests/unit/shape_pkg := cmocka
tests/unit/lifecycle_src := tests/unit/lifecycle.c replicator/lifecycle.c replicator/restrain.c \
	$(common_src)
tests/unit/lifecycle_pkg := cmocka
tests/unit/epochs_src := tests/unit/epochs.c replicator/primary_epoch.c replicator/backup_epoch.c
tests/unit/epochs_pkg := cmocka
tests/unit/receive_src := tests/unit/receive.c replicator/receive.c replicator/feed.c replicator/replica.c \
	replicator/xenstream.c replicator/staging.c $(common_src)
tests/unit/receive_pkg := cmocka
tests/unit/receive_lib := -lpthread
