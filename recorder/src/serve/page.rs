//! The page at `/`: what is attached, what is not and why.

use std::fmt::Write;
use std::time::Duration;

use aftertrace_schemas::tables::{ProbeState, PushStats};

use super::shared::View;
use crate::capabilities::{self, Held};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%;margin:0 0 1.5rem}th,td{text-align:left;padding:.2rem .8rem .2rem 0;\
border-bottom:1px solid #ddd;vertical-align:top}.failed{color:#b00020;font-weight:600}.off{color:#777}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#444}.failed{color:#ff6b7a}\
a{color:#8ab4f8}}";

/// The page as HTML. Writing to a String cannot fail.
pub(super) fn render(view: &View, threads: &[Held], ready: bool) -> String {
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(html, "<meta name=\"viewport\" content=\"width=device-width\"><title>aftertrace on ");
    escape(&mut html, &view.hostname);
    let _ = write!(html, "</title><style>{STYLE}</style></head><body><h1>aftertrace ");
    let _ = write!(html, "{} on ", env!("CARGO_PKG_VERSION"));
    escape(&mut html, &view.hostname);
    html.push_str("</h1><p><a href=\"/metrics\">/metrics</a> · <a href=\"/healthz\">/healthz</a> · ");
    html.push_str("<a href=\"/readyz\">/readyz</a></p>");
    if !ready {
        html.push_str("<p>Probes are being attached.</p></body></html>");
        return html;
    }
    html.push_str("<table>");
    row(&mut html, "Up for", &humantime(view.status.elapsed));
    let filters = if view.filters.is_empty() { "the whole host".to_owned() } else { view.filters.join(", ") };
    row(&mut html, "Observes", &filters);
    row(&mut html, "Records to", view.output.as_deref().unwrap_or("nothing: metrics only"));
    row(&mut html, "Observations", &view.status.observations.to_string());
    row(&mut html, "Kernel events a second", &view.status.events_per_second.to_string());
    row(&mut html, "Lost", &view.status.lost.to_string());
    html.push_str(
        "</table><h2>Probes and sources</h2><table><tr><th>Name</th><th>State</th><th>Why</th></tr>",
    );
    let mut probes: Vec<_> = view.probes.iter().collect();
    // What does not work comes first.
    probes.sort_by_key(|probe| {
        (probe.state != ProbeState::Failed, probe.state != ProbeState::Off, &probe.probe)
    });
    for probe in probes {
        html.push_str("<tr><td>");
        escape(&mut html, &probe.probe);
        let state = probe.state.to_string();
        let _ = write!(html, "</td><td class=\"{state}\">{state}</td><td>");
        escape(&mut html, probe.reason.as_deref().unwrap_or_default());
        html.push_str("</td></tr>");
    }
    html.push_str("</table><h2>Measurements</h2><table><tr><th>Source</th><th>Rounds</th><th>Failed</th>");
    html.push_str("<th>Skipped</th><th>Mean ms</th><th>Last good one</th></tr>");
    for (stats, age) in &view.sources {
        html.push_str("<tr><td>");
        escape(&mut html, &stats.source);
        let mean_ms = stats.duration_ns.checked_div(stats.rounds).unwrap_or_default() as f64 / 1e6;
        let age = age.map_or_else(|| "never".to_owned(), |age| format!("{} ago", humantime(age)));
        let _ = write!(
            html,
            "</td><td>{}</td><td>{}</td><td>{}</td><td>{mean_ms:.2}</td><td>{age}</td></tr>",
            stats.rounds, stats.failures, stats.skipped
        );
    }
    html.push_str("</table>");
    if !view.pushes.is_empty() {
        pushes(&mut html, &view.pushes);
    }
    capabilities_of(&mut html, threads);
    html.push_str("</body></html>\n");
    html
}

/// What each thread can still do.
fn capabilities_of(html: &mut String, threads: &[Held]) {
    html.push_str(
        "<h2>Capabilities</h2><table><tr><th>Threads</th><th>Hold</th><th>Can gain no more</th></tr>",
    );
    for held in threads {
        html.push_str("<tr><td>");
        escape(html, &held.thread);
        if held.count > 1 {
            let _ = write!(html, " ({})", held.count);
        }
        let names = capabilities::names(held.permitted);
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let no_more = if held.no_new_privileges { "yes" } else { "no" };
        let _ = write!(html, "</td><td>{names}</td><td>{no_more}</td></tr>");
    }
    html.push_str("</table>");
}

fn pushes(html: &mut String, pushes: &[PushStats]) {
    html.push_str("<h2>Pushed</h2><table><tr><th>Receiver</th><th>Samples or spans sent</th><th>Lost</th>");
    html.push_str("<th>Waiting</th><th>Last failure</th></tr>");
    for push in pushes {
        html.push_str("<tr><td>");
        escape(html, &push.endpoint);
        let (sent, lost, waiting) = (push.sent_samples, push.lost_samples(), push.queued_samples);
        let _ = write!(html, "</td><td>{sent}</td><td>{lost}</td><td>{waiting}</td><td class=\"failed\">");
        escape(html, push.error.as_deref().unwrap_or_default());
        html.push_str("</td></tr>");
    }
    html.push_str("</table>");
}

fn row(html: &mut String, name: &str, value: &str) {
    let _ = write!(html, "<tr><th>{name}</th><td>");
    escape(html, value);
    html.push_str("</td></tr>");
}

fn humantime(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// Text as text: reasons hold words of the kernel and of runtimes.
fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use aftertrace_schemas::tables::ProbeStatus;

    use super::*;

    #[test]
    fn words_of_others_are_shown_as_words() {
        let probe = ProbeStatus {
            probe: "docker".to_owned(),
            state: ProbeState::Failed,
            reason: Some("<script>alert(\"1\")</script> & more".to_owned()),
        };
        let html = render(&View { probes: vec![probe], ..View::default() }, &[], true);
        assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more"));
    }

    #[test]
    fn what_does_not_work_comes_first() {
        let probe = |name: &str, state| ProbeStatus { probe: name.to_owned(), state, reason: None };
        let probes = vec![
            probe("aaa", ProbeState::Active),
            probe("bbb", ProbeState::Off),
            probe("ccc", ProbeState::Failed),
        ];
        let html = render(&View { probes, ..View::default() }, &[], true);
        let place = |name| html.find(name).unwrap();
        assert!(place("ccc") < place("bbb") && place("bbb") < place("aaa"));
    }
}
