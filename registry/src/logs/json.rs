//! Lines that are a JSON object, as slog, zap, logrus, pino, bunyan, log4j, Serilog (CLEF) and .NET write them.

use serde_json::{Map, Value};

use super::level::Level;

/// Keys of the message, the first that is there counts.
const MESSAGE_KEYS: &[&str] = &["msg", "message", "@m", "@mt", "body", "log"];
/// Keys of the level, the first that is there counts.
const LEVEL_KEYS: &[&str] =
    &["level", "severity", "loglevel", "log.level", "lvl", "@l", "severity_text", "levelname"];

/// What a JSON log says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonLog {
    pub(super) level: Option<Level>,
    pub(super) message: Option<String>,
}

/// A line that is one JSON object as a whole.
pub(super) fn parse(line: &str) -> Option<JsonLog> {
    let line = line.trim();
    if !(line.starts_with('{') && line.ends_with('}')) {
        return None;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(line) else { return None };
    let message = MESSAGE_KEYS.iter().find_map(|key| match find(&object, key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    });
    Some(JsonLog { level: level(&object), message })
}

fn level(object: &Map<String, Value>) -> Option<Level> {
    let named = LEVEL_KEYS.iter().find_map(|key| match find(object, key)? {
        Value::String(name) => Some(Level::of_name(name.trim()).unwrap_or(Level::Unknown)),
        Value::Number(number) => number.as_f64().map(Level::of_number),
        _ => None,
    });
    // Serilog's compact format leaves the level out when it is Information.
    let is_compact = || object.contains_key("@t") && object.contains_key("@mt");
    named.or_else(|| is_compact().then_some(Level::Info))
}

/// The value of a key, `a.b` also as `b` in the object `a`; upper and lower case are one (.NET writes `LogLevel`).
fn find<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let any_case = |object: &'a Map<String, Value>, key: &str| {
        // The smallest name that fits: the order of the map must not matter.
        let fitting = object.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        fitting.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, value)| value)
    };
    let direct = object.get(key).or_else(|| any_case(object, key));
    direct.or_else(|| {
        let (outer, inner) = key.split_once('.')?;
        match any_case(object, outer)? {
            Value::Object(nested) => any_case(nested, inner),
            _ => None,
        }
    })
}
