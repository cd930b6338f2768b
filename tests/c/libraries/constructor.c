/* A library whose constructor calls a function of the program. */
extern void (*in_constructor)(void);

__attribute__((constructor)) static void construct(void)
{
    in_constructor();
}
