unit_tests += tests/unit/marker tests/unit/undo tests/unit/rollback
tests/unit/marker_src := tests/unit/marker.c diskrep/marker.c $(common_src)
tests/unit/marker_pkg := cmocka
tests/unit/undo_src := tests/unit/undo.c diskrep/undo.c $(common_src)
tests/unit/undo_pkg := cmocka
tests/unit/rollback_src := tests/unit/rollback.c diskrep/undo.c diskrep/rollback_write.c \
	diskrep/rollback.c diskrep/directory.c $(common_src)
tests/unit/rollback_pkg := cmocka
