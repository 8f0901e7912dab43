//! All protocols. A new one is a module and a line here.

use crate::Definition;

/// Every protocol; where two fit alike, the earlier is taken.
pub static ALL: &[&Definition] = &[
    &crate::cassandra::DEFINITION,
    &crate::clickhouse::DEFINITION,
    &crate::dns::DEFINITION,
    &crate::dubbo::DEFINITION,
    &crate::foundationdb::DEFINITION,
    &crate::http::DEFINITION,
    &crate::http2::DEFINITION,
    &crate::kafka::DEFINITION,
    &crate::memcached::DEFINITION,
    &crate::mongodb::DEFINITION,
    &crate::mysql::DEFINITION,
    &crate::nats::DEFINITION,
    &crate::postgres::DEFINITION,
    &crate::rabbitmq::DEFINITION,
    &crate::redis::DEFINITION,
    &crate::zookeeper::DEFINITION,
];

/// The protocol of this name.
pub fn find(name: &str) -> Option<&'static Definition> {
    ALL.iter().copied().find(|definition| definition.name == name)
}
