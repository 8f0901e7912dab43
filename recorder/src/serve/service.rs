//! The HTTP thread, and what the recording thread does for it each time it comes round.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aftertrace_schemas::tables::{PushStats, ScrapeFormat};
use axum::Router;
use axum::serve::Listener;
use sd_notify::NotifyState;
use tokio::sync::oneshot;

use super::http::{Http, ScrapeRequest, Scraped, router};
use super::push::Pushing;
use super::shared::Shared;
use super::tls::TlsListener;
use super::web_config::WebConfig;
use super::{Listening, ServeConfig, ServeError};
use crate::capabilities::{self, CapabilitySet};
use crate::record::{RecordError, Session};

/// Scrapes that wait at most. Prometheus has one at a time.
const QUEUE: usize = 16;
/// Threads that render answers and check passwords: strangers who guess must not take the host's processors.
const BLOCKING_THREADS: usize = 2;
/// Answers that are under way may take so long when it ends.
const GRACE: Duration = Duration::from_secs(2);
/// What the page shows, and the service manager's watchdog, are renewed so often.
const RENEW: Duration = Duration::from_secs(1);

/// The live mode's side of a recording.
pub(crate) struct Service {
    shared: Arc<Shared>,
    requests: Receiver<ScrapeRequest>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    renewed: Option<Instant>,
    watchdog: bool,
    pushing: Option<Pushing>,
}

impl Service {
    /// Listens and starts the HTTP thread. Until the recording turns for the first time, it answers "not ready".
    pub(super) fn start(config: &ServeConfig) -> Result<(Self, Listening), ServeError> {
        let web = config.web_config.as_deref().map(WebConfig::load).transpose()?.unwrap_or_default();
        let listen = |error| ServeError::Listen { address: config.listen, error };
        let listener = TcpListener::bind(config.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let pushing = Pushing::start(&config.push)?;
        let listening = Listening { address, tls: web.tls.is_some() };
        let shared = Arc::new(Shared::new());
        let (requests, incoming) = sync_channel(QUEUE);
        let (end, ended) = oneshot::channel::<()>();
        let http = Http { shared: Arc::clone(&shared), requests };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_all()
            .build()
            .map_err(ServeError::Http)?;
        // What strangers talk to can do nothing that another program of this user could not.
        let answer = move || runtime.block_on(answer(listener, web, http, ended));
        let thread = capabilities::spawn("http", CapabilitySet::empty(), answer).map_err(ServeError::Http)?;
        let service = Self {
            shared,
            requests: incoming,
            end: Some(end),
            thread: Some(thread),
            renewed: None,
            watchdog: sd_notify::watchdog_enabled().is_some(),
            pushing,
        };
        Ok((service, listening))
    }

    /// Answers the scrapes that wait, and renews what is shown.
    pub(crate) fn turn(&mut self, session: &mut Session<'_>) -> Result<(), RecordError> {
        while let Ok(request) = self.requests.try_recv() {
            let (number, families) = session.scrape(request.format)?;
            // The client may have gone.
            let _ = request.answer.send(Scraped { number, families });
        }
        if let Some(pushing) = &mut self.pushing
            && pushing.is_due()
        {
            let (_, families) = session.scrape(ScrapeFormat::Push)?;
            pushing.offer(session.hostname(), families);
        }
        if let Some(pushing) = &mut self.pushing {
            let spans = session.take_spans();
            if !spans.is_empty() {
                pushing.offer_spans(spans);
            }
        }
        let is_first = !self.shared.is_ready();
        self.shared.turned();
        if self.renewed.is_none_or(|renewed| renewed.elapsed() >= RENEW) {
            self.renewed = Some(Instant::now());
            if let Some(pushing) = &self.pushing {
                session.write_pushes(pushing.stats())?;
            }
            self.shared.show(session.view());
            // A service manager that cannot be told does its own.
            if is_first {
                let _ = sd_notify::notify(&[NotifyState::Ready]);
            } else if self.watchdog {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
        }
        Ok(())
    }

    /// Lets answers that are under way end, and no new ones begin. Says what became of pushed metrics.
    pub(super) fn stop(mut self) -> Vec<PushStats> {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        drop(self.requests);
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.pushing.map(Pushing::stop).unwrap_or_default()
    }
}

/// Answers until it is told to end.
async fn answer(listener: TcpListener, web: WebConfig, http: Http, ended: oneshot::Receiver<()>) {
    let Ok(tcp) = tokio::net::TcpListener::from_std(listener) else { return };
    let router = router(http, web.auth, web.headers);
    match web.tls {
        Some(tls) => answer_on(TlsListener::new(tcp, tls), router, ended).await,
        None => answer_on(tcp, router, ended).await,
    }
}

async fn answer_on<L>(listener: L, router: Router, ended: oneshot::Receiver<()>)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let (grace, over) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = ended.await;
        let _ = grace.send(());
    });
    let late = async {
        let _ = over.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = server => {}
        () = late => {}
    }
}
