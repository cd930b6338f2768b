// A parallel loop, and tasks, on a pool of kernel threads.
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <kthreads/kthreads.h>

namespace
{

void check(const char *what, int64_t rc)
{
    if (rc < 0) {
        throw std::runtime_error(std::string(what) + ": " + std::to_string(-rc));
    }
}

struct Free {
    void operator()(kt_pool *pool) const
    {
        while (kt_pool_quiesce(pool, -1) != 0) { // a signal has interrupted it
        }
        kt_pool_free(pool);
    }
};
using Pool = std::unique_ptr<kt_pool, Free>;

Pool make_pool(uint32_t workers)
{
    kt_pool_spec spec = {};
    kt_pool *pool;
    spec.workers = spec.cpus = workers;
    spec.queue_size = 256;
    check("kt_pool_new", kt_pool_new(&pool, &spec));
    return Pool(pool);
}

// The body of a loop: squares the numbers from `begin` to `end`.
void square(size_t begin, size_t end, double *numbers)
{
    for (size_t i = begin; i < end; i++) {
        numbers[i] *= numbers[i];
    }
}

int64_t fibonacci(int64_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

template <typename Function> kt_function address_of(Function *function)
{
    return reinterpret_cast<kt_function>(function);
}

double squared_sum(kt_pool *pool, std::vector<double> numbers)
{
    kt_loop loop = {};
    loop.call.function = address_of(square); // the pool fills in `begin` and `end`
    loop.call.integers[2] = reinterpret_cast<uintptr_t>(numbers.data());
    loop.end = static_cast<int64_t>(numbers.size());
    loop.count = numbers.size();
    loop.step = 1;
    check("kt_pool_run", kt_pool_run(pool, &loop, -1));
    double sum = 0;
    for (double number : numbers) {
        sum += number;
    }
    return sum;
}

int64_t fibonacci_sum(kt_pool *pool, size_t count)
{
    std::vector<kt_task> tasks(count);
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        tasks[i].call.function = address_of(fibonacci);
        tasks[i].call.integers[0] = i;
        tasks[i].call.kind = KT_RESULT_INTEGER;
        kt_task *task = &tasks[i];
        check("kt_pool_submit", kt_pool_submit(pool, &task, 1, -1));
    }
    for (kt_task &task : tasks) {
        while (kt_task_wait(&task, 0, -1) != 0) { // a signal has interrupted it
        }
        sum += static_cast<int64_t>(task.call.result);
    }
    return sum;
}

} // namespace

int main()
try {
    Pool pool = make_pool(2);
    std::printf("%.0f\n", squared_sum(pool.get(), std::vector<double>(1000, 3.0)));
    std::printf("%lld\n", static_cast<long long>(fibonacci_sum(pool.get(), 20)));
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
