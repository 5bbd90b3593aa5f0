//! Whole documents: excerpts of INFO EVERYTHING as redis-server 7.0.15 writes it.

use super::*;

const A: &str = "\
# Server\r
redis_version:7.0.15\r
redis_mode:standalone\r
run_id:6a6c09d9c261f6bf13c7a7345a3119dd6bafebdc\r
tcp_port:7001\r
uptime_in_seconds:100\r
config_file:\r
\r
# Clients\r
connected_clients:3\r
maxclients:10000\r
client_recent_max_input_buffer:20480\r
\r
# Memory\r
used_memory:1040104\r
used_memory_human:1015.73K\r
used_memory_rss:12451840\r
used_memory_peak:1040104\r
used_memory_peak_human:1015.73K\r
used_memory_peak_perc:100.18%\r
used_memory_startup:876080\r
used_memory_dataset:163544\r
used_memory_dataset_perc:99.71%\r
number_of_functions:2\r
maxmemory:0\r
maxmemory_human:0B\r
maxmemory_policy:noeviction\r
mem_fragmentation_ratio:13.45\r
mem_fragmentation_bytes:11525992\r
mem_allocator:jemalloc-5.3.0\r
\r
# Persistence\r
loading:0\r
rdb_last_save_time:1795253587\r
rdb_last_bgsave_status:ok\r
\r
# Stats\r
total_commands_processed:7\r
instantaneous_input_kbps:0.06\r
keyspace_hits:4\r
\r
# Replication\r
role:master\r
connected_slaves:0\r
\r
# CPU\r
used_cpu_sys:0.013115\r
\r
# Modules\r
module:name=search,ver=20811,api=1\r
module:name=ReJSON,ver=20606,api=1\r
\r
# Commandstats\r
cmdstat_get:calls=1,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r
cmdstat_set:calls=3,usec=28,usec_per_call=9.33,rejected_calls=0,failed_calls=0\r
\r
# Errorstats\r
errorstat_WRONGTYPE:count=1\r
\r
# Latencystats\r
latency_percentiles_usec_get:p50=6.015,p99=6.015,p99.9=6.015\r
\r
# Keyspace\r
db0:keys=3,expires=1,avg_ttl=900\r
db3:keys=1,expires=0,avg_ttl=0\r
";

const B: &str = "\
# Server\r
redis_version:7.0.9\r
redis_mode:standalone\r
run_id:0d8b8ea69b60b0b4a6c9b4a8aa6d0f3f5e7c3c11\r
tcp_port:7002\r
uptime_in_seconds:9\r
config_file:/etc/redis.conf\r
\r
# Clients\r
connected_clients:4\r
maxclients:10000\r
client_recent_max_input_buffer:40960\r
\r
# Memory\r
used_memory:2040104\r
used_memory_human:1.95M\r
used_memory_rss:12451840\r
used_memory_peak:3040104\r
used_memory_peak_human:2.90M\r
used_memory_peak_perc:67.11%\r
used_memory_startup:876080\r
used_memory_dataset:1163544\r
used_memory_dataset_perc:99.96%\r
number_of_functions:2\r
maxmemory:0\r
maxmemory_human:0B\r
maxmemory_policy:noeviction\r
mem_fragmentation_ratio:6.10\r
mem_fragmentation_bytes:10525992\r
mem_allocator:jemalloc-5.3.0\r
\r
# Persistence\r
loading:1\r
rdb_last_save_time:1795253500\r
rdb_last_bgsave_status:err\r
\r
# Stats\r
total_commands_processed:70\r
instantaneous_input_kbps:1.50\r
keyspace_hits:5\r
expired_subkeys:1\r
\r
# Replication\r
role:slave\r
connected_slaves:1\r
\r
# CPU\r
used_cpu_sys:1.100000\r
\r
# Modules\r
module:name=search,ver=20811,api=1\r
\r
# Commandstats\r
cmdstat_set:calls=1,usec=12,usec_per_call=12.00,rejected_calls=0,failed_calls=1\r
cmdstat_del:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0\r
\r
# Errorstats\r
errorstat_ERR:count=2\r
errorstat_WRONGTYPE:count=1\r
\r
# Latencystats\r
latency_percentiles_usec_get:p50=3.007,p99=9.023,p99.9=9.023\r
\r
# Keyspace\r
db0:keys=5,expires=2,avg_ttl=300\r
db1:keys=1,expires=0,avg_ttl=0\r
";

