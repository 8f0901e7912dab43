//! What requests and responses of each API are made of, as far as anything of it is wanted: requests up to the group and
//! the topic, responses up to the last error code. Facts from the message definitions of Kafka 3.7 and 4.1.
//!
//! Rules: <https://kafka.apache.org/protocol>, <https://github.com/apache/kafka/tree/trunk/clients/src/main/resources/common/message>.

use super::layout::{
    ACKS, BYTES, ERROR, Field, GROUP, TEXT, TOPIC, TOPIC_ID, array, bytes, first, inline, list,
};

/// An API.
#[derive(Debug)]
pub(super) struct Api {
    /// Its name.
    pub(super) name: &'static str,
    /// The newest version whose layout is known here.
    pub(super) newest: i16,
    /// The first one with compact texts and tagged fields.
    flexible: i16,
    /// The body of a request.
    pub(super) request: &'static [Field],
    /// Whether `request` goes to its end.
    pub(super) is_whole: bool,
    /// The body of a response.
    pub(super) response: &'static [Field],
}

impl Api {
    /// Whether texts are compact, and fields may be tagged.
    pub(super) fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }
}

/// The first flexible version of an API that has none.
const NEVER: i16 = i16::MAX;

/// Numbers of APIs that are treated specially.
pub(super) const PRODUCE: i16 = 0;
pub(super) const FETCH: i16 = 1;
pub(super) const METADATA: i16 = 3;
pub(super) const CONTROLLED_SHUTDOWN: i16 = 7;
pub(super) const OFFSET_COMMIT: i16 = 8;
pub(super) const SASL_HANDSHAKE: i16 = 17;
pub(super) const API_VERSIONS: i16 = 18;
pub(super) const ALTER_CONFIGS: i16 = 33;
pub(super) const SASL_AUTHENTICATE: i16 = 36;
pub(super) const CREATE_DELEGATION_TOKEN: i16 = 38;
pub(super) const RENEW_DELEGATION_TOKEN: i16 = 39;
pub(super) const EXPIRE_DELEGATION_TOKEN: i16 = 40;
pub(super) const DESCRIBE_DELEGATION_TOKEN: i16 = 41;
pub(super) const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
pub(super) const ALTER_USER_SCRAM_CREDENTIALS: i16 = 51;
pub(super) const ENVELOPE: i16 = 58;
pub(super) const SHARE_FETCH: i16 = 78;
pub(super) const SHARE_ACKNOWLEDGE: i16 = 79;

/// The API of this number.
pub(super) fn find(key: i16) -> Option<&'static Api> {
    ALL.get(usize::try_from(key).ok()?)
}

const fn api(
    name: &'static str,
    newest: i16,
    flexible: i16,
    request: &'static [Field],
    response: &'static [Field],
) -> Api {
    Api { name, newest, flexible, request, is_whole: false, response }
}

const fn whole(
    name: &'static str,
    newest: i16,
    flexible: i16,
    request: &'static [Field],
    response: &'static [Field],
) -> Api {
    Api { name, newest, flexible, request, is_whole: true, response }
}

