/* A library whose constructor does what the program has in mind. */
extern void (*in_constructor)(void);

__attribute__((constructor)) static void construct(void)
{
    in_constructor();
}
