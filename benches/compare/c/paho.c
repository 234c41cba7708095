/* Paho C: MQTTAsync, publishing from the main thread and from callbacks. */
#include "driver.h"
#include <MQTTAsync.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* The library has no option for TCP_NODELAY, so its sockets are made here. */
int socket(int domain, int type, int protocol) {
    int one = 1;
    int made = (int)syscall(SYS_socket, domain, type, protocol);
    if (made >= 0 && (domain == AF_INET || domain == AF_INET6) && setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        fail("nodelay", domain);
    return made;
}

static MQTTAsync client;

static void check(const char *what, int code) {
    if (code != MQTTASYNC_SUCCESS) fail(what, code);
}

static void on_connect(void *context, MQTTAsync_successData *data) {
    (void)context;
    (void)data;
    set_flag(&connected);
}

static void on_failure(void *context, MQTTAsync_failureData *data) {
    fail(context ? context : "request", data ? data->code : 0);
}

static void on_sent(void *context, MQTTAsync_successData *data) {
    (void)context;
    (void)data;
    if (plan.mode == PUBLISH) count_done();
}

static void send_one(void) {
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    options.onSuccess = on_sent;
    options.onFailure = on_failure;
    options.context = "publish";
    check("publish", MQTTAsync_send(client, TOPIC, (int)plan.size, plan.payload, plan.qos, 0, &options));
}

static void send_echo(void) {
    trip_begun = now_ns();
    send_one();
}

static void on_subscribed(void *context, MQTTAsync_successData *data) {
    (void)context;
    (void)data;
    set_flag(&subscribed);
    if (plan.mode == ECHO) send_echo();
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message) {
    (void)context;
    (void)topic_len;
    int more = handle_message((size_t)message->payloadlen);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    if (more) send_echo();
    return 1;
}

int main(int argc, char **argv) {
    char address[300];
    read_plan(argc, argv);
    snprintf(address, sizeof address, "tcp://%s:%d", plan.host, plan.port);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.maxBufferedMessages = 2 * QUEUE;
    check("client", MQTTAsync_createWithOptions(&client, address, "paho", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create));
    check("callbacks", MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL));
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    options.maxInflight = plan.window;
    options.onSuccess = on_connect;
    options.onFailure = on_failure;
    options.context = "connection";
    check("connect", MQTTAsync_connect(client, &options));
    wait_flag(&connected);

    meter_start();
    if (plan.mode == PUBLISH) {
        for (uint64_t i = 0; i < plan.messages; i++) {
            /* At its own limit the library sleeps for a second, so the publisher stays below it. */
            begin_publish(plan.qos ? (uint64_t)plan.window : QUEUE);
            send_one();
        }
    } else {
        MQTTAsync_responseOptions subscribe = MQTTAsync_responseOptions_initializer;
        subscribe.onSuccess = on_subscribed;
        subscribe.onFailure = on_failure;
        subscribe.context = "subscription";
        check("subscribe", MQTTAsync_subscribe(client, FILTER, plan.qos, &subscribe));
    }
    finish();
    return 0;
}
