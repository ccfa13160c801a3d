/* What is said before SIGBUS ends a process: a page of the shared mapping could not be had. */
#ifndef INFERONCE_PROCESS_BUS_ERROR_H
#define INFERONCE_PROCESS_BUS_ERROR_H

/* For this process and those that it forks: SIGBUS is logged, with what to do, before it ends the process as
 * it would have. It comes when the file of CACHE_PATH is cut short or its disk fails; the next start makes
 * such a file anew. */
void bus_error_setup(void);

#endif
