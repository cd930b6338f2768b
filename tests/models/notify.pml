/* The notification of completions: the reader learns of every completed task (csrc/pool/completions.c:
 * kt__task_complete, kt__notify_completions, kt_completions_take).
 *
 * Three workers complete a task each. Two of them notify at once, as for a task that is watched, the other one before
 * it parks. A reader sleeps until the descriptor is readable, and takes the tasks on the list.
 *
 * What must hold: each task is taken once; the last user frees the completion queue, and no thread uses it afterwards.
 *
 * MUTANT_NOTIFIES_FIRST: a worker notifies before the task is on the list
 * MUTANT_PARKS_UNNOTIFIED: a worker parks without the notification that it has delayed
 * MUTANT_TAKES_FIRST: the reader takes the list, then makes the descriptor unreadable
 * MUTANT_RESETS_FIRST: the reader clears `notified` before it reads the descriptor
 * MUTANT_WORKER_IS_NO_USER: a worker notifies though the reader may have freed the queue
 */
byte list;      /* number of tasks on it */
bool notified;
bool readable;  /* the eventfd */
byte users = 1;
byte collected;

#define TOUCH assert(users > 0)

inline notify()
{
    atomic { TOUCH; was = notified; notified = true }
    if
    :: !was -> atomic { TOUCH; readable = true }
    :: else
    fi
}

proctype worker(bool at_once)
{
    bool was;
#ifndef MUTANT_WORKER_IS_NO_USER
    users++; /* before the push: the reader may free the queue after it */
#endif
#ifdef MUTANT_NOTIFIES_FIRST
    notify();
#endif
    atomic { TOUCH; list++ } /* push */
    if
#if defined MUTANT_PARKS_UNNOTIFIED
    :: at_once -> notify()
    :: else
#elif defined MUTANT_NOTIFIES_FIRST
    :: true
#else
    :: at_once -> notify()
    :: else ->
        if /* kt__notify_completions */
        :: atomic { list > 0 -> TOUCH } notify()
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
        notified = false;
        readable = false;
#else
        readable = false; /* read */
        notified = false;
#endif
#ifndef MUTANT_TAKES_FIRST
        atomic { taken = list; list = 0 }
#endif
        atomic { collected = collected + taken; assert(collected <= 3); taken = 0 }
    od;
    users-- /* kt_completions_free */
}
