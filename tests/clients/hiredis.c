/* hiredis against the port of a Circlet: hiredis PORT SCENARIO
 *
 * A scenario ends the program with 0, or with 1 and a message. To have Circlet restarted it prints RESTART and waits for a
 * line. Every scenario passes against a plain redis-server too. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(holds, ...)                                   \
    do {                                                    \
        if (!(holds)) {                                     \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
            fprintf(stderr, __VA_ARGS__);                   \
            fprintf(stderr, "\n");                          \
            exit(1);                                        \
        }                                                   \
    } while (0)

static redisContext *joined(int port) {
    redisContext *context = redisConnect("127.0.0.1", port);
    CHECK(context && !context->err, "connect: %s", context ? context->errstr : "no memory");
    return context;
}

/* The reply must be there and no error; whoever calls this frees it. */
static redisReply *checked(redisContext *context, void *reply) {
    CHECK(reply, "no reply: %s", context->errstr);
    CHECK(((redisReply *)reply)->type != REDIS_REPLY_ERROR, "error: %s", ((redisReply *)reply)->str);
    return reply;
}

static void expect_bytes(redisContext *context, void *got, const char *bytes, size_t length) {
    redisReply *reply = checked(context, got);
    CHECK(reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS, "type %d", reply->type);
    CHECK((size_t)reply->len == length && !memcmp(reply->str, bytes, length), "other bytes: %.40s", reply->str);
    freeReplyObject(reply);
}

static void expect_text(redisContext *context, void *got, const char *text) {
    expect_bytes(context, got, text, strlen(text));
}

static void expect_number(redisContext *context, void *got, long long number) {
    redisReply *reply = checked(context, got);
    CHECK(reply->type == REDIS_REPLY_INTEGER && reply->integer == number, "%lld, not %lld", reply->integer, number);
    freeReplyObject(reply);
}

static void expect_error(void *got, const char *part) {
    redisReply *reply = got;
    CHECK(reply && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, part), "no error with %s", part);
    freeReplyObject(reply);
}

static void every_type(int port) {
    redisContext *context = joined(port);
    expect_text(context, redisCommand(context, "SET string wert"), "OK");
    expect_text(context, redisCommand(context, "GET string"), "wert");
    redisReply *reply = checked(context, redisCommand(context, "GET nothing"));
    CHECK(reply->type == REDIS_REPLY_NIL, "type %d", reply->type);
    freeReplyObject(reply);
    expect_number(context, redisCommand(context, "HSET hash a 1 b 2"), 2);
    expect_number(context, redisCommand(context, "RPUSH list a b c"), 3);
    reply = checked(context, redisCommand(context, "LRANGE list 0 -1"));
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && !strcmp(reply->element[2]->str, "c"), "LRANGE");
    freeReplyObject(reply);
    expect_text(context, redisCommand(context, "MSET a 1 b 2 c 3 d 4"), "OK");
    reply = checked(context, redisCommand(context, "MGET a b c nothing d"));
    CHECK(reply->elements == 5 && reply->element[3]->type == REDIS_REPLY_NIL, "MGET");
    CHECK(!strcmp(reply->element[4]->str, "4"), "MGET: %s", reply->element[4]->str);
    freeReplyObject(reply);
    expect_number(context, redisCommand(context, "DEL a b c nothing d"), 4);
    expect_error(redisCommand(context, "LPUSH string x"), "WRONGTYPE");
    expect_error(redisCommand(context, "nosuchcommand x"), "unknown command");
    expect_text(context, redisCommand(context, "PING"), "PONG");
    redisFree(context);
}

static void pipeline(int port) {
    redisContext *context = joined(port);
    char expected[32];
    for (int n = 0; n < 5000; n++) {
        CHECK(redisAppendCommand(context, "SET k%d v%d", n, n) == REDIS_OK, "append");
        CHECK(redisAppendCommand(context, "GET k%d", n) == REDIS_OK, "append");
    }
    for (int n = 0; n < 5000; n++) {
        void *reply = NULL;
        redisGetReply(context, &reply);
        expect_text(context, reply, "OK");
        reply = NULL;
        redisGetReply(context, &reply);
        snprintf(expected, sizeof expected, "v%d", n);
        expect_text(context, reply, expected);
    }
    redisFree(context);
}

static void binary(int port) {
    redisContext *context = joined(port);
    char key[512];
    for (int n = 0; n < 1024; n++) {
        size_t length = n % (sizeof key + 1);
        for (size_t at = 0; at < length; at++) key[at] = (char)(n / 256 * 64 + n + at);
        /* The number makes each key another one. */
        expect_text(context, redisCommand(context, "SET %b%b %b", &n, sizeof n, key, length, key, length), "OK");
        expect_bytes(context, redisCommand(context, "GET %b%b", &n, sizeof n, key, length), key, length);
    }
    expect_number(context, redisCommand(context, "DBSIZE"), 1024);
    expect_text(context, redisCommand(context, "SET %b %b", "", (size_t)0, "\r\n\0", (size_t)3), "OK");
    expect_bytes(context, redisCommand(context, "GET %b", "", (size_t)0), "\r\n\0", 3);
    redisFree(context);
}

