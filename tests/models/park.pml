/* Parking and waking: no wake-up is lost (csrc/pool/worker.c, sleepers.c; the publishers are in submit.c, region.c).
 *
 * Worker 1 runs loops and tasks and may spin. It may expect a loop, and then sleeps by a timer, which may end its sleep
 * at any time: at most MISSED_MOST times until it is woken or enters a loop. Worker 2 runs tasks only, as the last worker
 * of a pool does. Two tasks are submitted one after the other, and a loop is opened whose body ends when both have run.
 * Then all workers are told to leave. The queue is a number here (queue.pml), and the gate a bit (gate.pml).
 *
 * What must hold: everything ends, so no worker sleeps while there is work for it; when a worker wakes, or does not
 * sleep after all, its bit was cleared by exactly one thread, and the worker never continues with the bit set.
 *
 * MUTANT_DOES_NOT_LOOK_AGAIN: a worker that has set its bit sleeps without checking for work
 * MUTANT_LOOKS_BEFORE_SETTING: a worker checks for work before it sets its bit
 * MUTANT_WAKES_BEFORE_PUBLISHING: a publisher reads the sleepers first
 * MUTANT_COUNTS_SPINNERS_FIRST: a publisher reads the number of spinners first
 * MUTANT_CLEARS_WITHOUT_LOOKING: a worker that found work continues though a waker has cleared its bit
 * MUTANT_WAKES_WITHOUT_COMPARING: a waker signals though another waker has cleared the bit
 * MUTANT_RESETS_SIGNAL_LATE: a worker sets its signal to 0 after it has set its bit
 * MUTANT_FORGETS_FUTEX_WAKE: a waker stores the signal, but does not wake the worker
 * MUTANT_FUTEX_DOES_NOT_COMPARE: a worker sleeps though the word has changed
 * MUTANT_SPINNER_STAYS_COUNTED: a worker still counts as a spinner until it has parked
 * MUTANT_TIMER_LEAVES_BIT: a worker that wakes by its timer continues with its bit set
 * MUTANT_TIMER_CLEARS_WITHOUT_LOOKING: a worker that wakes by its timer continues though a waker has cleared its bit
 * MUTANT_TIMER_SLEEPS_ON: a worker that wakes by its timer clears its bit, and sleeps again
 * MUTANT_LOOP_IGNORES_TASKS: a worker that enters a loop does not check for tasks that a submitter left to it
 * MUTANT_LEAVING_WAKES_ONE: the thread that tells all workers to leave wakes one
 */
#define TASKS       2
#define CPUS        2
#define MISSED_MOST 1

byte sleepers;         /* bits, the lowest for worker 1 */
bool signal[3];        /* the futex word */
bool waits[3];         /* in the kernel, on that word */
byte spinning;
bool open, leaving;
byte queued, ran;

/* kt__wake */
inline wake(most)
{
    woken = 0;
    do
    :: woken < most ->
        eligible = sleepers; /* take_sleeper: load, */
        if
        :: eligible == 0 -> break
        :: else
        fi;
        who = (eligible & 1 -> 1 : 2);
        atomic { cleared = (sleepers & who) != 0; sleepers = sleepers & ~who; eligible = 0 } /* and fetch_and */
        if
#ifdef MUTANT_WAKES_WITHOUT_COMPARING
        :: true ->
#else
        :: cleared ->
#endif
            signal[who] = true;
#ifndef MUTANT_FORGETS_FUTEX_WAKE
            waits[who] = false; /* futex_wake */
#endif
            woken++
#ifndef MUTANT_WAKES_WITHOUT_COMPARING
        :: !cleared
#endif
        fi
    :: else -> break
    od;
    atomic { who = 0; woken = 0; cleared = false }
}

#define MAY_ENTER (open && me == 1)
#define THERE_IS_WORK (MAY_ENTER || queued > 0 || leaving)

/* has_work, load by load */
inline look()
{
    if
    :: MAY_ENTER -> found = true
    :: else ->
        if
        :: queued > 0 -> found = true
        :: else -> found = leaving
        fi
    fi
}

/* begin_spin and spin */
inline spin()
{
    atomic { spinning++; cleared = spinning < CPUS }
    if
    :: cleared ->
        if
        :: THERE_IS_WORK -> found = true
        :: true /* its time is over */
        fi
    :: else
    fi;
    cleared = false;
#ifndef MUTANT_SPINNER_STAYS_COUNTED
    spinning--
#else
    counted = true
#endif
}

