/* A library with a thread-local counter. The build chooses the counter's size and TLS model. */
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
