/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/identity.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "proto/pki.h"
#include "proto/tls.h"

/*
 * TLS 1.3 and nothing else. AES-128-GCM first: the stream's throughput is the cipher's, and every
 * x86 with Xen has AES in hardware.
 */
#define PRIORITY                                                                                   \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"                  \
	"+CHACHA20-POLY1305:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1"

#define CHAIN_BITS_MAX 8192 /* of a key that a stranger makes us verify with */
#define CHAIN_LENGTH_MAX 2  /* the host's certificate and the CA's */

#define MEND                                                                                       \
	"run `romulus pki init` on one host of the cluster and `romulus pki join` with its name "  \
	"on each other one"

static int read_file(const char *dir, const char *name, char **ret, struct why *why)
{
	int err = proto_pki_read(dir, name, ret);

	if (err == -ENOENT)
		return why_set(why, err,
			"there is no %s/%s, so peers could not know this host: " MEND
			", or say transport = \"plain\" if all links between the hosts are trusted",
			dir, name);
	if (err < 0)
		return why_set(why, err, "cannot read %s/%s: %s", dir, name, strerror(-err));
	return 0;
}

static gnutls_datum_t datum(const char *text)
{
	return (gnutls_datum_t){
		.data = (unsigned char *)(uintptr_t)text, .size = (unsigned int)strlen(text)};
}

static int begin_hmac(struct proto_identity *id, enum proto_key which)
{
	return gnutls_hmac_init(
		&id->heartbeat[which], GNUTLS_MAC_SHA256, id->key[which], PROTO_KEY_BYTES);
}

static int load_heartbeat_key(struct proto_identity *id, const char *dir, struct why *why)
{
	CLEANUP_FREE char *text = NULL;
	int err = read_file(dir, PROTO_FILE_HEARTBEAT, &text, why);

	if (err < 0)
		return err;
	if (proto_pki_heartbeat_key(text, id->key[PROTO_KEY_NOW]) < 0 ||
		begin_hmac(id, PROTO_KEY_NOW) < 0)
		return why_set(why, -EINVAL, "%s/%s is no heartbeat key: " MEND, dir,
			PROTO_FILE_HEARTBEAT);
	return 0;
}

static int check_host(struct proto_identity *id, const char *dir, const char *host,
	const char *certificate, const char *ca, struct why *why)
{
	struct proto_pki_facts mine, theirs;
	int err = proto_pki_facts(certificate, &mine, why);

	if (!err)
		err = proto_pki_facts(ca, &theirs, why);
	if (err < 0)
		return err;
	if (strcasecmp(mine.name, host) != 0)
		return why_set(why, -EINVAL,
			"the certificate in %s/%s is that of %s, but host is \"%s\" in "
			"romulus.conf: correct it, or run `romulus pki join` again with --force",
			dir, PROTO_FILE_HOST, mine.name, host);
	if (!proto_pki_signed_by(certificate, ca))
		return why_set(why, -EINVAL,
			"the certificate in %s/%s is not signed by %s: peers would refuse it; " MEND
			", with --force",
			dir, PROTO_FILE_HOST, PROTO_FILE_CA);
	id->from = mine.from > theirs.from ? mine.from : theirs.from;
	id->expires = mine.until < theirs.until ? mine.until : theirs.until;
	return 0;
}

static int load_credentials(
	struct proto_identity *id, const char *dir, const char *host, struct why *why)
{
	CLEANUP_FREE char *ca = NULL, *certificate = NULL, *key = NULL;
	gnutls_datum_t ca_d, certificate_d, key_d;
	int err = read_file(dir, PROTO_FILE_CA, &ca, why);

	if (!err)
		err = read_file(dir, PROTO_FILE_HOST, &certificate, why);
	if (!err)
		err = read_file(dir, PROTO_FILE_HOST_KEY, &key, why);
	if (!err)
		err = check_host(id, dir, host, certificate, ca, why);
	if (err < 0)
		return err;
	ca_d = datum(ca);
	certificate_d = datum(certificate);
	key_d = datum(key);
	err = gnutls_certificate_set_x509_trust_mem(id->credentials, &ca_d, GNUTLS_X509_FMT_PEM);
	if (err >= 0)
		err = gnutls_certificate_set_x509_key_mem(
			id->credentials, &certificate_d, &key_d, GNUTLS_X509_FMT_PEM);
	if (err < 0)
		return why_set(why, -EINVAL,
			"the certificate and the key in %s do not fit together: %s; " MEND
			", with --force",
			dir, gnutls_strerror(err));
	return 0;
}

