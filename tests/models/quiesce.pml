/* Threads leave and come back, and no task is left without one (csrc/pool/pool.c, worker.c, worker_threads.c, submit.c).
 *
 * The threads of a pool of two are told to leave by a quiesce or a resize whose time may be over first, while
 * tasks are submitted and waited for. Left out: loops, as who ends threads has the gate; parking, which is a
 * condition here (park.pml shows that it may be); the looks at `staff` before a task is put, which
 * save time only; the wrap of the queue (queue.pml).
 *
 * What must hold: who has submitted a task sees it run, once; a task that waits for another one on the second
 * worker does, too, as a quiesce that failed leaves the pool as it was; no worker's place is
 * ever that of two threads; after the last quiesce no thread is there to touch the pool.
 *
 * MUTANT_TIMES_OUT_AND_FORGETS: when its time is over, nobody starts the threads that have left
 * MUTANT_NEVER_LOOKS_FOR_TASKS: the threads have left, and nobody looks for tasks afterwards
 * MUTANT_LOOKS_FOR_THE_FIRST_TASK: by kt__tasks_wait, which says no when a worker takes one just then, though
 *   another one is behind it
 * MUTANT_SUBMIT_DOES_NOT_LOOK: who has put a task does not look whether there are threads
 * MUTANT_LEAVES_UNASKED: a worker leaves without asking under the mutex whether it still must
 * MUTANT_REPLACES_AT_ONCE: a worker's place is another thread's before its last one has ended
 * MUTANT_RESIZES_LATE: the number of workers changes when threads may come again
 * MUTANT_STARTS_TOO_MANY: threads are started for a number of workers that was
 */
#define MOST 2

bool changing;         /* kt__mutex. Where others can see one change alone, all under it is one step. */
bool leaving, quiescing;
byte staff, workers = MOST;
bool thread[MOST + 1]; /* kt__worker.thread is not NULL */
bool left[MOST + 1];   /* kt__worker.left */
byte users[MOST + 1];  /* threads that have this place: one has it until it has ended */

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

/* kt__pool_staff */
inline pool_staff(wish)
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
        :: !quiescing && n - 1 > staff -> staff = n - 1
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
    ::  if /* stays */
        :: leaving ->
            tasks_wait();
            if
            :: !found -> /* kt__worker_leaves */
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
        ticket = head; /* take */
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
    users[number]-- /* kt__ring_unrung, the finalizer; the thread's end */
}

/* kt_pool_submit, kt_task_wait */
proctype submitter(byte task)
{
    byte n, ticket, wish = workers;
    atomic { ticket = tail; tail++; cell[ticket] = task } /* put: the compare-and-swap */
    atomic { published[ticket] = true; ticket = 0 }       /* put: the store of the turn */
#ifndef MUTANT_SUBMIT_DOES_NOT_LOOK
    if
    :: staff < wish -> pool_staff(wish)
    :: else
    fi;
#endif
    atomic { ran[task]; submitted++ }
}

inline set_leaving(value)
{
    atomic { !changing -> changing = true; quiescing = value }
    leaving = value;
    atomic { staff = 0; changing = false }
}

/* end_threads: in `failed`, whether its time was over */
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
    :: found -> found = false; pool_staff(workers)
    :: else
    fi
}

init
{
    byte n, w, ticket;
    bool found, failed;
    atomic {
        pool_staff(MOST);
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
        :: !dependent -> workers = 1 /* kt_pool_resize; else kt_pool_quiesce */
        :: else
        fi;
        resume()
    fi;
    submitted == 2;
    end_threads(false);
    assert(users[1] + users[2] == 0) /* kt_pool_free */
}
