/* SPDX-License-Identifier: ISC */
/* Times as text; see utc.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "utc.h"

/* Years begin in March here, so that a leap day is the last one of its year. */
char *
utc_text(char out[UTC_TEXT], int64_t at, int ms)
{
	int64_t day = at / 86400 + 719468; /* since 0000-03-01 */
	int64_t era = day / 146097, in_era = day % 146097;
	int64_t year =
	    (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * in_year + 2) / 153; /* 0: March */
	int64_t s = at % 86400;
	char part[16] = "";

	if (at < 0) {
		(void)strlcpy(out, "before 1970", UTC_TEXT);
		return out;
	}
	if (ms >= 0)
		(void)snprintf(part, sizeof(part), ".%03d", ms);
	(void)snprintf(out, UTC_TEXT,
	    "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d%sZ",
	    era * 400 + year + (month >= 10),
	    (int)(month + (month < 10 ? 3 : -9)),
	    (int)(in_year - (153 * month + 2) / 5 + 1), (int)(s / 3600),
	    (int)(s / 60 % 60), (int)(s % 60), part);
	return out;
}
