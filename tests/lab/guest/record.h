/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the stamp writes to one sector: a number, in a form that betrays a torn or misplaced one. */
#ifndef LAB_GUEST_RECORD_H
#define LAB_GUEST_RECORD_H

#include <stdbool.h>
#include <stdint.h>

struct record {
	uint64_t magic, number, place, nonce, check, fill[59]; /* `check`: digest with check = 0 */
};

/* Of one sector, whatever it holds. */
uint64_t record_digest(const struct record *record);

/* @place: where it belongs. @nonce: of the write, equal in all its sectors. */
void record_fill(struct record *record, uint64_t number, uint64_t place, uint64_t nonce);

bool record_valid(const struct record *record, uint64_t place);

/* Scatter the bits of @x. */
uint64_t record_mix(uint64_t x);

#endif
