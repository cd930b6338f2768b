/* The end of a reusable thread's run: how waiters learn of it, and which party parks or recycles the thread
 * (csrc/thread/parking_lot.c, wait.c).
 *
 * A thread runs once or twice. It may end with either run, as by pthread_exit, or be parked in between. In the lot, or
 * while its handle is still held, its wait may time out. Two waiters wait for the first run, or none does. The owner
 * frees the handle when they have returned, or before. A starter starts the thread again if it is in the lot, and frees
 * that handle. Then the lot is emptied. The engine's lock is the bit `locked`; the word that the kernel clears is
 * `alive`.
 *
 * What must hold: each waiter returns, after the destructors of its run; a thread in the lot has no run and no other
 * owner; in the end the thread is recycled, once, and after its end.
 *
 * MUTANT_ANNOUNCES_EARLY: a thread that ends with its run announces the end, and then runs destructors
 * MUTANT_LEAVES_SILENTLY: a thread that ends with its run does not wake the threads that sleep on `run`
 * MUTANT_LOOKS_AT_CLAIM_FIRST: the end of a run reads the claim before it stores the end
 * MUTANT_TAKES_OVER_BLINDLY: the end of a run parks the thread without checking that the thread is not in its next run
 * MUTANT_PARKS_TWICE: the end of a run parks the thread without checking its claim again
 * MUTANT_OWNER_LOOKS_FIRST: the owner that frees the handle reads `run` before it stores the claim
 * MUTANT_LOOKS_AT_WAITERS_FIRST: the end of a run reads the number of waiters before it stores the end
 * MUTANT_PASSES_NOTHING_ON: a waiter that returns does not wake the others, though the kernel has woken only one
 */
mtype = { ENDED, ACTIVE, TAKEN, DISMISSED, LEAVING, OWNER, DETACHED, PARKED, ABANDONED };

mtype phase = ACTIVE;       /* `run` in C */
mtype claim = OWNER;
bool alive = true, locked, retired, lot;
bool recycled, starter_done;
byte destroyed;             /* runs whose destructors have run */
byte waiters;               /* threads that count as waiters */
byte waiting;               /* waiters that have not returned */
bool on_run[2], on_word[2]; /* asleep in the kernel */
bool thread_sleeps;                 /* the thread itself, asleep on `run` */

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }
inline wake_on_run() { atomic { on_run[0] = false; on_run[1] = false; thread_sleeps = false } }

inline park()
{
    atomic { assert(!lot && phase == ENDED && claim == DETACHED); claim = PARKED; lot = true }
}

inline abandon()
{
    atomic { assert(claim != ABANDONED && !recycled); claim = ABANDONED; lot = false }
}

/* kt__park_or_abandon */
inline park_or_abandon(seen)
{
    if
#ifdef MUTANT_PARKS_TWICE
    :: true ->
#else
    :: claim == DETACHED ->
#endif
        seen = phase;
        if
#ifdef MUTANT_TAKES_OVER_BLINDLY
        :: true -> atomic { claim = PARKED; lot = true; assert(phase == ENDED) }
#else
        :: retired || seen == LEAVING -> abandon()
        :: !retired && seen == ENDED -> park()
        :: else /* the thread does it when its run ends */
#endif
        fi
#ifndef MUTANT_PARKS_TWICE
    :: else
#endif
    fi
}

/* end_run */
inline end_run(how)
{
#ifdef MUTANT_LOOKS_AT_CLAIM_FIRST
    detached = (claim == DETACHED);
#endif
#ifdef MUTANT_LOOKS_AT_WAITERS_FIRST
    any_waiter = (waiters > 0);
    phase = how;
#else
    phase = how;
    any_waiter = (waiters > 0);
#endif
    if
#ifdef MUTANT_LEAVES_SILENTLY
    :: any_waiter && how != LEAVING -> wake_on_run()
#else
    :: any_waiter -> wake_on_run()
#endif
    :: else
    fi;
#ifndef MUTANT_LOOKS_AT_CLAIM_FIRST
    detached = (claim == DETACHED);
#endif
    if
    :: detached -> lock(); park_or_abandon(seen); unlock()
    :: else
    fi
}

