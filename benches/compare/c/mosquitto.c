/* libmosquitto: its network thread, publishing from the main thread and from callbacks. */
#include "driver.h"
#include <mosquitto.h>

static void check(const char *what, int code) {
    if (code != MOSQ_ERR_SUCCESS) fail(what, code);
}

static void send_echo(struct mosquitto *client) {
    trip_begun = now_ns();
    check("publish", mosquitto_publish(client, NULL, TOPIC, (int)plan.size, plan.payload, 0, false));
}

static void on_connect(struct mosquitto *client, void *context, int code) {
    (void)client;
    (void)context;
    check("connection", code);
    set_flag(&connected);
}

static void on_subscribe(struct mosquitto *client, void *context, int id, int count, const int *granted) {
    (void)context;
    (void)id;
    if (count != 1 || granted[0] > 2) fail("subscription", granted[0]);
    set_flag(&subscribed);
    if (plan.mode == ECHO) send_echo(client);
}

static void on_publish(struct mosquitto *client, void *context, int id) {
    (void)client;
    (void)context;
    (void)id;
    if (plan.mode == PUBLISH) count_done();
}

static void on_message(struct mosquitto *client, void *context, const struct mosquitto_message *message) {
    (void)context;
    if (handle_message((size_t)message->payloadlen)) send_echo(client);
}

int main(int argc, char **argv) {
    read_plan(argc, argv);
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(NULL, true, NULL);
    if (!client) fail("client", 0);
    check("nodelay", mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1));
    check("window", mosquitto_max_inflight_messages_set(client, (unsigned)plan.window));
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_message_callback_set(client, on_message);
    check("connect", mosquitto_connect(client, plan.host, plan.port, 60));
    check("thread", mosquitto_loop_start(client));
    wait_flag(&connected);

    meter_start();
    if (plan.mode == PUBLISH) {
        for (uint64_t i = 0; i < plan.messages; i++) {
            begin_publish(QUEUE);
            check("publish",
                  mosquitto_publish(client, NULL, TOPIC, (int)plan.size, plan.payload, plan.qos, false));
        }
    } else {
        check("subscribe", mosquitto_subscribe(client, NULL, FILTER, plan.qos));
    }
    finish();
    mosquitto_disconnect(client);
    mosquitto_loop_stop(client, false);
    return 0;
}
