/* Makes, joins and detaches threads, as many of each as the words say: joined, detached, cancelled, exiting,
 * and refused. Half of the detached threads are so from their start. With a last word, executes the program
 * of that name afterwards. */
#include "cases.h"

static void *exiting(void *argument)
{
    pthread_exit(argument);
}

static atomic_int detached_ended;

static void *end_detached(void *argument)
{
    atomic_fetch_add(&detached_ended, 1);
    return argument;
}

static void make_detached(int count)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < count; i++) {
        if (i % 2) {
            make(&attributes, end_detached, NULL);
        } else {
            CHECK(pthread_detach(make(NULL, end_detached, NULL)) == 0);
        }
    }
    while (atomic_load(&detached_ended) < count) {
        sched_yield();
    }
}

static void be_refused(int count)
{
    cpu_set_t none;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CPU_ZERO(&none);
    CPU_SET(CPU_SETSIZE - 1, &none);
    pthread_attr_setaffinity_np(&attributes, sizeof none, &none);
    for (int i = 0; i < count; i++) {
        CHECK(pthread_create(&thread, &attributes, same, NULL) == EINVAL);
    }
}

int main(int count, char **words)
{
    CHECK(count >= 6);
    for (int i = 0; i < atoi(words[1]); i++) {
        joined(make(NULL, same, NULL));
    }
    make_detached(atoi(words[2]));
    for (int i = 0; i < atoi(words[3]); i++) {
        pthread_t thread = make(NULL, sleep_for_ever, NULL);
        pthread_cancel(thread);
        joined(thread);
    }
    for (int i = 0; i < atoi(words[4]); i++) {
        joined(make(NULL, exiting, NULL));
    }
    be_refused(atoi(words[5]));
    if (count > 6) {
        execv(words[6], &words[6]);
        return 1;
    }
    return 0;
}
