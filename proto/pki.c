/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "common/cleanup.h"
#include "common/why.h"

#define SERIAL_BYTES 16
#define DAY_S (24 * 3600)

static void cleanup_crt(gnutls_x509_crt_t *p)
{
	if (*p)
		gnutls_x509_crt_deinit(*p);
}

static void cleanup_key(gnutls_x509_privkey_t *p)
{
	if (*p)
		gnutls_x509_privkey_deinit(*p);
}

static void cleanup_crq(gnutls_x509_crq_t *p)
{
	if (*p)
		gnutls_x509_crq_deinit(*p);
}

static void cleanup_datum(gnutls_datum_t *p)
{
	gnutls_free(p->data);
}

#define CLEANUP_CRT __attribute__((cleanup(cleanup_crt)))
#define CLEANUP_KEY __attribute__((cleanup(cleanup_key)))
#define CLEANUP_CRQ __attribute__((cleanup(cleanup_crq)))
#define CLEANUP_DATUM __attribute__((cleanup(cleanup_datum)))

struct proto_pki_validity proto_pki_ten_years(time_t now)
{
	return (struct proto_pki_validity){
		.from = now - DAY_S, .until = now + (time_t)PROTO_PKI_YEARS * 365 * DAY_S};
}

bool proto_pki_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < 64 && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       n;
}

static gnutls_datum_t datum(const char *text)
{
	return (gnutls_datum_t){
		.data = (unsigned char *)(uintptr_t)text, .size = (unsigned int)strlen(text)};
}

/* GnuTLS's memory and its idea of a string's end, turned into ours. */
static int take(gnutls_datum_t *from, char **ret)
{
	char *text = malloc(from->size + 1u);

	if (!text)
		return GNUTLS_E_MEMORY_ERROR;
	memcpy(text, from->data, from->size);
	text[from->size] = '\0';
	*ret = text;
	return 0;
}

static int complain(struct why *why, const char *what, int code)
{
	return why_set(why, code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL, "%s: %s", what,
		gnutls_strerror(code));
}

static int load_key(const char *text, gnutls_x509_privkey_t *ret)
{
	gnutls_datum_t d = datum(text);
	int err = gnutls_x509_privkey_init(ret);

	return err < 0 ? err : gnutls_x509_privkey_import(*ret, &d, GNUTLS_X509_FMT_PEM);
}

static int load_certificate(const char *text, gnutls_x509_crt_t *ret)
{
	gnutls_datum_t d = datum(text);
	int err = gnutls_x509_crt_init(ret);

	return err < 0 ? err : gnutls_x509_crt_import(*ret, &d, GNUTLS_X509_FMT_PEM);
}

int proto_pki_make_key(char **ret_key, struct why *why)
{
	CLEANUP_KEY gnutls_x509_privkey_t key = NULL;
	CLEANUP_DATUM gnutls_datum_t out = {0};
	int err = gnutls_x509_privkey_init(&key);

	if (err >= 0)
		err = gnutls_x509_privkey_generate(
			key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (err >= 0)
		err = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &out);
	if (err >= 0)
		err = take(&out, ret_key);
	return err < 0 ? complain(why, "cannot make a key", err) : 0;
}

/* ---- certificates --------------------------------------------------------------------------- */

/* What the CA's and a host's have in common. */
static int fill(gnutls_x509_crt_t c, const char *name, struct proto_pki_validity validity)
{
	unsigned char serial[SERIAL_BYTES], id[20];
	size_t n = sizeof(id);
	int err = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));

	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and never shorter */
	if (err >= 0)
		err = gnutls_x509_crt_set_version(c, 3);
	if (err >= 0)
		err = gnutls_x509_crt_set_serial(c, serial, sizeof(serial));
	if (err >= 0)
		err = gnutls_x509_crt_set_dn_by_oid(
			c, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned int)strlen(name));
	if (err >= 0)
		err = gnutls_x509_crt_set_activation_time(c, validity.from);
	if (err >= 0)
		err = gnutls_x509_crt_set_expiration_time(c, validity.until);
	if (err >= 0)
		err = gnutls_x509_crt_get_key_id(c, GNUTLS_KEYID_USE_SHA1, id, &n);
	if (err >= 0)
		err = gnutls_x509_crt_set_subject_key_id(c, id, n);
	return err;
}

