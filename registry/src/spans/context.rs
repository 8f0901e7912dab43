//! The trace context that a request carries: W3C `traceparent`, or Zipkin's b3 in one header or in several.
//!
//! Rules: <https://www.w3.org/TR/trace-context/>, <https://github.com/openzipkin/b3-propagation>.

use aftertrace_protocols::{Details, OwnedValue};

use super::span::{SpanId, TraceId};

/// Headers as codecs name them; the first that says something counts.
const HEADERS: [&str; 5] = ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"];

/// Bit of the flags: the trace is recorded.
const SAMPLED: u8 = 1;

/// What a request says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace_id: TraceId,
    /// The sender's span.
    pub(super) span_id: SpanId,
    pub(super) flags: Option<u8>,
}

impl Context {
    /// Takes it out of the attributes.
    pub(super) fn take(details: &mut Details) -> Option<Self> {
        if !details.attributes.iter().any(|(key, _)| HEADERS.contains(key)) {
            return None;
        }
        let of = |wanted: &str| {
            details.attributes.iter().find_map(|(key, value)| match value {
                OwnedValue::Text(text) if *key == wanted => Some(&**text),
                _ => None,
            })
        };
        let context = of("traceparent")
            .and_then(traceparent)
            .or_else(|| of("b3").and_then(b3))
            .or_else(|| b3_parts(of("x-b3-traceid")?, of("x-b3-spanid"), of("x-b3-sampled")));
        details.attributes.retain(|(key, _)| !HEADERS.contains(key));
        context
    }
}

/// `00-<trace id>-<span id>-<flags>`; a later version may have more.
fn traceparent(text: &str) -> Option<Context> {
    let mut parts = text.trim().split('-');
    let version = bytes::<1>(parts.next()?, false)?;
    let trace_id = bytes(parts.next()?, false)?;
    let span_id = bytes(parts.next()?, false)?;
    let [flags] = bytes::<1>(parts.next()?, false)?;
    let is_known = version == [0];
    if version == [0xff] || (is_known && parts.next().is_some()) || span_id == [0; 8] {
        return None;
    }
    Some(Context { trace_id: some_trace(trace_id)?, span_id: SpanId(span_id), flags: Some(flags) })
}

/// `<trace id>-<span id>[-<sampled>[-<parent>]]`; a lone `0` says only that nothing is recorded.
fn b3(text: &str) -> Option<Context> {
    let mut parts = text.trim().split('-');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    b3_parts(trace_id, Some(span_id), parts.next())
}

fn b3_parts(trace_id: &str, span_id: Option<&str>, sampled: Option<&str>) -> Option<Context> {
    // Half a trace id is a whole one whose first half is zero.
    let trace_id = match bytes::<8>(trace_id, true) {
        Some(low) => {
            let mut all = [0; 16];
            all[8..].copy_from_slice(&low);
            all
        }
        None => bytes(trace_id, true)?,
    };
    let span_id = span_id.and_then(|text| bytes(text, true)).filter(|id| *id != [0; 8]);
    let flags = sampled.map(|word| if matches!(word, "1" | "d" | "true") { SAMPLED } else { 0 });
    Some(Context { trace_id: some_trace(trace_id)?, span_id: SpanId(span_id?), flags })
}

fn some_trace(id: [u8; 16]) -> Option<TraceId> {
    (id != [0; 16]).then_some(TraceId(id))
}

/// Bytes in hexadecimal digits; capital ones are b3's only.
fn bytes<const N: usize>(text: &str, may_be_capital: bool) -> Option<[u8; N]> {
    let is_digit = |byte: u8| {
        byte.is_ascii_digit()
            || matches!(byte, b'a'..=b'f')
            || (may_be_capital && matches!(byte, b'A'..=b'F'))
    };
    if text.len() != 2 * N || !text.bytes().all(is_digit) {
        return None;
    }
    let mut read = [0; N];
    for (byte, place) in read.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn taken(headers: &[(&'static str, &str)]) -> Option<(String, String, Option<u8>)> {
        let attributes =
            headers.iter().map(|(key, value)| (*key, OwnedValue::Text((*value).into()))).collect();
        let mut details = Details { name: "GET".into(), attributes };
        let context = Context::take(&mut details)?;
        assert!(details.attributes.iter().all(|(key, _)| !HEADERS.contains(key)));
        let span_id = context.span_id.to_string();
        Some((context.trace_id.to_string(), span_id, context.flags))
    }

    #[test]
    fn every_form_of_a_context_says_the_same() {
        let all = Some((TRACE.to_owned(), SPAN.to_owned(), Some(1)));
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let later = format!("01-{TRACE}-{SPAN}-01-more");
        let b3 = format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90");
        assert_eq!(taken(&[("traceparent", &w3c)]), all);
        assert_eq!(taken(&[("traceparent", &later)]), all);
        assert_eq!(taken(&[("b3", &b3)]), all);
        let capital = TRACE.to_uppercase();
        assert_eq!(taken(&[("x-b3-traceid", &capital), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")]), all);
        assert_eq!(taken(&[("b3", "no"), ("traceparent", &w3c)]), all, "the better one counts");
    }

    #[test]
    fn half_a_trace_id_is_filled_up() {
        let (trace, ..) = taken(&[("b3", &format!("{SPAN}-{SPAN}"))]).unwrap_or_default();
        assert_eq!(trace, format!("0000000000000000{SPAN}"));
    }

    #[test]
    fn what_is_no_context_is_none() {
        for text in [
            "",
            "0",
            "00-0-0-0",
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        ] {
            assert_eq!(taken(&[("traceparent", text), ("b3", "0")]), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = (traceparent(&text), b3(&text), b3_parts(&text, Some(&text), Some(&text)));
        }
    }
}
