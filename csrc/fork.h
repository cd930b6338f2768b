/* The engine's locks, and what keeps its state whole in a forked child. */
#ifndef KT_FORK_H
#define KT_FORK_H

#include <stdbool.h>

/* Guards all that the engine shares between threads: records, stacks, the parking lot, TLS
 * images. Held for short, and through fork, so that a child finds all of it whole, and libc's own locks for
 * TLS and loaded modules, which are taken only under this one here, free. */
void kt__lock(void);
void kt__unlock(void);

/* Held while libc is probed, so that no child finds it half understood. */
void kt__lock_probing(void);
void kt__unlock_probing(void);

/* Held while a process is made whose end of a channel must reach no other child: one that neither executes a
 * program nor ends would keep it open. Taken before the others. */
void kt__lock_spawning(void);
void kt__unlock_spawning(void);

/* Guards what is known of the ends of processes (reap.c). Taken after the one above, before the others. */
void kt__lock_reaping(void);
void kt__unlock_reaping(void);

/* False when libc had no memory for the fork handlers. */
bool kt__fork_handled(void);

/* family.c: in a forked child, with both locks held. */
void kt__forget_other_threads(void);
void kt__forget_pool_threads(void);

/* family.c: in a process that a forked child has made by clone: its tid is another. */
void kt__refresh_own_tid(void);

#endif
