diskrep_store_src := diskrep/store.c diskrep/store_talk.c diskrep/store_process.c \
	diskrep/control.c diskrep/marker.c diskrep/rollback.c diskrep/directory.c

plugins += romulus-undo.so
diskrep_undo_src := diskrep/undo_store.c diskrep/undo.c diskrep/backing.c diskrep/buffers.c \
	diskrep/rollback_write.c diskrep/directory.c diskrep/marker.c
romulus-undo.so_src := diskrep/undo_plugin.c diskrep/undo_control.c diskrep/control.c \
	$(diskrep_undo_src) $(common_src)
romulus-undo.so_lib := -lpthread
romulus-undo.so_pkg := nbdkit

unit_tests += tests/unit/marker tests/unit/undo tests/unit/rollback tests/unit/control \
	tests/unit/undo_store tests/unit/store
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
tests/unit/store_src := tests/unit/store.c tests/unit/nbd_client.c $(diskrep_store_src) $(common_src)
tests/unit/store_pkg := cmocka
