// std::thread, for the harness of `kthreads bench` (csrc/bench/shim.c). Compiled where kthreads runs.
#include <cerrno>
#include <new>
#include <system_error>
#include <thread>

static_assert(sizeof(std::thread) <= 2 * sizeof(void *), "the harness has room for two pointers");

extern "C" int kt_shim_std_thread_start(void *place, void (*function)(void *), void *argument)
{
    try {
        new (place) std::thread(function, argument);
        return 0;
    } catch (const std::system_error &error) {
        return -error.code().value();
    } catch (const std::bad_alloc &) {
        return -ENOMEM;
    }
}

static std::thread &at(void *place)
{
    return *static_cast<std::thread *>(place);
}

extern "C" void kt_shim_std_thread_join(void *place)
{
    at(place).join();
    at(place).~thread();
}

extern "C" void kt_shim_std_thread_detach(void *place)
{
    at(place).detach();
    at(place).~thread();
}