/* kt__rhythm_expect, sleep_until, sleep_ahead */
inline sleep_until()
{
    if
    :: true
    :: atomic { me == 1 && missed < MISSED_MOST -> missed++; timed = true }
    fi;
    do
    :: signal[me] -> atomic { missed = 0; break }
    :: else -> /* futex_wait: compares and sleeps in one step */
#ifdef MUTANT_FUTEX_DOES_NOT_COMPARE
        waits[me] = true;
        !waits[me]
#else
        if
        :: atomic { !signal[me] -> waits[me] = true }
            if
            :: !waits[me]
            :: atomic { timed -> waits[me] = false; timed = false } /* -ETIMEDOUT */
#if defined MUTANT_TIMER_LEAVES_BIT
                ahead = true;
#elif defined MUTANT_TIMER_CLEARS_WITHOUT_LOOKING
                atomic { ahead = true; sleepers = sleepers & ~me }
#elif defined MUTANT_TIMER_SLEEPS_ON
                sleepers = sleepers & ~me;
#else
                atomic { ahead = (sleepers & me) != 0; sleepers = sleepers & ~me } /* take_bit_back */
#endif
                if
                :: ahead -> break
                :: else /* a waker has the bit, and signals */
                fi
            fi
        :: signal[me]
        fi
#endif
    od;
    if
    :: ahead -> atomic { ahead = false; timed = false } spin(); found = false
    :: else -> timed = false
    fi
}

inline park()
{
#ifndef MUTANT_RESETS_SIGNAL_LATE
    signal[me] = false;
#endif
#ifdef MUTANT_LOOKS_BEFORE_SETTING
    look();
    atomic { assert(!(sleepers & me)); sleepers = sleepers | me }
#else
    atomic { assert(!(sleepers & me)); sleepers = sleepers | me }
#ifndef MUTANT_DOES_NOT_LOOK_AGAIN
    look();
#endif
#endif
#ifdef MUTANT_RESETS_SIGNAL_LATE
    signal[me] = false;
#endif
    if
#ifdef MUTANT_CLEARS_WITHOUT_LOOKING
    :: found -> sleepers = sleepers & ~me
#else
    :: found -> atomic { found = (sleepers & me) != 0; sleepers = sleepers & ~me } /* fetch_and */
#endif
    :: else
    fi;
    if
    :: !found -> sleep_until()
    :: else -> found = false
    fi
}

proctype worker(byte me)
{
    byte eligible, who, woken, missed;
    bool found, cleared, timed, ahead;
#ifdef MUTANT_SPINNER_STAYS_COUNTED
    bool counted;
#endif
    do
    ::  if
        :: leaving && queued == 0 -> break /* continues */
        :: else
        fi;
        if
        :: atomic { MAY_ENTER -> missed = 0 } /* kt__loop_enter */
#ifndef MUTANT_LOOP_IGNORES_TASKS
            if
            :: queued > 0 -> wake(1)
            :: else
            fi;
#endif
            ran == TASKS /* the body */;
            open = false
        :: atomic { !MAY_ENTER && queued > 0 -> queued-- } /* kt__task_run_next */
            if
            :: queued > 0 -> wake(1)
            :: else
            fi;
            ran++
        :: atomic { !MAY_ENTER && queued == 0 -> skip }
            if
            :: me == 1 -> spin()
            :: else
            fi;
            if
            :: found -> found = false
            :: else -> park()
            fi;
#ifdef MUTANT_SPINNER_STAYS_COUNTED
            if
            :: counted -> atomic { counted = false; spinning-- }
            :: else
            fi
#endif
        fi
    od
}

proctype submitter()
{
    byte eligible, who, woken, left = TASKS;
    bool cleared, counted;
    do
    :: left > 0 ->
#if defined MUTANT_WAKES_BEFORE_PUBLISHING
        wake(1);
        queued++;
#elif defined MUTANT_COUNTS_SPINNERS_FIRST
        counted = spinning > 0;
        queued++;
        if
        :: !counted -> wake(1)
        :: else -> counted = false
        fi;
#else
        queued++; /* kt__queue_put */
        if
        :: spinning == 0 -> wake(1)
        :: else
        fi;
#endif
        left--
    :: else -> break
    od
}

init
{
    byte eligible, who, woken;
    bool cleared;
    atomic {
        run worker(1);
        run worker(2);
        run submitter()
    }
    open = true; /* kt__region_open */
    if
    :: sleepers & 1 -> wake(1) /* if the estimate is that it pays */
    :: true
    fi;
    ran == TASKS; /* the body on the caller */
    open = false;
    leaving = true; /* end_threads */
#ifdef MUTANT_LEAVING_WAKES_ONE
    wake(1)
#else
    wake(2)
#endif
}
