/* Process titles, for ps and top: the master, each worker with its number, and whether the worker drains.
 */
#ifndef INFERONCE_PROCESS_TITLE_H
#define INFERONCE_PROCESS_TITLE_H

/* Moves arguments and environment out of the memory from which the kernel reads the list, and in which titles
 * go from now on: for the beginning of main. Returns the arguments, which live as long as the process;
 * without memory those that were given, and no title is ever shown. */
char **title_take(int argc, char **argv);

/* Cut to fit. Names no setting: everybody can read it. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
