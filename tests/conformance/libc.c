/* Functions of libc that keep state, of the process or of the thread: locale, conversions, stdio, names,
 * time. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wctype.h>

int characters_and_numbers_are_classified_and_formatted(void)
{
    char text[64];
    EXPECT(toupper('k') == 'K' && isalpha('z') && !isdigit('x') && towupper(L'k') == L'K');
    snprintf(text, sizeof text, "%.3f %d %s", 2.5, 7, "seven");
    EXPECT(strcmp(text, "2.500 7 seven") == 0);
    EXPECT(strtod("1.25e3", NULL) == 1250.0);
    double number;
    EXPECT(sscanf("3.5", "%lf", &number) == 1 && number == 3.5);
    return 0;
}

int a_thread_may_have_a_locale_of_its_own(void)
{
    EXPECT(uselocale(NULL) == LC_GLOBAL_LOCALE);
    locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", NULL);
    EXPECT(locale);
    EXPECT(uselocale(locale) == LC_GLOBAL_LOCALE);
    EXPECT(mbstowcs(NULL, "\xc3\xa9", 0) == 1);
    EXPECT(uselocale(LC_GLOBAL_LOCALE) == locale);
    freelocale(locale);
    return 0;
}

int iconv_converts(void)
{
    char in[] = "k\xe9", out[8] = {0}, *from = in, *to = out;
    size_t from_left = 2, to_left = sizeof out;
    iconv_t converter = iconv_open("UTF-8", "ISO-8859-1");
    EXPECT(converter != (iconv_t)-1);
    EXPECT(iconv(converter, &from, &from_left, &to, &to_left) == 0);
    iconv_close(converter);
    EXPECT(strcmp(out, "k\xc3\xa9") == 0);
    return 0;
}

int errors_and_signals_have_names(void)
{
    char text[64];
    EXPECT(strstr(strerror(ENOENT), "No such file"));
    EXPECT(strerror_r(EINVAL, text, sizeof text) != NULL);
    EXPECT(strstr(strsignal(SIGTERM), "Terminated"));
    EXPECT(strerror(12345) != NULL); /* uses a buffer of the thread */
    EXPECT(dlopen("no such library", RTLD_NOW) == NULL && dlerror() != NULL);
    return 0;
}

int stdio_reads_and_writes(void)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = tmpfile();
    EXPECT(file);
    EXPECT(fprintf(file, "%s %d\n", "line", 1) == 7);
    rewind(file);
    EXPECT(getline(&line, &room, file) == 7 && strcmp(line, "line 1\n") == 0);
    free(line);
    EXPECT(fclose(file) == 0);
    return 0;
}

int names_are_resolved(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    EXPECT(getaddrinfo("127.0.0.1", "80", &hints, &found) == 0);
    freeaddrinfo(found);
    EXPECT(getaddrinfo("localhost", NULL, &hints, &found) ==
           0); /* by nss, with resolver state of the thread */
    freeaddrinfo(found);
    getaddrinfo("no-such-host.invalid", NULL, &hints, &found); /* uses the resolver; it must return */
    EXPECT(getpwuid(0) != NULL);
    return 0;
}

int time_is_told(void)
{
    struct tm parts;
    struct timespec moment = {.tv_nsec = 1000};
    time_t now = time(NULL);
    char text[32];
    EXPECT(localtime_r(&now, &parts) && strftime(text, sizeof text, "%F", &parts) == 10);
    EXPECT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &moment) == 0);
    moment = (struct timespec){.tv_nsec = 1000};
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL) == 0);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int algorithms_run(void)
{
    int numbers[500], key = 250;
    for (int i = 0; i < 500; i++) {
        numbers[i] = (i * 7919) % 500;
    }
    qsort(numbers, 500, sizeof numbers[0], compare);
    EXPECT(numbers[0] == 0 && numbers[499] == 499);
    EXPECT(bsearch(&key, numbers, 500, sizeof key, compare) == &numbers[250]);
    return 0;
}
