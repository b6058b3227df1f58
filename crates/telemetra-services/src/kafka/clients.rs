//! Clients of a broker that are not ours: kcat, librdkafka's Python package, Kafka's own programs.
//!
//! Each speaks to the listener without TLS; what its arguments say later wins. None is given a user or a file of the
//! machine's.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use super::{Kafka, Version};
use crate::{keeper::command, workspace};

/// What `scripts/kafka.sh` finds.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    jars: PathBuf,
    pub(super) java: PathBuf,
    kcat: PathBuf,
    python: PathBuf,
}

impl Programs {
    pub(super) fn find(version: Version) -> Result<Self, String> {
        static FOUND: [OnceLock<Result<Programs, String>>; 2] = [OnceLock::new(), OnceLock::new()];
        FOUND[usize::from(version == Version::V4)].get_or_init(|| Self::look(version)).clone()
    }

    fn look(version: Version) -> Result<Self, String> {
        let mut find = Command::new(workspace().join("scripts/kafka.sh"));
        find.arg("--find");
        if version == Version::V3 {
            find.args(["--version", "3.9.1"]);
        }
        let found = find.output().map_err(|error| format!("scripts/kafka.sh: {error}"))?;
        let (said, why) = (String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
        match said.lines().collect::<Vec<_>>()[..] {
            [jars, java, kcat, python] if found.status.success() => {
                Ok(Self { jars: jars.into(), java: java.into(), kcat: kcat.into(), python: python.into() })
            }
            _ => Err(format!("this test needs Kafka, which `make test` fetches: run it once.\n{why}")),
        }
    }

    /// All jars, always in one order: Java's archive of classes suits no other.
    pub(super) fn class_path(&self) -> Result<OsString, String> {
        let unreadable = |error| format!("{}: {error}", self.jars.display());
        let entries = fs::read_dir(&self.jars).map_err(unreadable)?;
        let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(unreadable)?;
        paths.sort();
        std::env::join_paths(paths).map_err(|error| format!("{}: {error}", self.jars.display()))
    }
}

impl Kafka {
    /// kcat with these arguments, to be started by the caller.
    pub fn kcat_command(&self, args: &[&str]) -> Command {
        let mut kcat = command(&self.programs.kcat);
        kcat.args(["-b", &self.bootstrap()]).args(args);
        kcat
    }

    /// Python, which has `confluent_kafka`, to be started by the caller: the text of a script, which finds the brokers in
    /// `sys.argv[1]` and these arguments behind.
    pub fn python_command(&self, script: &str, args: &[&str]) -> Command {
        let mut python = command(&self.programs.python);
        python.args(["-c", script, &self.bootstrap()]).args(args);
        python
    }

    /// A program of Kafka's own by its class, `org.apache.kafka.tools.ConsoleProducer`, to be started by the caller. It is
    /// told no broker.
    pub fn java_command(&self, class: &str, args: &[&str]) -> Command {
        let mut java = command(&self.programs.java);
        java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
        java.arg(format!("-Djava.io.tmpdir={}", self.folder.display()));
        java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
        java.arg("-cp").arg(self.programs.class_path().expect("the nodes were started with it"));
        java.arg(class).args(args);
        java
    }

    /// Runs kcat to its end and returns what it has printed.
    ///
    /// # Panics
    /// If it fails; so do the others.
    pub fn kcat(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        run(self.kcat_command(args), input)
    }

    /// Runs a Python script to its end and returns what it has printed.
    pub fn python(&self, script: &str, args: &[&str]) -> Vec<u8> {
        run(self.python_command(script, args), &[])
    }

    /// Runs a program of Kafka's own to its end and returns what it has printed.
    pub fn java(&self, class: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        run(self.java_command(class, args), input)
    }
}

fn run(mut command: Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut pipe = child.stdin.take().expect("it is piped");
    let output = thread::scope(|scope| {
        // One that does not read all of it has a reason, which it tells by its exit.
        scope.spawn(move || pipe.write_all(input));
        child.wait_with_output().expect("it was started")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output.stdout
}