/* The kernel, which wakes one waiter. */
inline end_thread()
{
    atomic {
        alive = false;
        if
        :: on_word[0] -> on_word[0] = false
        :: on_word[1] -> on_word[1] = false
        :: else
        fi
    }
}

proctype thread()
{
    mtype seen;
    bool any_waiter, detached, idle;
    do
    ::  if
        ::  /* the thread is reset */
            destroyed++;
            end_run(ENDED)
        ::  /* the thread ends with its run */
#ifdef MUTANT_ANNOUNCES_EARLY
            end_run(ENDED);
            retired = true;
#else
            end_run(LEAVING);
#endif
            destroyed++;
            break
        fi;
        /* kt__await_run */
        do
        :: phase == ACTIVE -> idle = false; break
        :: phase == DISMISSED -> idle = true; break
        :: atomic { phase == ENDED || phase == TAKEN -> thread_sleeps = true } /* futex_wait */
            if
            :: !thread_sleeps
            :: lock(); /* the wait has timed out: retire */
                thread_sleeps = false;
                idle = (phase == ENDED);
                if
                :: idle ->
                    retired = true;
                    if
                    :: lot -> abandon()
                    :: else
                    fi
                :: else
                fi;
                unlock();
                if
                :: idle -> break
                :: else -> phase != TAKEN
                fi
            fi
        od;
        if
        :: idle -> break
        :: else
        fi
    od;
    end_thread()
}

/* kt_thread_wait */
proctype waiter(byte me; byte number)
{
    mtype seen;
    byte others;
    waiters++;
look:
    seen = phase;
    if
    :: seen == ENDED
    :: seen == LEAVING ->
        if
        :: !alive
        :: atomic { alive -> on_word[me] = true }
            !on_word[me];
            goto look
        fi
    :: else ->
        if
        :: atomic { phase == seen -> on_run[me] = true }
            !on_run[me]
        :: phase != seen
        fi;
        goto look
    fi;
    assert(destroyed >= number);
    atomic { others = waiters - 1; waiters = others } /* end_wait */
#ifndef MUTANT_PASSES_NOTHING_ON
    if
    :: others > 0 -> atomic { on_run[0] = false; on_run[1] = false; on_word[0] = false; on_word[1] = false }
    :: else
    fi;
#endif
    waiting--
}

/* kt_thread_free */
inline free_handle(seen)
{
    if
    :: !alive -> atomic { assert(!recycled && claim == OWNER && !lot); recycled = true }
    :: else ->
        lock();
#ifdef MUTANT_OWNER_LOOKS_FIRST
        seen = phase;
        claim = DETACHED;
        if
        :: retired || seen == LEAVING -> abandon()
        :: !retired && seen == ENDED -> park()
        :: else
        fi;
#else
        claim = DETACHED;
        park_or_abandon(seen);
#endif
        unlock()
    fi
}

proctype starter()
{
    mtype seen;
    bool taken;
    lock(); /* kt__unpark */
    if
    :: lot -> atomic { lot = false; phase = TAKEN; taken = true }
    :: else
    fi;
    unlock();
    if
    :: taken ->
        claim = OWNER; /* fill_in */
        phase = ACTIVE;
        wake_on_run();
        free_handle(seen)
    :: else
    fi;
    starter_done = true
}

/* kt_trim, repeatedly */
proctype trimmer()
{
    starter_done;
    do
    ::  atomic { lot && !locked -> locked = true }
        abandon();
        phase = DISMISSED;
        wake_on_run();
        unlock()
    ::  atomic { claim == ABANDONED && !alive && !recycled -> recycled = true }
        break
    ::  recycled -> break
    od;
    assert(!alive && !lot)
}

init {
    mtype seen;
    atomic {
        run thread();
        run starter();
        run trimmer();
        if
        :: waiting = 2; run waiter(0, 1); run waiter(1, 1)
        :: true
        fi
    }
    waiting == 0;
    free_handle(seen)
}
