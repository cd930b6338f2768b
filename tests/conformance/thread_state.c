/* State that one run changes, and the next on the same thread must not see. Each function changes one thing,
 * after checking that it is unchanged. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

int a_changed_signal_mask_is_not_seen(void)
{
    sigset_t mask;
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    EXPECT(sigisemptyset(&mask));
    sigfillset(&mask);
    sigdelset(&mask, SIGUSR1);
    return pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

int a_changed_cancel_state_is_not_seen(void)
{
    int state, type;
    EXPECT(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state) == 0 && state == PTHREAD_CANCEL_ENABLE);
    EXPECT(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type) == 0 && type == PTHREAD_CANCEL_DEFERRED);
    return 0;
}

int a_changed_locale_is_not_seen(void)
{
    EXPECT(uselocale(NULL) == LC_GLOBAL_LOCALE);
    return uselocale(newlocale(LC_ALL_MASK, "C", NULL)) == LC_GLOBAL_LOCALE ? 0 : __LINE__;
}

int a_changed_rounding_mode_is_not_seen(void)
{
    EXPECT(fegetround() == FE_TONEAREST);
    return fesetround(FE_UPWARD);
}

int a_changed_name_is_not_seen(void)
{
    char name[16];
    EXPECT(pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "changed") != 0);
    return pthread_setname_np(pthread_self(), "changed");
}