const BOTH: &str = "\
# Circlet\r
circlet_version:0.1.0\r
circlet_merged_nodes:a,b\r
\r
# Server\r
redis_version:7.0.9\r
redis_mode:standalone\r
run_id:6a6c09d9c261f6bf13c7a7345a3119dd6bafebdc\r
tcp_port:7001\r
uptime_in_seconds:9\r
config_file:\r
\r
# Clients\r
connected_clients:7\r
maxclients:20000\r
client_recent_max_input_buffer:40960\r
\r
# Memory\r
used_memory:3080208\r
used_memory_human:2.94M\r
used_memory_rss:24903680\r
used_memory_peak:4080208\r
used_memory_peak_human:3.89M\r
used_memory_peak_perc:75.49%\r
used_memory_startup:1752160\r
used_memory_dataset:1327088\r
used_memory_dataset_perc:99.93%\r
number_of_functions:2\r
maxmemory:0\r
maxmemory_human:0B\r
maxmemory_policy:noeviction\r
mem_fragmentation_ratio:8.09\r
mem_fragmentation_bytes:22051984\r
mem_allocator:jemalloc-5.3.0\r
\r
# Persistence\r
loading:1\r
rdb_last_save_time:1795253500\r
rdb_last_bgsave_status:err\r
\r
# Stats\r
total_commands_processed:77\r
instantaneous_input_kbps:1.56\r
keyspace_hits:9\r
expired_subkeys:1\r
\r
# Replication\r
role:master\r
connected_slaves:1\r
\r
# CPU\r
used_cpu_sys:1.113115\r
\r
# Modules\r
module:name=search,ver=20811,api=1\r
module:name=ReJSON,ver=20606,api=1\r
\r
# Commandstats\r
cmdstat_get:calls=1,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r
cmdstat_set:calls=4,usec=40,usec_per_call=10.00,rejected_calls=0,failed_calls=1\r
cmdstat_del:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0\r
\r
# Errorstats\r
errorstat_WRONGTYPE:count=2\r
errorstat_ERR:count=2\r
\r
# Latencystats\r
latency_percentiles_usec_get:p50=6.015,p99=9.023,p99.9=9.023\r
\r
# Keyspace\r
db0:keys=8,expires=3,avg_ttl=500\r
db1:keys=1,expires=0,avg_ttl=0\r
db3:keys=1,expires=0,avg_ttl=0\r
";

fn merged(parts: &[(&str, &str)], circlet: &str) -> String {
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let mut out = Vec::new();
    merge(&parts, &Own { section: circlet.to_owned(), fields: Vec::new() }, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn two_nodes_become_one_document() {
    let text = merged(&[("a", A), ("b", B)], "# Circlet\r\ncirclet_version:0.1.0\r\n");
    for (line, (got, want)) in text.lines().zip(BOTH.lines()).enumerate() {
        assert_eq!(got, want, "line {}", line + 1);
    }
    assert_eq!(text, BOTH);
}

#[test]
fn one_node_keeps_its_own_document() {
    assert_eq!(merged(&[("a", A)], ""), A);
    assert_eq!(merged(&[("a", A), ("b", "")], ""), A);
}

#[test]
fn sections_only_one_node_has_are_kept() {
    let text = merged(&[("a", "# Memory\r\nused_memory:1\r\n"), ("b", "# search_index\r\nsearch_x:1\r\n")], "");
    assert_eq!(text, "# Memory\r\nused_memory:1\r\n\r\n# search_index\r\nsearch_x:1\r\n");
}

#[test]
fn what_cannot_be_merged_keeps_the_first_nodes_value() {
    let text = merged(&[("a", "used_memory:many\r\nx:1\r\n"), ("b", "used_memory:5\r\nx:2\r\n")], "");
    assert_eq!(text, "used_memory:many\r\nx:1\r\n");
}

#[test]
fn no_text_at_all_gives_none() {
    assert_eq!(merged(&[], ""), "");
    assert_eq!(merged(&[("a", "\r\n")], ""), "");
    assert_eq!(merged(&[("a", "# Modules\r\n")], ""), "# Modules\r\n");
}

#[test]
fn any_bytes_are_survived() {
    let strange: &[u8] =
        b"#\n#\r\n:\r\n::\xff\r\nno colon\r\n# Keyspace\r\ndb0:,=\r\ndb:=,\r\nmodule:\r\nmodule:x\r\n\0";
    for at in 0..strange.len() {
        let mut out = b"before".to_vec();
        merge(&[("a", strange), ("b", &strange[at..]), ("c", &strange[..at])], &Own::default(), &mut out);
        assert!(out.starts_with(b"before"));
    }
}

#[test]
fn the_databases_come_in_order() {
    let text = merged(&[("a", "# Keyspace\r\ndb10:keys=1\r\n"), ("b", "# Keyspace\r\ndb2:keys=1\r\n")], "");
    assert_eq!(text, "# Keyspace\r\ndb2:keys=1\r\ndb10:keys=1\r\n");
}

#[test]
fn what_is_about_clients_is_circlets_own() {
    let own =
        Own { section: String::new(), fields: vec![("connected_clients", "5".into()), ("pubsub_clients", "1".into())] };
    let text = "# Clients\r\nconnected_clients:3\r\ncluster_connections:1\r\n";
    let mut out = Vec::new();
    merge(&[("a", text.as_bytes()), ("b", text.as_bytes())], &own, &mut out);
    let expected = "# Clients\r\nconnected_clients:5\r\ncluster_connections:2\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected, "and a field that no node has is not made up");
}

#[test]
fn replicas_of_all_nodes_are_numbered_anew() {
    let a = "# Replication\r\nconnected_slaves:2\r\nslave0:ip=x,port=1\r\nslave1:ip=x,port=2\r\nmaster_replid:1\r\n";
    let b = "# Replication\r\nconnected_slaves:1\r\nslave0:ip=y,port=1\r\nmaster_replid:2\r\n";
    let mut out = Vec::new();
    merge(&[("a", a.as_bytes()), ("b", b.as_bytes())], &Own::default(), &mut out);
    let text = String::from_utf8(out).unwrap();
    for line in ["connected_slaves:3", "slave0:ip=x,port=1", "slave1:ip=x,port=2", "slave2:ip=y,port=1"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
