/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who this host is among its peers: the files of one directory, read as a whole. Made by `romulus
 * pki`, see proto/pki.h; what they are good for is in docs/protocol.md, "The trusted channel".
 */
#ifndef PROTO_IDENTITY_H
#define PROTO_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "proto/proto.h"

struct why;

#define PROTO_PKI_DIR ROMULUS_SYSCONFDIR "/romulus/pki"
#define PROTO_FILE_CA "ca.pem"             /* certificate that every peer's is signed with */
#define PROTO_FILE_CA_KEY "ca-key.pem"     /* on the host that issues; nowhere else */
#define PROTO_FILE_HOST "host.pem"         /* this host's certificate */
#define PROTO_FILE_HOST_KEY "host-key.pem" /* never leaves the host */
#define PROTO_FILE_HEARTBEAT "heartbeat.key"

#define PROTO_KEY_BYTES 32u
#define PROTO_HEARTBEAT_ARMOUR "ROMULUS HEARTBEAT KEY"
#define PROTO_FILE_MAX (64u * 1024u)

/* Warn so long before a certificate ends. */
#define PROTO_EXPIRY_WARNING_S (30 * 24 * 3600)

struct proto_identity;

/*
 * Read the identity of @host from @dir: CA, certificate, key and heartbeat key must be there, fit
 * together and be this host's. An expired certificate is no error here: its peers refuse it.
 * Returns 0, or a negative errno with a sentence that says which command mends it.
 */
int proto_identity_load(
	const char *dir, const char *host, struct proto_identity **ret, struct why *why);
/* Sessions that were begun with it keep what they need of it. Returns NULL. */
struct proto_identity *proto_identity_free(struct proto_identity *id);

/* When the first of the CA's and the host's certificate ends. */
time_t proto_identity_expires(const struct proto_identity *id);

/*
 * True, with a sentence, when the certificate of @id is not valid at @now or will end within
 * PROTO_EXPIRY_WARNING_S.
 */
bool proto_identity_warning(const struct proto_identity *id, time_t now, struct why *why);

/*
 * @id takes the place of @old in a running daemon, whose peers may have the old heartbeat key for a
 * while: that is good as well from here on. True when the key has changed. @old stays its owner's.
 */
bool proto_identity_follow(struct proto_identity *id, const struct proto_identity *old);

enum proto_key {
	PROTO_KEY_NOW,    /* of the file */
	PROTO_KEY_BEFORE, /* before the last change of the file, if the daemon has seen one */
};

/* A number that two hosts have in common when the files of both hold the same heartbeat key. */
uint64_t proto_identity_key_number(const struct proto_identity *id);

/*
 * The tag that a heartbeat carries behind its frame. @context: who says it to whom, and on which
 * path, so that a datagram is good in one place only. Returns 0 or a negative errno.
 */
int proto_identity_tag(const struct proto_identity *id, enum proto_key which, const char *context,
	const void *frame, size_t length, uint8_t ret_tag[PROTO_TAG_BYTES]);
/* Constant time. *ret_which: the key that it was made with. */
bool proto_identity_tag_good(const struct proto_identity *id, const char *context,
	const void *frame, size_t length, const uint8_t tag[PROTO_TAG_BYTES],
	enum proto_key *ret_which);

#endif
