/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sentence for a person. Functions that can fail for reasons an operator must understand take
 * a `struct why *`: they return a negative errno for the program and write one sentence there:
 * what failed, on which object, what it means for protection and what to do.
 */
#ifndef COMMON_WHY_H
#define COMMON_WHY_H

#define WHY_MAX 512

struct why {
	char text[WHY_MAX];
};

/*
 * Write the sentence (overwriting an earlier one; text_clean) and return @err, so that a failure
 * reads `return why_set(why, -ENOENT, "...")`. @why may be NULL.
 */
int why_set(struct why *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
