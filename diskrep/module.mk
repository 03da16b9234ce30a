# DRBD, the lower devices, and the tool that sets them up.
libexec += romulus-disk

diskrep_drbd_src := diskrep/command.c diskrep/device.c diskrep/drbd.c diskrep/drbd_events.c \
	diskrep/drbd_show.c diskrep/drbd_status.c diskrep/lineage.c diskrep/lower.c diskrep/nbd.c
diskrep_resource_src := diskrep/meta.c diskrep/resource.c diskrep/resource_setup.c \
	diskrep/resource_check.c
diskrep_src := $(diskrep_drbd_src) $(diskrep_resource_src)
diskrep_pkg := devmapper

romulus-disk_src := diskrep/disk_main.c $(diskrep_src) $(common_src)
romulus-disk_pkg := $(diskrep_pkg)

diskrep_test_names := drbd_events drbd_status lineage drbd_command drbd_verbs drbd_resource \
	disk_kernel
unit_tests += $(diskrep_test_names:%=tests/unit/%)
define diskrep_test
tests/unit/$(1)_src := tests/unit/$(1).c $(diskrep_src) $(common_src)
tests/unit/$(1)_pkg := cmocka $(diskrep_pkg)
tests/unit/$(1)_lib := -lpthread
endef
$(foreach t,$(diskrep_test_names),$(eval $(call diskrep_test,$(t))))
tests/unit/drbd_verbs_lib += -Wl,--wrap=stat,--wrap=diskrep_command \
	-Wl,--wrap=diskrep_command_run,--wrap=diskrep_drbd_status_parse

# The undo store: the plugin that nbdkit loads, and its client in the worker.
diskrep_store_src := diskrep/store.c diskrep/store_talk.c diskrep/store_process.c \
	diskrep/control.c diskrep/marker.c diskrep/rollback.c diskrep/directory.c

# The primary's half: markers and the self-test.
diskrep_primary_src := diskrep/primary.c diskrep/selftest.c \
	diskrep/marker_write.c diskrep/probe.c diskrep/marker.c

plugins += romulus-undo.so
diskrep_undo_src := diskrep/undo_store.c diskrep/undo.c diskrep/backing.c diskrep/buffers.c \
	diskrep/snapshot.c diskrep/rollback_write.c diskrep/directory.c diskrep/marker.c diskrep/probe.c \
	diskrep/order.c
romulus-undo.so_src := diskrep/undo_plugin.c diskrep/confine.c diskrep/undo_control.c diskrep/control.c \
	$(diskrep_undo_src) $(common_src)
romulus-undo.so_lib := -lpthread
romulus-undo.so_pkg := nbdkit libseccomp libcap-ng

unit_tests += tests/unit/marker tests/unit/undo tests/unit/rollback tests/unit/control \
	tests/unit/undo_store tests/unit/store tests/unit/store_process
tests/unit/marker_src := tests/unit/marker.c diskrep/marker.c $(common_src)
tests/unit/marker_pkg := cmocka
tests/unit/undo_src := tests/unit/undo.c diskrep/undo.c $(common_src)
tests/unit/undo_pkg := cmocka
tests/unit/rollback_src := tests/unit/rollback.c diskrep/undo.c diskrep/rollback_write.c \
	diskrep/rollback.c diskrep/directory.c $(common_src)
tests/unit/rollback_pkg := cmocka
tests/unit/control_src := tests/unit/control.c diskrep/control.c diskrep/marker.c $(common_src)
tests/unit/control_pkg := cmocka
tests/unit/undo_store_src := tests/unit/undo_store.c diskrep/rollback.c $(diskrep_undo_src) \
	$(common_src)
tests/unit/undo_store_pkg := cmocka
tests/unit/undo_store_lib := -lpthread -Wl,--wrap=diskrep_backing_read
unit_tests += tests/unit/snapshot
tests/unit/snapshot_src := tests/unit/snapshot.c $(diskrep_undo_src) $(common_src)
tests/unit/snapshot_pkg := cmocka
tests/unit/snapshot_lib := -lpthread
store_rig_src := tests/unit/store_rig.c tests/unit/nbd_client.c $(diskrep_store_src) diskrep/probe.c $(common_src)
tests/unit/store_src := tests/unit/store.c $(store_rig_src)
tests/unit/store_pkg := cmocka
tests/unit/store_process_src := tests/unit/store_process.c $(store_rig_src)
tests/unit/store_process_pkg := cmocka
unit_tests += tests/unit/order tests/unit/selftest
tests/unit/order_src := tests/unit/order.c diskrep/order.c diskrep/probe.c diskrep/marker.c \
	$(common_src)
tests/unit/order_pkg := cmocka
tests/unit/selftest_src := tests/unit/selftest.c diskrep/selftest.c diskrep/marker_write.c \
	diskrep/order.c diskrep/probe.c diskrep/marker.c $(common_src)
tests/unit/selftest_pkg := cmocka
tests/unit/selftest_lib := -Wl,--wrap=io_setup,--wrap=io_destroy,--wrap=io_submit,--wrap=io_getevents
# Not installed: scenarios copy it to the hosts.
test_programs += tests/lab/disk_driver
tests/lab/disk_driver_src := tests/lab/disk_driver.c $(diskrep_src) $(common_src)
tests/lab/disk_driver_pkg := $(diskrep_pkg)
unit_tests += tests/unit/confine
tests/unit/confine_src := tests/unit/confine.c diskrep/confine.c $(common_src)
tests/unit/confine_pkg := cmocka libseccomp libcap-ng
tests/unit/confine_lib := -lpthread
