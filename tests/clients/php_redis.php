<?php
// php-redis (phpredis of Debian) against the port of a Circlet: php_redis.php PORT SCENARIO
//
// A scenario is a function below; it fails by an exception. To have Circlet restarted it prints RESTART and waits for a
// line. Every scenario passes against a plain redis-server too.
error_reporting(E_ALL);
set_error_handler(function ($kind, $text, $file, $line) {
    throw new ErrorException($text, 0, $kind, $file, $line);
});

function connect(float $read = 20): Redis
{
    $redis = new Redis();
    $redis->connect('127.0.0.1', (int) $GLOBALS['argv'][1], 20, null, 0, $read);
    return $redis;
}

function equal($got, $expected): void
{
    if ($got !== $expected) {
        throw new Exception(json_encode($got) . ', not ' . json_encode($expected));
    }
}

function until(callable $holds)
{
    for ($end = microtime(true) + 20; !($found = $holds()); usleep(2000)) {
        if (microtime(true) > $end) {
            throw new Exception('waited in vain');
        }
    }
    return $found;
}

/** The good end of a process beside; phpredis does not leave its subscriptions by itself. */
function done(): void
{
    posix_kill(getmypid(), SIGTERM);
}

/** Does something beside, in a process of its own; gives a function that waits for its good end. */
function beside(callable $do): callable
{
    $child = pcntl_fork();
    if ($child === 0) {
        try {
            $do();
            done();
        } catch (Throwable $error) {
            fwrite(STDERR, "beside: $error\n");
        }
        posix_kill(getmypid(), SIGKILL);
    }
    return function () use ($child) {
        pcntl_waitpid($child, $status);
        equal(pcntl_wtermsig($status), SIGTERM);
    };
}

function waiting(Redis $redis, int $count): void
{
    until(fn () => (int) $redis->info('clients')['blocked_clients'] === $count);
}

function every_type(): void
{
    $redis = connect();
    equal($redis->ping(), true);
    equal($redis->set('string', 'wert'), true);
    equal($redis->get('string'), 'wert');
    equal($redis->get('nothing'), false);
    equal($redis->incr('counter'), 1);
    equal($redis->hMset('hash', ['a' => '1', 'b' => '2']), true);
    equal($redis->hGetAll('hash'), ['a' => '1', 'b' => '2']);
    equal($redis->rPush('list', 'a', 'b'), 2);
    equal($redis->lRange('list', 0, -1), ['a', 'b']);
    equal($redis->sAdd('set', 'x', 'y'), 2);
    equal($redis->zAdd('zset', 1.5, 'a', 2, 'b'), 2);
    equal($redis->zRange('zset', 0, -1, true), ['a' => 1.5, 'b' => 2.0]);
    $entry = $redis->xAdd('stream', '*', ['field' => 'value']);
    equal($redis->xRange('stream', '-', '+'), [$entry => ['field' => 'value']]);
    $many = [];
    for ($n = 0; $n < 100; $n++) {
        $many["many:$n"] = "$n";
    }
    equal($redis->mset($many), true);
    equal($redis->mget([...array_keys($many), 'none']), [...array_values($many), false]);
    equal($redis->del(array_keys($many)), 100);
    equal($redis->lPush('string', 'x'), false);
    equal(str_starts_with($redis->getLastError(), 'WRONGTYPE'), true);
    $binary = implode('', array_map('chr', range(0, 255)));
    equal($redis->set($binary, $binary), true);
    equal($redis->get($binary), $binary);
    $found = [];
    $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    for ($cursor = null; $keys = $redis->scan($cursor, null, 2);) {
        $found = [...$found, ...$keys];
    }
    equal(count(array_unique($found)), 8);
}

function names_and_databases(): void
{
    $redis = connect();
    equal($redis->select(5), true);
    equal($redis->client('setname', 'the-name'), true);
    $redis->set('k', 'five');
    equal($redis->client('getname'), 'the-name');
    $mine = array_values(array_filter($redis->client('list'), fn ($one) => $one['name'] === 'the-name'));
    equal([count($mine), $mine[0]['db']], [1, 5]);
    equal(connect()->get('k'), false);
}

function pipeline(): void
{
    $pipe = connect()->pipeline();
    $expected = [];
    for ($n = 0; $n < 5_000; $n++) {
        $pipe->set("k$n", "v$n")->get("k$n");
        array_push($expected, true, "v$n");
    }
    equal($pipe->exec(), $expected);
}

function blocking(): void
{
    $redis = connect();
    $redis->rPush('{q}there', 'a', 'b');
    equal($redis->blPop(['{q}none', '{q}there'], 5), ['{q}there', 'a']);
    equal($redis->rawcommand('BLPOP', 'none', '0.01'), []);
    for ($n = 0; $n < 12; $n++) {
        $consumer = beside(fn () => equal(connect()->blPop(["jobs:$n"], 20), ["jobs:$n", "$n"]));
        waiting($redis, 1);
        equal($redis->rPush("jobs:$n", $n), 1);
        $consumer();
    }
    $moved = beside(fn () => equal(connect()->brpoplpush('{m}from', '{m}to', 20), 'x'));
    $popped = beside(fn () => equal(connect()->bzPopMin(['zset'], 20), ['zset', 'y', '2']));
    $read = beside(fn () => equal(
        connect()->xRead(['stream' => '$'], 1, 20_000),
        ['stream' => ['5-1' => ['f' => 'v']]]
    ));
    waiting($redis, 3);
    $redis->lPush('{m}from', 'x');
    $redis->zAdd('zset', 2, 'y');
    $redis->xAdd('stream', '5-1', ['f' => 'v']);
    array_map(fn ($one) => $one(), [$moved, $popped, $read]);
}