static void large(int port) {
    redisContext *context = joined(port);
    size_t length = (size_t)100 << 20;
    char *value = malloc(length);
    CHECK(value, "no memory");
    for (size_t at = 0; at < length; at++) value[at] = (char)(at * 2654435761u >> 16);
    expect_text(context, redisCommand(context, "SET big %b", value, length), "OK");
    expect_number(context, redisCommand(context, "STRLEN big"), (long long)length);
    expect_bytes(context, redisCommand(context, "GET big"), value, length);
    expect_number(context, redisCommand(context, "DEL big"), 1);
    free(value);
    redisFree(context);
}

/* Sends a request without waiting for its reply. */
static void sent(redisContext *context, const char *command) {
    int done = 0;
    CHECK(redisAppendCommand(context, command) == REDIS_OK, "append");
    while (!done) CHECK(redisBufferWrite(context, &done) == REDIS_OK, "write: %s", context->errstr);
}

/* Writes the texts of a reply's parts, a blank before each. */
static char *flat(char *end, char *to, redisReply *reply) {
    if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t at = 0; at < reply->elements; at++) to = flat(end, to, reply->element[at]);
        return to;
    }
    const char *text = reply->type == REDIS_REPLY_NIL ? "nil" : reply->str;
    if (reply->type == REDIS_REPLY_INTEGER) return to + snprintf(to, end - to, " %lld", reply->integer);
    return to + snprintf(to, end - to, " %s", text);
}

static void expect_next(redisContext *context, const char *expected) {
    char text[512] = "";
    void *reply = NULL;
    CHECK(redisGetReply(context, &reply) == REDIS_OK && reply, "no reply: %s", context->errstr);
    flat(text + sizeof text, text, reply);
    CHECK(!strcmp(text + 1, expected), "%s, not %s", text + 1, expected);
    freeReplyObject(reply);
}

/* Waits until so many clients are blocked. */
static void waiting(redisContext *context, int count) {
    char expected[64];
    snprintf(expected, sizeof expected, "blocked_clients:%d\r\n", count);
    for (int tries = 0;; tries++) {
        redisReply *reply = checked(context, redisCommand(context, "INFO clients"));
        int found = strstr(reply->str, expected) != NULL;
        freeReplyObject(reply);
        if (found) return;
        CHECK(tries < 10000, "waited in vain for %s", expected);
        usleep(2000);
    }
}

static void blocking(int port) {
    redisContext *context = joined(port), *consumer = joined(port), *second = joined(port);
    sent(consumer, "BLPOP {q}a {q}b 20");
    waiting(context, 1);
    expect_number(context, redisCommand(context, "RPUSH {q}b x"), 1);
    expect_next(consumer, "{q}b x");
    /* Behind each other on one connection. */
    sent(consumer, "BLPOP first 20");
    sent(consumer, "SET between yes");
    sent(consumer, "BZPOPMIN second 20");
    sent(second, "BRPOPLPUSH {m}from {m}to 20");
    waiting(context, 2);
    expect_number(context, redisCommand(context, "EXISTS between"), 0);
    expect_number(context, redisCommand(context, "RPUSH first 1"), 1);
    expect_next(consumer, "first 1");
    expect_next(consumer, "OK");
    waiting(context, 2);
    expect_number(context, redisCommand(context, "ZADD second 2 y"), 1);
    expect_number(context, redisCommand(context, "RPUSH {m}from z"), 1);
    expect_next(consumer, "second y 2");
    expect_next(second, "z");
    /* One that goes away while it waits takes nothing with it. */
    sent(second, "BLPOP first 0");
    waiting(context, 1);
    redisFree(second);
    waiting(context, 0);
    expect_number(context, redisCommand(context, "RPUSH first 1"), 1);
    expect_text(context, redisCommand(context, "LPOP first"), "1");
    redisFree(consumer);
    redisFree(context);
}

