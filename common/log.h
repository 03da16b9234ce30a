/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines on standard error with the priority prefix that journald reads. Libraries do not log:
 * the program that decides what a failure means logs it, once.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <syslog.h>

/* Name shown before each line ("romulusd", "romulus-primary db"); kept, not copied. */
void log_open(const char *name);

/* @priority is one of syslog's LOG_ERR .. LOG_DEBUG; debug lines show only with ROMULUS_DEBUG=1. */
void log_line(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
