//! A thread with a current-thread runtime: accepts, limits, serves. Ends with the process or when dropped.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    runtime,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use super::{data::PageData, jobs::Jobs, routes};

/// Ports that are tried after the first.
const PORTS_TRIED: u16 = 20;
const CONNECTIONS_MAX: usize = 256;
const HEADER_BYTES_MAX: usize = 16 << 10;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection is closed after this; the page opens another. Bounds what a stuck reader can hold.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3_600);
/// After a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A page being served, until it is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has said so itself.
            let _ = thread.join();
        }
    }
}

/// Listens at `address`, which settings have checked to be loopback.
///
/// # Errors
/// When it is taken or not ours.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    anyhow::ensure!(address.ip().is_loopback(), "the page is served on loopback addresses only");
    TcpListener::bind(address)
        .map_err(|error| anyhow::anyhow!("the page cannot be served at {address}: {error}"))
}

/// Listens at `address` or the next free port after it, at most twenty further.
///
/// # Errors
/// When all of them are taken.
pub fn bind_from(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let first = bind(address);
    let later = (1..=PORTS_TRIED).filter_map(|further| address.port().checked_add(further));
    first.or_else(|error| {
        later.map(|port| bind(SocketAddr::new(address.ip(), port))).find_map(Result::ok).ok_or(error)
    })
}

/// Serves the page on a thread of its own.
///
/// # Errors
/// When neither thread nor runtime can be made.
pub fn start(listener: TcpListener, jobs: Jobs, data: Box<dyn PageData>, window_ms: i64) -> io::Result<Page> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime =
        runtime::Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(2).build()?;
    let shared = routes::Shared::new(jobs, data, window_ms);
    let (end, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("page".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, shared) => {}
                _ = ended => {}
            }
        });
        // Open connections end with the runtime; a query on its way is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(Page { address, end: Some(end), thread: Some(thread) })
}

async fn accept(listener: TcpListener, shared: routes::Shared) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the page cannot be served");
            return;
        }
    };
    let service = TowerToHyperService::new(routes::router(shared));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Beyond the limit the connection is closed at once.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let service = service.clone();
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
            // How a reader's connection ended is the reader's to know.
            let _ = timeout(CONNECTION_AGE_MAX, http.serve_connection(TokioIo::new(socket), service)).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests;
