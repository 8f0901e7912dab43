//! What is blanked, and what stays.

use super::*;

#[test]
fn behind_a_file_that_was_not_kept_commands_are_neither_lost_nor_blanked() {
    let part = vec![b'x'; 9000];
    let turn = || {
        let file = [packet(2, &part), packet(3, &part), packet(4, b"")].concat();
        [
            query("LOAD DATA LOCAL INFILE '/a' INTO TABLE t"),
            answer(&[b"\xfb/a"]),
            client(file),
            server(packet(5, OK)),
        ]
    };
    let dialogue: Vec<Turn> = (0..3).flat_map(|_| turn()).collect();
    let playing = Playing { kept_bytes: 1024, call_bytes: 4000, redacts: true, ..Playing::default() };
    assert_eq!(playing.told(&DEFINITION, &dialogue).short(), ["LOAD t ok"; 3]);
}

#[test]
fn another_user_logs_in_with_another_database() {
    let dialogue = [
        command(0x11, b"eve\0\x07hunter3store\0\x2d\0mysql_native_password\0"),
        answer(&[b"\xfecaching_sha2_password\0abcdefgh\0"]),
        client(packet(2, b"hunter4")),
        server(packet(3, [1, 4])),
        client(packet(4, b"hunter5\0")),
        server(packet(5, OK)),
        query("SELECT 1"),
        answer(&[&[1], COLUMN, EOF, EOF]),
    ];
    let told = told(&DEFINITION, &dialogue);
    assert_eq!(told.short(), ["SELECT ok"]);
    assert!(told.lines().iter().all(|line| line.ends_with("db.namespace=store")), "{told:?}");
    check_cuts(&DEFINITION, &dialogue);
    check_secrets(&DEFINITION, &dialogue, &["hunter3", "hunter4", "hunter5"]);
}

#[test]
fn passwords_are_blanked_in_statements_in_values_and_in_what_the_server_says_of_them() {
    for statement in [
        "CREATE USER bob IDENTIFIED BY 'hunter2'",
        "ALTER USER bob IDENTIFIED WITH mysql_native_password AS 'hunter2'",
        "GRANT ALL ON *.* TO bob@'%' IDENTIFIED BY \"it\\\"s hunter2\"",
        "SET PASSWORD FOR bob = PASSWORD('hunter2')",
        "CHANGE MASTER TO MASTER_HOST='a', MASTER_PASSWORD='hunter2'",
        "CREATE TABLE t (a INT) ENGINE=FEDERATED CONNECTION='mysql://bob:hunter2@a/b'",
    ] {
        let dialogue = [query(statement), answer(&[OK])];
        check_secrets(&DEFINITION, &dialogue, &["hunter2"]);
    }
    let dialogue = [
        query("CREATE USER bob IDENTIFIED BY 'hunter2' OOPS"),
        answer(&[b"\xff\x28\x04#42000You have an error near ''hunter2' OOPS'"]),
        query("SHOW CREATE USER bob -- its password"),
        answer(&[&[1], COLUMN, EOF, b"\x0fBY 'hunter2' ...", EOF]),
        command(0x17, b"\x07\0\0\0\0\x01\0\0\0\0\x01\xfd\0\x07hunter2"),
        answer(&[OK]),
        command(0x18, b"\x07\0\0\0\0\0hunter2"),
    ];
    check_secrets(&DEFINITION, &dialogue, &["hunter2"]);
    for flags in [FLAGS, FLAGS | 1 << 21, FLAGS & !(1 << 15)] {
        let behind: &[u8] =
            if flags & 0x8000 == 0 { b"bob\0hunter2\0shop\0" } else { b"bob\0\x07hunter2shop\0" };
        check_secrets(&DEFINITION, &[greeting(), login(flags, behind), server(packet(2, OK))], &["hunter2"]);
    }
}
