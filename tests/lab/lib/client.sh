# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The native test client (client.c), built outside the tree and run inside the lab's network.

client_path() { echo "$CACHE/client-$(sha256sum <"$LAB_DIR/client.c" | cut -c1-16)"; }

client_build() {
	local path
	path=$(client_path)
	[ -x "$path" ] && return
	mkdir -p "$CACHE"
	cc -O2 -Wall -Wextra -o "$path.part" "$LAB_DIR/client.c" || die "the test client does not build"
	mv "$path.part" "$path"
}

client() {
	client_build
	in_lab "$(client_path)" "$@"
}

pulse_send() { # pulse_send DOMU COMMAND...
	[ -n "${GUEST_ADDRESS[${1:-none}]:-}" ] || die "which domU? db or web"
	client tell "${GUEST_ADDRESS[$1]}" "${@:2}"
}
