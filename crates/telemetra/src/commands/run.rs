//! `run`: page, status line and loop around one job; how each ending is told.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use telemetra_connectors::kafka::{Skip, StartAt};

use super::{
    meter::{InputNow, Meter},
    once::OnceReport,
    run_loop::{Ahead, Conduct, Ending, Work, drive},
    take_over::take_over,
};
use crate::{
    exit::Exit,
    http::{self, jobs::Jobs, on_demand::OnDemand},
    out,
    settings::{Inputs, Settings},
    signals::Stop,
    snapshot::{ChatNumbers, CommerceNumbers, Latest, Numbers, Snapshot, State},
    terminal::{Screen, StatusLine},
    wiring,
};

/// How long `--once` waits for files that still change.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// What is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pipeline {
    /// Chat and viewer events to windows and moments.
    #[default]
    Chat,
    /// Shop events to unique, checked rows.
    Commerce,
}

impl Pipeline {
    /// Its name; that of its job too, unless another is given.
    pub fn name(self) -> &'static str {
        match self {
            Pipeline::Chat => "chat",
            Pipeline::Commerce => "commerce",
        }
    }

    /// One of its result tables; all of them belong to one job.
    pub fn table(self) -> &'static str {
        match self {
            Pipeline::Chat => "chat_summary_minute",
            Pipeline::Commerce => "user_events",
        }
    }

    /// What it has counted before its first record.
    pub fn numbers(self) -> Numbers {
        match self {
            Pipeline::Chat => Numbers::Chat(ChatNumbers::default()),
            Pipeline::Commerce => Numbers::Commerce(CommerceNumbers::default()),
        }
    }
}

/// What a run is told beside its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Which pipeline.
    pub pipeline: Pipeline,
    /// Leave at the end of the input.
    pub once: bool,
    /// Then close every window.
    pub drain: bool,
    /// Print the report as JSON.
    pub json: bool,
    /// Go on with another meaning.
    pub accept_changed_meaning: bool,
    /// Mend what keeps a job from going on in its topics, and read nothing.
    pub repair: Option<Repair>,
}

/// A way on for a job that halts in its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Go on from here with topics that were made anew, or that lost records.
    Reset(StartAt),
    /// Record what the brokers no longer hold, or these offsets, and go on behind them.
    SkipGap(Option<Skip>),
}

impl RunOptions {
    /// Whether offsets that the source no longer holds are recorded and passed.
    pub fn skips_gaps(&self, settings: &Settings) -> bool {
        settings.flow.skip_gaps || matches!(self.repair, Some(Repair::SkipGap(_)))
    }
}

/// A job that was taken over.
pub struct Started {
    /// The engine's job.
    pub work: Box<dyn Work>,
    /// What the end of the input is still waited for.
    pub ahead: Box<dyn FnMut() -> Ahead>,
    /// What the input tells beside its records.
    pub input: Box<dyn FnMut() -> InputNow>,
}

/// Where a page is served, and the job it shows beside this one.
#[derive(Debug)]
pub struct PageAt {
    /// Where it listens.
    pub listener: TcpListener,
    /// Another job of this process.
    pub beside: Option<Latest>,
}

impl From<TcpListener> for PageAt {
    fn from(listener: TcpListener) -> Self {
        Self { listener, beside: None }
    }
}

/// Runs a pipeline beside another one: without page, status line and report. `latest` is where it shows itself.
pub fn run_beside(settings: &Settings, options: &RunOptions, stop: &Stop, latest: &Latest) -> Ending {
    latest.publish(begun(settings, options.pipeline));
    follow(settings, options, stop, latest)
}

/// What is shown of a job before it is taken over.
fn begun(settings: &Settings, pipeline: Pipeline) -> Snapshot {
    let job = settings.job_or(pipeline.name());
    Snapshot { job, numbers: pipeline.numbers(), ..Snapshot::default() }
}

/// Runs a pipeline until its end. `page` is where the page is served, if it is; `at_end` is called
/// once nothing more is read, which with a page that stays can be long before this returns.
///
/// # Errors
/// What is neither a halt nor a fence: threads, sockets, with `--once` an input that is not there.
pub fn run(
    settings: &Settings,
    options: &RunOptions,
    page: Option<PageAt>,
    stop: &Stop,
    screen: &Screen,
    at_end: impl FnOnce(),
) -> anyhow::Result<Exit> {
    if options.once {
        demand_folders(settings, options.pipeline)?;
        wiring::demand_topics(settings, options.pipeline)?;
    }
    let latest = Latest::default();
    latest.publish(begun(settings, options.pipeline));
    out::note(&format!("store {} (from {})", settings.store, settings.store.origin));
    settings.notes.iter().for_each(|note| out::note(note));
    let beside = page.as_ref().and_then(|page| page.beside.clone());
    // Before anything else, so that a long replay and a halt at the start show on the page too.
    let page = page.map(|page| serve(settings, page, &latest)).transpose()?;
    let begun_at = Instant::now();
    let ending = {
        let _line = StatusLine::follow(latest.clone(), beside, screen.clone(), options.once)?;
        follow(settings, options, stop, &latest)
    };
    at_end();
    report(options, &latest, &ending, begun_at.elapsed())?;
    if page.is_some() && matches!(ending, Ending::Halted(_)) {
        out::note("the page stays until you stop this run");
        stop.wait_for_it();
    }
    Ok(exit_of(&ending))
}

