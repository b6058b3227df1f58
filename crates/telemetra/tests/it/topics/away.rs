//! Brokers that are away or say nothing: nobody waits for them any longer once the run is to end, and nothing is lost.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use telemetra_services::{
    eventually,
    kafka::{Kafka, Listener, Setup},
};

use super::{Topics, chats};
use crate::support::Instance;

const COUNTED: &str = "SELECT sum(counted) FROM telemetra_batch_range";

/// What stands between a client and a node: passes all on, until it is frozen as a process by SIGSTOP is.
#[derive(Default)]
struct Freezer {
    state: Mutex<Freeze>,
    changed: Condvar,
}

#[derive(Default)]
struct Freeze {
    is_frozen: bool,
    /// Bytes of clients that wait.
    held: usize,
}

impl Freezer {
    /// Listens before a node whose port is told later.
    fn start(listener: TcpListener, broker: Arc<Mutex<u16>>) -> Arc<Self> {
        let freezer = Arc::new(Self::default());
        let shared = Arc::clone(&freezer);
        thread::spawn(move || {
            for client in listener.incoming() {
                let port = *broker.lock().expect("nobody panicked");
                let (Ok(client), Ok(node)) = (client, TcpStream::connect(("127.0.0.1", port))) else {
                    continue;
                };
                for (from, to) in [(&client, &node), (&node, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let freezer = Arc::clone(&shared);
                    thread::spawn(move || {
                        let _ = freezer.pass(&from, &to);
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        freezer
    }

    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let mut state = self.state.lock().expect("nobody panicked");
            state.held += read;
            let mut state = self.changed.wait_while(state, |state| state.is_frozen).expect("nobody panicked");
            state.held -= read;
            drop(state);
            to.write_all(&buffer[..read])?;
        }
    }

    fn freeze(&self) {
        self.state.lock().expect("nobody panicked").is_frozen = true;
        eventually("somebody asks the frozen node", || {
            (self.state.lock().expect("nobody panicked").held > 0).then_some(())
        });
    }

    fn thaw(&self) {
        self.state.lock().expect("nobody panicked").is_frozen = false;
        self.changed.notify_all();
    }
}

/// A node behind a freezer.
fn frozen_at_will() -> (Kafka, Arc<Freezer>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let told = listener.local_addr().expect("it is bound").port();
    let broker = Arc::new(Mutex::new(0));
    let freezer = Freezer::start(listener, Arc::clone(&broker));
    let proxied = |_, port| {
        *broker.lock().expect("nobody panicked") = port;
        told
    };
    let kafka = Kafka::start(Setup { proxied: Some(&proxied), ..Setup::default() });
    (kafka, freezer)
}

/// A run that stays and reads through the freezer.
fn start(topics: &Topics) -> Instance {
    let bootstrap = topics.kafka.address(Listener::Proxied);
    let run = ["run", "chat", "--kafka", &bootstrap, "--chat-topic", &topics.chat, "--viewer-topic", "none"];
    let flags = ["--log-format", "json", "--retry-delay-seconds", "0.1", "--trigger-interval", "50ms"];
    Instance::of(topics.telemetra.command(&[&run[..], &flags].concat()))
}

#[test]
fn a_node_that_was_frozen_is_read_on() {
    let (kafka, freezer) = frozen_at_will();
    let topics = Topics::new(&kafka, 2);
    topics.send(0, &chats(0..100, "a"));
    let instance = start(&topics);
    topics.await_number(COUNTED, 100);
    freezer.freeze();
    topics.send(1, &chats(100..200, "b"));
    freezer.thaw();
    topics.await_number(COUNTED, 200);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.audit();
}

#[test]
fn a_run_that_is_to_end_does_not_wait_for_a_frozen_node() {
    let (kafka, freezer) = frozen_at_will();
    let topics = Topics::new(&kafka, 2);
    topics.send(0, &chats(0..100, "a"));
    let instance = start(&topics);
    topics.await_number(COUNTED, 100);
    freezer.freeze();
    topics.send(1, &chats(100..200, "b"));
    instance.signal(libc::SIGTERM);
    // Not the limit of a request, which ends such a wait otherwise.
    instance.expect("no answer, and nobody waits any more: the run is to end");
    assert_eq!(instance.wait().code(), Some(0));
    freezer.thaw();
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 200);
}

#[test]
fn a_run_that_is_to_end_does_not_wait_for_a_node_frozen_since_its_start() {
    let (kafka, freezer) = frozen_at_will();
    let topics = Topics::new(&kafka, 1);
    topics.send(0, &chats(0..100, "a"));
    freezer.state.lock().expect("nobody panicked").is_frozen = true;
    let instance = start(&topics);
    freezer.freeze();
    instance.signal(libc::SIGTERM);
    instance.expect("no answer, and nobody waits any more: the run is to end");
    assert_eq!(instance.wait().code(), Some(0));
    freezer.thaw();
    topics.once(&["--drain"]).expect_code(0);
    assert_eq!(topics.counted(), 100);
}

#[test]
fn a_run_that_is_to_end_does_not_wait_for_a_node_that_is_gone() {
    let kafka = Kafka::start(Setup::default());
    let topics = Topics::new(&kafka, 1);
    topics.send(0, &chats(0..100, "a"));
    let instance = topics.start(&[]);
    topics.await_number(COUNTED, 100);
    kafka.kill(1);
    instance.expect("a step failed");
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    kafka.start_again(1);
    topics.send(0, &chats(100..200, "a"));
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 200);
}
