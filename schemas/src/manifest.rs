//! `trace.json`: what was recorded, where, when and how; enough to understand a trace without opening a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{FORMAT_VERSION, LEAST_READER_VERSION, UnixNanos};

/// The manifest of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format that the writer knew.
    pub format_version: u32,
    /// The oldest reader that understands the trace.
    pub least_reader_version: u32,
    /// Version of aftertrace that wrote it.
    pub recorder_version: String,
    /// The host.
    pub host: Host,
    /// The one anchor that maps boot time to wall time.
    pub anchor: Anchor,
    /// First moment, Unix nanoseconds.
    pub started: UnixNanos,
    /// Last moment of a clean end, Unix nanoseconds; absent while recording and after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<UnixNanos>,
    /// Why it ended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// What was asked for.
    pub options: Options,
    /// Kernel programs and sources, with the reason of those that do not work.
    pub probes: Vec<Probe>,
    /// Sealed segments that are present, oldest first.
    pub segments: Vec<Segment>,
    /// What retention dropped.
    #[serde(default)]
    pub retired: Retired,
    /// Lost observations in all, by `source/cause`, retired segments included.
    #[serde(default)]
    pub losses: BTreeMap<String, u64>,
}

/// The host that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub hostname: String,
    /// Kernel release.
    pub kernel_version: String,
    /// Architecture.
    pub architecture: String,
    /// Machine id.
    pub machine_id: String,
    /// Id of the boot.
    pub boot_id: String,
}

/// Row time = `realtime_ns` + (boot time of the event - `boot_ns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// CLOCK_BOOTTIME, nanoseconds.
    pub boot_ns: u64,
    /// CLOCK_REALTIME at the same moment, Unix nanoseconds.
    pub realtime_ns: UnixNanos,
}

impl Anchor {
    /// The wall time of a moment of boot time.
    pub fn unix_ns(&self, boot_ns: u64) -> UnixNanos {
        let since = i128::from(boot_ns) - i128::from(self.boot_ns);
        let unix = i128::from(self.realtime_ns) + since;
        UnixNanos::try_from(unix).unwrap_or(if unix < 0 { UnixNanos::MIN } else { UnixNanos::MAX })
    }
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Options {
    /// Control groups recorded; with the other filters empty, everything is.
    #[serde(default)]
    pub cgroups: Vec<String>,
    /// Container expressions recorded.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Process trees recorded.
    #[serde(default)]
    pub pids: Vec<u32>,
    /// Command that was run and recorded.
    #[serde(default)]
    pub command: Vec<String>,
    /// Cap on the size of the trace, bytes.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// Cap on the age of segments, seconds.
    #[serde(default)]
    pub max_age_s: Option<u64>,
    /// The journal is written, and synced, this often: what a crash can lose, milliseconds.
    pub journal_interval_ms: u64,
    /// How the live registry was set up (`aftertrace_registry::Config`), when there was one. A replay that is to say
    /// what it said needs the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<serde_json::Value>,
}

/// State of a probe or source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Name.
    pub probe: String,
    /// `active`, `failed` or `off`.
    pub state: String,
    /// Why it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Number, from 1.
    pub number: u32,
    /// First observation.
    pub first_seq: u64,
    /// Last observation.
    pub last_seq: u64,
    /// Time of the first observation, Unix nanoseconds.
    pub from: UnixNanos,
    /// Time of the last observation, Unix nanoseconds.
    pub to: UnixNanos,
    /// The tables in it; a table without rows has no file.
    pub tables: BTreeMap<String, TableFile>,
}

impl Segment {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.tables.values().map(|table| table.bytes).sum()
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }
}

/// A table's file in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFile {
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// CRC-32C of those bytes; absent in traces from before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
}

/// What retention dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retired {
    /// Segments.
    pub segments: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not the JSON of a manifest.
    #[error("not a trace manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// A later version of aftertrace is needed.
    #[error(
        "the trace needs a reader of format version {needed}; this aftertrace reads up to version {FORMAT_VERSION}: use a newer one"
    )]
    TooNew {
        /// The least reader version.
        needed: u32,
    },
}

impl Manifest {
    /// The versions that this build writes.
    pub const VERSIONS: (u32, u32) = (FORMAT_VERSION, LEAST_READER_VERSION);

    /// Reads a manifest; one from the future is refused before its other fields are looked at.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            least_reader_version: u32,
        }
        let version: Version = serde_json::from_slice(json)?;
        if version.least_reader_version > FORMAT_VERSION {
            return Err(ManifestError::TooNew { needed: version.least_reader_version });
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// The manifest as JSON, readable for people.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}