static int export_certificate(gnutls_x509_crt_t c, char **ret)
{
	CLEANUP_DATUM gnutls_datum_t out = {0};
	int err = gnutls_x509_crt_export2(c, GNUTLS_X509_FMT_PEM, &out);

	return err < 0 ? err : take(&out, ret);
}

int proto_pki_make_ca(const char *ca_key, const char *host, struct proto_pki_validity validity,
	char **ret_ca, struct why *why)
{
	CLEANUP_KEY gnutls_x509_privkey_t key = NULL;
	CLEANUP_CRT gnutls_x509_crt_t c = NULL;
	char name[64];
	int err = load_key(ca_key, &key);

	snprintf(name, sizeof(name), "Romulus CA of %.45s", host);
	if (err >= 0)
		err = gnutls_x509_crt_init(&c);
	if (err >= 0)
		err = gnutls_x509_crt_set_key(c, key);
	if (err >= 0)
		err = fill(c, name, validity);
	if (err >= 0)
		err = gnutls_x509_crt_set_basic_constraints(c, 1, 0);
	if (err >= 0)
		err = gnutls_x509_crt_set_key_usage(c, GNUTLS_KEY_KEY_CERT_SIGN);
	if (err >= 0)
		err = gnutls_x509_crt_sign2(c, c, key, GNUTLS_DIG_SHA256, 0);
	if (err >= 0)
		err = export_certificate(c, ret_ca);
	return err < 0 ? complain(why, "cannot make the CA", err) : 0;
}

int proto_pki_make_request(
	const char *key_text, const char *host, char **ret_request, struct why *why)
{
	CLEANUP_KEY gnutls_x509_privkey_t key = NULL;
	CLEANUP_CRQ gnutls_x509_crq_t q = NULL;
	CLEANUP_DATUM gnutls_datum_t out = {0};
	int err = load_key(key_text, &key);

	if (err >= 0)
		err = gnutls_x509_crq_init(&q);
	if (err >= 0)
		err = gnutls_x509_crq_set_version(q, 1);
	if (err >= 0)
		err = gnutls_x509_crq_set_dn_by_oid(
			q, GNUTLS_OID_X520_COMMON_NAME, 0, host, (unsigned int)strlen(host));
	if (err >= 0)
		err = gnutls_x509_crq_set_key(q, key);
	if (err >= 0)
		err = gnutls_x509_crq_sign2(q, key, GNUTLS_DIG_SHA256, 0);
	if (err >= 0)
		err = gnutls_x509_crq_export2(q, GNUTLS_X509_FMT_PEM, &out);
	if (err >= 0)
		err = take(&out, ret_request);
	return err < 0 ? complain(why, "cannot make a request for a certificate", err) : 0;
}

/* The signature of the request proves that its sender has the key. */
static int load_request(const char *text, gnutls_x509_crq_t *ret)
{
	gnutls_datum_t d = datum(text);
	int err = gnutls_x509_crq_init(ret);

	if (err >= 0)
		err = gnutls_x509_crq_import(*ret, &d, GNUTLS_X509_FMT_PEM);
	return err < 0 ? err : gnutls_x509_crq_verify(*ret, 0);
}

