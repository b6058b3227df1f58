//! `demo`: a generator beside the chat pipeline and its page; nothing to install, nothing outside one folder.
//!
//! The first start writes ten minutes of history, then events go on live, a small file a second. A later
//! start goes on live from then; the time between is a pause in the chat. Nothing is ever deleted here.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};

use telemetra_core::generate::ChatPlan;

use super::{
    run::{RunOptions, run},
    run_loop::now_ms,
};
use crate::{
    cli::{Compress, DemoArgs},
    exit::Exit,
    generate::feed::Feed,
    http, out,
    settings::{Arrival, Origin, Place, Settings, Store},
    signals::Stop,
    terminal::Screen,
};

/// Keys that the demo takes from flags alone: its store and folders are its own.
pub const OWN_KEYS: &[&str] = &["store", "job", "chat_dir", "viewer_dir", "arrival", "folder_order"];

const HISTORY_MS: i64 = 10 * 60_000;
const HISTORY_FILE_MS: i64 = 60_000;
const LIVE_FILE_MS: i64 = 1_000;
const LIVE_TICK: Duration = Duration::from_millis(200);
const PORT: u16 = 8080;

/// `demo`.
///
/// # Errors
/// When its folder cannot be written, or the page not served.
pub fn demo(mut settings: Settings, args: &DemoArgs, stop: &Stop, screen: &Screen) -> anyhow::Result<Exit> {
    settings.inputs.chat_dir = Some(args.dir.join("chat"));
    settings.inputs.viewer_dir = Some(args.dir.join("viewer"));
    settings.inputs.arrival = Arrival::Rename;
    if !matches!(settings.store.origin, Origin::Flag(_)) {
        let place = Place::Sqlite(args.dir.join("demo.db"));
        settings.store = Store { place, origin: Origin::Flag("dir".into()) };
    }
    let is_new = is_empty(&args.dir.join("chat"))?;
    let listener = match settings.http {
        Some(address) => http::bind(address)?,
        None => http::bind_from(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?,
    };
    let address = listener.local_addr()?;
    let feed = feed(args, is_new)?;
    out::note("");
    out::note(&format!(
        "  telemetra demo: chat of {} made-up streams, in {}/",
        args.streams,
        args.dir.display()
    ));
    out::note(&format!("  open  http://{address}/  ·  Ctrl-C stops it, starting again continues"));
    out::note("");
    let (enough, run_stop) = (Stop::default(), stop.clone());
    let writer = go_on_live(feed, enough.clone(), move || _ = run_stop.ask(0))?;
    // However the run ends, the generator ends with it: nobody would read what it goes on writing.
    let at_end = || _ = enough.ask(0);
    let exit = run(&settings, &RunOptions::default(), Some(listener), stop, screen, at_end);
    enough.ask(0);
    match writer.join() {
        Ok(written) => written?,
        Err(_) => anyhow::bail!("the generator failed"),
    }
    exit
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A feed that has written its history, if it has any, and goes on now.
fn feed(args: &DemoArgs, is_new: bool) -> anyhow::Result<Feed> {
    let now_ms = now_ms();
    let start_ms = if is_new { now_ms - HISTORY_MS } else { now_ms };
    let plan = ChatPlan {
        // Another seed each start, so that a later one does not repeat the first.
        seed: start_ms.unsigned_abs(),
        streams: args.streams,
        users: 5_000,
        rate_per_second: args.rate,
        start_ms,
        out_of_order_share: 0.02,
        out_of_order_ms_max: 5_000,
        late_share: 0.0005,
        broken_share: 0.0005,
        ..ChatPlan::default()
    };
    let mut feed = Feed::new(&args.dir, plan, HISTORY_FILE_MS, Compress::None)?;
    if is_new {
        feed.write_until(now_ms, u64::MAX)?;
        out::note(&format!(
            "  {} chat events of the last ten minutes written",
            out::grouped(feed.chat_events())
        ));
    }
    feed.rotate_every(LIVE_FILE_MS)?;
    Ok(feed)
}

/// Writes what is due until `enough` is asked for; calls `failed` if it cannot.
fn go_on_live(
    mut feed: Feed,
    enough: Stop,
    failed: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    thread::Builder::new().name("generator".into()).spawn(move || {
        let written = loop {
            if let Err(error) = feed.write_until(now_ms(), u64::MAX) {
                break Err(error);
            }
            if enough.wait(LIVE_TICK) {
                break feed.complete();
            }
        };
        if let Err(error) = &written {
            tracing::error!(%error, "the generator cannot write its files");
            failed();
        }
        written
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::flags::Flags;

    #[test]
    fn the_first_start_writes_history_and_a_later_one_goes_on_from_now() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().to_owned();
        let args = DemoArgs { dir: dir.clone(), rate: 5.0, streams: 2, settings: Flags(Vec::new()) };
        assert!(is_empty(&dir.join("chat")).expect("it can be looked at"));
        let before_ms = now_ms();
        let first = feed(&args, true).expect("a feed");
        assert!(first.chat_events() > 1_000, "{}", first.chat_events());
        assert!(!is_empty(&dir.join("chat")).expect("it can be looked at"));
        drop(first);
        let second = feed(&args, false).expect("a feed");
        assert_eq!(second.chat_events(), 0);
        assert!(second.next_ms() >= before_ms);
    }

    #[test]
    fn asked_to_stop_the_generator_completes_its_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args =
            DemoArgs { dir: folder.path().to_owned(), rate: 5.0, streams: 2, settings: Flags(Vec::new()) };
        let stop = Stop::default();
        let feed = feed(&args, true).expect("a feed");
        let writer = go_on_live(feed, stop.clone(), || {}).expect("a thread");
        stop.ask(15);
        writer.join().expect("it ends").expect("it could write");
        let names = fs::read_dir(folder.path().join("chat")).expect("the folder is there");
        for name in names {
            let name = name.expect("an entry").file_name();
            assert!(!name.to_string_lossy().starts_with('.'), "{name:?} is hidden still");
        }
    }
}
