/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLS below the frames of a session: session.c and send.c use it, nobody else includes this. */
#ifndef PROTO_TLS_H
#define PROTO_TLS_H

#include <stdatomic.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "proto/identity.h"
#include "proto/internal.h"

struct proto_identity {
	atomic_uint users; /* sessions among them */
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	gnutls_hmac_hd_t heartbeat[2]; /* by enum proto_key; that before may be NULL */
	uint8_t key[2][PROTO_KEY_BYTES];
	time_t from, expires;
};

struct proto_identity *proto_identity_keep(struct proto_identity *id); /* returns @id */

/* Of proto_identity's credentials: may the session's peer be who it says it is? */
int proto_tls_verify(gnutls_session_t session);

/* Bytes of one record: whoever writes more writes several. */
#define TLS_RECORD_MAX 16384u

struct proto_tls *proto_tls_free(struct proto_tls *t); /* returns NULL */

/* True when the handshake is over. */
bool proto_tls_established(const struct proto_tls *t);

/* True when bytes have been decrypted that nobody has read: no poll would report them. */
bool proto_tls_pending(const struct proto_tls *t);

/*
 * As recv() and send() on a socket that does not block: bytes, 0 (recv: the peer has closed), or a
 * negative errno, -EAGAIN included, with a sentence for all but that. A send that returned -EAGAIN
 * must be repeated with the same bytes.
 */
ssize_t proto_tls_recv(struct proto_session *s, void *data, size_t length, struct why *why);
ssize_t proto_tls_send(struct proto_session *s, const void *data, size_t length, struct why *why);

#endif
