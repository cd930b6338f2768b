/* Threads end and are started again, and no task is left without a thread (csrc/pool/pool.c, worker.c,
 * worker_threads.c, submit.c).
 *
 * The threads of a pool of two are told to leave, by a quiesce or a resize that may time out first, while tasks are
 * submitted and waited for. Left out: loops, as the thread that ends the others has locked the gate; parking, which is
 * a condition here (park.pml shows that it may be); the reads of `started` before a task is queued, which only save
 * time; the wrap of the queue (queue.pml).
 *
 * What must hold: each submitted task runs, once; so does a task that waits for another one on the second worker, as a
 * quiesce that failed leaves the pool as it was; no two threads are the same worker at the same time; after the last
 * quiesce no thread uses the pool.
 *
 * MUTANT_TIMES_OUT_AND_FORGETS: after a timeout the threads that have left are not started again
 * MUTANT_NEVER_LOOKS_FOR_TASKS: when the threads have left, the thread that ended them does not check for tasks
 * MUTANT_LOOKS_FOR_THE_FIRST_TASK: that check is kt__tasks_wait, which returns false when a worker takes a task just
 *   then, though another task is behind it
 * MUTANT_SUBMIT_DOES_NOT_LOOK: a submitter that has queued a task does not check whether there are threads
 * MUTANT_LEAVES_UNASKED: a worker leaves without checking under the mutex that it still must
 * MUTANT_REPLACES_AT_ONCE: a worker gets a new thread before its last one has ended
 * MUTANT_RESIZES_LATE: the number of workers changes when threads may be started again
 * MUTANT_STARTS_TOO_MANY: threads are started for an outdated number of workers
 */
#define MOST 2

bool changing;         /* kt__mutex. A critical section of which others see only one change is one step. */
bool leaving, quiescing;
byte started, workers = MOST;
bool thread[MOST + 1]; /* kt__worker.thread is not NULL */
bool left[MOST + 1];   /* kt__worker.left */
byte users[MOST + 1];  /* threads that run as this worker, until they have ended */

byte head, tail;       /* the queue */
bool published[3];
byte cell[3];
bool ran[2];
bool dependent;        /* task 0 waits for task 1 */
byte submitted;        /* tasks that have been waited for */

#ifdef MUTANT_STARTS_TOO_MANY
#define HAS_PLACE(number) true
#else
#define HAS_PLACE(number) number <= workers
#endif

/* kt__pool_start_workers */
inline start_workers(wish)
{
    atomic {
        !changing;
        changing = true;
        n = 1;
        do
        :: n <= wish && HAS_PLACE(n) && !quiescing ->
            if
            :: !thread[n] || left[n] -> /* start_worker */
#ifndef MUTANT_REPLACES_AT_ONCE
                users[n] == 0; /* kt_thread_wait */
#endif
                thread[n] = true;
                left[n] = false;
                users[n]++;
                assert(users[n] == 1);
                run worker(n)
            :: else
            fi;
            n++
        :: else -> break
        od;
        if
        :: !quiescing && n - 1 > started -> started = n - 1
        :: else
        fi;
        n = 0;
        changing = false
    }
}

/* kt__tasks_wait: two loads */
inline tasks_wait()
{
    ticket = head;
    atomic { found = published[ticket]; ticket = 0 }
}

proctype worker(byte number)
{
    byte ticket, task;
    bool found;
    do
    ::  if /* continues */
        :: leaving ->
            tasks_wait();
            if
            :: !found -> /* confirm_leaving */
#ifdef MUTANT_LEAVES_UNASKED
                atomic { left[number] = true; break }
#else
                atomic {
                    !changing;
                    if
                    :: leaving -> left[number] = true; break
                    :: else
                    fi
                }
#endif
            :: else -> found = false
            fi
        :: else
        fi;
        ticket = head; /* take_from_cell */
        if
        :: published[ticket] ->
            if
            :: atomic { head == ticket -> head++; task = cell[ticket] }
                atomic { published[ticket] = false; ticket = 0 }
                (task == 1 || !dependent || ran[1]); /* kt_call_run */
                atomic { assert(!ran[task]); ran[task] = true; task = 0 }
            :: atomic { head != ticket -> ticket = 0 }
            fi
        :: atomic { !published[ticket] -> ticket = 0 }
end_parked: /* park */
            (leaving || published[head])
        fi
    od;
    users[number]-- /* finalize; the thread's end */
}

/* kt_pool_submit, kt_task_wait */
proctype submitter(byte task)
{
    byte n, ticket, wish = workers;
    atomic { ticket = tail; tail++; cell[ticket] = task } /* put_in_cell: the compare-and-swap */
    atomic { published[ticket] = true; ticket = 0 }       /* put_in_cell: the store of the turn */
#ifndef MUTANT_SUBMIT_DOES_NOT_LOOK
    if
    :: started < wish -> start_workers(wish)
    :: else
    fi;
#endif
    atomic { ran[task]; submitted++ }
}

inline set_leaving(value)
{
    atomic { !changing -> changing = true; quiescing = value }
    leaving = value;
    atomic { started = 0; changing = false }
}

/* end_threads; `failed`: whether it timed out */
inline end_threads(limit)
{
    set_leaving(true);
    w = 1;
    do
    :: w <= workers -> /* join_all */
        if
        :: atomic { thread[w] && users[w] == 0 && !changing -> thread[w] = false; w++ }
        :: atomic { !thread[w] -> w++ }
        :: atomic { thread[w] && limit -> failed = true; break }
        fi
    :: else -> break
    od
}

/* resume; kt__tasks_are_queued: two loads */
inline resume()
{
    set_leaving(false);
#if defined MUTANT_NEVER_LOOKS_FOR_TASKS
    found = false;
#elif defined MUTANT_LOOKS_FOR_THE_FIRST_TASK
    tasks_wait();
#else
    ticket = head;
    atomic { found = ticket != tail; ticket = 0 };
#endif
    if
    :: found -> found = false; start_workers(workers)
    :: else
    fi
}

init
{
    byte n, w, ticket;
    bool found, failed;
    atomic {
        start_workers(MOST);
        if
        :: dependent = true; run submitter(0)
        :: submitted = 1
        fi;
        run submitter(1)
    }
    end_threads(true);
    if
#ifdef MUTANT_TIMES_OUT_AND_FORGETS
    :: failed -> set_leaving(false)
#else
    :: failed -> resume()
#endif
    :: !failed ->
#ifdef MUTANT_RESIZES_LATE
        set_leaving(false);
#endif
        if
        :: !dependent -> workers = 1 /* kt_pool_resize, or else kt_pool_quiesce */
        :: else
        fi;
        resume()
    fi;
    submitted == 2;
    end_threads(false);
    assert(users[1] + users[2] == 0) /* kt_pool_free */
}
