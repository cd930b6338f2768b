/* A library with a thread-local counter, the size and the model of which the build chooses. */
#ifndef MODEL
#define MODEL "global-dynamic"
#endif
#ifndef SIZE
#define SIZE 1
#endif

static _Thread_local struct {
    long count;
    char filler[SIZE];
} counter __attribute__((tls_model(MODEL))) = {.count = 42, .filler = {1}};

long count(void);

long count(void)
{
    return counter.count++ + (counter.filler[0] - 1);
}
