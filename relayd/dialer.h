/* SPDX-License-Identifier: ISC */
/* The dialer process (DESIGN 1): connects to endpoints of the configuration
 * and hands the sockets over; hears nothing of what is said on them. */
#ifndef DIALER_H
#define DIALER_H

/* Be the dialer, on a command line that the supervisor made.  Returns the exit
 * status; EX_USAGE when it is another one. */
int dialer_main(int argc, char *argv[]);

#endif
