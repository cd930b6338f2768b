/* The gate of a pool: which workers enter a loop, and when its caller may continue (csrc/pool/region.c).
 *
 * A caller opens three loops, one after the other, the last one for fewer workers. Two workers enter at any time. The
 * shares are a count of units here (share.pml). A failed compare-and-swap of the C code tries again with the value that
 * it has read. Where nothing else depends on that value, only the successful one is a step here.
 *
 * What must hold: a worker enters only a loop that is open to it, though not always the loop whose gate it read first;
 * it runs units of the loop that it entered, and is counted; each unit runs once, and before the caller continues; each
 * worker that entered has left by then; the caller finishes, whatever the workers do, if each may make progress at
 * times.
 *
 * MUTANT_CALLER_DOES_NOT_LOOK_AGAIN: the caller that has set caller_sleeps sleeps without reading the gate again
 * MUTANT_CALLER_SAYS_NOTHING: the caller sleeps without setting caller_sleeps
 * MUTANT_CALLER_DOES_NOT_CLOSE: the caller waits for the workers inside with the gate open
 * MUTANT_CALLER_WAITS_FIRST: the caller closes the gate after it has waited
 * MUTANT_LEAVER_LOOKS_FIRST: the last worker to leave reads caller_sleeps before it has left
 * MUTANT_LEAVER_DOES_NOT_WAKE: the last worker to leave clears caller_sleeps, but does not wake the caller
 * MUTANT_ENTERS_WITHOUT_COMPARING: a worker counts itself though the gate has changed
 * MUTANT_OPENS_FIRST: the gate opens before the loop behind it is ready
 */
#define LOOPS 3
#define UNITS 2

/* The word `gate`, which changes in one step */
byte limit, inside, entered;
bool open;

byte loop;            /* pool->loop; 0: the loop is over */
byte units, done;     /* of this loop */
bool caller_sleeps;   /* the futex word */
bool caller_waits;    /* in the kernel, on that word */
bool finished;

byte now = 1;         /* number of the loop */
byte took_part;       /* workers that entered it */

#define LIMIT(number) (number < LOOPS -> 3 : 2) /* the last one is for worker 1 alone */

#ifdef MUTANT_ENTERS_WITHOUT_COMPARING
#define UNCHANGED true
#else
#define UNCHANGED (open && limit == old_limit && inside == old_inside && entered == old_entered)
#endif

inline run_units(mine)
{
    do
    :: atomic { units > 0 -> units-- }
        assert(loop == mine);
        done++
    :: units == 0 -> break
    od
}

proctype worker(byte me)
{
    byte old_entered, old_limit, old_inside, mine;
    bool last, sleeps;
    do
    :: atomic { open && me < limit -> old_entered = entered; old_limit = limit; old_inside = inside } /* enter_gate */
        if
        :: atomic { UNCHANGED -> assert(open && me < limit); inside++; entered++; took_part++ }
            mine = loop;
            assert(mine == now);
            run_units(mine);
#ifdef MUTANT_LEAVER_LOOKS_FIRST
            sleeps = caller_sleeps;
            atomic { last = inside == 1; open = false; inside--; mine = 0 }
#else
            atomic { last = inside == 1; open = false; inside--; mine = 0 } /* leave_and_close_gate */
            if
            :: last -> sleeps = caller_sleeps
            :: else
            fi;
#endif
            if
            :: last && sleeps ->
                caller_sleeps = false;
#ifndef MUTANT_LEAVER_DOES_NOT_WAKE
                caller_waits = false /* futex_wake */
#endif
            :: else
            fi;
            last = false;
            sleeps = false
        :: !UNCHANGED
        fi;
        atomic { old_entered = 0; old_limit = 0; old_inside = 0 }
    :: finished -> break
    od
}

inline close()
{
    if
    :: open -> open = false /* fetch_and */
    :: else
    fi
}

inline wait_for_others()
{
    do
    :: inside == 0 -> break
    :: else ->
#ifndef MUTANT_CALLER_SAYS_NOTHING
        caller_sleeps = true;
#endif
        if
#ifndef MUTANT_CALLER_DOES_NOT_LOOK_AGAIN
        :: inside == 0 -> break
        :: else ->
#else
        :: true ->
#endif
            /* futex_wait: compares and sleeps in one step */
            if
#ifdef MUTANT_CALLER_SAYS_NOTHING
            :: atomic { true -> caller_waits = true }
#else
            :: atomic { caller_sleeps -> caller_waits = true }
#endif
                !caller_waits
            :: !caller_sleeps
            fi
        fi
    od;
    caller_sleeps = false
}

init
{
    atomic {
        run worker(1);
        run worker(2)
    }
    do
    :: now <= LOOPS ->
#ifdef MUTANT_OPENS_FIRST
        atomic { limit = LIMIT(now); open = true; inside = 0; entered = 0; took_part = 0 }
        loop = now;
        atomic { done = 0; units = UNITS }
#else
        loop = now; /* kt__region_open */
        atomic { done = 0; units = UNITS }
        atomic { assert(inside == 0); limit = LIMIT(now); open = true; entered = 0; took_part = 0 }
#endif
        run_units(now);
#if defined MUTANT_CALLER_WAITS_FIRST
        wait_for_others();
        close();
#elif defined MUTANT_CALLER_DOES_NOT_CLOSE
        wait_for_others();
#else
        close();
        wait_for_others();
#endif
        assert(inside == 0 && !open && done == UNITS && entered == took_part);
        loop = 0;
        now++
    :: else -> break
    od;
    finished = true
}

ltl the_caller_gets_through { <> finished }
