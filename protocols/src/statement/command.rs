//! Commands of key-value stores without what is stored: `SET basket:7 milk` is `SET basket:7 ?`.

/// Commands of Redis and memcached whose first argument is a key. Of others, as EVAL, none is kept.
const KEYED: &str = "\
    APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS COPY DECR DECRBY DEL DUMP EXISTS EXPIRE EXPIREAT EXPIRETIME \
    GET GETBIT GETDEL GETEX GETRANGE GETSET INCR INCRBY INCRBYFLOAT MGET MOVE MSET MSETNX PERSIST PEXPIRE \
    PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFMERGE PSETEX PTTL RENAME RENAMENX RESTORE SET SETBIT SETEX SETNX \
    SETRANGE SORT SORT_RO STRLEN SUBSTR TOUCH TTL TYPE UNLINK WATCH HDEL HEXISTS HEXPIRE HGET HGETALL \
    HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSCAN HSET HSETNX HSTRLEN HTTL HVALS BLMOVE BLPOP \
    BRPOP BRPOPLPUSH LINDEX LINSERT LLEN LMOVE LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM RPOP RPOPLPUSH \
    RPUSH RPUSHX BZPOPMAX BZPOPMIN GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEOSEARCH GEOSEARCHSTORE SADD \
    SCARD SDIFF SDIFFSTORE SINTER SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SPOP SRANDMEMBER SREM \
    SSCAN SUNION SUNIONSTORE ZADD ZCARD ZCOUNT ZDIFFSTORE ZINCRBY ZINTERSTORE ZLEXCOUNT ZMSCORE ZPOPMAX \
    ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX \
    ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE \
    ZUNIONSTORE PUBLISH SPUBLISH XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE XSETID \
    XTRIM ADD CAS DELETE GAT GATS GETS PREPEND REPLACE MD MG MS MA";

/// The command with its key; a question mark stands for all behind.
pub(super) fn without_values(text: &[u8]) -> Vec<u8> {
    let mut words = text.splitn(3, |byte| *byte == b' ');
    let command = words.next().unwrap_or_default();
    let mut shape = command.to_vec();
    let is_keyed = KEYED.split(' ').any(|known| known.as_bytes().eq_ignore_ascii_case(command));
    let key = words.next();
    if let Some(key) = key.filter(|_| is_keyed) {
        shape.push(b' ');
        shape.extend_from_slice(key);
    }
    if words.next().is_some() || (key.is_some() && !is_keyed) {
        shape.extend_from_slice(b" ?");
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn commands_keep_their_key_and_nothing_that_is_stored() {
        for (text, shape) in [
            ("GET basket:7", "GET basket:7"),
            ("SET basket:7 milk and eggs", "SET basket:7 ?"),
            ("hset user:1 name Ada", "hset user:1 ?"),
            ("MGET a b c", "MGET a ?"),
            ("AUTH hunter2", "AUTH ?"),
            ("EVAL return 0", "EVAL ?"),
            ("FT.SEARCH idx milk", "FT.SEARCH ?"),
            ("PING", "PING"),
            ("SET key ", "SET key ?"),
            ("gets a b", "gets a ?"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&without_values(text.as_bytes())), shape);
            assert_eq!(String::from_utf8_lossy(&without_values(shape.as_bytes())), shape);
        }
    }
}