function transactions(): void
{
    $redis = connect();
    equal($redis->multi()->set('{t}a', 1)->incr('{t}a')->lPush('{t}l', 'x')->get('{t}a')->exec(), [true, 2, 1, '2']);
    equal($redis->multi()->set('{t}a', 'text')->incr('{t}a')->get('{t}a')->exec(), [true, false, 'text']);
    $redis->multi()->set('{t}a', 'other')->discard();
    equal($redis->get('{t}a'), 'text');
    // A pipeline that holds a transaction.
    equal($redis->pipeline()->get('{t}a')->multi()->set('{t}a', 1)->incr('{t}a')->exec()->get('{t}a')->exec(), ['text', [true, 2], '2']);
    $counting = [];
    for ($me = 0; $me < 4; $me++) {
        $counting[] = beside(function () use ($me) {
            $mine = connect();
            for ($n = 0; $n < 10; $n++) {
                $key = 'counter:' . ($me + $n) % 4;
                do {
                    $mine->watch($key);
                    $value = (int) $mine->get($key);
                    $done = $mine->multi()->set($key, $value + 1)->exec();
                } while ($done === false);
                equal($done, [true]);
            }
        });
    }
    array_map(fn ($one) => $one(), $counting);
    equal(array_sum($redis->mget(['counter:0', 'counter:1', 'counter:2', 'counter:3'])), 40);
    $redis->watch('{w}a');
    connect()->set('{w}a', 'disturbed');
    equal($redis->multi()->set('{w}b', 'x')->exec(), false);
    equal($redis->get('{w}b'), false);
    $redis->watch('{w}a');
    $redis->unwatch();
    connect()->set('{w}a', 'again');
    equal($redis->multi()->get('{w}a')->exec(), ['again']);
}

function pub_sub(): void
{
    $redis = connect();
    $channels = array_map(fn ($n) => "channel:$n", range(0, 19));
    $exact = beside(function () use ($channels) {
        $heard = [];
        connect()->subscribe($channels, function ($redis, $channel, $text) use (&$heard, $channels) {
            $heard[] = "$channel=$text";
            if (count($heard) === 20) {
                // Between channels of several nodes there is no order.
                sort($heard, SORT_NATURAL);
                equal($heard, array_map(fn ($n) => "channel:$n=$n", range(0, 19)));
                done();
            }
        });
    });
    $fitting = beside(function () {
        $heard = 0;
        connect()->psubscribe(['channel:1*'], function ($redis, $pattern, $channel, $text) use (&$heard) {
            equal([$pattern, $channel], ['channel:1*', "channel:$text"]);
            if (++$heard === 11) {
                done();
            }
        });
    });
    until(fn () => $redis->pubsub('numpat') === 1 && $redis->pubsub('numsub', ['channel:19'])['channel:19'] === 1);
    equal(count($redis->pubsub('channels', 'channel:*')), 20);
    for ($n = 0; $n < 20; $n++) {
        equal($redis->publish("channel:$n", "$n"), $n === 1 || $n >= 10 ? 2 : 1);
    }
    $exact();
    $fitting();
    until(fn () => $redis->publish('channel:1', 'x') === 0);
}

function scripts(): void
{
    $redis = connect();
    $sha = $redis->script('load', "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for ($n = 0; $n < 30; $n++) {
        equal($redis->evalSha($sha, ["k$n", $n + 1], 1), $n + 1);
    }
    equal($redis->script('exists', $sha), [1]);
    equal($redis->multi()->evalSha($sha, ['{t}a', 2], 1)->eval('return KEYS[1]', ['{t}a'], 1)->exec(), [2, '{t}a']);
    $redis->script('flush');
    equal($redis->evalSha($sha, ['k1', 1], 1), false);
    equal(str_starts_with($redis->getLastError(), 'NOSCRIPT'), true);
}

/** Its sessions with locks, which PHP programs keep in Redis. */
function sessions(): void
{
    ini_set('session.use_cookies', '0');
    ini_set('session.cache_limiter', '');
    ini_set('session.save_handler', 'redis');
    ini_set('session.save_path', "tcp://127.0.0.1:{$GLOBALS['argv'][1]}?database=2");
    ini_set('redis.session.locking_enabled', '1');
    ini_set('redis.session.lock_wait_time', '2000');
    session_id('one');
    session_start();
    $_SESSION['count'] = 1;
    session_write_close();
    session_id('one');
    session_start();
    equal($_SESSION['count'], 1);
    session_destroy();
}

function reconnect(): void
{
    $redis = connect();
    $redis->set('k', 'before');
    echo "RESTART\n";
    equal(fgets(STDIN), "done\n");
    equal(until(function () use ($redis) {
        try {
            return $redis->get('k');
        } catch (RedisException) {
            return null;
        }
    }), 'before');
    equal($redis->multi()->set('k', 'after')->get('k')->exec(), [true, 'after']);
}

$argv[2]();