int proto_identity_load(
	const char *dir, const char *host, struct proto_identity **ret, struct why *why)
{
	struct proto_identity *id = calloc(1, sizeof(*id));
	int err;

	if (id)
		atomic_init(&id->users, 1);
	if (!id || gnutls_certificate_allocate_credentials(&id->credentials) < 0 ||
		gnutls_priority_init(&id->priority, PRIORITY, NULL) < 0) {
		proto_identity_free(id);
		return why_set(why, -ENOMEM, "no memory for this host's certificate");
	}
	gnutls_certificate_set_verify_limits(id->credentials, CHAIN_BITS_MAX, CHAIN_LENGTH_MAX);
	gnutls_certificate_set_verify_function(id->credentials, proto_tls_verify);
	err = load_credentials(id, dir, host, why);
	if (!err)
		err = load_heartbeat_key(id, dir, why);
	if (err < 0) {
		proto_identity_free(id);
		return err;
	}
	*ret = id;
	return 0;
}

struct proto_identity *proto_identity_free(struct proto_identity *id)
{
	if (!id || atomic_fetch_sub(&id->users, 1) > 1)
		return NULL;
	if (id->credentials)
		gnutls_certificate_free_credentials(id->credentials);
	if (id->priority)
		gnutls_priority_deinit(id->priority);
	for (size_t i = 0; i < ARRAY_SIZE(id->heartbeat); i++)
		if (id->heartbeat[i])
			gnutls_hmac_deinit(id->heartbeat[i], NULL);
	gnutls_memset(id->key, 0, sizeof(id->key));
	free(id);
	return NULL;
}

struct proto_identity *proto_identity_keep(struct proto_identity *id)
{
	atomic_fetch_add(&id->users, 1);
	return id;
}

bool proto_identity_follow(struct proto_identity *id, const struct proto_identity *old)
{
	const bool changed =
		memcmp(id->key[PROTO_KEY_NOW], old->key[PROTO_KEY_NOW], PROTO_KEY_BYTES) != 0;
	const enum proto_key from = changed ? PROTO_KEY_NOW : PROTO_KEY_BEFORE;

	if (!old->heartbeat[from])
		return false;
	memcpy(id->key[PROTO_KEY_BEFORE], old->key[from], PROTO_KEY_BYTES);
	return begin_hmac(id, PROTO_KEY_BEFORE) == 0 && changed;
}

time_t proto_identity_expires(const struct proto_identity *id)
{
	return id->expires;
}

bool proto_identity_warning(const struct proto_identity *id, time_t now, struct why *why)
{
	char day[PROTO_DAY_MAX];

	if (now < id->from) {
		why_set(why, 0,
			"this host's certificate is not valid before %s: peers refuse it; set the "
			"clock of this host",
			proto_pki_day(id->from, day));
		return true;
	}
	if (now + PROTO_EXPIRY_WARNING_S < id->expires)
		return false;
	why_set(why, 0,
		"this host's certificate %s on %s: %s; make new ones with `romulus pki init "
		"--force` on one host, `romulus pki join --force` on each other one, then "
		"systemctl reload romulusd on all",
		now < id->expires ? "expires" : "expired", proto_pki_day(id->expires, day),
		now < id->expires ? "from then on no protection can begin" : "peers refuse it");
	return true;
}

int proto_identity_tag(const struct proto_identity *id, enum proto_key which, const char *context,
	const void *frame, size_t length, uint8_t ret_tag[PROTO_TAG_BYTES])
{
	gnutls_hmac_hd_t hmac = id->heartbeat[which];

	/* With its final zero: where the context ends is not open to choice. */
	if (!hmac || gnutls_hmac(hmac, context, strlen(context) + 1) < 0 ||
		gnutls_hmac(hmac, frame, length) < 0)
		return -EIO;
	gnutls_hmac_output(hmac, ret_tag); /* and ready for the next one */
	return 0;
}

bool proto_identity_tag_good(const struct proto_identity *id, const char *context,
	const void *frame, size_t length, const uint8_t tag[PROTO_TAG_BYTES],
	enum proto_key *ret_which)
{
	uint8_t right[PROTO_TAG_BYTES];

	for (enum proto_key k = PROTO_KEY_NOW; k <= PROTO_KEY_BEFORE; k++)
		if (proto_identity_tag(id, k, context, frame, length, right) == 0 &&
			gnutls_memcmp(right, tag, sizeof(right)) == 0) {
			*ret_which = k;
			return true;
		}
	return false;
}

uint64_t proto_identity_key_number(const struct proto_identity *id)
{
	uint8_t tag[PROTO_TAG_BYTES];
	uint64_t number;

	if (proto_identity_tag(id, PROTO_KEY_NOW, "romulus heartbeat key 1", "", 0, tag) < 0)
		return 0;
	memcpy(&number, tag, sizeof(number));
	return le64toh(number);
}