/// By number: name, newest version, first flexible version, request, response.
static ALL: [Api; 93] = [
    whole(
        "Produce",
        13,
        9,
        &[
            TEXT.since(3),
            ACKS,
            bytes(4),
            array(&[TOPIC.until(12), TOPIC_ID.since(13), array(&[bytes(4), BYTES])]),
        ],
        &[array(&[
            TOPIC.until(12),
            TOPIC_ID.since(13),
            array(&[
                bytes(4),
                ERROR,
                bytes(8),
                bytes(8).since(2),
                bytes(8).since(5),
                array(&[bytes(4), TEXT]).since(8),
                TEXT.since(8),
            ]),
        ])],
    ),
    whole(
        "Fetch",
        18,
        12,
        &[
            bytes(4).until(14),
            bytes(8),
            bytes(4).since(3),
            bytes(1).since(4),
            bytes(8).since(7),
            array(&[
                TOPIC.until(12),
                TOPIC_ID.since(13),
                array(&[
                    bytes(4),
                    bytes(4).since(9),
                    bytes(8),
                    bytes(4).since(12),
                    bytes(8).since(5),
                    bytes(4),
                ]),
            ]),
            array(&[TOPIC.until(12), TOPIC_ID.since(13), list(&[bytes(4)])]).since(7),
            TEXT.since(11),
        ],
        &[
            bytes(4).since(1),
            ERROR.since(7),
            bytes(4).since(7),
            array(&[
                TOPIC.until(12),
                TOPIC_ID.since(13),
                array(&[
                    bytes(4),
                    ERROR,
                    bytes(8),
                    bytes(8).since(4),
                    bytes(8).since(5),
                    array(&[bytes(16)]).since(4),
                    bytes(4).since(11),
                    BYTES,
                ]),
            ]),
        ],
    ),
    whole(
        "ListOffsets",
        10,
        6,
        &[
            bytes(4),
            bytes(1).since(2),
            array(&[TOPIC, array(&[bytes(4), bytes(4).since(4), bytes(8), bytes(4).until(0)])]),
            bytes(4).since(10),
        ],
        &[
            bytes(4).since(2),
            array(&[
                TOPIC,
                array(&[bytes(4), ERROR, list(&[bytes(8)]).until(0), bytes(16).since(1), bytes(4).since(4)]),
            ]),
        ],
    ),
    whole(
        "Metadata",
        13,
        9,
        &[
            array(&[TOPIC_ID.since(10), TOPIC]),
            bytes(1).since(4),
            bytes(1).since(8).until(10),
            bytes(1).since(8),
        ],
        &[
            bytes(4).since(3),
            array(&[bytes(4), TEXT, bytes(4), TEXT.since(1)]),
            TEXT.since(2),
            bytes(4).since(1),
            array(&[
                ERROR,
                TOPIC,
                TOPIC_ID.since(10),
                bytes(1).since(1),
                array(&[
                    ERROR,
                    bytes(8),
                    bytes(4).since(7),
                    list(&[bytes(4)]),
                    list(&[bytes(4)]),
                    list(&[bytes(4)]).since(5),
                ]),
                bytes(4).since(8),
            ]),
            bytes(4).since(8).until(10),
            ERROR.since(13),
        ],
    ),
    api(
        "LeaderAndIsr",
        7,
        4,
        &[
            bytes(4),
            bytes(1).since(7),
            bytes(4),
            bytes(8).since(2),
            bytes(1).since(5),
            first(&[TOPIC]).until(1),
            first(&[TOPIC]).since(2),
        ],
        &[
            ERROR,
            array(&[TOPIC, bytes(4), ERROR]).until(4),
            array(&[TOPIC_ID, array(&[bytes(4), ERROR])]).since(5),
        ],
    ),
    api(
        "StopReplica",
        4,
        2,
        &[
            bytes(4),
            bytes(1).since(4),
            bytes(4),
            bytes(8).since(1),
            bytes(1).until(2),
            first(&[TOPIC]).until(0),
            first(&[TOPIC]).since(1).until(2),
            first(&[TOPIC]).since(3),
        ],
        &[ERROR, array(&[TOPIC, bytes(4), ERROR])],
    ),
    api(
        "UpdateMetadata",
        8,
        6,
        &[
            bytes(4),
            bytes(1).since(8),
            bytes(4),
            bytes(8).since(5),
            first(&[TOPIC]).until(4),
            first(&[TOPIC]).since(5),
        ],
        &[ERROR],
    ),
    api("ControlledShutdown", 3, 3, &[], &[ERROR]),
    whole(
        "OffsetCommit",
        10,
        8,
        &[
            GROUP,
            bytes(4).since(1),
            TEXT.since(1),
            TEXT.since(7),
            bytes(8).since(2).until(4),
            array(&[
                TOPIC.until(9),
                TOPIC_ID.since(10),
                array(&[bytes(12), bytes(4).since(6), bytes(8).since(1).until(1), TEXT]),
            ]),
        ],
        &[bytes(4).since(3), array(&[TOPIC.until(9), TOPIC_ID.since(10), array(&[bytes(4), ERROR])])],
    ),
    whole(
        "OffsetFetch",
        10,
        6,
        &[
            GROUP.until(7),
            array(&[TOPIC, list(&[bytes(4)])]).until(7),
            array(&[
                GROUP,
                TEXT.since(9),
                bytes(4).since(9),
                array(&[TOPIC.until(9), TOPIC_ID.since(10), list(&[bytes(4)])]),
            ])
            .since(8),
            bytes(1).since(7),
        ],
        &[
            bytes(4).since(3),
            array(&[TOPIC, array(&[bytes(12), bytes(4).since(5), TEXT, ERROR])]).until(7),
            ERROR.since(2).until(7),
            array(&[
                GROUP,
                array(&[TOPIC.until(9), TOPIC_ID.since(10), array(&[bytes(16), TEXT, ERROR])]),
                ERROR,
            ])
            .since(8),
        ],
    ),
    whole(
        "FindCoordinator",
        6,
        3,
        &[TEXT.until(3), bytes(1).since(1), list(&[TEXT]).since(4)],
        &[
            bytes(4).since(1),
            ERROR.until(3),
            TEXT.since(1).until(3),
            bytes(4).until(3),
            TEXT.until(3),
            bytes(4).until(3),
            array(&[TEXT, bytes(4), TEXT, bytes(4), ERROR, TEXT]).since(4),
        ],
    ),
    whole(
        "JoinGroup",
        9,
        6,
        &[
            GROUP,
            bytes(4),
            bytes(4).since(1),
            TEXT,
            TEXT.since(5),
            TEXT,
            array(&[TEXT, BYTES]),
            TEXT.since(8),
        ],
        &[bytes(4).since(2), ERROR],
    ),
    whole("Heartbeat", 4, 4, &[GROUP, bytes(4), TEXT, TEXT.since(3)], &[bytes(4).since(1), ERROR]),
    whole(
        "LeaveGroup",
        5,
        4,
        &[GROUP, TEXT.until(2), array(&[TEXT, TEXT, TEXT.since(5)]).since(3)],
        &[bytes(4).since(1), ERROR, array(&[TEXT, TEXT, ERROR]).since(3)],
    ),
    whole(
        "SyncGroup",
        5,
        4,
        &[GROUP, bytes(4), TEXT, TEXT.since(3), TEXT.since(5), TEXT.since(5), array(&[TEXT, BYTES])],
        &[bytes(4).since(1), ERROR],
    ),
    api("DescribeGroups", 6, 5, &[first(&[GROUP])], &[bytes(4).since(1), first(&[ERROR])]),
    api("ListGroups", 5, 3, &[], &[bytes(4).since(1), ERROR]),
    whole("SaslHandshake", 1, NEVER, &[TEXT], &[ERROR]),
    whole("ApiVersions", 4, 3, &[TEXT.since(3), TEXT.since(3)], &[ERROR]),
    api(
        "CreateTopics",
        7,
        5,
        &[first(&[TOPIC])],
        &[
            bytes(4).since(2),
            array(&[
                TOPIC,
                TOPIC_ID.since(7),
                ERROR,
                TEXT.since(1),
                bytes(6).since(5),
                array(&[TEXT, TEXT, bytes(3)]).since(5),
            ]),
        ],
    ),
    api(
        "DeleteTopics",
        6,
        4,
        &[first(&[TOPIC]).since(6), first(&[TOPIC]).until(5)],
        &[bytes(4).since(1), array(&[TOPIC, TOPIC_ID.since(6), ERROR, TEXT.since(5)])],
    ),
    api("DeleteRecords", 2, 2, &[first(&[TOPIC])], &[bytes(4), array(&[TOPIC, array(&[bytes(12), ERROR])])]),
    whole(
        "InitProducerId",
        6,
        2,
        &[TEXT, bytes(4), bytes(10).since(3), bytes(2).since(6)],
        &[bytes(4), ERROR],
    ),
    api(
        "OffsetForLeaderEpoch",
        4,
        4,
        &[bytes(4).since(3), first(&[TOPIC])],
        &[bytes(4).since(2), array(&[TOPIC, array(&[ERROR, bytes(4), bytes(4).since(1), bytes(8)])])],
    ),
    api(
        "AddPartitionsToTxn",
        5,
        3,
        &[
            first(&[TEXT, bytes(11), first(&[TOPIC])]).since(4),
            TEXT.until(3),
            bytes(10).until(3),
            first(&[TOPIC]).until(3),
        ],
        &[
            bytes(4),
            ERROR.since(4),
            first(&[TEXT, first(&[TOPIC, first(&[bytes(4), ERROR])])]).since(4),
            first(&[TOPIC, first(&[bytes(4), ERROR])]).until(3),
        ],
    ),
    api("AddOffsetsToTxn", 4, 3, &[TEXT, bytes(10), GROUP], &[bytes(4), ERROR]),
    api("EndTxn", 5, 3, &[], &[bytes(4), ERROR]),
    api(
        "WriteTxnMarkers",
        1,
        1,
        &[first(&[bytes(11), first(&[TOPIC])])],
        &[array(&[bytes(8), array(&[TOPIC, array(&[bytes(4), ERROR])])])],
    ),
    api(
        "TxnOffsetCommit",
        5,
        3,
        &[TEXT, GROUP, bytes(10), bytes(4).since(3), TEXT.since(3), TEXT.since(3), first(&[TOPIC])],
        &[bytes(4), array(&[TOPIC, array(&[bytes(4), ERROR])])],
    ),
    api("DescribeAcls", 3, 2, &[], &[bytes(4), ERROR]),
    api("CreateAcls", 3, 2, &[], &[bytes(4), array(&[ERROR, TEXT])]),
    api("DeleteAcls", 3, 2, &[], &[bytes(4), first(&[ERROR])]),
    api("DescribeConfigs", 4, 4, &[], &[bytes(4), first(&[ERROR])]),
    api("AlterConfigs", 2, 2, &[], &[bytes(4), array(&[ERROR, TEXT, bytes(1), TEXT])]),
    api(
        "AlterReplicaLogDirs",
        2,
        2,
        &[first(&[TEXT, first(&[TOPIC])])],
        &[bytes(4), array(&[TOPIC, array(&[bytes(4), ERROR])])],
    ),
    api("DescribeLogDirs", 4, 2, &[first(&[TOPIC])], &[bytes(4), ERROR.since(3), first(&[ERROR])]),
    api("SaslAuthenticate", 2, 2, &[], &[ERROR]),
    api("CreatePartitions", 3, 2, &[first(&[TOPIC])], &[bytes(4), array(&[TOPIC, ERROR, TEXT])]),
    api("CreateDelegationToken", 3, 2, &[], &[ERROR]),
    api("RenewDelegationToken", 2, 2, &[], &[ERROR]),
    api("ExpireDelegationToken", 2, 2, &[], &[ERROR]),
    api("DescribeDelegationToken", 3, 2, &[], &[ERROR]),
    api("DeleteGroups", 2, 2, &[first(&[GROUP])], &[bytes(4), array(&[GROUP, ERROR])]),
    api(
        "ElectLeaders",
        2,
        2,
        &[bytes(1).since(1), first(&[TOPIC])],
        &[bytes(4), ERROR.since(1), array(&[TOPIC, array(&[bytes(4), ERROR, TEXT])])],
    ),
    api("IncrementalAlterConfigs", 1, 1, &[], &[bytes(4), array(&[ERROR, TEXT, bytes(1), TEXT])]),
    api(
        "AlterPartitionReassignments",
        1,
        0,
        &[bytes(4), bytes(1).since(1), first(&[TOPIC])],
        &[bytes(4), bytes(1).since(1), ERROR, TEXT, array(&[TOPIC, array(&[bytes(4), ERROR, TEXT])])],
    ),
    api("ListPartitionReassignments", 0, 0, &[bytes(4), first(&[TOPIC])], &[bytes(4), ERROR]),
    api(
        "OffsetDelete",
        0,
        NEVER,
        &[GROUP, first(&[TOPIC])],
        &[ERROR, bytes(4), array(&[TOPIC, array(&[bytes(4), ERROR])])],
    ),
    api("DescribeClientQuotas", 1, 1, &[], &[bytes(4), ERROR]),
    api("AlterClientQuotas", 1, 1, &[], &[bytes(4), array(&[ERROR, TEXT, array(&[TEXT, TEXT])])]),
    api("DescribeUserScramCredentials", 0, 0, &[], &[bytes(4), ERROR, TEXT, first(&[TEXT, ERROR])]),
    api("AlterUserScramCredentials", 0, 0, &[], &[bytes(4), array(&[TEXT, ERROR, TEXT])]),
    api(
        "Vote",
        2,
        0,
        &[TEXT, bytes(4).since(1), first(&[TOPIC])],
        &[ERROR, array(&[TOPIC, array(&[bytes(4), ERROR, bytes(9)])])],
    ),
    api(
        "BeginQuorumEpoch",
        1,
        1,
        &[TEXT, bytes(4).since(1), first(&[TOPIC])],
        &[ERROR, array(&[TOPIC, array(&[bytes(4), ERROR, bytes(8)])])],
    ),
    api(
        "EndQuorumEpoch",
        1,
        1,
        &[TEXT, first(&[TOPIC])],
        &[ERROR, array(&[TOPIC, array(&[bytes(4), ERROR, bytes(8)])])],
    ),
    api(
        "DescribeQuorum",
        2,
        0,
        &[first(&[TOPIC])],
        &[ERROR, TEXT.since(2), first(&[TOPIC, first(&[bytes(4), ERROR])])],
    ),
    api(
        "AlterPartition",
        3,
        0,
        &[bytes(12), first(&[TOPIC.until(1), TOPIC_ID.since(2)])],
        &[
            bytes(4),
            ERROR,
            array(&[
                TOPIC.until(1),
                TOPIC_ID.since(2),
                array(&[bytes(4), ERROR, bytes(8), list(&[bytes(4)]), bytes(1).since(1), bytes(4)]),
            ]),
        ],
    ),
    api("UpdateFeatures", 2, 0, &[], &[bytes(4), ERROR, TEXT, array(&[TEXT, ERROR, TEXT]).until(1)]),
    api("Envelope", 0, 0, &[], &[BYTES, ERROR]),
    api(
        "FetchSnapshot",
        1,
        0,
        &[bytes(8), first(&[TOPIC])],
        &[bytes(4), ERROR, first(&[TOPIC, first(&[bytes(4), ERROR])])],
    ),
    api("DescribeCluster", 2, 0, &[], &[bytes(4), ERROR]),
    api(
        "DescribeProducers",
        0,
        0,
        &[first(&[TOPIC])],
        &[bytes(4), first(&[TOPIC, first(&[bytes(4), ERROR])])],
    ),
    api("BrokerRegistration", 4, 0, &[], &[bytes(4), ERROR]),
    api("BrokerHeartbeat", 1, 0, &[], &[bytes(4), ERROR]),
    api("UnregisterBroker", 0, 0, &[], &[bytes(4), ERROR]),
    api("DescribeTransactions", 0, 0, &[], &[bytes(4), first(&[ERROR])]),
    api("ListTransactions", 2, 0, &[], &[bytes(4), ERROR]),
    api("AllocateProducerIds", 0, 0, &[], &[bytes(4), ERROR]),
    api(
        "ConsumerGroupHeartbeat",
        1,
        0,
        &[
            GROUP,
            TEXT,
            bytes(4),
            TEXT,
            TEXT,
            bytes(4),
            first(&[TOPIC]),
            TEXT.since(1),
            TEXT,
            first(&[TOPIC_ID]),
        ],
        &[bytes(4), ERROR],
    ),
    api("ConsumerGroupDescribe", 1, 0, &[first(&[GROUP])], &[bytes(4), first(&[ERROR])]),
    api("ControllerRegistration", 0, 0, &[], &[bytes(4), ERROR]),
    api("GetTelemetrySubscriptions", 0, 0, &[], &[bytes(4), ERROR]),
    api("PushTelemetry", 0, 0, &[], &[bytes(4), ERROR]),
    api(
        "AssignReplicasToDirs",
        0,
        0,
        &[bytes(12), first(&[bytes(16), first(&[TOPIC_ID])])],
        &[bytes(4), ERROR, array(&[bytes(16), array(&[TOPIC_ID, array(&[bytes(4), ERROR])])])],
    ),
    api("ListConfigResources", 1, 0, &[], &[bytes(4), ERROR]),
    api("DescribeTopicPartitions", 0, 0, &[first(&[TOPIC])], &[bytes(4), first(&[ERROR])]),
    api("ShareGroupHeartbeat", 1, 0, &[GROUP, TEXT, bytes(4), TEXT, first(&[TOPIC])], &[bytes(4), ERROR]),
    api("ShareGroupDescribe", 1, 0, &[first(&[GROUP])], &[bytes(4), first(&[ERROR])]),
    api(
        "ShareFetch",
        1,
        0,
        &[GROUP, TEXT, bytes(16), bytes(8).since(1), first(&[TOPIC_ID]), first(&[TOPIC_ID])],
        &[
            bytes(4),
            ERROR,
            TEXT,
            bytes(4).since(1),
            array(&[
                TOPIC_ID,
                array(&[bytes(4), ERROR, TEXT, ERROR, TEXT, inline(&[bytes(8)]), BYTES, array(&[bytes(18)])]),
            ]),
        ],
    ),
    api(
        "ShareAcknowledge",
        1,
        0,
        &[GROUP, TEXT, bytes(4), first(&[TOPIC_ID])],
        &[bytes(4), ERROR, TEXT, first(&[TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api("AddRaftVoter", 0, 0, &[], &[bytes(4), ERROR]),
    api("RemoveRaftVoter", 0, 0, &[], &[bytes(4), ERROR]),
    api("UpdateRaftVoter", 0, 0, &[], &[bytes(4), ERROR]),
    api(
        "InitializeShareGroupState",
        0,
        0,
        &[TEXT, first(&[TOPIC_ID])],
        &[first(&[TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api(
        "ReadShareGroupState",
        0,
        0,
        &[TEXT, first(&[TOPIC_ID])],
        &[first(&[TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api(
        "WriteShareGroupState",
        0,
        0,
        &[TEXT, first(&[TOPIC_ID])],
        &[first(&[TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api(
        "DeleteShareGroupState",
        0,
        0,
        &[TEXT, first(&[TOPIC_ID])],
        &[first(&[TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api(
        "ReadShareGroupStateSummary",
        0,
        0,
        &[TEXT, first(&[TOPIC_ID])],
        &[first(&[TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api("StreamsGroupHeartbeat", 0, 0, &[GROUP], &[bytes(4), ERROR]),
    api("StreamsGroupDescribe", 0, 0, &[first(&[GROUP])], &[bytes(4), first(&[ERROR])]),
    api(
        "DescribeShareGroupOffsets",
        0,
        0,
        &[first(&[GROUP])],
        &[bytes(4), first(&[GROUP, first(&[TOPIC, TOPIC_ID, first(&[bytes(16), ERROR])])])],
    ),
    api(
        "AlterShareGroupOffsets",
        0,
        0,
        &[GROUP, first(&[TOPIC])],
        &[bytes(4), ERROR, TEXT, first(&[TOPIC, TOPIC_ID, first(&[bytes(4), ERROR])])],
    ),
    api(
        "DeleteShareGroupOffsets",
        0,
        0,
        &[GROUP, first(&[TOPIC])],
        &[bytes(4), ERROR, TEXT, first(&[TOPIC, TOPIC_ID, ERROR])],
    ),
];
