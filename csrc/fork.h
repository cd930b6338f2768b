/* The engine's locks, and what keeps its state whole in a forked child. */
#ifndef KT_FORK_H
#define KT_FORK_H

#include <stdbool.h>

/* Guards all that the engine shares between threads: records, stacks, the parking lot. Held for a
 * few loads and stores, and through fork, so that a child finds the state whole. */
void kt__lock(void);
void kt__unlock(void);

/* Held while libc is probed, so that no child finds it half understood. */
void kt__lock_probing(void);
void kt__unlock_probing(void);

/* False when libc had no memory for the fork handlers. */
bool kt__fork_handled(void);

/* family.c: in a forked child, with both locks held. */
void kt__forget_other_threads(void);

#endif
