/* A task's state: how it is run, cancelled and waited for, and who owns it (csrc/pool/task.c).
 *
 * One task is queued. A worker takes it, one thread tries to cancel it, one waits for it, and one waits with a timeout.
 * Its owner frees it as soon as the API allows that: when it was returned through completions, or, without them, when
 * its state is done or gone, and no thread waits for it. The state and the number of waiters are one word. How the
 * reader of completions is notified is left out.
 *
 * What must hold: the task runs or is cancelled, never both, and is returned once; a waiter without a timeout returns;
 * a waiter that returns for the task's end finds it over; the engine does not use a task that its owner has again.
 *
 * MUTANT_MOVE_FORGETS_WAITERS: the change from queued to running loses the number of waiters
 * MUTANT_WAITS_UNCOUNTED: a waiter does not count itself
 * MUTANT_FINISH_LOOKS_FIRST: the number of waiters is read before the state is done
 * MUTANT_FINISH_WAKES_ONE: the end of a task wakes one of the waiters
 * MUTANT_FINISH_READS_LATE: the task's completions are read after the state is done
 * MUTANT_CANCEL_DOES_NOT_COMPARE: a task that has begun is cancelled
 * MUTANT_CANCEL_DOES_NOT_WAKE: the canceller does not wake the waiters
 * MUTANT_CANCEL_SENDS_BACK: the canceller returns the task, though the worker that takes it will do so
 * MUTANT_OWNED_WHEN_CANCELLED: the owner of a cancelled task frees it though it is in the queue
 * MUTANT_TIMED_OUT_DOES_NOT_LOOK: a waiter that times out changes its count though the task is over
 * MUTANT_SLEEPS_WITHOUT_COMPARING: a waiter sleeps though the word has changed
 */
mtype = { QUEUED, RUNNING, DONE, CANCELLED, GONE };

mtype state = QUEUED;   /* the lowest bits of the word, */
byte waiters;           /* and the others */
bool asleep[2];         /* in the kernel, on the word */
bool completions;
bool runs, freed;
byte returned;              /* how often the task was returned */
byte waiting = 2;       /* threads in kt_task_wait */

#define OVER(value) (value == DONE || value == CANCELLED || value == GONE)
#define TOUCH assert(!freed)

inline wake_all()
{
    atomic { asleep[0] = false; asleep[1] = false }
}

inline return_task()
{
    atomic { TOUCH; returned++; assert(returned == 1) }
}

proctype worker()
{
    byte counted;
    bool has = false;
    if
    :: atomic { state == QUEUED -> TOUCH; state = RUNNING } /* change_state */
#ifdef MUTANT_MOVE_FORGETS_WAITERS
        waiters = 0;
#endif
        atomic { TOUCH; assert(!runs); runs = true } /* kt_call_run */
#ifndef MUTANT_FINISH_READS_LATE
        atomic { TOUCH; has = completions }
#endif
#ifdef MUTANT_FINISH_LOOKS_FIRST
        counted = waiters;
        atomic { TOUCH; state = DONE; waiters = 0 }
#else
        atomic { TOUCH; counted = waiters; state = DONE; waiters = 0 } /* finish: exchange */
#endif
#ifdef MUTANT_FINISH_READS_LATE
        atomic { TOUCH; has = completions }
#endif
        if
        :: counted > 0 ->
#ifdef MUTANT_FINISH_WAKES_ONE
            atomic {
                if
                :: asleep[0] -> asleep[0] = false
                :: asleep[1] -> asleep[1] = false
                :: else
                fi
            }
#else
            wake_all() /* only the address is used: the task may be freed by now */
#endif
        :: else
        fi;
        if
        :: has -> return_task()
        :: else
        fi
    :: atomic { state == CANCELLED -> TOUCH; has = completions }
        if
        :: has -> return_task()
        :: else -> atomic { TOUCH; state = GONE } /* change_state */
        fi
    fi
}

proctype canceller()
{
    if
#ifdef MUTANT_CANCEL_DOES_NOT_COMPARE
    :: state == QUEUED -> state = CANCELLED;
#else
    :: atomic { state == QUEUED -> state = CANCELLED } /* change_state */
#endif
#ifdef MUTANT_CANCEL_SENDS_BACK
        return_task();
#endif
#ifndef MUTANT_CANCEL_DOES_NOT_WAKE
        wake_all()
#endif
    :: state != QUEUED /* -EBUSY */
    fi
}

/* kt_task_wait */
proctype waiter(byte me; bool patient)
{
    mtype seen;
    byte counted;
    bool over, timed_out;
    do
    ::  atomic { seen = state; counted = waiters }
        if
        :: OVER(seen) -> over = true; break
        :: else
        fi;
#ifdef MUTANT_WAITS_UNCOUNTED
        break
#else
        if
        :: atomic { state == seen && waiters == counted -> waiters++ } break
        :: state != seen || waiters != counted
        fi
#endif
    od;
    do
    :: over || timed_out -> break
    :: else ->
        atomic { TOUCH; seen = state; counted = waiters; over = OVER(seen) }
        if
        :: over
        :: !over -> /* futex_wait: compares and sleeps in one step */
            if
#ifdef MUTANT_SLEEPS_WITHOUT_COMPARING
            :: asleep[me] = true;
#else
            :: atomic { state == seen && waiters == counted -> asleep[me] = true }
#endif
                if
                :: !asleep[me]
                :: atomic { !patient && asleep[me] -> asleep[me] = false; timed_out = true }
                fi
            :: state != seen || waiters != counted
            fi
        fi
    od;
    do
    :: over -> break
    :: else ->
#ifdef MUTANT_TIMED_OUT_DOES_NOT_LOOK
        atomic { TOUCH; assert(waiters > 0); waiters-- }
        break
#else
        if /* a failed compare-and-swap reads again */
        :: atomic { !OVER(state) -> TOUCH; waiters--; break }
        :: atomic { OVER(state) -> TOUCH; over = true }
        fi
#endif
    od;
    assert(over || timed_out);
    assert(!over || OVER(state));
    waiting--
}

init
{
    atomic {
        if
        :: completions = true
        :: true
        fi;
        run canceller();
        run worker();
        run waiter(0, true);
        run waiter(1, false)
    }
    /* The owner. */
    if
    :: completions -> returned == 1 && waiting == 0
    :: else ->
#ifdef MUTANT_OWNED_WHEN_CANCELLED
        OVER(state) && waiting == 0
#else
        (state == DONE || state == GONE) && waiting == 0
#endif
    fi;
    freed = true;
    _nr_pr == 1;
    assert(runs == (state == DONE) && returned == completions)
}
