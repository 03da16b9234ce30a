/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The certificates of a cluster: one CA, made on the host that begins, and one certificate for each
 * host. P-256 keys; all is PEM text, malloc'd for the caller. A host makes its own key and asks
 * with a signing request, so that a private key never leaves its host.
 */
#ifndef PROTO_PKI_H
#define PROTO_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "proto/identity.h"

#define PROTO_PKI_YEARS 10
#define PROTO_DAY_MAX 32

struct proto_pki_validity {
	time_t from, until;
};

/* PROTO_PKI_YEARS from @now; it begins a day early, for hosts whose clocks differ. */
struct proto_pki_validity proto_pki_ten_years(time_t now);

/* True when @name can be a host's in a certificate: letters, digits, dots, - and _. */
bool proto_pki_name_valid(const char *name);

int proto_pki_make_key(char **ret_key, struct why *why);
int proto_pki_make_ca(const char *ca_key, const char *host, struct proto_pki_validity validity,
	char **ret_ca, struct why *why);
int proto_pki_make_request(const char *key, const char *host, char **ret_request, struct why *why);

/*
 * Sign: a certificate for @host with the public key of @request, of which nothing else is taken.
 * Its validity ends with the CA's.
 */
int proto_pki_issue(const char *ca, const char *ca_key, const char *request, const char *host,
	struct proto_pki_validity validity, char **ret_certificate, struct why *why);

/* What a person wants to know of a certificate. */
struct proto_pki_facts {
	char name[128]; /* the first one */
	time_t from, until;
	char fingerprint[65]; /* SHA-256, hexadecimal */
};
int proto_pki_facts(const char *certificate, struct proto_pki_facts *ret, struct why *why);

/* The date alone, in UTC, for sentences. Returns @ret. */
const char *proto_pki_day(time_t at, char ret[PROTO_DAY_MAX]);

bool proto_pki_signed_by(const char *certificate, const char *ca);
/* Is @certificate for the private key @key? */
bool proto_pki_fits(const char *certificate, const char *key);

int proto_pki_make_heartbeat_key(char **ret_text, struct why *why);
int proto_pki_heartbeat_key(const char *text, uint8_t ret_key[PROTO_KEY_BYTES]);

/* The @nth (0, 1 ...) PEM block with @armour in @text, a copy; NULL: there is none. */
char *proto_pki_block(const char *text, const char *armour, unsigned int nth);

/* Read a file of at most PROTO_FILE_MAX bytes. Negative errno. */
int proto_pki_read(const char *dir, const char *name, char **ret);

/*
 * Write @dir/@name, mode 0600, whole or not at all, durable; makes @dir (0700) when it is missing.
 */
int proto_pki_write(const char *dir, const char *name, const char *text, struct why *why);

#endif
