/* hiredis against the port of a Circlet: hiredis PORT SCENARIO
 *
 * A scenario ends the program with 0, or with 1 and a message. To have Circlet restarted it prints RESTART and waits for a
 * line. Every scenario passes against a plain redis-server too. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
