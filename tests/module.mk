# Unit tests: tests/unit/NAME.c, each a cmocka program; see unit/ for what it links.
test_pkg := cmocka
unit_tests += tests/unit/fault
tests/unit/fault_src := tests/unit/fault.c $(common_src)
tests/unit/fault_pkg := cmocka
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
unit_tests += tests/unit/wire
tests/unit/wire_src := tests/unit/wire.c $(proto_src) $(common_src)
tests/unit/wire_pkg := cmocka $(proto_pkg)
unit_tests += tests/unit/session
tests/unit/session_src := tests/unit/session.c $(proto_src) $(common_src)
tests/unit/session_pkg := cmocka $(proto_pkg)
unit_tests += tests/unit/handshake
tests/unit/handshake_src := tests/unit/handshake.c $(proto_src) $(common_src)
tests/unit/handshake_pkg := cmocka $(proto_pkg)
tests/unit/handshake_lib := -lpthread

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

unit:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-asan CFLAGS='-O1 -g $(SANITIZE)' \
		HARDENING= LDFLAGS= unit-run

unit-run: $(unit_tests:%=$(BUILD)/%) $(plugins:%=$(BUILD)/%)
	$(Q)tests/unit/run $(unit_tests:%=$(BUILD)/%)

check: deps
	$(Q)BUILD=$(BUILD) MAKE='$(MAKE)' tests/check

lab-all: deps
	$(Q)BUILD=$(BUILD) MAKE='$(MAKE)' tests/check --all

demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/lab/demo

bench: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/run

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
	codespell -q 3 --ignore-words-list=fo,uptodate --skip=COPYING,./build*,.git .

.PHONY: unit unit-run check lab-all demo bench deps lint
