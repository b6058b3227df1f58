//! A TCP proxy before a PostgreSQL, which fails on demand: at the next message, or by dice.
//!
//! It reads what clients say message by message: a type byte but for the first message, a length, a body (PostgreSQL's
//! documentation, "Message Formats"). Every message of a client is an event that may suffer one [`Fault`]; each
//! fault that happened is counted, so that a test can prove it. Replies pass as bytes. Encrypted connections are not
//! understood: their bytes pass too, and no COMMIT is seen in them.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    mem::discriminant,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use socket2::SockRef;

/// What can happen to a client's message and the connection it came by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// Both sides see a reset; the message is lost.
    Reset,
    /// From this message on nothing is forwarded, either way, until [`Proxy::heal`]; both sides stay connected.
    Stall,
    /// The message is held back for so long.
    Latency(Duration),
    /// The message and its replies go byte by byte, with so much time between two.
    Trickle(Duration),
    /// A COMMIT is lost and the client sees a reset; the server sees the client go.
    CutBeforeCommit,
    /// A COMMIT is sent on and the client sees a reset at once, whether or not the server is done.
    CutAfterCommit,
    /// A COMMIT is sent on; the client sees a reset when the server's reply is here.
    CutReply,
    /// A COMMIT becomes a ROLLBACK, which the server does without an error, saying so in the reply's tag alone.
    AbortCommit,
}

impl Fault {
    fn needs_commit(self) -> bool {
        use Fault::{AbortCommit, CutAfterCommit, CutBeforeCommit, CutReply};
        matches!(self, CutBeforeCommit | CutAfterCommit | CutReply | AbortCommit)
    }
}

/// A proxy that listens; dropped, it resets what is still connected.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
}

/// What is to happen, and what has happened.
#[derive(Default, Debug)]
struct Plan {
    /// Faults for the next messages, in this order; one that needs a COMMIT lets other messages pass.
    next: VecDeque<Fault>,
    /// Seed and chances of faults at each message.
    dice: Option<(u64, Vec<(Fault, f64)>)>,
    happened: Vec<Fault>,
    links: Vec<Arc<Link>>,
    /// Every new link begins stalled.
    is_stalled: bool,
    is_over: bool,
}

/// One client and its connection to the server.
#[derive(Debug)]
struct Link {
    client: Side,
    server: Side,
    state: Mutex<State>,
    changed: Condvar,
}

/// One end of a link. Whoever uses it holds it for that time only: a reset is sent when nobody holds it any more.
#[derive(Debug)]
struct Side(Mutex<Option<Arc<TcpStream>>>);

#[derive(Clone, Copy, Default, Debug)]
struct State {
    is_stalled: bool,
    /// The client is gone, or shall be; what the server still says is for nobody.
    is_over: bool,
    /// The next reply cuts the client off.
    cuts_reply: bool,
    trickle: Option<Duration>,
}

