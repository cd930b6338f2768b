/* The engine's locks, and what keeps its state whole in a forked child.
 *
 * Who holds one of them takes no lock that the loader holds while it runs code of others, the constructors of
 * libraries and what dl_iterate_phdr calls: such code may want one of these. Locks of libc's that are held
 * for short may be taken under them, such as malloc's and that of its list of threads.
 *
 * A handler of pthread_atfork that runs while a fork has them may start threads and wait for their ends. So
 * no thread takes one of them between its start and its end, as long as it has an owner. */
#ifndef KT_FORK_H
#define KT_FORK_H

#include <stdbool.h>

/* Guards all that the engine shares between threads: records, stacks, the parking lot, what was found out
 * about libc. Held for short, and through fork, so that a child finds all of it whole. */
void kt__lock(void);
void kt__unlock(void);

/* Held while the list of loaded modules is read: dl_iterate_phdr takes a lock that libc's fork does not look
 * after, and that no child may find held. False when another thread holds it, as one must not wait for it
 * (see above). Taken before the other. */
bool kt__try_lock_modules(void);
void kt__unlock_modules(void);

/* Held while a process is made whose end of a channel must reach no other child: one that neither executes a
 * program nor ends would keep it open. Taken before the others. */
void kt__lock_spawning(void);
void kt__unlock_spawning(void);

/* Guards what is known of the ends of processes (reap.c). Taken after the one above, before the others. */
void kt__lock_reaping(void);
void kt__unlock_reaping(void);

/* Has libc call the fork handlers, where it had no memory for them as the library was loaded. 0, -EAGAIN,
 * -ENOMEM. */
int kt__handle_forks(void);

/* What a forked child resets, in this order: the state of which only the parent's other threads knew more. */
enum kt__reset { KT_RESET_PARKING_LOT, KT_RESET_THREADS, KT_RESET_POOLS, KT_RESETS };

/* Has every forked child call a function, with all locks held. To be called under the lock, before there is
 * any state to reset: a fork takes the lock, so that no child misses the call. It may be called again. */
void kt__reset_in_child(enum kt__reset what, void (*reset)(void));

#endif
