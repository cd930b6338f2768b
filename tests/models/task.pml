/* A task's state: running it, cancelling it, waiting for it, and whose it is (csrc/pool/task.c).
 *
 * One task is queued; a worker takes it, one thread would cancel it, one waits for it and one waits for no
 * longer than it likes. Its owner frees it as soon as the API says that it may: when it has come back through
 * completions, or, with none, when its state is done or gone, and nobody waits for it. The state and
 * the number of those who wait are one word. How completions ring is left out.
 *
 * What must hold: it runs or is cancelled, never both, and comes back once; who waits without a limit returns;
 * whoever is told that it is over finds it so; the engine touches nothing of a task that its owner has again.
 *
 * MUTANT_MOVE_FORGETS_WAITERS: from queued to running, the number of those who wait is lost
 * MUTANT_WAITS_UNCOUNTED: who waits does not say so
 * MUTANT_FINISH_LOOKS_FIRST: whether somebody waits is read before the state is done
 * MUTANT_FINISH_WAKES_ONE: the end of a task wakes one of those who wait
 * MUTANT_FINISH_READS_LATE: whether the task has completions is read after the state is done
 * MUTANT_CANCEL_DOES_NOT_COMPARE: a task that has begun is cancelled
 * MUTANT_CANCEL_DOES_NOT_WAKE: who waits for a task is not told that it was cancelled
 * MUTANT_CANCEL_SENDS_BACK: who cancels a task sends it back though the worker that takes it will
 * MUTANT_OWNED_WHEN_CANCELLED: the owner of a cancelled task frees it though it is in the queue
 * MUTANT_TIMED_OUT_DOES_NOT_LOOK: who stops waiting counts itself out though the task is over
 * MUTANT_SLEEPS_WITHOUT_COMPARING: who waits sleeps though the word has changed
 */
mtype = { QUEUED, RUNNING, DONE, CANCELLED, GONE };

mtype state = QUEUED;   /* the word: its lowest bits, */
byte waiters;           /* and those above */
bool asleep[2];         /* in the kernel, on the word */
bool completions;
bool runs, freed;
byte back;              /* times that it has come back */
byte waiting = 2;       /* threads in kt_task_wait */

#define OVER(value) (value == DONE || value == CANCELLED || value == GONE)
#define TOUCH assert(!freed)

inline wake_all()
{
    atomic { asleep[0] = false; asleep[1] = false }
}

inline send_back()
{
    atomic { TOUCH; back++; assert(back == 1) }
}

proctype worker()
{
    byte counted;
    bool has = false;
    if
    :: atomic { state == QUEUED -> TOUCH; state = RUNNING } /* move */
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
            wake_all() /* an address, which may be anybody's by now */
#endif
        :: else
        fi;
        if
        :: has -> send_back()
        :: else
        fi
    :: atomic { state == CANCELLED -> TOUCH; has = completions }
        if
        :: has -> send_back()
        :: else -> atomic { TOUCH; state = GONE } /* move */
        fi
    fi
}

proctype canceller()
{
    if
#ifdef MUTANT_CANCEL_DOES_NOT_COMPARE
    :: state == QUEUED -> state = CANCELLED;
#else
    :: atomic { state == QUEUED -> state = CANCELLED } /* move */
#endif
#ifdef MUTANT_CANCEL_SENDS_BACK
        send_back();
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
        if /* a compare-and-swap that fails reads again */
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
    /* The owner */
    if
    :: completions -> back == 1 && waiting == 0
    :: else ->
#ifdef MUTANT_OWNED_WHEN_CANCELLED
        OVER(state) && waiting == 0
#else
        (state == DONE || state == GONE) && waiting == 0
#endif
    fi;
    freed = true;
    _nr_pr == 1;
    assert(runs == (state == DONE) && back == completions)
}
