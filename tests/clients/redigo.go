// redigo (Debian's golang-github-gomodule-redigo-dev) against the port of a Circlet: redigo PORT SCENARIO
//
// A scenario is a function below; it fails by a panic. To have Circlet restarted it prints RESTART and waits for a line.
// Every scenario passes against a plain redis-server too.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

func connect(options ...redis.DialOption) redis.Conn {
	conn, err := redis.Dial("tcp", "127.0.0.1:"+os.Args[1], options...)
	check(err)
	return conn
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func do(conn redis.Conn, command string, args ...interface{}) interface{} {
	reply, err := conn.Do(command, args...)
	check(err)
	return reply
}

// Like `do`, but its text, numbers as they are written; "nil" for none.
func text(conn redis.Conn, command string, args ...interface{}) string {
	return shown(do(conn, command, args...))
}

func shown(reply interface{}) string {
	switch reply := reply.(type) {
	case nil:
		return "nil"
	case []byte:
		return string(reply)
	case []interface{}:
		parts := make([]string, len(reply))
		for n, part := range reply {
			parts[n] = shown(part)
		}
		return "[" + strings.Join(parts, " ") + "]"
	default:
		return fmt.Sprint(reply)
	}
}

func equal(got, expected interface{}) {
	if !reflect.DeepEqual(got, expected) {
		panic(fmt.Sprintf("%#v, not %#v", got, expected))
	}
}

func fails(part string, err error) {
	if err == nil || !strings.Contains(err.Error(), part) {
		panic(fmt.Sprintf("no error with %q but %v", part, err))
	}
}

func until(holds func() bool) {
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			panic("waited in vain")
		}
	}
}

func waiting(conn redis.Conn, count int) {
	until(func() bool {
		return strings.Contains(text(conn, "INFO", "clients"), fmt.Sprintf("blocked_clients:%d\r\n", count))
	})
}

func everyType() {
	conn := connect()
	equal(text(conn, "SET", "string", "wert"), "OK")
	equal(text(conn, "GET", "string"), "wert")
	equal(text(conn, "GET", "nothing"), "nil")
	equal(text(conn, "INCR", "counter"), "1")
	equal(text(conn, "HSET", "hash", "a", 1, "b", 2), "2")
	hash, err := redis.StringMap(conn.Do("HGETALL", "hash"))
	check(err)
	equal(hash, map[string]string{"a": "1", "b": "2"})
	equal(text(conn, "RPUSH", "list", "a", "b"), "2")
	equal(text(conn, "LRANGE", "list", 0, -1), "[a b]")
	equal(text(conn, "SADD", "set", "x", "y"), "2")
	equal(text(conn, "ZADD", "zset", 1.5, "a", 2, "b"), "2")
	equal(text(conn, "ZRANGE", "zset", 0, -1, "WITHSCORES"), "[a 1.5 b 2]")
	equal(text(conn, "XADD", "stream", "5-1", "f", "v"), "5-1")
	equal(text(conn, "XRANGE", "stream", "-", "+"), "[[5-1 [f v]]]")
	_, err = conn.Do("LPUSH", "string", "x")
	fails("WRONGTYPE", err)
	_, err = conn.Do("nosuchcommand", "x")
	fails("unknown command", err)
	equal(text(conn, "DBSIZE"), "7")
	fifth := connect(redis.DialDatabase(5), redis.DialClientName("the-name"))
	equal(text(fifth, "CLIENT", "GETNAME"), "the-name")
	equal(text(fifth, "GET", "string"), "nil")
}

func pipeline() {
	conn := connect()
	for n := 0; n < 5000; n++ {
		check(conn.Send("SET", fmt.Sprint("k", n), n))
		check(conn.Send("GET", fmt.Sprint("k", n)))
	}
	check(conn.Flush())
	for n := 0; n < 5000; n++ {
		reply, err := conn.Receive()
		check(err)
		equal(shown(reply), "OK")
		reply, err = conn.Receive()
		check(err)
		equal(shown(reply), strconv.Itoa(n))
	}
}

func blocking() {
	conn := connect()
	equal(text(conn, "RPUSH", "{q}there", "a"), "1")
	equal(text(conn, "BLPOP", "{q}none", "{q}there", 5), "[{q}there a]")
	equal(text(conn, "BLPOP", "none", "0.01"), "nil")
	var consumers sync.WaitGroup
	consume := func(expected, command string, args ...interface{}) {
		consumers.Add(1)
		go func() {
			equal(text(connect(), command, args...), expected)
			consumers.Done()
		}()
	}
	for n := 0; n < 30; n++ {
		consume(fmt.Sprintf("[jobs:%d %d]", n, n), "BLPOP", fmt.Sprint("jobs:", n), 20)
	}
	consume("x", "BLMOVE", "{m}from", "{m}to", "LEFT", "RIGHT", 20)
	consume("[zset y 2]", "BZPOPMIN", "zset", 20)
	consume("[[stream [[5-1 [f v]]]]]", "XREAD", "BLOCK", 20000, "STREAMS", "stream", "$")
	waiting(conn, 33)
	for n := 0; n < 30; n++ {
		do(conn, "RPUSH", fmt.Sprint("jobs:", n), n)
	}
	do(conn, "LPUSH", "{m}from", "x")
	do(conn, "ZADD", "zset", 2, "y")
	do(conn, "XADD", "stream", "5-1", "f", "v")
	consumers.Wait()
	waiting(conn, 0)
}

