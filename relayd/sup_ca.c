/* SPDX-License-Identifier: ISC */
/* The CA bundle a gateway's connector is verified with: found and opened. */

#include "ca_file.h"
#include "sup_conf.h"

int
sup_ca_open(const struct sup_env *env, const struct conf_gateway *g,
    char *label, size_t labellen, char *why, size_t whylen)
{
	const char *path = g == NULL ? NULL : g->tls.ca_file;

	if (path == NULL)
		path = sup_env_get(env, "SSL_CERT_FILE");
	return ca_file_open(path, label, labellen, why, whylen);
}
