//! Messages as the serializer of Kafka's own client library 4.1.0 writes them: `vectors.txt` has API, version, how it
//! ended, and request and response behind their lengths. Arrays have elements, nothing is null, the error code is 6.

use super::{DEFINITION, framed};
use crate::kafka::apis;
use crate::kafka::header::{Judgement, judge};
use crate::testing::{check_cuts, client, server, told};

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hexadecimal
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[test]
fn what_kafka_itself_writes_is_read() {
    let mut count = 0;
    for line in include_str!("vectors.txt").lines() {
        let mut words = line.split(' ');
        let [Some(name), Some(version), Some(status), Some(request), Some(response)] =
            std::array::from_fn(|_| words.next())
        else {
            continue;
        };
        let (request, response) = (bytes(request), bytes(response));
        let looks = judge(&request, request.len() as u64);
        let key = request.first_chunk().copied().map(i16::from_be_bytes).unwrap_or_default();
        let is_whole = apis::find(key).is_some_and(|api| api.is_whole);
        let expected =
            if is_whole { Judgement::Whole { has_name: true } } else { Judgement::Begins { has_name: true } };
        assert_eq!(looks, expected, "{name} {version}");
        let dialogue = [client(framed(&request)), server(framed(&response))];
        let told = told(&DEFINITION, &dialogue);
        let ended: Vec<&str> = told.exchanges.iter().map(|exchange| exchange.status.label).collect();
        assert_eq!(ended, [status], "{name} {version}: {:?}", told.lines());
        check_cuts(&DEFINITION, &dialogue);
        count += 1;
    }
    assert_eq!(count, 40);
}