func transactions() {
	conn := connect()
	check(conn.Send("MULTI"))
	check(conn.Send("SET", "{t}a", 1))
	check(conn.Send("INCR", "{t}a"))
	equal(text(conn, "EXEC"), "[OK 2]")
	equal(text(conn, "MULTI"), "OK")
	equal(text(conn, "SET", "{t}a", "other"), "QUEUED")
	_, err := conn.Do("SET", "{t}a")
	fails("wrong number", err)
	_, err = conn.Do("EXEC")
	fails("EXECABORT", err)
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) { return connect(), nil }}
	var all sync.WaitGroup
	for me := 0; me < 8; me++ {
		all.Add(1)
		go func(me int) {
			defer all.Done()
			for n := 0; n < 10; n++ {
				key := fmt.Sprint("counter:", (me+n)%4)
				for done := false; !done; {
					// Put back into the pool each time, a half-done transaction too: the pool sends what ends it.
					mine := pool.Get()
					do(mine, "WATCH", key)
					value, err := redis.Int(mine.Do("GET", key))
					if err != redis.ErrNil {
						check(err)
					}
					if n%3 == 0 {
						mine.Close()
						mine = pool.Get()
						do(mine, "WATCH", key)
						value, err = redis.Int(mine.Do("GET", key))
						if err != redis.ErrNil {
							check(err)
						}
					}
					check(mine.Send("MULTI"))
					check(mine.Send("SET", key, value+1))
					done = text(mine, "EXEC") == "[OK]"
					mine.Close()
				}
			}
		}(me)
	}
	all.Wait()
	counters, err := redis.Ints(conn.Do("MGET", "counter:0", "counter:1", "counter:2", "counter:3"))
	check(err)
	equal(counters[0]+counters[1]+counters[2]+counters[3], 80)
	do(conn, "WATCH", "{w}a")
	do(connect(), "SET", "{w}a", "disturbed")
	check(conn.Send("MULTI"))
	check(conn.Send("SET", "{w}b", "x"))
	equal(text(conn, "EXEC"), "nil")
	equal(text(conn, "GET", "{w}b"), "nil")
}

func pubSub() {
	conn := connect()
	listener := redis.PubSubConn{Conn: connect()}
	channels := make([]interface{}, 20)
	expected := []string{}
	for n := range channels {
		channels[n] = fmt.Sprint("channel:", n)
		expected = append(expected, fmt.Sprintf("channel:%d=%d", n, n))
		if n == 1 || n >= 10 {
			expected = append(expected, fmt.Sprintf("channel:1*:channel:%d=%d", n, n))
		}
	}
	check(listener.Subscribe(channels...))
	check(listener.PSubscribe("channel:1*"))
	for n := 1; n <= 21; n++ {
		equal(listener.Receive().(redis.Subscription).Count, n)
	}
	listed, err := redis.Strings(conn.Do("PUBSUB", "CHANNELS", "channel:*"))
	check(err)
	sort.Strings(listed)
	equal(len(listed), 20)
	for n := range channels {
		do(conn, "PUBLISH", channels[n], n)
	}
	heard := []string{}
	for range expected {
		message := listener.Receive().(redis.Message)
		got := fmt.Sprintf("%s=%s", message.Channel, message.Data)
		if message.Pattern != "" {
			got = message.Pattern + ":" + got
		}
		heard = append(heard, got)
	}
	// Between channels of several nodes there is no order.
	sort.Strings(heard)
	sort.Strings(expected)
	equal(heard, expected)
	check(listener.Ping("hello"))
	equal(listener.Receive().(redis.Pong).Data, "hello")
	check(listener.Unsubscribe())
	check(listener.PUnsubscribe())
	for n := 20; n >= 0; n-- {
		equal(listener.Receive().(redis.Subscription).Count, n)
	}
	equal(text(listener.Conn, "SET", "k", "v"), "OK")
	equal(text(conn, "PUBLISH", "channel:1", "x"), "0")
}

func scripts() {
	conn := connect()
	script := redis.NewScript(1, "return redis.call('INCRBY', KEYS[1], ARGV[1])")
	for n := 0; n < 30; n++ {
		got, err := redis.Int(script.Do(conn, fmt.Sprint("k", n), n+1))
		check(err)
		equal(got, n+1)
	}
	do(conn, "SCRIPT", "FLUSH")
	got, err := redis.Int(script.Do(conn, "k1", 5))
	check(err)
	equal(got, 7)
	check(conn.Send("MULTI"))
	check(script.SendHash(conn, "{t}a", 2))
	equal(text(conn, "EXEC"), "[2]")
}

func monitor() {
	watching, conn := connect(), connect()
	equal(text(watching, "MONITOR"), "OK")
	do(conn, "SET", "k", "a value")
	for {
		line, err := redis.String(watching.Receive())
		check(err)
		if strings.HasSuffix(line, `"SET" "k" "a value"`) {
			return
		}
	}
}

func reconnect() {
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", "127.0.0.1:"+os.Args[1])
	}, TestOnBorrow: func(conn redis.Conn, _ time.Time) error {
		_, err := conn.Do("PING")
		return err
	}}
	conn := pool.Get()
	do(conn, "SET", "k", "before")
	conn.Close()
	fmt.Println("RESTART")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	conn = pool.Get()
	equal(text(conn, "GET", "k"), "before")
}

func main() {
	map[string]func(){
		"everyType": everyType, "pipeline": pipeline, "blocking": blocking, "transactions": transactions,
		"pubSub": pubSub, "scripts": scripts, "monitor": monitor, "reconnect": reconnect,
	}[os.Args[2]]()
}