/// Takes the job over and drives it to its end.
fn follow(settings: &Settings, options: &RunOptions, stop: &Stop, latest: &Latest) -> Ending {
    let start = || wiring::start_leaving(settings, options, stop.flag());
    let wait = settings.kafka.as_ref().map_or(Duration::ZERO, |kafka| kafka.wait);
    let mut started = match take_over(start, options.once, wait, settings.flow.retry_delay, stop, latest) {
        Ok(started) => {
            tracing::info!(job = settings.job_or(options.pipeline.name()), "the job is taken over");
            if options.pipeline == Pipeline::Commerce && started.work.report().has_new_meaning {
                tracing::warn!(
                    event_timezone = settings.commerce.timezone.name(),
                    "shop events are judged by other settings than before, most likely another EVENT_TIMEZONE: an \
                     event that names no time zone means another instant now, and is a conflict where it is known"
                );
            }
            started
        }
        Err(ending) => {
            let state = match &ending {
                Ending::Halted(cause) | Ending::Fenced(cause) => State::Halted(cause.clone()),
                _ => State::Ended,
            };
            latest.publish(Snapshot { state, retrying_since_ms: None, ..(*latest.get()).clone() });
            return ending;
        }
    };
    let conduct = Conduct {
        once: options.once,
        drain: options.drain,
        trigger: settings.flow.trigger,
        settle_max: SETTLE_MAX,
        retry_delay: settings.flow.retry_delay,
    };
    let job = settings.job_or(options.pipeline.name());
    let mut meter = Meter::new(latest.clone(), job, options.pipeline, started.input);
    let work = &mut *started.work;
    let closed_early = &work.report().closed_early;
    if !closed_early.is_empty() {
        tracing::warn!("closed early: {closed_early}");
    }
    let ending = drive(work, &conduct, &mut meter, stop, &mut started.ahead);
    if let Ending::Halted(cause) = &ending
        && let Err(error) = work.set_halted(Some(cause))
    {
        tracing::warn!(%error, "the cause could not be recorded in the store");
    }
    ending
}

/// Serves the page and says where.
fn serve(settings: &Settings, page: PageAt, latest: &Latest) -> anyhow::Result<http::Page> {
    let opened = settings.clone();
    let data = OnDemand::new(move || wiring::page_data(&opened));
    let jobs = Jobs { main: latest.clone(), beside: page.beside };
    let page = http::start(page.listener, jobs, Box::new(data), settings.chat.window.length_ms())?;
    out::note(&format!("page  http://{}/", page.address()));
    Ok(page)
}

/// Ends a run to the end of the input whose input is not there; a run that stays waits for it.
fn demand_folders(settings: &Settings, pipeline: Pipeline) -> anyhow::Result<()> {
    let Inputs { chat_dir, viewer_dir, .. } = &settings.inputs;
    let named = match pipeline {
        Pipeline::Chat => vec![("--chat-dir", chat_dir.as_ref()), ("--viewer-dir", viewer_dir.as_ref())],
        _ if settings.kafka.is_some() => Vec::new(),
        Pipeline::Commerce => vec![("--input-dir", Some(&settings.commerce.input_dir))],
    };
    for (flag, path) in named {
        let Some(path) = path.filter(|path| !path.is_dir()) else { continue };
        let what = if path.exists() { "is no folder" } else { "does not exist" };
        anyhow::bail!(
            "the folder {} ({flag}) {what}; nothing was read. Correct the path, or make the folder and run again",
            path.display()
        );
    }
    Ok(())
}

fn report(options: &RunOptions, latest: &Latest, ending: &Ending, elapsed: Duration) -> anyhow::Result<()> {
    let snapshot = latest.get();
    let once = OnceReport::new(&snapshot, elapsed);
    if options.json {
        out::line(&serde_json::to_string_pretty(&once)?);
    } else if options.once && !is_unbegun(&snapshot, ending) {
        out::line(&once.text());
    }
    match ending {
        Ending::Done => {}
        Ending::Stopped => out::note("stopped in order; starting again goes on from here"),
        Ending::Unsettled(file) => {
            out::note(&format!(
                "{} still changes after 10 seconds; run again once it is complete",
                out::plain(file)
            ));
        }
        Ending::Unreadable(cause) => out::note(&format!(
            "not read: {}; everything else is. Mend or remove it and run again{}",
            out::plain(cause),
            if options.drain { ", the open windows are closed then" } else { "" }
        )),
        Ending::Busy(cause) => out::note(&format!("the job could not start: {}", out::whole(cause))),
        Ending::Fenced(cause) => out::note(&format!("fenced: {}", out::whole(cause))),
        Ending::Halted(cause) => out::note(&format!("halted: {}", out::whole(cause))),
    }
    Ok(())
}

/// Whether it ended before there was anything to report but why.
fn is_unbegun(snapshot: &Snapshot, ending: &Ending) -> bool {
    let is_failed = matches!(ending, Ending::Halted(_) | Ending::Busy(_) | Ending::Stopped);
    is_failed && snapshot.taken_over_at_ms.is_none()
}

fn exit_of(ending: &Ending) -> Exit {
    match ending {
        Ending::Done | Ending::Stopped => Exit::Done,
        Ending::Unsettled(_) | Ending::Unreadable(_) | Ending::Busy(_) => Exit::Error,
        Ending::Halted(_) => Exit::Halted,
        Ending::Fenced(_) => Exit::Fenced,
    }
}
