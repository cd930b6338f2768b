/* The engine's one lock, and what fork(2) does to the engine. */
#ifndef KT_FORK_H
#define KT_FORK_H

/* Guards the stack arena, the lists of threads, and changes to libc's list of threads. Held for a
 * few instructions at a time, and over every fork, so that a child finds all of them whole. */
void kt__lock(void);
void kt__unlock(void);

/* Installs the fork handlers, once. `child` runs in each forked child with the lock held.
 * 0 or -ENOMEM. */
int kt__fork_handlers(void (*child)(void));

#endif
