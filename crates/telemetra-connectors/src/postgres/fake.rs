//! A server for tests: enough of the protocol to log in, answer simple statements, hang, warn and fail.
//!
//! | statement holds | answer |
//! |---|---|
//! | `server_version_num` | the facts of its [`Script`] |
//! | `hang` | none; says so, and again when the client is gone |
//! | `warn` | a WARNING, then done |
//! | `fail SEVERITY SQLSTATE` | an error; behind `COMMIT; ` after COMMIT was done |
//! | anything else | done |

use std::{
    io::{self, Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a fake server says and does.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// SQLSTATE with which the login is refused.
    pub(super) refuses: Option<&'static str>,
    pub(super) version_num: &'static str,
    pub(super) encoding: &'static str,
    pub(super) in_recovery: bool,
    pub(super) read_only: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tls: None,
            refuses: None,
            version_num: "150004",
            encoding: "UTF8",
            in_recovery: false,
            read_only: false,
        }
    }
}

/// What happened at the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A statement that is never answered has come.
    Hanging,
    /// The client that waits for it is gone.
    Gone,
    /// A cancel request has come for this process.
    Cancel(i32),
}

/// Process id that every session is told.
pub(super) const PID: i32 = 4711;

/// A server on a port of its own; its threads end with the process.
pub(super) struct Fake {
    pub(super) port: u16,
    pub(super) events: Receiver<Event>,
}

impl Fake {
    pub(super) fn start(script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (sender, events) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, sender) = (script.clone(), sender.clone());
                // A client that breaks off is what some tests are about.
                thread::spawn(move || _ = serve(stream, &script, &sender));
            }
        });
        Self { port, events }
    }
}

trait Duplex: Read + Write {}
impl<S: Read + Write> Duplex for S {}

fn serve<S: Read + Write + 'static>(
    mut stream: S,
    script: &Script,
    events: &Sender<Event>,
) -> io::Result<()> {
    let mut stream: Box<dyn Duplex> = match request(&mut stream)? {
        Request::Cancel(pid) => {
            _ = events.send(Event::Cancel(pid));
            return Ok(());
        }
        Request::Start => Box::new(stream),
        Request::Tls => match &script.tls {
            Some(config) => {
                stream.write_all(b"S")?;
                let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                match request(&mut stream)? {
                    Request::Cancel(pid) => {
                        _ = events.send(Event::Cancel(pid));
                        return Ok(());
                    }
                    _ => Box::new(stream),
                }
            }
            None => {
                stream.write_all(b"N")?;
                _ = request(&mut stream)?;
                Box::new(stream)
            }
        },
    };
    if let Some(code) = script.refuses {
        return stream.write_all(&error(b'E', "FATAL", code));
    }
    let mut hello = message(b'R', &0_i32.to_be_bytes());
    hello.extend(message(b'K', &[PID.to_be_bytes(), 1_i32.to_be_bytes()].concat()));
    hello.extend(ready());
    stream.write_all(&hello)?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if head[0] != b'Q' {
            return Ok(());
        }
        let sql = String::from_utf8_lossy(&body);
        if sql.contains("hang") {
            _ = events.send(Event::Hanging);
            _ = stream.read(&mut [0]);
            _ = events.send(Event::Gone);
            return Ok(());
        }
        stream.write_all(&answer(&sql, script))?;
    }
}

enum Request {
    Tls,
    Cancel(i32),
    Start,
}

/// Reads one request of a new connection, the rest of its message included.
fn request(stream: &mut (impl Read + ?Sized)) -> io::Result<Request> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let mut rest = vec![0; number(0) as usize - 8];
    stream.read_exact(&mut rest)?;
    Ok(match number(4) {
        80_877_103 => Request::Tls,
        80_877_102 => Request::Cancel(i32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]])),
        _ => Request::Start,
    })
}

fn answer(sql: &str, script: &Script) -> Vec<u8> {
    let mut answer = Vec::new();
    if sql.contains("server_version_num") {
        let flag = |on: bool, yes, no| if on { yes } else { no };
        let pid = PID.to_string();
        let facts = [
            script.version_num,
            "of a fake",
            script.encoding,
            flag(script.in_recovery, "t", "f"),
            flag(script.read_only, "on", "off"),
            &pid,
            "1700000000000001",
        ];
        answer.extend(row(&facts));
    }
    if sql.contains("warn") && !sql.contains("SET") {
        answer.extend(error(b'N', "WARNING", "01000"));
    }
    if sql.starts_with("COMMIT; ") {
        answer.extend(message(b'C', b"COMMIT\0"));
    }
    if let Some((_, how)) = sql.split_once("fail ") {
        let mut how = how.trim_end_matches('\0').split(' ');
        answer.extend(error(b'E', how.next().unwrap_or_default(), how.next().unwrap_or_default()));
    } else {
        answer.extend(message(b'C', b"DONE\0"));
    }
    answer.extend(ready());
    answer
}

fn row(values: &[&str]) -> Vec<u8> {
    let count = u16::try_from(values.len()).expect("a few columns").to_be_bytes();
    let (mut description, mut data) = (count.to_vec(), count.to_vec());
    for value in values {
        // Name, table, column, type `text`, its length, modifier, text format.
        description.extend(b"c\0");
        description.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]);
        data.extend(u32::try_from(value.len()).expect("a short text").to_be_bytes());
        data.extend(value.as_bytes());
    }
    [message(b'T', &description), message(b'D', &data)].concat()
}

fn error(kind: u8, severity: &str, code: &str) -> Vec<u8> {
    let field = |kind: char, text: &str| format!("{kind}{text}\0").into_bytes();
    let fields = [
        field('S', severity),
        field('V', severity),
        field('C', code),
        field('M', "what the\nserver says of `row data`"),
        field('D', "Key (id)=(row data)"),
        field('t', "moments"),
        field('n', "moments_pkey"),
        vec![0],
    ];
    message(kind, &fields.concat())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message").to_be_bytes();
    [&[kind], &length[..], body].concat()
}