static void transactions(int port) {
    redisContext *context = joined(port), *other = joined(port);
    expect_text(context, redisCommand(context, "MULTI"), "OK");
    expect_text(context, redisCommand(context, "SET {t}a 1"), "QUEUED");
    expect_text(context, redisCommand(context, "INCR {t}a"), "QUEUED");
    sent(context, "EXEC");
    expect_next(context, "OK 2");
    int tries = 0;
    for (int done = 0; !done; tries++) {
        expect_text(context, redisCommand(context, "WATCH {t}a {t}b"), "OK");
        freeReplyObject(checked(context, redisCommand(context, "GET {t}a")));
        if (tries == 0) expect_text(other, redisCommand(other, "SET {t}b disturbed"), "OK");
        expect_text(context, redisCommand(context, "MULTI"), "OK");
        expect_text(context, redisCommand(context, "SET {t}a done"), "QUEUED");
        redisReply *reply = checked(context, redisCommand(context, "EXEC"));
        done = reply->type == REDIS_REPLY_ARRAY;
        freeReplyObject(reply);
    }
    CHECK(tries == 2, "%d tries", tries);
    expect_text(context, redisCommand(context, "MULTI"), "OK");
    expect_error(redisCommand(context, "SET {t}a"), "wrong number of arguments");
    expect_error(redisCommand(context, "EXEC"), "EXECABORT");
    /* All in one pipeline. */
    sent(context, "WATCH {t}a");
    sent(context, "MULTI");
    sent(context, "GET {t}a");
    sent(context, "EXEC");
    sent(context, "GET {t}b");
    expect_next(context, "OK");
    expect_next(context, "OK");
    expect_next(context, "QUEUED");
    expect_next(context, "done");
    expect_next(context, "disturbed");
    redisFree(other);
    redisFree(context);
}

static void pub_sub(int port) {
    redisContext *context = joined(port), *listener = joined(port);
    sent(listener, "SUBSCRIBE one two three");
    expect_next(listener, "subscribe one 1");
    expect_next(listener, "subscribe two 2");
    expect_next(listener, "subscribe three 3");
    sent(listener, "PSUBSCRIBE t*");
    expect_next(listener, "psubscribe t* 4");
    expect_number(context, redisCommand(context, "PUBLISH two x"), 2);
    expect_next(listener, "message two x");
    expect_next(listener, "pmessage t* two x");
    char expected[64];
    for (int n = 0; n < 1000; n++) CHECK(redisAppendCommand(context, "PUBLISH one %d", n) == REDIS_OK, "append");
    for (int n = 0; n < 1000; n++) expect_next(context, "1");
    for (int n = 0; n < 1000; n++) {
        snprintf(expected, sizeof expected, "message one %d", n);
        expect_next(listener, expected);
    }
    expect_error(redisCommand(listener, "GET k"), "only (P|S)SUBSCRIBE");
    sent(listener, "UNSUBSCRIBE one two three");
    expect_next(listener, "unsubscribe one 3");
    expect_next(listener, "unsubscribe two 2");
    expect_next(listener, "unsubscribe three 1");
    sent(listener, "PUNSUBSCRIBE");
    expect_next(listener, "punsubscribe t* 0");
    expect_text(listener, redisCommand(listener, "SET k v"), "OK");
    redisFree(listener);
    redisFree(context);
}

/* RESP2 has invalidations on another connection. */
static void tracking(int port) {
    redisContext *context = joined(port), *listener = joined(port), *other = joined(port);
    redisReply *reply = checked(listener, redisCommand(listener, "CLIENT ID"));
    long long id = reply->integer;
    freeReplyObject(reply);
    sent(listener, "SUBSCRIBE __redis__:invalidate");
    expect_next(listener, "subscribe __redis__:invalidate 1");
    expect_text(context, redisCommand(context, "CLIENT TRACKING ON REDIRECT %lld", id), "OK");
    expect_number(context, redisCommand(context, "CLIENT GETREDIR"), id);
    char key[32], expected[64];
    for (int n = 0; n < 30; n++) {
        snprintf(key, sizeof key, "k%d", n);
        freeReplyObject(checked(context, redisCommand(context, "GET %s", key)));
        expect_text(other, redisCommand(other, "SET %s x", key), "OK");
        snprintf(expected, sizeof expected, "message __redis__:invalidate %s", key);
        expect_next(listener, expected);
    }
    redisFree(other);
    redisFree(listener);
    redisFree(context);
}

static void reconnect(int port) {
    redisContext *context = joined(port);
    expect_text(context, redisCommand(context, "SET k before"), "OK");
    puts("RESTART");
    fflush(stdout);
    char line[16];
    CHECK(fgets(line, sizeof line, stdin), "no word of the restart");
    CHECK(!redisCommand(context, "GET k") && context->err, "the connection outlived Circlet");
    CHECK(redisReconnect(context) == REDIS_OK, "reconnect: %s", context->errstr);
    expect_text(context, redisCommand(context, "GET k"), "before");
    redisFree(context);
}

static const struct {
    const char *name;
    void (*play)(int port);
} scenarios[] = {
    {"every_type", every_type},
    {"pipeline", pipeline},
    {"binary", binary},
    {"large", large},
    {"blocking", blocking},
    {"transactions", transactions},
    {"pub_sub", pub_sub},
    {"tracking", tracking},
    {"reconnect", reconnect},
};

int main(int count, char **words) {
    CHECK(count == 3, "usage: hiredis PORT SCENARIO");
    for (size_t at = 0; at < sizeof scenarios / sizeof *scenarios; at++) {
        if (!strcmp(scenarios[at].name, words[2])) {
            scenarios[at].play(atoi(words[1]));
            return 0;
        }
    }
    CHECK(0, "no scenario %s", words[2]);
}
