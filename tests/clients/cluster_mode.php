<?php
// phpredis's RedisCluster against a Circlet that presents itself as one: cluster_mode.php PORT
// It passes against a real cluster of one node too: redis-server --cluster-enabled yes, with all slots.

function check($expected, $got)
{
    if ($expected !== $got) {
        throw new Exception(var_export($got, true) . " instead of " . var_export($expected, true));
    }
}

$at = "127.0.0.1:" . $argv[1];
$redis = new RedisCluster(null, [$at], 20, 20);
check([["127.0.0.1", (int) $argv[1]]], $redis->_masters());
for ($n = 0; $n < 1000; $n++) {
    check(true, $redis->set("k$n", $n));
}
for ($n = 0; $n < 1000; $n++) {
    check("$n", $redis->get("k$n"));
}
$many = [];
for ($n = 0; $n < 500; $n++) {
    $many["many:$n"] = "$n";
}
check(true, $redis->mset($many));
check(array_values($many), $redis->mget(array_keys($many)));
check(500, $redis->del(array_keys($many)));
check("5", $redis->eval("return redis.call('GET', KEYS[1])", ["k5"], 1));
check([1, 2], $redis->multi()->incr("{t}n")->incr("{t}n")->exec());
check(1001, $redis->dbSize($redis->_masters()[0]));
check(12182, $redis->cluster("foo", "KEYSLOT", "foo"));
// It says READONLY to where it reads.
$redis->setOption(RedisCluster::OPT_SLAVE_FAILOVER, RedisCluster::FAILOVER_DISTRIBUTE);
check("7", $redis->get("k7"));
