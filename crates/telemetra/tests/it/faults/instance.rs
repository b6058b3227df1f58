//! One running instance of the real binary: its log with the time of each line, its end, and signals.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Instant,
};

use telemetra_services::eventually;

use crate::support::Telemetra;

/// A process and what it has said.
pub(super) struct Instance {
    child: Child,
    log: Arc<Mutex<Vec<(Instant, String)>>>,
    reader: Option<JoinHandle<()>>,
    pub(super) spawned_at: Instant,
    pub(super) is_frozen: bool,
}

/// How an instance left by itself, or by a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// All was read and every window closed; or it was asked to stop.
    Done,
    /// Another instance has taken over.
    Fenced,
    /// Another instance kept the job for longer than `--once` waits.
    Busy,
    /// By `kill -9`.
    Killed,
    /// In no way that a fault explains.
    Wrong(Option<i32>),
}

impl Instance {
    pub(super) fn spawn(telemetra: &Telemetra, args: &[String]) -> Self {
        let mut command = telemetra.command(args);
        // By the clock of this machine nobody is idle: a slow machine must not close windows earlier than a fast one.
        command.env("IDLE_TIMEOUT", "1 hour").stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned_at = Instant::now();
        let mut child = command.spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().expect("nobody panics while holding it").push((Instant::now(), line));
            }
        });
        Self { child, log, reader: Some(reader), spawned_at, is_frozen: false }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it left, if it has.
    pub(super) fn left(&mut self) -> Option<Left> {
        let status = self.child.try_wait().expect("the child can be asked")?;
        // Its last words count.
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        Some(self.left_by(status))
    }

    fn left_by(&self, status: ExitStatus) -> Left {
        match status.code() {
            Some(0) => Left::Done,
            Some(78) => Left::Fenced,
            Some(1) if self.said_at("the job could not start").is_some() => Left::Busy,
            None if status.signal() == Some(libc::SIGKILL) => Left::Killed,
            code => Left::Wrong(code),
        }
    }

    /// Sends SIGKILL and waits for its end.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for");
    }

    pub(super) fn freeze(&mut self) {
        self.signal(libc::SIGSTOP);
        self.is_frozen = true;
    }

    pub(super) fn thaw(&mut self) {
        self.signal(libc::SIGCONT);
        self.is_frozen = false;
    }

    pub(super) fn signal(&self, signal: libc::c_int) {
        let mut kill = std::process::Command::new("kill");
        kill.arg(format!("-{signal}")).arg(self.pid().to_string());
        assert!(kill.status().expect("kill is there").success(), "it has ended:\n{}", self.log());
    }

    /// When the first line with `text` was read.
    pub(super) fn said_at(&self, text: &str) -> Option<Instant> {
        let log = self.log.lock().expect("nobody panics while holding it");
        log.iter().find(|(_, line)| line.contains(text)).map(|(at, _)| *at)
    }

    /// Waits until it has said `text`.
    pub(super) fn expect(&mut self, text: &str) {
        eventually(&format!("an instance says `{text}`"), || {
            let said = self.said_at(text);
            assert!(said.is_some() || self.left().is_none(), "it left without `{text}`:\n{}", self.log());
            said
        });
    }

    /// Waits for its end.
    pub(super) fn expect_left(&mut self, expected: Left) {
        let left = eventually("an instance leaves", || self.left());
        assert_eq!(left, expected, "{}", self.log());
    }

    /// All that it has said, with the seconds since it was started.
    pub(super) fn log(&self) -> String {
        let log = self.log.lock().expect("nobody panics while holding it");
        let lines = log.iter().map(|(at, line)| {
            format!("{:9.3} {line}\n", at.saturating_duration_since(self.spawned_at).as_secs_f64())
        });
        lines.collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // One that has ended is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