impl Proxy {
    /// Forwards connections to a free loopback port to the server at another.
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if lock(&shared).is_over {
                    return;
                }
                // A server that is down: the client sees its connection end.
                let server = TcpStream::connect(("127.0.0.1", server_port));
                let (Ok(client), Ok(server)) = (client, server) else { continue };
                open(&shared, client, server, number);
            }
        });
        Self { port, plan }
    }

    /// Loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets the next messages suffer these faults, one each; those for a COMMIT wait for one.
    pub fn next(&self, faults: &[Fault]) {
        lock(&self.plan).next.extend(faults);
    }

    /// Lets every message suffer a fault by chance. The nth connection of a proxy has the nth dice of the seed.
    pub fn by_dice(&self, seed: u64, chances: &[(Fault, f64)]) {
        lock(&self.plan).dice = Some((seed, chances.to_vec()));
    }

    /// Forwards nothing any more, on any connection, until [`Self::heal`]: the network is gone and nobody says so.
    pub fn stall(&self) {
        let mut plan = lock(&self.plan);
        plan.is_stalled = true;
        for link in &plan.links {
            link.change(|state| state.is_stalled = true);
        }
    }

    /// Resets every connection; returns how many there were.
    pub fn reset(&self) -> usize {
        let links = std::mem::take(&mut lock(&self.plan).links);
        let open = links.iter().filter(|link| !lock(&link.state).is_over);
        open.map(|link| link.cut(true)).count()
    }

    /// No more faults; what was held back goes on.
    pub fn heal(&self) {
        let mut plan = lock(&self.plan);
        (plan.is_stalled, plan.dice) = (false, None);
        plan.next.clear();
        for link in &plan.links {
            link.change(|state| *state = State { is_over: state.is_over, ..State::default() });
        }
    }

    /// How often a fault has happened, whatever its duration.
    pub fn happened(&self, fault: Fault) -> usize {
        lock(&self.plan).happened.iter().filter(|had| discriminant(*had) == discriminant(&fault)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.plan).is_over = true;
        self.reset();
        // The listener wakes up, sees the end and goes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}

/// Starts the two threads of a connection.
fn open(plan: &Arc<Mutex<Plan>>, client: TcpStream, server: TcpStream, number: u64) {
    // Bytes that are sent one by one shall arrive so.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let link = {
        let mut plan = lock(plan);
        let state = Mutex::new(State { is_stalled: plan.is_stalled, ..State::default() });
        let (client, server) = (Side::new(client), Side::new(server));
        let link = Arc::new(Link { client, server, state, changed: Condvar::new() });
        plan.links.retain(|link| !lock(&link.state).is_over);
        plan.links.push(Arc::clone(&link));
        link
    };
    let (to_server, plan) = (Arc::clone(&link), Arc::clone(plan));
    thread::spawn(move || {
        // However the client went, the server has got all that was sent on and sees its end.
        let _ = to_server.forward_messages(&plan, number);
        to_server.server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = link.forward_replies();
        link.change(|state| state.is_over = true);
        link.client.shutdown(Shutdown::Both);
    });
}

impl Plan {
    fn draw(&mut self, is_commit: bool, number: u64, rng: &mut Option<StdRng>) -> Option<Fault> {
        let fits = |fault: &Fault| is_commit || !fault.needs_commit();
        let mut drawn = self.next.front().copied().filter(fits);
        if drawn.is_some() {
            self.next.pop_front();
        } else if let Some((seed, chances)) = &self.dice {
            let rng = rng.get_or_insert_with(|| StdRng::seed_from_u64(seed.wrapping_add(number)));
            let mut hits = chances.iter().map(|(fault, chance)| (*fault, rng.random_bool(*chance)));
            drawn = hits.find(|(fault, hit)| *hit && fits(fault)).map(|(fault, _)| fault);
        }
        self.happened.extend(drawn);
        drawn
    }
}

