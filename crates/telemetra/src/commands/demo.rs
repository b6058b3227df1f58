//! `demo`: generators beside both pipelines and their page; nothing to install, nothing outside one folder.
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

use telemetra_core::generate::{ChatPlan, CommercePlan};

use super::{
    run::{PageAt, Pipeline, RunOptions, run, run_beside},
    run_loop::{Ending, now_ms},
};
use crate::{
    cli::{Compress, DemoArgs},
    exit::Exit,
    generate::{feed::Feed, shop::ShopFeed},
    http, out,
    settings::{Arrival, Origin, Place, Settings, Store},
    signals::Stop,
    snapshot::Latest,
    terminal::Screen,
};

/// Keys that the demo takes from flags alone: its store and folders are its own.
pub const OWN_KEYS: &[&str] = &[
    "store",
    "job",
    "chat_dir",
    "viewer_dir",
    "arrival",
    "folder_order",
    "input_dir",
    "processed_dir",
    "error_dir",
    "log_dir",
];

const HISTORY_MS: i64 = 10 * 60_000;
const HISTORY_FILE_MS: i64 = 60_000;
const LIVE_FILE_MS: i64 = 1_000;
const LIVE_TICK: Duration = Duration::from_millis(200);
const SHOP_EVENTS_PER_SECOND: f64 = 20.0;
const PORT: u16 = 8080;

/// `demo`.
///
/// # Errors
/// When its folder cannot be written, or the page not served.
pub fn demo(mut settings: Settings, args: &DemoArgs, stop: &Stop, screen: &Screen) -> anyhow::Result<Exit> {
    settings.inputs.chat_dir = Some(args.dir.join("chat"));
    settings.inputs.viewer_dir = Some(args.dir.join("viewer"));
    settings.inputs.arrival = Arrival::Rename;
    settings.commerce.input_dir = args.dir.join("raw");
    settings.commerce.processed_dir = args.dir.join("processed");
    settings.commerce.error_dir = args.dir.join("error");
    settings.commerce.log_dir = args.dir.join("logs");
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
    let feeds = feeds(args, is_new)?;
    out::note("");
    out::note(&format!(
        "  telemetra demo: chat of {} made-up streams and events of a shop, in {}/",
        args.streams,
        args.dir.display()
    ));
    out::note(&format!("  open  http://{address}/  ·  Ctrl-C stops it, starting again continues"));
    out::note("");
    let (enough, run_stop) = (Stop::default(), stop.clone());
    let writer = go_on_live(feeds, enough.clone(), move || _ = run_stop.ask(0))?;
    let (shop, shop_stop) = (Latest::default(), Stop::default());
    let keeper = keep_shop(settings.clone(), shop_stop.clone(), shop.clone())?;
    // However the run ends, generators and shop end with it: nobody would see what they go on doing.
    let at_end = || {
        enough.ask(0);
        shop_stop.ask(0);
    };
    let page = PageAt { listener, beside: Some(shop) };
    let exit = run(&settings, &RunOptions::default(), Some(page), stop, screen, at_end);
    enough.ask(0);
    shop_stop.ask(0);
    anyhow::ensure!(keeper.join().is_ok(), "the shop's pipeline failed");
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

/// Runs commerce beside chat; the page shows how it ends.
fn keep_shop(settings: Settings, stop: Stop, latest: Latest) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("shop".into()).spawn(move || {
        let options = RunOptions { pipeline: Pipeline::Commerce, ..RunOptions::default() };
        let ending = run_beside(&settings, &options, &stop, &latest);
        if ending != Ending::Stopped {
            tracing::error!(?ending, "the shop's pipeline ended before the demo");
        }
    })
}

/// What both generators write.
struct Feeds {
    chat: Feed,
    shop: ShopFeed,
}

impl Feeds {
    fn write_until(&mut self, until_ms: i64) -> io::Result<()> {
        self.chat.write_until(until_ms, u64::MAX)?;
        self.shop.write_until(until_ms, u64::MAX)
    }

    fn complete(&mut self) -> io::Result<()> {
        self.chat.complete()?;
        self.shop.complete()
    }
}

/// Feeds that have written their history, if they have any, and go on now.
fn feeds(args: &DemoArgs, is_new: bool) -> anyhow::Result<Feeds> {
    let now_ms = now_ms();
    let start_ms = if is_new { now_ms - HISTORY_MS } else { now_ms };
    let mut feeds = Feeds { chat: chat_feed(args, start_ms)?, shop: shop_feed(args, start_ms)? };
    if is_new {
        feeds.write_until(now_ms)?;
        out::note(&format!(
            "  {} chat events and {} shop events of the last ten minutes written",
            out::grouped(feeds.chat.chat_events()),
            out::grouped(feeds.shop.sums().records)
        ));
    }
    feeds.chat.rotate_every(LIVE_FILE_MS)?;
    feeds.shop.rotate_every(LIVE_FILE_MS)?;
    Ok(feeds)
}

fn shop_feed(args: &DemoArgs, start_ms: i64) -> anyhow::Result<ShopFeed> {
    let plan = CommercePlan {
        seed: start_ms.unsigned_abs(),
        events_per_second: SHOP_EVENTS_PER_SECOND,
        start_ms,
        users: 2_000,
        invalid_share: 0.01,
        duplicate_share: 0.01,
        conflict_share: 0.002,
        ..CommercePlan::default()
    };
    ShopFeed::new(&args.dir.join("raw"), plan, HISTORY_FILE_MS, Compress::None)
}

fn chat_feed(args: &DemoArgs, start_ms: i64) -> anyhow::Result<Feed> {
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
    Feed::new(&args.dir, plan, HISTORY_FILE_MS, Compress::None)
}

/// Writes what is due until `enough` is asked for; calls `failed` if it cannot.
fn go_on_live(
    mut feeds: Feeds,
    enough: Stop,
    failed: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    thread::Builder::new().name("generator".into()).spawn(move || {
        let written = loop {
            if let Err(error) = feeds.write_until(now_ms()) {
                break Err(error);
            }
            if enough.wait(LIVE_TICK) {
                break feeds.complete();
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
        let first = feeds(&args, true).expect("a feed");
        assert!(first.chat.chat_events() > 1_000, "{}", first.chat.chat_events());
        assert!(first.shop.sums().records >= 12_000, "{:?}", first.shop.sums());
        assert!(!is_empty(&dir.join("chat")).expect("it can be looked at"));
        drop(first);
        let second = feeds(&args, false).expect("a feed");
        assert_eq!((second.chat.chat_events(), second.shop.sums().records), (0, 0));
        assert!(second.chat.next_ms() >= before_ms && second.shop.next_ms() >= before_ms);
    }

    #[test]
    fn asked_to_stop_the_generator_completes_its_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args =
            DemoArgs { dir: folder.path().to_owned(), rate: 5.0, streams: 2, settings: Flags(Vec::new()) };
        let stop = Stop::default();
        let feeds = feeds(&args, true).expect("feeds");
        let writer = go_on_live(feeds, stop.clone(), || {}).expect("a thread");
        stop.ask(15);
        writer.join().expect("it ends").expect("it could write");
        let names = fs::read_dir(folder.path().join("chat")).expect("the folder is there");
        for name in names {
            let name = name.expect("an entry").file_name();
            assert!(!name.to_string_lossy().starts_with('.'), "{name:?} is hidden still");
        }
    }
}
