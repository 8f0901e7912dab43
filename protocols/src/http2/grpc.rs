//! Statuses of gRPC (gRPC over HTTP/2, and the list of status codes in gRPC's documentation).

use crate::Status;

/// By number, as coroot-node-agent names them.
const STATUSES: [&str; 17] = [
    "grpc:OK",
    "grpc:CANCELLED",
    "grpc:UNKNOWN",
    "grpc:INVALID_ARGUMENT",
    "grpc:DEADLINE_EXCEEDED",
    "grpc:NOT_FOUND",
    "grpc:ALREADY_EXISTS",
    "grpc:PERMISSION_DENIED",
    "grpc:RESOURCE_EXHAUSTED",
    "grpc:FAILED_PRECONDITION",
    "grpc:ABORTED",
    "grpc:OUT_OF_RANGE",
    "grpc:UNIMPLEMENTED",
    "grpc:INTERNAL",
    "grpc:UNAVAILABLE",
    "grpc:DATA_LOSS",
    "grpc:UNAUTHENTICATED",
];

/// The status of this number.
pub(super) fn status(code: u8) -> Status {
    match STATUSES.get(usize::from(code)) {
        Some(label) => Status { label, is_error: code != 0 },
        None => Status { label: "grpc:UNKNOWN", is_error: true },
    }
}

/// The name of a status.
pub(super) fn name(code: u8) -> &'static str {
    status(code).label.trim_start_matches("grpc:")
}
