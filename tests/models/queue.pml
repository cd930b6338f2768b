/* The queue of tasks, and waiting for room in it (csrc/pool/queue.c).
 *
 * Two submitters add a task each, or wait for room, to a queue of two cells that is empty or holds a task. Two workers
 * take the tasks. Task 0 waits for task 1 to have run, on the other worker. Parking is a bit that a waker clears
 * (park.pml).
 *
 * What must hold: no cell is written or read out of turn; each task runs once; no thread waits for ever, neither for
 * room nor for a task.
 *
 * MUTANT_PUTS_WITHOUT_COMPARING: a submitter takes a ticket though another one has it
 * MUTANT_TAKES_WITHOUT_COMPARING: a worker takes a ticket though another one has it
 * MUTANT_PUBLISHES_FIRST: the turn of a cell changes before the task is in it
 * MUTANT_FREES_FIRST: the turn of a cell changes before the task is out of it
 * MUTANT_ANNOUNCES_FIRST: a worker checks for waiters for room before there is room
 * MUTANT_COUNTS_ITSELF_LATE: a submitter counts itself as a waiter after its last check for room
 * MUTANT_SEES_LATE: a submitter reads the word that it sleeps on after its last check for room
 * MUTANT_ROOM_DOES_NOT_CHANGE: a worker that notifies of room wakes a waiter, but does not change the word
 * MUTANT_TAKER_DOES_NOT_LOOK: a worker that has taken a task does not check for more
 * MUTANT_PARKS_WITHOUT_LOOKING: a worker sleeps without checking for tasks again
 */
#define CELLS 2
#define CELL(ticket) (ticket % CELLS)
#define EMPTY 255

byte turn[CELLS], cell[CELLS];
byte head, tail;
byte ran;              /* bits */
byte room, room_waiters;
bool waits[3];         /* in the kernel, on `room` */
byte sleepers;         /* bits */

inline put()
{
    ticket = tail;
    do
    ::  atomic { seen_turn = turn[CELL(ticket)] }
        if
        :: seen_turn == ticket ->
            if
#ifdef MUTANT_PUTS_WITHOUT_COMPARING
            :: atomic { true -> tail = ticket + 1 }
#else
            :: atomic { tail == ticket -> tail++ }
#endif
#ifdef MUTANT_PUBLISHES_FIRST
                turn[CELL(ticket)] = ticket + 1;
                cell[CELL(ticket)] = task;
#else
                atomic { assert(cell[CELL(ticket)] == EMPTY); cell[CELL(ticket)] = task }
                turn[CELL(ticket)] = ticket + 1;
#endif
                done = true;
                break
#ifndef MUTANT_PUTS_WITHOUT_COMPARING
            :: atomic { tail != ticket -> ticket = tail }
#endif
            fi
        :: seen_turn < ticket -> break
        :: seen_turn > ticket -> ticket = tail
        fi
    od;
    atomic { ticket = 0; seen_turn = 0 }
}

/* kt__wake of one worker, in one step (park.pml has its steps) */
inline wake()
{
    atomic {
        if
        :: sleepers & 1 -> sleepers = sleepers & ~1
        :: !(sleepers & 1) -> sleepers = 0
        fi
    }
}

proctype submitter(byte task)
{
    byte ticket, seen_turn, seen;
    bool done;
    put();
    if
    :: !done -> /* kt__queue_wait_and_put */
#ifndef MUTANT_COUNTS_ITSELF_LATE
        room_waiters++;
#endif
        do
        ::
#ifdef MUTANT_SEES_LATE
            put();
            seen = room;
#else
            seen = room;
            put();
#endif
            if
            :: done -> break
            :: else
            fi;
#ifdef MUTANT_COUNTS_ITSELF_LATE
            room_waiters++;
#endif
            if /* futex_wait: compares and sleeps in one step */
            :: atomic { room == seen -> waits[task] = true }
                !waits[task]
            :: room != seen
            fi;
#ifdef MUTANT_COUNTS_ITSELF_LATE
            room_waiters--
#endif
        od;
#ifndef MUTANT_COUNTS_ITSELF_LATE
        room_waiters--
#endif
    :: else
    fi;
    wake() /* kt_pool_submit */
}

inline announce_room()
{
    if
    :: room_waiters > 0 ->
#ifndef MUTANT_ROOM_DOES_NOT_CHANGE
        room++;
#endif
        atomic { /* futex_wake of any one */
            if
            :: waits[1] -> waits[1] = false
            :: waits[2] -> waits[2] = false
            :: else
            fi
        }
    :: else
    fi
}

/* kt__tasks_wait */
inline tasks_wait()
{
    ticket = head;
    atomic { found = turn[CELL(ticket)] == ticket + 1; ticket = 0 }
}

proctype worker(byte me)
{
    byte ticket, seen_turn, task;
    bool found;
    do
    ::  ticket = head; /* take_from_cell */
        do
        ::  seen_turn = turn[CELL(ticket)];
            if
            :: seen_turn == ticket + 1 ->
                if
#ifdef MUTANT_TAKES_WITHOUT_COMPARING
                :: atomic { true -> head = ticket + 1 }
#else
                :: atomic { head == ticket -> head++ }
#endif
#ifdef MUTANT_ANNOUNCES_FIRST
                    announce_room();
#endif
#ifdef MUTANT_FREES_FIRST
                    turn[CELL(ticket)] = ticket + CELLS;
                    atomic { task = cell[CELL(ticket)]; assert(task != EMPTY); cell[CELL(ticket)] = EMPTY }
#else
                    atomic { task = cell[CELL(ticket)]; assert(task != EMPTY); cell[CELL(ticket)] = EMPTY }
                    turn[CELL(ticket)] = ticket + CELLS;
#endif
                    found = true;
                    break
#ifndef MUTANT_TAKES_WITHOUT_COMPARING
                :: atomic { head != ticket -> ticket = head }
#endif
                fi
            :: seen_turn < ticket + 1 -> break
            :: seen_turn > ticket + 1 -> ticket = head
            fi
        od;
        atomic { ticket = 0; seen_turn = 0 }
        if
        :: found -> /* kt__task_run_next */
            found = false;
#ifndef MUTANT_ANNOUNCES_FIRST
            announce_room();
#endif
#ifndef MUTANT_TAKER_DOES_NOT_LOOK
            tasks_wait();
            if
            :: found -> found = false; wake()
            :: else
            fi;
#endif
            task != 0 || ran & 2;
            atomic { assert(!(ran & (1 << task))); ran = ran | (1 << task); task = 0 }
        :: else -> /* park */
            sleepers = sleepers | me;
#ifndef MUTANT_PARKS_WITHOUT_LOOKING
            tasks_wait();
#endif
            if
            :: found -> atomic { found = (sleepers & me) != 0; sleepers = sleepers & ~me }
            :: else
            fi;
            if
            :: !found ->
end_parked:     !(sleepers & me)
            :: else -> found = false
            fi
        fi
    od
}

init
{
    byte tasks;
    atomic {
        turn[1] = 1; /* kt__queue_reset */
        cell[0] = EMPTY;
        cell[1] = EMPTY;
        if
        :: tasks = 2; run submitter(0)
        :: tasks = 3; cell[0] = 0; turn[0] = 1; tail = 1; run submitter(2)
        fi;
        run submitter(1);
        run worker(1);
        run worker(2)
    }
    ran == (1 << tasks) - 1
}