impl Link {
    fn forward_messages(&self, plan: &Mutex<Plan>, number: u64) -> io::Result<()> {
        let (mut held, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        let (mut framing, mut rng) = (Framing::First, None);
        let client = self.client.hold()?;
        loop {
            let read = (&*client).read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            held.extend_from_slice(&buffer[..read]);
            while let Some(length) = framing.next_length(&held) {
                let mut message: Vec<u8> = held.drain(..length).collect();
                let is_commit = framing == Framing::Typed && is_commit(&message);
                framing = framing.after(&message);
                let fault = lock(plan).draw(is_commit, number, &mut rng);
                self.forward(&mut message, fault)?;
            }
        }
    }

    fn forward(&self, message: &mut [u8], fault: Option<Fault>) -> io::Result<()> {
        let trickle = if let Some(Fault::Trickle(between)) = fault { Some(between) } else { None };
        self.change(|state| {
            state.trickle = trickle;
            state.is_stalled |= fault == Some(Fault::Stall);
            state.cuts_reply |= fault == Some(Fault::CutReply);
        });
        match fault {
            Some(Fault::Latency(how_long)) => self.wait(how_long)?,
            Some(Fault::Reset) => self.cut(true),
            Some(Fault::CutBeforeCommit) => self.cut(false),
            Some(Fault::AbortCommit) => message[5..11].copy_from_slice(b"ABORT "),
            _ => {}
        }
        self.write(&self.server, message, trickle)?;
        if fault == Some(Fault::CutAfterCommit) {
            self.cut(false);
        }
        Ok(())
    }

    fn forward_replies(&self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let server = self.server.hold()?;
        loop {
            let read = (&*server).read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let state = *lock(&self.state);
            if state.cuts_reply {
                self.cut(false);
            }
            // A server whose client is gone is listened to until it goes: a reset could cost it what it has not read.
            if self.write(&self.client, &buffer[..read], state.trickle).is_err() {
                self.change(|state| state.is_over = true);
            }
        }
    }

    fn write(&self, to: &Side, bytes: &[u8], trickle: Option<Duration>) -> io::Result<()> {
        self.wait(trickle.unwrap_or_default())?;
        let to = to.hold()?;
        let Some(between) = trickle else { return (&*to).write_all(bytes) };
        for byte in bytes {
            (&*to).write_all(&[*byte])?;
            self.wait(between)?;
        }
        Ok(())
    }

    /// Waits so long, and while the link is stalled. An error says that the link is over.
    fn wait(&self, how_long: Duration) -> io::Result<()> {
        let until = Instant::now() + how_long;
        let mut state = lock(&self.state);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.is_over {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            state = if state.is_stalled {
                self.changed.wait(state).expect("nobody panics while holding it")
            } else if left.is_zero() {
                return Ok(());
            } else {
                self.changed.wait_timeout(state, left).expect("nobody panics while holding it").0
            };
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    /// Ends the link. The client sees a reset; so does the server, or the end of input after all that was sent on.
    fn cut(&self, resets_server: bool) {
        self.change(|state| state.is_over = true);
        self.client.reset();
        if resets_server {
            self.server.reset();
        } else {
            self.server.shutdown(Shutdown::Write);
        }
    }
}

impl Side {
    fn new(stream: TcpStream) -> Self {
        Self(Mutex::new(Some(Arc::new(stream))))
    }

    fn hold(&self) -> io::Result<Arc<TcpStream>> {
        lock(&self.0).clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn shutdown(&self, how: Shutdown) {
        // One that is gone already is as it should be.
        let _ = self.hold().and_then(|stream| stream.shutdown(how));
    }

    /// Lets the other end see a reset: nothing that is still to be sent is waited for when the socket is closed.
    fn reset(&self) {
        let Some(stream) = lock(&self.0).take() else { return };
        let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
        // Sends nothing, but the thread that reads wakes up and lets go.
        let _ = stream.shutdown(Shutdown::Read);
    }
}

/// How the next message of a client is found in its bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Framing {
    /// Length and body: the first message, and requests for encryption before it.
    First,
    /// Type, length and body.
    Typed,
    /// Encrypted.
    Opaque,
}

impl Framing {
    /// Length of the message that `bytes` begin with, if it is whole.
    fn next_length(self, bytes: &[u8]) -> Option<usize> {
        let type_length = usize::from(self == Self::Typed);
        if self == Self::Opaque || self == Self::First && is_encrypted(bytes) {
            return (!bytes.is_empty()).then_some(bytes.len());
        }
        let length = u32::from_be_bytes(*bytes.get(type_length..)?.first_chunk()?);
        let length = type_length + usize::try_from(length).expect("usize has 32 bits at least").max(4);
        (length <= bytes.len()).then_some(length)
    }

    fn after(self, message: &[u8]) -> Self {
        match self {
            Self::First if is_encrypted(message) => Self::Opaque,
            Self::First if is_request(message) => Self::First,
            Self::First => Self::Typed,
            other => other,
        }
    }
}

/// A first message is shorter than 16 MB: its length begins with a zero byte, and nothing encrypted does.
fn is_encrypted(first: &[u8]) -> bool {
    first.first().is_some_and(|&byte| byte != 0)
}

/// `SSLRequest` and `GSSENCRequest`, after whose refusal another first message comes.
fn is_request(first: &[u8]) -> bool {
    [80_877_103_u32, 80_877_104].iter().any(|code| first.get(4..) == Some(code.to_be_bytes().as_slice()))
}

/// A simple query whose text begins with COMMIT.
fn is_commit(message: &[u8]) -> bool {
    message[0] == b'Q' && message.get(5..11).is_some_and(|text| text.eq_ignore_ascii_case(b"COMMIT"))
}

#[cfg(test)]
mod tests;
