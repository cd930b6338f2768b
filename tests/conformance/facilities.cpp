// What C++ adds to C: exceptions, objects of a thread, the standard library, OpenMP. Each function returns 0,
// or the line of what did not hold.
#include "expect.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <iostream>
#include <mutex>
#include <numeric>
#include <pthread.h>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{
std::atomic<int> destructions{0};

struct Counted {
    std::string text = "initial";
    ~Counted()
    {
        destructions += text == "changed" ? 1 : 100;
    }
};

thread_local Counted counted;
} // namespace

extern "C" {
int objects_of_the_thread_are_made_and_destroyed()
{
    EXPECT(counted.text == "initial");
    counted.text = "changed";
    return 0;
}

int take_destructions()
{
    return destructions.exchange(0);
}

int exceptions_are_thrown_and_caught()
{
    try {
        try {
            throw std::runtime_error("inner");
        } catch (const std::exception &error) {
            std::throw_with_nested(std::logic_error(std::string("outer ") + error.what()));
        }
    } catch (const std::logic_error &error) {
        EXPECT(std::string(error.what()) == "outer inner");
        return std::uncaught_exceptions() == 0 ? 0 : __LINE__;
    }
    return __LINE__;
}

int pthread_exit_unwinds()
{
    struct Guard {
        ~Guard()
        {
            destructions++;
        }
    } guard;
    pthread_exit(nullptr);
}

int pthread_exit_with_objects_of_the_thread()
{
    EXPECT(objects_of_the_thread_are_made_and_destroyed() == 0);
    pthread_exit(nullptr);
}

int std_threads_and_futures_run()
{
    int seen = 0;
    std::thread other([&] { seen = 1; });
    other.join();
    EXPECT(seen == 1);
    auto result = std::async(std::launch::async, [] { return 42; });
    EXPECT(result.get() == 42);
    std::mutex mutex;
    std::condition_variable condition;
    bool ready = false;
    std::thread waker([&] {
        std::lock_guard<std::mutex> lock(mutex);
        ready = true;
        condition.notify_one();
    });
    std::unique_lock<std::mutex> lock(mutex);
    condition.wait(lock, [&] { return ready; });
    lock.unlock();
    waker.join();
    return 0;
}

int streams_and_regular_expressions_work()
{
    std::ostringstream out;
    out << std::fixed << 1.5 << ' ' << std::hex << 255;
    EXPECT(out.str() == "1.500000 ff");
    EXPECT(std::regex_match("kthreads", std::regex("k[a-z]+")));
    std::vector<int> numbers(1000);
    std::iota(numbers.begin(), numbers.end(), 0);
    EXPECT(std::accumulate(numbers.begin(), numbers.end(), 0) == 499500);
    return 0;
}

int openmp_runs_a_team()
{
    long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(4)
    for (long i = 0; i < 10000; i++) {
        sum += i;
    }
    EXPECT(sum == 49995000);
    return 0;
}
}