static int sign_host(gnutls_x509_crt_t c, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key,
	const char *host, struct proto_pki_validity validity)
{
	unsigned char id[64];
	size_t n = sizeof(id);
	time_t end = gnutls_x509_crt_get_expiration_time(ca);
	int err;

	if (validity.until > end)
		validity.until = end;
	err = fill(c, host, validity);
	if (err >= 0)
		err = gnutls_x509_crt_set_subject_alt_name(
			c, GNUTLS_SAN_DNSNAME, host, (unsigned int)strlen(host), GNUTLS_FSAN_SET);
	if (err >= 0)
		err = gnutls_x509_crt_set_basic_constraints(c, 0, -1);
	if (err >= 0)
		err = gnutls_x509_crt_set_key_usage(c, GNUTLS_KEY_DIGITAL_SIGNATURE);
	/* The hosts are equals: each one is client and server. */
	if (err >= 0)
		err = gnutls_x509_crt_set_key_purpose_oid(c, GNUTLS_KP_TLS_WWW_SERVER, 0);
	if (err >= 0)
		err = gnutls_x509_crt_set_key_purpose_oid(c, GNUTLS_KP_TLS_WWW_CLIENT, 0);
	if (err >= 0)
		err = gnutls_x509_crt_get_subject_key_id(ca, id, &n, NULL);
	if (err >= 0)
		err = gnutls_x509_crt_set_authority_key_id(c, id, n);
	return err < 0 ? err : gnutls_x509_crt_sign2(c, ca, ca_key, GNUTLS_DIG_SHA256, 0);
}

int proto_pki_issue(const char *ca_text, const char *ca_key_text, const char *request,
	const char *host, struct proto_pki_validity validity, char **ret_certificate,
	struct why *why)
{
	CLEANUP_CRT gnutls_x509_crt_t ca = NULL, c = NULL;
	CLEANUP_KEY gnutls_x509_privkey_t ca_key = NULL;
	CLEANUP_CRQ gnutls_x509_crq_t q = NULL;
	int err = load_request(request, &q);

	if (err < 0)
		return complain(why, "what was read is no request for a certificate", err);
	err = load_certificate(ca_text, &ca);
	if (err >= 0)
		err = load_key(ca_key_text, &ca_key);
	if (err >= 0)
		err = gnutls_x509_crt_init(&c);
	if (err >= 0)
		err = gnutls_x509_crt_set_crq(c, q);
	if (err >= 0)
		err = sign_host(c, ca, ca_key, host, validity);
	if (err >= 0)
		err = export_certificate(c, ret_certificate);
	return err < 0 ? complain(why, "cannot make the certificate", err) : 0;
}

/* ---- looking at them ------------------------------------------------------------------------ */

int proto_pki_facts(const char *certificate, struct proto_pki_facts *ret, struct why *why)
{
	CLEANUP_CRT gnutls_x509_crt_t c = NULL;
	unsigned char print[32];
	size_t n = sizeof(ret->name), print_n = sizeof(print);
	int err = load_certificate(certificate, &c);

	*ret = (struct proto_pki_facts){.name = ""};
	if (err >= 0)
		err = gnutls_x509_crt_get_subject_alt_name(c, 0, ret->name, &n, NULL);
	if (err == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) { /* the CA's */
		n = sizeof(ret->name);
		err = gnutls_x509_crt_get_dn_by_oid(
			c, GNUTLS_OID_X520_COMMON_NAME, 0, 0, ret->name, &n);
	}
	if (err >= 0)
		err = gnutls_x509_crt_get_fingerprint(c, GNUTLS_DIG_SHA256, print, &print_n);
	if (err < 0)
		return complain(why, "cannot read a certificate", err);
	ret->from = gnutls_x509_crt_get_activation_time(c);
	ret->until = gnutls_x509_crt_get_expiration_time(c);
	for (size_t i = 0; i < print_n; i++)
		snprintf(ret->fingerprint + 2 * i, 3, "%02x", print[i]);
	return 0;
}

const char *proto_pki_day(time_t at, char ret[PROTO_DAY_MAX])
{
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(ret, PROTO_DAY_MAX, "%Y-%m-%d", &tm) == 0)
		snprintf(ret, PROTO_DAY_MAX, "an unknown day");
	return ret;
}

