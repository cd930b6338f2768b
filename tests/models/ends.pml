/* The end of a reusable thread's run: who is told of it, and who parks or recycles the thread (csrc/thread/parking_lot.c, wait.c).
 *
 * A thread runs once or twice. It may end with either run, by pthread_exit as it were, or be parked in between; in the
 * lot, or while its handle is still held, it may lose its patience. Two wait for the first run, or nobody does; the
 * handle is given up when they have returned, or meanwhile. Somebody starts it again if it is in the lot, and gives
 * that handle up; then the lot is emptied. The engine's lock is the bit `locked`, the word that the kernel clears is
 * `alive`.
 *
 * What must hold: who waits returns, after the destructors of that run; a thread in the lot has no run and nobody
 * else who sees to it; in the end it is recycled, once, and when it is gone.
 *
 * MUTANT_ANNOUNCES_EARLY: a thread that ends with its run says that the run has ended, and then runs destructors
 * MUTANT_LEAVES_SILENTLY: one that ends with its run does not wake those who sleep on the word that says so
 * MUTANT_LOOKS_AT_CLAIM_FIRST: the end of a run looks whether the handle was given up before it says that it has ended
 * MUTANT_TAKES_OVER_BLINDLY: it parks the thread without a look at the run that it may be in by now
 * MUTANT_PARKS_TWICE: it does so without a look at who has it by now
 * MUTANT_OWNER_LOOKS_FIRST: who gives the handle up looks whether the run has ended before it says so
 * MUTANT_LOOKS_AT_WAITERS_FIRST: the end of a run looks whether somebody waits before it says that it has ended
 * MUTANT_PASSES_NOTHING_ON: who returns does not wake the others, of whom the kernel has woken one
 */
mtype = { ENDED, ACTIVE, TAKEN, DISMISSED, LEAVING, OWNER, DETACHED, PARKED, ABANDONED };

mtype phase = ACTIVE;       /* `run` in C */
mtype claim = OWNER;
bool alive = true, locked, lost_patience, lot;
bool recycled, starter_done;
byte destroyed;             /* runs whose destructors have run */
byte waiters;               /* counted ones */
byte waiting;               /* those who have not returned */
bool on_run[2], on_word[2]; /* asleep in the kernel */
bool idles;                 /* the thread, likewise, on `run` */

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }
inline wake_on_run() { atomic { on_run[0] = false; on_run[1] = false; idles = false } }

inline park()
{
    atomic { assert(!lot && phase == ENDED && claim == DETACHED); claim = PARKED; lot = true }
}

inline abandon()
{
    atomic { assert(claim != ABANDONED && !recycled); claim = ABANDONED; lot = false }
}

/* kt__park_or_abandon */
inline take_over(seen)
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
        :: lost_patience || seen == LEAVING -> abandon()
        :: !lost_patience && seen == ENDED -> park()
        :: else /* the thread will, when its run ends */
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
    given_up = (claim == DETACHED);
#endif
#ifdef MUTANT_LOOKS_AT_WAITERS_FIRST
    somebody = (waiters > 0);
    phase = how;
#else
    phase = how;
    somebody = (waiters > 0);
#endif
    if
#ifdef MUTANT_LEAVES_SILENTLY
    :: somebody && how != LEAVING -> wake_on_run()
#else
    :: somebody -> wake_on_run()
#endif
    :: else
    fi;
#ifndef MUTANT_LOOKS_AT_CLAIM_FIRST
    given_up = (claim == DETACHED);
#endif
    if
    :: given_up -> lock(); take_over(seen); unlock()
    :: else
    fi
}

/* The kernel, which wakes one. */
inline be_gone()
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
    bool somebody, given_up, idle;
    do
    ::  if
        ::  /* it can be made fresh */
            destroyed++;
            end_run(ENDED)
        ::  /* it ends with its run */
#ifdef MUTANT_ANNOUNCES_EARLY
            end_run(ENDED);
            lost_patience = true;
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
        :: atomic { phase == ENDED || phase == TAKEN -> idles = true } /* futex_wait */
            if
            :: !idles
            :: lock(); /* its patience has ended: give_up */
                idles = false;
                idle = (phase == ENDED);
                if
                :: idle ->
                    lost_patience = true;
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
    be_gone()
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
inline give_up(seen)
{
    if
    :: !alive -> atomic { assert(!recycled && claim == OWNER && !lot); recycled = true }
    :: else ->
        lock();
#ifdef MUTANT_OWNER_LOOKS_FIRST
        seen = phase;
        claim = DETACHED;
        if
        :: lost_patience || seen == LEAVING -> abandon()
        :: !lost_patience && seen == ENDED -> park()
        :: else
        fi;
#else
        claim = DETACHED;
        take_over(seen);
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
        give_up(seen)
    :: else
    fi;
    starter_done = true
}

/* kt_trim, again and again */
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
    give_up(seen)
}
