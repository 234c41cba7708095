/* What the C drivers share: the plan on the command line, the measuring, and waiting. See src/plan.rs and src/meter.rs. */
#ifndef DRIVER_H
#define DRIVER_H

#define _DEFAULT_SOURCE

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TOPIC "bench/topic"
#define FILTER "bench/#"
/* Publishes that may wait for their end in the library. */
#define QUEUE 1024

static struct {
    const char *host;
    int port;
    enum { PUBLISH, RECEIVE, ECHO } mode;
    int qos;
    size_t size;
    int window;
    uint64_t messages;
    char *payload;
} plan;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t begun, done, wake_at, end_ns, start_ns;
static int connected, subscribed;
static struct rusage start_usage;
static uint64_t *round_trips, trip_begun;

static void fail(const char *what, int code) {
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void read_plan(int argc, char **argv) {
    if (argc != 8) fail("usage: driver HOST PORT publish|receive|echo QOS SIZE WINDOW MESSAGES", argc);
    plan.host = argv[1];
    plan.port = atoi(argv[2]);
    plan.mode = !strcmp(argv[3], "publish") ? PUBLISH : !strcmp(argv[3], "receive") ? RECEIVE : ECHO;
    plan.qos = atoi(argv[4]);
    plan.size = strtoull(argv[5], NULL, 10);
    plan.window = atoi(argv[6]);
    plan.messages = strtoull(argv[7], NULL, 10);
    plan.payload = malloc(plan.size);
    round_trips = malloc((plan.mode == ECHO ? plan.messages : 1) * sizeof *round_trips);
    if (!plan.payload || !round_trips) fail("memory", 0);
    memset(plan.payload, 'x', plan.size);
}

static void meter_start(void) {
    getrusage(RUSAGE_SELF, &start_usage);
    start_ns = now_ns();
}

static void set_flag(int *flag) {
    pthread_mutex_lock(&lock);
    *flag = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_flag(const int *flag) {
    pthread_mutex_lock(&lock);
    while (!*flag) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* Waits for room for one more publish: at the limit the publisher sleeps until half of them have ended. */
static void begin_publish(uint64_t limit) {
    pthread_mutex_lock(&lock);
    if (begun - done >= limit) {
        wake_at = begun - limit / 2;
        while (done < wake_at) pthread_cond_wait(&changed, &lock);
        wake_at = 0;
    }
    begun++;
    pthread_mutex_unlock(&lock);
}

/* One publish has ended well, or one message was handled. */
static void count_done(void) {
    pthread_mutex_lock(&lock);
    done++;
    if (done == plan.messages) end_ns = now_ns();
    if (done == plan.messages || (wake_at && done >= wake_at)) pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static uint64_t micros(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

static uint64_t peak_rss_kib(void) {
    char line[256];
    unsigned long long value = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %llu", &value) == 1) break;
    if (status) fclose(status);
    return value;
}

/* Waits for the last message and for the runner, then reports. */
static void finish(void) {
    struct rusage usage;
    char byte;
    pthread_mutex_lock(&lock);
    while (done < plan.messages) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    while (read(0, &byte, 1) > 0) {
    }
    getrusage(RUSAGE_SELF, &usage);
    uint64_t p50 = 0, p99 = 0;
    if (plan.mode == ECHO) {
        qsort(round_trips, plan.messages, sizeof *round_trips, by_value);
        p50 = round_trips[plan.messages / 2];
        p99 = round_trips[plan.messages * 99 / 100];
    }
    printf("start_ns=%llu end_ns=%llu cpu_us=%llu switches=%llu rss_kib=%llu done=%llu p50_ns=%llu p99_ns=%llu\n",
           (unsigned long long)start_ns, (unsigned long long)end_ns,
           (unsigned long long)(micros(usage.ru_utime) + micros(usage.ru_stime) - micros(start_usage.ru_utime) -
                                micros(start_usage.ru_stime)),
           (unsigned long long)(usage.ru_nvcsw + usage.ru_nivcsw - start_usage.ru_nvcsw - start_usage.ru_nivcsw),
           (unsigned long long)peak_rss_kib(), (unsigned long long)done, (unsigned long long)p50,
           (unsigned long long)p99);
    fflush(stdout);
}

/* A message of the right size has come: true if another round trip is due. */
static int handle_message(size_t size) {
    if (size != plan.size) fail("payload", (int)size);
    if (plan.mode == ECHO) round_trips[done] = now_ns() - trip_begun;
    count_done();
    return plan.mode == ECHO && done < plan.messages;
}

#endif
