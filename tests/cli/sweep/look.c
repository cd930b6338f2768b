/* Prints what a program can tell of where it runs, for a comparison. Arguments: the namespaces of who has
 * started the command, as links of /proc/PID/ns; and "=STATUS", what to end with. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void show_file(const char *name, const char *only)
{
    char line[4096];
    FILE *file = fopen(name, "r");
    if (!file) {
        printf("%s: %s\n", name, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file)) {
        if (!only || !strncmp(line, only, strlen(only))) {
            printf("%s: %s", name, line);
        }
    }
    fclose(file);
}

static void show_ids(void)
{
    uid_t r, e, s;
    gid_t groups[64];
    getresuid(&r, &e, &s);
    printf("uid %u %u %u\n", r, e, s);
    getresgid(&r, &e, &s);
    printf("gid %u %u %u\n", r, e, s);
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++) {
        printf("group %u\n", groups[i]);
    }
}

static void show_namespaces(int count, char **callers)
{
    static const char *const kinds[] = {"mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char name[64], link[64];
        snprintf(name, sizeof name, "/proc/self/ns/%s", kinds[i]);
        ssize_t length = readlink(name, link, sizeof link - 1);
        const char *is = length < 0 ? "unknown" : "other";
        link[length < 0 ? 0 : length] = 0;
        for (int j = 0; j < count; j++) {
            is = strcmp(link, callers[j]) ? is : "the caller's";
        }
        printf("%s is %s\n", kinds[i], is);
    }
}

static void show_propagation(void)
{
    char line[4096], point[1024];
    FILE *file = fopen("/proc/self/mountinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*s %*s %*s %*s %1023s", point) == 1 &&
            (!strcmp(point, "/") || !strcmp(point, "/proc"))) {
            printf("%s%s%s\n", point, strstr(line, " shared:") ? " shared" : "",
                   strstr(line, " master:") ? " slave" : "");
        }
    }
    if (file) {
        fclose(file);
    }
}

static void show_process(void)
{
    char folder[4096];
    struct utsname name;
    int death = 0, open_files = 0;
    prctl(PR_GET_PDEATHSIG, &death);
    for (int fd = 0; fd < 1024; fd++) {
        open_files += fcntl(fd, F_GETFD) >= 0;
    }
    uname(&name);
    printf("pid 1: %d, parent 0: %d, death %d, files %d, dumpable %d\n", getpid() == 1, getppid() == 0, death,
           open_files, prctl(PR_GET_DUMPABLE));
    printf("in %s, mask %o, host %s\n", getcwd(folder, sizeof folder) ? folder : strerror(errno), umask(0),
           name.nodename);
}

int main(int argc, char **argv)
{
    int status = 0;
    for (int i = 1; i < argc; i++) {
        status = argv[i][0] == '=' ? atoi(argv[i] + 1) : status;
    }
    printf("name %s\n", argv[0]);
    show_ids();
    show_file("/proc/self/uid_map", NULL);
    show_file("/proc/self/gid_map", NULL);
    show_file("/proc/self/setgroups", NULL);
    show_file("/proc/self/timens_offsets", NULL);
    show_file("/proc/self/status", "Cap");
    show_file("/proc/self/status", "NoNewPrivs");
    show_file("/proc/self/status", "SigBlk");
    show_file("/proc/self/status", "SigIgn");
    show_namespaces(argc - 1, argv + 1);
    show_propagation();
    show_process();
    for (char **each = environ; *each; each++) {
        printf("variable %s\n", *each);
    }
    return status;
}
