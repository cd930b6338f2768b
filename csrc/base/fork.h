/* The engine's locks, and the resetting of its state in a forked child.
 *
 * A thread that holds one of these locks must not lock anything that the loader holds while the loader runs
 * other code: the constructors of libraries, and the callbacks of dl_iterate_phdr. Such code may want one of
 * the engine's locks. A thread that holds one of these locks may lock those locks of libc that are held for a
 * short time only, such as malloc's lock and that of libc's list of threads.
 *
 * A handler of pthread_atfork that runs while a fork holds these locks may start threads and wait for their
 * ends. So a thread that has an owner takes none of these locks between its start and its end. */
#ifndef KT_FORK_H
#define KT_FORK_H

#include <stdbool.h>

/* Guards all state that the engine's threads share: thread records, stacks, the parking lot, and the findings
 * about libc. It is held for a short time only. A fork holds it, so that the child finds the state
 * consistent. */
void kt__lock(void);
void kt__unlock(void);

/* Held while the engine reads the list of loaded modules. dl_iterate_phdr takes a lock that libc's fork
 * does not reset in the child, so no fork may happen while another thread holds it. Returns false when
 * another thread holds this lock: the caller must not wait for it (see the top of this file). Locked
 * before kt__lock. */
bool kt__try_lock_modules(void);
void kt__unlock_modules(void);

/* Held while a process is made that shares a pipe or socket with this one. No other child may inherit its end
 * of that channel: a child that neither executes a program nor ends would keep the channel open. Locked
 * before all others. */
void kt__lock_spawning(void);
void kt__unlock_spawning(void);

/* Guards the records of the ends of processes (process/reap.c). Locked after kt__lock_spawning, before the
 * others. */
void kt__lock_reaping(void);
void kt__unlock_reaping(void);

/* Registers the fork handlers with libc, if libc had no memory for them when the library was loaded. Returns
 * 0, -EAGAIN or -ENOMEM. */
int kt__handle_forks(void);

/* The state that a forked child resets, in this order. Each of these lists holds threads that only the parent
 * has. */
enum kt__reset { KT_RESET_PARKING_LOT, KT_RESET_THREADS, KT_RESET_POOLS, KT_RESETS };

/* Registers a function that every forked child calls, with all locks held. The caller holds kt__lock, and
 * there is no state to reset yet: a fork takes the lock, so no child misses the function. A later call for
 * the same state replaces the function. */
void kt__reset_in_child(enum kt__reset what, void (*reset)(void));

#endif
