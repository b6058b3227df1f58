//! Runs the real binary in a folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use rusqlite::{Connection, OpenFlags};
use telemetra_services::{PATIENCE, workspace};
use tempfile::TempDir;

/// A folder with a store, and the binary that works in it.
pub(crate) struct Telemetra {
    folder: TempDir,
}

/// What a command left behind.
pub(crate) struct Finished(pub(crate) Output, String);

impl Telemetra {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("telemetra.db")
    }

    /// The binary with a clean environment, its working folder set.
    pub(crate) fn command<A: AsRef<str>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_telemetra"));
        command.args(args.iter().map(AsRef::as_ref)).current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some(mutant) = std::env::var_os("TELEMETRA_MUTANT") {
            command.env("TELEMETRA_MUTANT", mutant);
        }
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run<A: AsRef<str>>(&self, args: &[A]) -> Finished {
        self.run_env(args, &[])
    }

    pub(crate) fn run_env<A: AsRef<str>>(&self, args: &[A], env: &[(&str, &str)]) -> Finished {
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        let shown = format!("{command:?}");
        Finished(command.output().expect("the binary starts"), shown)
    }

    pub(crate) fn spawn<A: AsRef<str>>(&self, args: &[A]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
    }

    /// The store, read-only.
    pub(crate) fn open_store(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        Connection::open_with_flags(self.store(), flags).expect("the store is there")
    }
}

impl Finished {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Checks the exit code and returns what was printed on both streams.
    pub(crate) fn expect_code(&self, code: i32) -> String {
        let all = self.stdout() + &self.stderr();
        assert_eq!(self.0.status.code(), Some(code), "{}\n{all}", self.1);
        all
    }
}

/// A run of the binary whose log is read.
pub(crate) struct Instance {
    child: Child,
    lines: Receiver<String>,
}

impl Instance {
    pub(crate) fn start(telemetra: &Telemetra) -> Self {
        Self::start_with(telemetra, &["--chat-dir", "chat"])
    }

    pub(crate) fn start_with(telemetra: &Telemetra, more: &[&str]) -> Self {
        let args =
            ["run", "chat", "--arrival", "rename", "--log-format", "json", "--retry-delay-seconds", "0.1"];
        Self::of(telemetra.command(&[&args, more].concat()))
    }

    /// Starts a command of the binary, whichever it is.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Waits until a line with `text` is printed, and returns it.
    pub(crate) fn expect(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no line with `{text}` ({error}):\n{seen}"));
            if line.contains(text) {
                return line;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(self.child.id().to_string());
        assert!(kill.status().expect("kill is there").success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }
}

impl Drop for Instance {
    /// A test that fails leaves no run behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three hundred events in a folder `chat`.
pub(crate) fn telemetra_with_events() -> Telemetra {
    let telemetra = Telemetra::new();
    fs::create_dir(telemetra.path().join("chat")).expect("a folder");
    let event = |second: i64| {
        let time_ms = 1_735_689_600_000 + second * 1_000;
        format!("{{\"timestamp\":{time_ms},\"stream_id\":\"s\",\"user_id\":\"u\",\"message\":\"x\"}}\n")
    };
    let text: String = (0..300).map(event).collect();
    fs::write(telemetra.path().join("chat/a.jsonl"), text).expect("a file");
    telemetra
}

/// A folder or file of the repository's fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    workspace().join("fixtures").join(name)
}

/// Takes the fault that TELEMETRA_MUTANT names, in builds that hold faults; `scripts/mutants.sh` proves by them that
/// these tests can fail.
pub(crate) fn choose_mutant() {
    #[cfg(feature = "mutants")]
    if let Ok(name) = std::env::var("TELEMETRA_MUTANT") {
        assert!(telemetra_core::mutant::choose(&name), "no mutant is named {name}");
    }
}
