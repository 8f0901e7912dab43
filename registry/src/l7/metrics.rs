//! Which metrics the requests of a protocol are counted in.

use aftertrace_protocols::{Definition as Protocol, catalogue};

use crate::metrics::definitions::{self, Definition};

/// The metrics of one protocol, each for what the container sent and what it received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metrics {
    pub(super) outbound: &'static Definition,
    pub(super) outbound_time: Option<&'static Definition>,
    pub(super) inbound: Option<&'static Definition>,
    pub(super) inbound_time: Option<&'static Definition>,
}

macro_rules! metrics {
    ($($protocol:literal => $outbound:ident $($outbound_time:ident $inbound:ident $inbound_time:ident)?,)+) => {
        /// Those of a protocol, by its name; none when it has no metrics of its own.
        pub(super) fn of(protocol: &Protocol) -> Option<Metrics> {
            match protocol.name {
                $($protocol => {
                    #[allow(unused_mut, unused_assignments, reason = "some have only one")]
                    let mut rest = (None, None, None);
                    $(rest = (
                        Some(&definitions::$outbound_time),
                        Some(&definitions::$inbound),
                        Some(&definitions::$inbound_time),
                    );)?
                    Some(Metrics {
                        outbound: &definitions::$outbound,
                        outbound_time: rest.0,
                        inbound: rest.1,
                        inbound_time: rest.2,
                    })
                })+
                _ => None,
            }
        }
    };
}

metrics! {
    "http" => HTTP_OUT HTTP_OUT_TIME HTTP_IN HTTP_IN_TIME,
    "postgres" => POSTGRES_OUT POSTGRES_OUT_TIME POSTGRES_IN POSTGRES_IN_TIME,
    "redis" => REDIS_OUT REDIS_OUT_TIME REDIS_IN REDIS_IN_TIME,
    "memcached" => MEMCACHED_OUT MEMCACHED_OUT_TIME MEMCACHED_IN MEMCACHED_IN_TIME,
    "mysql" => MYSQL_OUT MYSQL_OUT_TIME MYSQL_IN MYSQL_IN_TIME,
    "mongo" => MONGO_OUT MONGO_OUT_TIME MONGO_IN MONGO_IN_TIME,
    "kafka" => KAFKA_OUT KAFKA_OUT_TIME KAFKA_IN KAFKA_IN_TIME,
    "cassandra" => CASSANDRA_OUT CASSANDRA_OUT_TIME CASSANDRA_IN CASSANDRA_IN_TIME,
    "rabbitmq" => RABBITMQ_OUT,
    "nats" => NATS_OUT,
    "dubbo" => DUBBO_OUT DUBBO_OUT_TIME DUBBO_IN DUBBO_IN_TIME,
    "dns" => DNS_OUT DNS_OUT_TIME DNS_IN DNS_IN_TIME,
    "clickhouse" => CLICKHOUSE_OUT CLICKHOUSE_OUT_TIME CLICKHOUSE_IN CLICKHOUSE_IN_TIME,
    "zookeeper" => ZOOKEEPER_OUT ZOOKEEPER_OUT_TIME ZOOKEEPER_IN ZOOKEEPER_IN_TIME,
    "foundationdb" => FOUNDATIONDB_OUT FOUNDATIONDB_OUT_TIME FOUNDATIONDB_IN FOUNDATIONDB_IN_TIME,
}

/// The protocol that another one is counted as: HTTP is one, whatever its version.
pub(super) fn family(protocol: &'static Protocol) -> &'static Protocol {
    match protocol.name {
        "http2" => catalogue::find("http").unwrap_or(protocol),
        _ => protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::{family, of};

    #[test]
    fn every_protocol_has_metrics() {
        for protocol in aftertrace_protocols::catalogue::ALL {
            assert!(of(family(protocol)).is_some(), "{}", protocol.name);
        }
    }
}
