//! Connections that are of no protocol in the catalogue.

use aftertrace_protocols::testing::{Turn, client, server};

use super::{Sample, be32};

fn stranger(name: &'static str, dialogue: Vec<Turn>) -> Sample {
    Sample { label: None, name, is_from_start: true, dialogue }
}

/// Calls of both sides in turn, so many as are looked at.
fn in_turn(call: impl Fn(u8) -> Vec<u8>) -> Vec<Turn> {
    (0..10).map(|number| if number % 2 == 0 { client(call(number)) } else { server(call(number)) }).collect()
}

pub(super) fn all() -> Vec<Sample> {
    let record = |kind: u8, length: u16, fill: u8| {
        [&[kind, 3, 3][..], &length.to_be_bytes(), &vec![fill; length.into()]].concat()
    };
    let hello = [&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[0x5a; 194]].concat();
    vec![
        stranger(
            "TLS from its hello on",
            [
                vec![client(hello), server(record(22, 90, 2))],
                in_turn(|number| record(23, 40 + u16::from(number), number.wrapping_mul(37))),
            ]
            .concat(),
        ),
        stranger("TLS in the middle", in_turn(|number| record(23, 300, number.wrapping_mul(91)))),
        stranger(
            "SSH",
            [
                vec![client("SSH-2.0-OpenSSH_9.6\r\n"), server("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")],
                in_turn(|number| be32(vec![number.wrapping_mul(53); 60])),
            ]
            .concat(),
        ),
        stranger(
            "SMTP",
            [vec![
                server("220 mail.example.com ESMTP Postfix\r\n"),
                client("EHLO laptop\r\n"),
                server("250-mail.example.com\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
                client("MAIL FROM:<a@example.com>\r\n"),
                server("250 2.1.0 Ok\r\n"),
                client("RCPT TO:<b@example.com>\r\n"),
                server("250 2.1.5 Ok\r\n"),
                client("DATA\r\n"),
                server("354 End data with <CR><LF>.<CR><LF>\r\n"),
            ]]
            .concat(),
        ),
        stranger(
            "FTP",
            vec![
                server("220 (vsFTPd 3.0.5)\r\n"),
                client("USER anonymous\r\n"),
                server("331 Please specify the password.\r\n"),
                client("PASS x\r\n"),
                server("230 Login successful.\r\n"),
                client("SYST\r\n"),
                server("215 UNIX Type: L8\r\n"),
                client("QUIT\r\n"),
            ],
        ),
        stranger(
            "IRC",
            vec![
                client("NICK bob\r\nUSER bob 0 * :Bob\r\n"),
                server(":irc.example.com 001 bob :Welcome\r\n"),
                client("JOIN #rust\r\n"),
                server(":bob!b@h JOIN #rust\r\n"),
                client("PRIVMSG #rust :hello\r\n"),
                server("PING :irc.example.com\r\n"),
                client("PONG :irc.example.com\r\n"),
                server(":eve!e@h PRIVMSG #rust :hi\r\n"),
            ],
        ),
        stranger(
            "lines of JSON",
            in_turn(|number| format!("{{\"id\":{number},\"method\":\"eth_call\"}}\n").into_bytes()),
        ),
        stranger(
            "words that begin like methods",
            vec![
                client("POSTGRES is a database, and GETTING to know it takes a while.\n"),
                server("GETTING there is half the fun. PUTTING it to use is the other.\n"),
                client("DELETED all of it again\n"),
                server("OPTIONSTRADING is something else\n"),
                client("HEADING home\nCONNECTED\n"),
                server("POSTING this\nPATCHED\n"),
                client("GET OUT\n"),
                server("HTTPS is not what this is\n"),
            ],
        ),
        stranger(
            "messages with lengths, their kind in four bytes",
            in_turn(|number| {
                be32(
                    [&[0, 0, 0, number][..], &[0, 0, 0, 4], b"some private protocol's fields", &[number; 30]]
                        .concat(),
                )
            }),
        ),
        stranger(
            "messages with lengths, the lower byte first",
            in_turn(|number| {
                let body = [&[number, 0, 0, 0, 1, 0, 0, 0][..], &[0x41 + number; 70]].concat();
                [&(body.len() as u32).to_le_bytes(), &body[..]].concat()
            }),
        ),
        stranger(
            "messages with lengths of three bytes",
            in_turn(|number| {
                [&[0, 0, 60, 0xaa][..], &[number.wrapping_mul(29).wrapping_add(100); 60]].concat()
            }),
        ),
        stranger(
            "texts with lengths",
            in_turn(|number| be32(format!("call number {number} of a private protocol"))),
        ),
        stranger(
            "protocol buffers with lengths",
            in_turn(|number| {
                let body = [&[8, number, 18, 5][..], b"hello", &[26, 20], &[b'x'; 20]].concat();
                [vec![body.len() as u8], body].concat()
            }),
        ),
        stranger("beats of one byte", in_turn(|_| vec![1])),
        stranger("zeros", in_turn(|_| vec![0; 64])),
        stranger(
            "MQTT",
            vec![
                client(b"\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05bob-1"),
                server(b"\x20\x02\0\0"),
                client(b"\x30\x0e\0\x06orderspayload"),
                client(b"\xc0\0"),
                server(b"\xd0\0"),
                client(b"\x30\x0e\0\x06orderspayload"),
                client(b"\xc0\0"),
                server(b"\xd0\0"),
            ],
        ),
        stranger(
            "LDAP",
            [
                vec![
                    client(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0"),
                    server(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0"),
                ],
                in_turn(|number| [&[0x30, 40, 2, 1, number][..], &[4; 37]].concat()),
            ]
            .concat(),
        ),
    ]
}