bool proto_pki_signed_by(const char *certificate, const char *ca_text)
{
	CLEANUP_CRT gnutls_x509_crt_t c = NULL, ca = NULL;
	unsigned int status = GNUTLS_CERT_INVALID;

	return load_certificate(certificate, &c) >= 0 && load_certificate(ca_text, &ca) >= 0 &&
	       gnutls_x509_crt_verify(c, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
	       status == 0;
}

bool proto_pki_fits(const char *certificate, const char *key_text)
{
	CLEANUP_CRT gnutls_x509_crt_t c = NULL;
	CLEANUP_KEY gnutls_x509_privkey_t key = NULL;
	unsigned char a[32], b[32];
	size_t a_n = sizeof(a), b_n = sizeof(b);

	return load_certificate(certificate, &c) >= 0 && load_key(key_text, &key) >= 0 &&
	       gnutls_x509_crt_get_key_id(c, GNUTLS_KEYID_USE_SHA256, a, &a_n) >= 0 &&
	       gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, b, &b_n) >= 0 &&
	       a_n == b_n && memcmp(a, b, a_n) == 0;
}

/* ---- the heartbeat key ---------------------------------------------------------------------- */

int proto_pki_make_heartbeat_key(char **ret_text, struct why *why)
{
	unsigned char key[PROTO_KEY_BYTES];
	CLEANUP_DATUM gnutls_datum_t out = {0};
	const gnutls_datum_t in = {.data = key, .size = sizeof(key)};
	int err = gnutls_rnd(GNUTLS_RND_KEY, key, sizeof(key));

	if (err >= 0)
		err = gnutls_pem_base64_encode2(PROTO_HEARTBEAT_ARMOUR, &in, &out);
	if (err >= 0)
		err = take(&out, ret_text);
	gnutls_memset(key, 0, sizeof(key));
	return err < 0 ? complain(why, "cannot make the heartbeat key", err) : 0;
}

int proto_pki_heartbeat_key(const char *text, uint8_t ret_key[PROTO_KEY_BYTES])
{
	CLEANUP_DATUM gnutls_datum_t out = {0};
	const gnutls_datum_t in = datum(text);

	if (gnutls_pem_base64_decode2(PROTO_HEARTBEAT_ARMOUR, &in, &out) < 0 ||
		out.size != PROTO_KEY_BYTES)
		return -EINVAL;
	memcpy(ret_key, out.data, PROTO_KEY_BYTES);
	return 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

char *proto_pki_block(const char *text, const char *armour, unsigned int nth)
{
	char begin[64], end[64];
	const char *from = text, *to = NULL;

	snprintf(begin, sizeof(begin), "-----BEGIN %s-----", armour);
	snprintf(end, sizeof(end), "-----END %s-----", armour);
	for (unsigned int i = 0; i <= nth; i++) {
		from = strstr(to ? to : from, begin);
		to = from ? strstr(from, end) : NULL;
		if (!to)
			return NULL;
		to += strlen(end);
	}
	if (to[0] == '\n')
		to++;
	return strndup(from, (size_t)(to - from));
}

int proto_pki_read(const char *dir, const char *name, char **ret)
{
	CLEANUP_CLOSE int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSE int fd = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *text = NULL;
	size_t have = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	text = malloc(PROTO_FILE_MAX + 1);
	if (!text)
		return -ENOMEM;
	while (have < PROTO_FILE_MAX && n > 0) {
		n = read(fd, text + have, PROTO_FILE_MAX - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		have += n > 0 ? (size_t)n : 0;
	}
	if (have == PROTO_FILE_MAX)
		return -EFBIG;
	text[have] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

static int write_file(const char *dir, const char *name, const char *text)
{
	CLEANUP_CLOSE int folder = -1;
	CLEANUP_CLOSE int fd = -1;
	size_t length = strlen(text);
	char fresh[64];

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	snprintf(fresh, sizeof(fresh), ".%.50s.new", name);
	if (unlinkat(folder, fresh, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(folder, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < length;) {
		ssize_t n = write(fd, text + done, length - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fsync(fd) < 0 || renameat(folder, fresh, folder, name) < 0 || fsync(folder) < 0)
		return -errno;
	return 0;
}

int proto_pki_write(const char *dir, const char *name, const char *text, struct why *why)
{
	int err = write_file(dir, name, text);

	return err < 0 ? why_set(why, err, "cannot write %s/%s: %s", dir, name, strerror(-err)) : 0;
}
