/* Shares of a loop: each unit runs once, whichever member takes it (csrc/pool/region.c, `share`, take_first, steal).
 *
 * Three members have a share each, a word that holds its begin and end. The owner of a share takes units from the
 * front, others take the last half. A member that finds no unit in any share leaves. Units that are stolen, but in no
 * share for the moment, are run by their thief.
 *
 * What must hold: no unit runs twice; all have run when the last member has left.
 *
 * MUTANT_TAKES_WITHOUT_COMPARING: the owner stores a new share over one that a thief has changed
 * MUTANT_STEALS_WITHOUT_COMPARING: a thief does that
 * MUTANT_COMPARES_THE_BEGIN: a compare-and-swap compares half of the word
 * MUTANT_LEAVES_THE_MIDDLE: a thief leaves the unit that it runs in the share
 * MUTANT_DROPS_THE_REST: a thief keeps only the unit that it runs
 * MUTANT_STORES_FIRST: a thief stores the rest in its own share before the compare-and-swap
 */
#define MEMBERS 3
#define UNITS   6

byte begins[MEMBERS], ends[MEMBERS];
byte ran; /* bits */

#ifdef MUTANT_COMPARES_THE_BEGIN
#define SAME(whose) (begins[whose] == begin)
#else
#define SAME(whose) (begins[whose] == begin && ends[whose] == end)
#endif
#ifdef MUTANT_TAKES_WITHOUT_COMPARING
#define SAME_OWN true
#else
#define SAME_OWN SAME(me)
#endif
#ifdef MUTANT_STEALS_WITHOUT_COMPARING
#define SAME_OTHER true
#else
#define SAME_OTHER SAME(other)
#endif

inline run_unit()
{
    d_step {
        assert(!(ran & (1 << unit)));
        ran = ran | (1 << unit);
        unit = 0; begin = 0; end = 0; other = me
    }
}

proctype member(byte me)
{
    byte begin, end, unit, other = me;
    do
    ::  d_step { begin = begins[me]; end = ends[me] } /* take_first */
        if
        :: begin < end ->
            if
            :: atomic { SAME_OWN -> begins[me] = begin + 1; ends[me] = end; unit = begin }
                run_unit()
            :: !SAME_OWN
            fi
        :: else -> /* next_unit tries one share after the other */
            other = (other + 1) % MEMBERS;
            do
            :: other == me -> goto leaves
            :: else ->
                d_step { begin = begins[other]; end = ends[other] } /* steal */
                if
                :: begin < end ->
                    unit = begin + (end - begin) / 2;
#ifdef MUTANT_STORES_FIRST
                    d_step { begins[me] = unit + 1; ends[me] = end };
#endif
                    if
#ifdef MUTANT_LEAVES_THE_MIDDLE
                    :: atomic { SAME_OTHER -> begins[other] = begin; ends[other] = unit + 1 }
#else
                    :: atomic { SAME_OTHER -> begins[other] = begin; ends[other] = unit }
#endif
#if !defined MUTANT_DROPS_THE_REST && !defined MUTANT_STORES_FIRST
                        d_step { begins[me] = unit + 1; ends[me] = end };
#endif
                        run_unit();
                        break
                    :: !SAME_OTHER
                    fi
                :: else -> other = (other + 1) % MEMBERS
                fi
            od
        fi
    od;
leaves:
    skip
}

init
{
    d_step { /* unequal, as shares are after some steals */
        ends[0] = 4;
        begins[1] = 4; ends[1] = 5;
        begins[2] = 5; ends[2] = 6
    }
    atomic {
        run member(0);
        run member(1);
        run member(2)
    }
    _nr_pr == 1;
    assert(ran == (1 << UNITS) - 1)
}
