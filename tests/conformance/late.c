/* A library that is loaded while threads live, with a thread-local of the initial-exec model. */
static _Thread_local int late __attribute__((tls_model("initial-exec"))) = 4711;

int late_value(void)
{
    return late++;
}
