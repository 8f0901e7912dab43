//! Databases.

use aftertrace_protocols::testing::{client, server};

use super::{Sample, be32, be32_with_itself, middle, opening};

pub(super) fn all() -> Vec<Sample> {
    [
        redis(),
        postgres(),
        mysql(),
        memcached(),
        mongo(),
        cassandra(),
        clickhouse(),
        zookeeper(),
        foundationdb(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn redis() -> Vec<Sample> {
    let get = || client("*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n");
    vec![
        opening("redis", "get", vec![get(), server("$5\r\nvalue\r\n")]),
        opening(
            "redis",
            "hello 3",
            vec![client("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"), server("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n")],
        ),
        opening("redis", "by hand", vec![client("PING\r\n"), server("+PONG\r\n")]),
        middle("redis", "an answer first", vec![server("$5\r\nvalue\r\n"), get(), server("$-1\r\n")]),
        middle(
            "redis",
            "pipelined",
            vec![
                client("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n$4\r\nPING\r\n"),
                server("+OK\r\n+PONG\r\n"),
            ],
        ),
    ]
}

fn typed(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![kind], be32_with_itself(body)].concat()
}

fn postgres() -> Vec<Sample> {
    let startup = be32_with_itself([&[0, 3, 0, 0][..], b"user\0bob\0database\0shop\0\0"].concat());
    let ready = typed(b'Z', b"I");
    let column = [&[0, 1][..], b"n\0", &[0; 6], &[0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0]].concat();
    let row = typed(b'D', [0, 1, 0, 0, 0, 1, b'1']);
    let rows = [typed(b'T', column), row, typed(b'C', b"SELECT 1\0"), ready.clone()].concat();
    let parse = typed(b'P', b"\0SELECT n FROM t WHERE id = $1\0\0\0");
    let batch = [
        parse,
        typed(b'B', b"\0\0\0\0\0\x01\0\0\0\x011\0\0"),
        typed(b'D', b"P\0"),
        typed(b'E', [0; 5]),
        typed(b'S', b""),
    ];
    let results = [typed(b'1', b""), typed(b'2', b""), rows.clone()].concat();
    let greeting = [typed(b'R', [0; 4]), typed(b'S', b"server_version\x0017.0\0"), ready].concat();
    vec![
        opening(
            "postgres",
            "simple",
            vec![
                client(startup.clone()),
                server(greeting),
                client(typed(b'Q', b"SELECT 1\0")),
                server(rows.clone()),
            ],
        ),
        opening(
            "postgres",
            "asks for TLS and is denied",
            vec![
                client(be32_with_itself([4, 210, 22, 47])),
                server("N"),
                client(startup),
                server(typed(b'R', [0, 0, 0, 5, 1, 2, 3, 4])),
            ],
        ),
        middle("postgres", "simple", vec![client(typed(b'Q', b"SELECT 1\0")), server(rows)]),
        middle("postgres", "extended", vec![client(batch.concat()), server(results)]),
    ]
}

fn packet(number: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = (body.len() as u32).to_le_bytes();
    [&length[..3], &[number], body].concat()
}

fn mysql() -> Vec<Sample> {
    let greeting = [
        b"\x0a8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15".to_vec(),
        vec![0; 10],
        b"ijklmnopqrst\0caching_sha2_password\0".to_vec(),
    ];
    let login = [
        b"\x85\xa6\xff\x19\0\0\0\x01\xff".to_vec(),
        vec![0; 23],
        b"bob\0\x20".to_vec(),
        vec![0x5a; 32],
        b"shop\0caching_sha2_password\0".to_vec(),
    ];
    let column = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
    let rows = [
        packet(1, [1]),
        packet(2, column),
        packet(3, b"\xfe\0\0\x02\0"),
        packet(4, b"\x011"),
        packet(5, b"\xfe\0\0\x02\0"),
    ];
    let ok = b"\0\0\0\x02\0\0\0";
    vec![
        opening(
            "mysql",
            "login and query",
            vec![
                server(packet(0, greeting.concat())),
                client(packet(1, login.concat())),
                server(packet(2, ok)),
                client(packet(0, b"\x03SELECT 1")),
                server(rows.concat()),
            ],
        ),
        middle("mysql", "query", vec![client(packet(0, b"\x03SELECT 1")), server(rows.concat())]),
        middle(
            "mysql",
            "as a server reads it: the header in a call of its own",
            vec![
                client(b"\x09\0\0\0"),
                client(b"\x03SELECT 1"),
                server(rows.concat()),
                client(b"\x15\0\0\0"),
                client(b"\x03UPDATE t SET n = 'x'"),
                server(packet(1, ok)),
            ],
        ),
        middle(
            "mysql",
            "prepared statements",
            vec![
                client(packet(0, b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x08\0\x05\0\0\0\0\0\0\0")),
                server(packet(1, ok)),
                client(packet(0, b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x08\0\x06\0\0\0\0\0\0\0")),
                server(packet(1, ok)),
            ],
        ),
        middle(
            "mysql",
            "an error",
            vec![
                client(packet(0, b"\x03SELECT nothing FROM nowhere")),
                server(packet(1, b"\xff\x7a\x04#42S02Table 'shop.nowhere' doesn't exist")),
            ],
        ),
        middle(
            "mysql",
            "an update",
            vec![client(packet(0, b"\x03UPDATE t SET n = 1")), server(packet(1, b"\0\x01\0\x02\0\0\0"))],
        ),
    ]
}

fn memcached() -> Vec<Sample> {
    vec![
        opening(
            "memcached",
            "set and get",
            vec![
                client("set key:1 0 60 5\r\nvalue\r\n"),
                server("STORED\r\n"),
                client("get key:1\r\n"),
                server("VALUE key:1 0 5\r\nvalue\r\nEND\r\n"),
            ],
        ),
        opening(
            "memcached",
            "misses",
            vec![client("get a b c\r\n"), server("END\r\n"), client("gets d\r\n"), server("END\r\n")],
        ),
        opening("memcached", "meta", vec![client("mg key:1 v t\r\n"), server("VA 5 t60\r\nvalue\r\n")]),
        middle(
            "memcached",
            "an answer first",
            vec![
                server("VALUE key:1 0 5\r\nvalue\r\nEND\r\n"),
                client("incr count 1\r\n"),
                server("17\r\n"),
                client("get key:2\r\n"),
                server("VALUE key:2 0 1\r\nx\r\nEND\r\n"),
            ],
        ),
    ]
}

fn op_msg(id: u32, to: u32, document: &[u8]) -> Vec<u8> {
    let head = [&id.to_le_bytes()[..], &to.to_le_bytes(), &2013_u32.to_le_bytes(), &[0; 4], &[0]].concat();
    let document = [&(document.len() as u32 + 5).to_le_bytes()[..], document, &[0]].concat();
    let length = (head.len() + document.len() + 4) as u32;
    [&length.to_le_bytes()[..], &head, &document].concat()
}

fn mongo() -> Vec<Sample> {
    let ok = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f";
    let find = b"\x02find\0\x05\0\0\0cart\0\x02$db\0\x05\0\0\0shop\0";
    vec![
        opening(
            "mongo",
            "hello",
            vec![
                client(op_msg(1, 0, b"\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0")),
                server(op_msg(7, 1, ok)),
            ],
        ),
        middle("mongo", "find", vec![client(op_msg(900, 0, find)), server(op_msg(901, 900, ok))]),
        middle(
            "mongo",
            "an answer first",
            vec![
                server(op_msg(899, 898, ok)),
                client(op_msg(900, 0, find)),
                server(op_msg(901, 900, b"\x01ok\0\0\0\0\0\0\0\0\0\x10code\0\x0d\0\0\0")),
            ],
        ),
    ]
}

fn cql(version: u8, stream: u8, operation: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![version, 0, 0, stream, operation], be32(body)].concat()
}

fn cassandra() -> Vec<Sample> {
    let startup = b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0";
    let query = [be32(b"SELECT * FROM system.local"), vec![0, 1, 0]].concat();
    let rows = [&[0, 0, 0, 2][..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    vec![
        opening(
            "cassandra",
            "v4",
            vec![
                client(cql(4, 0, 1, startup)),
                server(cql(0x84, 0, 2, b"")),
                client(cql(4, 1, 7, &query)),
                server(cql(0x84, 1, 8, &rows)),
            ],
        ),
        opening(
            "cassandra",
            "asks for options",
            vec![
                client(cql(4, 0, 5, b"")),
                server(cql(0x84, 0, 6, b"\0\x01\0\x0bCQL_VERSION\0\x01\0\x053.4.5")),
                client(cql(4, 1, 1, startup)),
                server(cql(0x84, 1, 2, b"")),
            ],
        ),
        middle("cassandra", "v4", vec![client(cql(4, 9, 7, &query)), server(cql(0x84, 9, 8, &rows))]),
        middle(
            "cassandra",
            "v3, an error",
            vec![client(cql(3, 9, 7, &query)), server(cql(0x83, 9, 0, b"\0\0\x20\0\0\x0csyntax error"))],
        ),
    ]
}

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|one| text(one)).collect()
}

fn clickhouse() -> Vec<Sample> {
    // Revision 54459.
    let revision = [24, 8, 0xbb, 0xa9, 3];
    let hello = [vec![0], text("ClickHouse client"), revision.to_vec(), texts(&["default", "default", ""])];
    let welcome = [vec![0], text("ClickHouse"), revision.to_vec(), texts(&["UTC", "db1"]), vec![3]].concat();
    let query = [
        vec![1, 0, 1],
        texts(&["", "", "0.0.0.0:0"]),
        vec![0; 8],
        vec![1],
        texts(&["bob", "laptop", "ClickHouse client"]),
        revision.to_vec(),
        vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0],
        text("SELECT number FROM numbers(1)"),
        vec![0],
        vec![2, 0, 1, 0, 2, 255, 255, 255, 255, 0, 0, 0],
    ]
    .concat();
    let head = [1, 0, 1, 0, 2, 255, 255, 255, 255, 0, 1, 1];
    let data = [head.to_vec(), texts(&["number", "UInt64"]), vec![0; 9]].concat();
    let exception = [vec![2, 62, 0, 0, 0], texts(&["DB::Exception", "Syntax error", ""]), vec![0]].concat();
    vec![
        opening(
            "clickhouse",
            "hello and query",
            vec![
                client(hello.concat()),
                server(welcome),
                client([vec![0], query.clone()].concat()),
                server(data.clone()),
                server([5]),
            ],
        ),
        middle("clickhouse", "query", vec![client(query.clone()), server(data.clone()), server([5])]),
        middle("clickhouse", "an exception", vec![client(query.clone()), server(exception)]),
        middle("clickhouse", "an answer first", vec![server(data), server([5]), client(query), server([5])]),
    ]
}

fn zookeeper() -> Vec<Sample> {
    let session = |timeout_first: bool| {
        let zxid: &[u8] = if timeout_first { &[] } else { &[0; 8] };
        be32([&[0; 4], zxid, &[0, 0, 117, 48], &[0, 0, 0, 0, 0, 0, 0, 7], &be32([9; 16])[..], &[0]].concat())
    };
    let request =
        |xid: u8, operation: u8, rest: &[u8]| be32([&[0, 0, 0, xid, 0, 0, 0, operation][..], rest].concat());
    let reply = |xid: u8, error: [u8; 4], rest: &[u8]| {
        be32([&[0, 0, 0, xid][..], &[0, 0, 0, 0, 0, 0, 1, 9], &error, rest].concat())
    };
    let get = [be32(b"/config/shop"), vec![0]].concat();
    let data = [be32(b"value"), vec![0; 68]].concat();
    let parts = |bytes: &[u8]| {
        vec![bytes.get(..4).unwrap_or_default().to_vec(), bytes.get(4..).unwrap_or_default().to_vec()]
    };
    let in_parts = [parts(&request(5, 4, &get)), parts(&request(6, 8, &get))].concat();
    let answers = [parts(&reply(5, [0; 4], &data)), parts(&reply(6, [255, 255, 255, 155], &[]))].concat();
    vec![
        opening(
            "zookeeper",
            "session",
            vec![
                client(session(false)),
                server(session(true)),
                client(request(1, 4, &get)),
                server(reply(1, [0; 4], &data)),
            ],
        ),
        opening("zookeeper", "four letters", vec![client("srvr"), server("Zookeeper version: 3.9.2\n")]),
        middle(
            "zookeeper",
            "requests",
            vec![client(request(200, 3, &get)), server(reply(200, [255, 255, 255, 155], &[]))],
        ),
        middle(
            "zookeeper",
            "pings",
            vec![
                client(b"\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b"),
                server(b"\0\0\0\x10\xff\xff\xff\xfe\0\0\0\0\0\0\x01\x09\0\0\0\0"),
            ],
        ),
        middle("zookeeper", "lengths read by themselves", {
            in_parts.into_iter().map(client).chain(answers.into_iter().map(server)).collect()
        }),
    ]
}

fn foundationdb() -> Vec<Sample> {
    let mut connect = 40_u32.to_le_bytes().to_vec();
    connect.extend(0x1FDB_00B0_7301_0000_u64.to_le_bytes());
    connect.resize(44, 0);
    let framed = |checksum: usize, token: &[u8], body: &[u8]| {
        let length = (16 + body.len()) as u32;
        [&length.to_le_bytes()[..], &vec![0xc5; checksum], token, body].concat()
    };
    let reply_token = b"\x02ndomtok\x09\0\0\0abcd";
    let body = |kind: u32| {
        let root = [&16_u32.to_le_bytes()[..], &kind.to_le_bytes(), &[6, 0, 8, 0, 4, 0, 0, 0]].concat();
        [&root[..], &[8, 0, 0, 0, 4, 0, 0, 0], reply_token].concat()
    };
    let request = |checksum, kind| framed(checksum, b"\x01ndomtok\x07\0\0\0abcd", &body(kind));
    let reply = |checksum| framed(checksum, reply_token, &body(2 << 24 | 1_378_929));
    let session = |checksum, kind| vec![client(request(checksum, kind)), server(reply(checksum))];
    let whole = [vec![client(connect.clone()), server(connect)], session(8, 8_454_530)].concat();
    vec![
        opening("foundationdb", "connect packets", whole),
        middle("foundationdb", "a read", session(8, 8_454_530)),
        middle("foundationdb", "a commit, old", session(4, 93_948)),
        middle("foundationdb", "a version, in TLS", session(0, 838_566)),
    ]
}
