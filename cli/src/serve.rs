//! `aftertrace serve`: fills in what is asked for, and says where it listens.

use std::path::Path;
use std::process::ExitCode;

use aftertrace_recorder::record::{Observer, Status};
use aftertrace_recorder::serve::push::{Endpoint, Header, PushConfig, parse_headers};
use aftertrace_recorder::serve::{Listening, ServeConfig, serve};
use aftertrace_registry::{Config, SpanConfig};
use anyhow::Context;

use crate::args::{Choice, PortRange, PushArgs, ServeArgs};
use crate::record::capture;
use crate::{print_warning, say};

/// Serves as asked for.
pub(crate) fn run(arguments: ServeArgs) -> anyhow::Result<ExitCode> {
    let mut config = capture(arguments.capture, arguments.record)?;
    config.duration = arguments.duration;
    config.registry = Some(Config {
        min_container_age_ns: i64::try_from(arguments.min_container_age.as_nanos()).unwrap_or(i64::MAX),
        container_allowlist: arguments.container_allowlist,
        container_denylist: arguments.container_denylist,
        tracked_networks: Choice::all(arguments.track_public_network),
        ephemeral_ports: Choice::all(arguments.ephemeral_port_range)
            .into_iter()
            .map(|PortRange(range)| range)
            .collect(),
        max_fqdns_per_container: arguments.max_fqdns_per_container,
        histogram_bounds_ns: arguments.histogram_buckets.0,
        spans: spans(&arguments.push),
        ..Config::default()
    });
    let quiet = arguments.quiet;
    let listening = |Listening { address, tls }: Listening| {
        let scheme = if tls { "https" } else { "http" };
        if !quiet {
            say(format_args!("listening on {scheme}://{address}/metrics\n"));
        }
    };
    let mut words = Words { quiet };
    let outcome = serve(
        &config,
        &ServeConfig {
            listen: arguments.listen,
            web_config: arguments.web_config_file,
            push: push(arguments.push)?,
        },
        listening,
        &mut words,
    )?;
    if !quiet {
        let lost = outcome.status.lost;
        say(format_args!(
            "served {} observations in {}{}; {}\n",
            outcome.status.observations,
            humantime::format_duration(std::time::Duration::from_secs(outcome.status.elapsed.as_secs())),
            if lost == 0 { ", nothing lost".to_owned() } else { format!(", {lost} lost") },
            outcome.end_reason,
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Which spans to make; none when nobody wants them.
fn spans(arguments: &PushArgs) -> Option<SpanConfig> {
    (!arguments.otlp_traces.is_empty()).then(|| SpanConfig {
        per_second: Some(arguments.spans_per_second),
        slow_ns: u64::try_from(arguments.slow_span.as_nanos()).unwrap_or(u64::MAX),
        keeps_literals: arguments.raw_statements,
    })
}

/// Where to push metrics to.
fn push(arguments: PushArgs) -> anyhow::Result<PushConfig> {
    let headers = arguments.push_headers.as_deref().map(read_headers).transpose()?.unwrap_or_default();
    let remote_write = arguments.remote_write.into_iter().map(|url| Endpoint::remote_write(url, &headers));
    let otlp = arguments.otlp.into_iter().map(|url| Endpoint::otlp(url, &headers));
    let traces = arguments.otlp_traces.into_iter().map(|url| Endpoint::otlp_traces(url, &headers));
    Ok(PushConfig {
        endpoints: remote_write.chain(otlp).chain(traces).collect(),
        interval: arguments.push_interval,
        directory: arguments.push_dir,
        queue_bytes: arguments.push_queue.as_u64(),
    })
}

fn read_headers(path: &Path) -> anyhow::Result<Vec<Header>> {
    let named = || format!("--push-headers {}", path.display());
    parse_headers(&std::fs::read_to_string(path).with_context(named)?).with_context(named)
}

/// What a service says: plain lines, for the journal.
struct Words {
    quiet: bool,
}

impl Observer for Words {
    fn started(&mut self) {
        if !self.quiet {
            say(format_args!("ready\n"));
        }
    }

    fn status(&mut self, _: &Status) {}

    fn warning(&mut self, message: &str) {
        print_warning(&message);
    }
}
