/* The notification of completions: no completed task stays unnoticed (csrc/pool/completions.c: kt__task_complete, kt__notify_completions, kt_completions_take).
 *
 * Three workers send a task each back; two ring at once, as for a task that somebody watches, the other one
 * before it parks. A collector sleeps until the descriptor is readable and takes what is there.
 *
 * What must hold: all tasks are collected, once; the completions are freed by their last user, and touched by
 * nobody afterwards.
 *
 * MUTANT_RINGS_FIRST: a worker rings before the task is on the list
 * MUTANT_PARKS_UNRUNG: a worker parks and owes a ring
 * MUTANT_TAKES_FIRST: the collector takes the list, then makes the descriptor unreadable
 * MUTANT_RESETS_FIRST: the collector says that nothing has rung before it reads the descriptor
 * MUTANT_WORKER_IS_NO_USER: a worker rings though the collector may have freed what it rings
 */
byte list;      /* tasks on it */
bool rung;
bool readable;  /* the eventfd */
byte users = 1;
byte collected;

#define TOUCH assert(users > 0)

inline ring()
{
    atomic { TOUCH; was = rung; rung = true }
    if
    :: !was -> atomic { TOUCH; readable = true }
    :: else
    fi
}

proctype worker(bool at_once)
{
    bool was;
#ifndef MUTANT_WORKER_IS_NO_USER
    users++; /* of a task's completions that is not collected */
#endif
#ifdef MUTANT_RINGS_FIRST
    ring();
#endif
    atomic { TOUCH; list++ } /* send_back */
    if
#if defined MUTANT_PARKS_UNRUNG
    :: at_once -> ring()
    :: else
#elif defined MUTANT_RINGS_FIRST
    :: true
#else
    :: at_once -> ring()
    :: else ->
        if /* kt__ring_unrung */
        :: atomic { list > 0 -> TOUCH } ring()
        :: atomic { list == 0 -> TOUCH }
        fi
#endif
    fi;
#ifndef MUTANT_WORKER_IS_NO_USER
    users--
#endif
}

init
{
    byte taken;
    atomic {
        run worker(true);
        run worker(true);
        run worker(false)
    }
    do
    :: collected == 3 -> break
    :: else ->
        readable; /* poll */
#ifdef MUTANT_TAKES_FIRST
        atomic { taken = list; list = 0 }
#endif
#ifdef MUTANT_RESETS_FIRST
        rung = false;
        readable = false;
#else
        readable = false; /* read */
        rung = false;
#endif
#ifndef MUTANT_TAKES_FIRST
        atomic { taken = list; list = 0 }
#endif
        atomic { collected = collected + taken; assert(collected <= 3); taken = 0 }
    od;
    users-- /* kt_completions_free */
}
